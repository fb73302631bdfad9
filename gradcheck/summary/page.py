"""The summary of a run as one web page that needs nothing else, and stays below a megabyte however much was verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from gradcheck.report import svg, web
from gradcheck.summary.results import Cell, Check, Entry, Summary
from gradcheck.summary.table import BLUNT, cell_text, headline, sensitivity_text

FAILURES, BRIEF, ALL = 380_000, 90_000, 920_000
"""Bytes for failures in full, for those in one line, and for both with the rows of the tables."""

SLOWEST, NAMED = 50, 8
"""So many tests are listed by their time; so many entries are named in a sentence."""

LEGEND = (
    "A cell gives how many examples were checked, and how many of them lie at a kink (k), are inconclusive (?) or have a zero "
    "gradient (v). The last column is the smallest relative error in the median entry that the worst example would have shown."
)


def html_page(summary: Summary) -> str:
    """The page: the verdict, what makes a pass weak, what failed and why, a table for each kind, the slowest tests."""
    verdict, title = _title(summary)
    first = headline(summary).text if summary else "nothing was verified"
    failed = _failures(summary)
    main = (
        web.section("weak", "What makes a pass weak", web.weak(weaknesses(summary)))
        + (web.tools("entries") if summary else "")
        + web.section("failures", "What failed", failed)
        + web.section("entries", "Everything that was verified", _tables(summary, ALL - len(failed.encode())))
        + web.section("checks", "Where the time went", _slowest(summary))
    )
    known = {**summary.facts, "seed": _seeds(summary)}
    project = summary.facts.get("project", "")
    return web.document(
        f"{title}{f' - {project}' if project else ''}", web.head(verdict, title, [f"{first}."], known), main
    )


def _title(summary: Summary) -> tuple[str, str]:
    """The verdict, and the title that states it."""
    total = len(summary.entries)
    if summary.failed:
        wrong = sum(entry.failed for entry in summary.entries)
        return "fail", f"Failed: {wrong:,} of {_many(total, 'entry', 'entries')}"
    if not summary:
        return "inconclusive", "Nothing was verified"
    return "pass", f"Passed: {_many(total, 'entry', 'entries')} verified"


def _seeds(summary: Summary) -> str:
    seeds = {failure["seed"] for _, failure in summary.failures if failure["seed"] is not None}
    return ", ".join(map(str, sorted(seeds)))


# --- what makes a pass weak -------------------------------------------------------------------------------------------


def weaknesses(summary: Summary) -> list[str]:
    """What the verdict of a run leaves open, a sentence each."""
    unclear, vacuous, hidden = (_Counted(summary, count) for count in (_inconclusive, _vacuous, _hidden))
    reason = next((c.reason for c in summary.checks if c.reason and c.counts["inconclusive"]), "")
    unseen = [
        f"{', '.join(paths)} of {entry.name}"
        for entry in summary.entries
        if (paths := entry.unseen) and not entry.failed and entry.name not in vacuous.names
    ]
    blunt = [entry.name for entry in summary.entries if (entry.sensitivity or 0.0) >= BLUNT]
    found = []
    if unclear.total:
        first = f" The first: {reason}." if reason else ""
        found.append(
            f"Inconclusive: {_many(unclear.total, 'example')} decided nothing: in {_names(unclear.names)}.{first}"
        )
    if vacuous.total:
        found.append(
            f"Vacuous: {_many(vacuous.total, 'example')} had a gradient of zero, so that nothing else was compared: in "
            f"{_names(vacuous.names)}."
        )
    if unseen:
        found.append(f"Never seen: no example showed the gradient by {_names(unseen)}.")
    if hidden.total:
        found.append(
            f"Out of sight: {_many(hidden.total, 'entry', 'entries')} of gradients, too small to be judged: in {_names(hidden.names)}."
        )
    if blunt:
        found.append(f"Blunt: an error of {BLUNT:.0%} would not have been detected in {_names(blunt)}.")
    return found


class _Counted:
    """How often something occurs in a run, and in which entries."""

    def __init__(self, summary: Summary, count: Callable[[Check], int]) -> None:
        found = [(check.entry, count(check)) for check in summary.checks]
        self.total = sum([n for _, n in found])
        self.names = {name: None for name, n in found if n}


def _inconclusive(check: Check) -> int:
    return check.counts["inconclusive"]


def _vacuous(check: Check) -> int:
    return check.counts["vacuous"]


def _hidden(check: Check) -> int:
    return check.hidden


def _names(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = len(every) - NAMED
    return ", ".join([*every[:NAMED], *[f"{more:,} more"] * (more > 0)])


def _many(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


# --- what failed ------------------------------------------------------------------------------------------------------


def _failures(summary: Summary) -> str:
    names = web.Names()
    items = ((_failure(c, failure, names()), _one_line(c, failure)) for c, failure in summary.failures)
    text, left = web.bounded(items, FAILURES, BRIEF)
    more = left + sum([check.more for check in summary.checks])
    if more:
        text += f"<p>and {_many(more, 'more failure', 'more failures')}, of which --gradcheck-json has what is known.</p>"
    return text


def _one_line(check: Check, failure: dict[str, Any]) -> str:
    return f"{check.entry}, {check.checked}: {failure['cause'] or 'failed'} ({check.test})"


def _failure(check: Check, failure: dict[str, Any], name: str) -> str:
    text = failure["text"]
    first, _, rest = text.partition("\n")
    inputs = ", ".join([f"{i['path']} {i['dtype']} {svg.shape(i['shape'])}" for i in failure["inputs"]])
    example = "The smallest failing example" if failure["smallest"] else "The failing example"
    return (
        f'<article data-find><h3><bdi>{escape(check.entry)}</bdi>, <bdi>{escape(check.checked)}</bdi>: <span class="f">'
        f"{escape(failure['cause'] or 'failed')}</span></h3>\n"
        f'<p class="name dim">{escape(check.test)}</p><p>{escape(first)}</p>'
        + (f'<pre class="fill" tabindex="0" aria-label="The message">{escape(rest)}</pre>' if rest else "")
        + web.causes(failure["faults"])
        + web.numbers(failure["faults"])
        + (f"<p>{example}: {escape(inputs)}.</p>" if inputs else "")
        + web.pictures(failure.get("pictures"))
        + web.snippet(failure["snippet"], name)
        + "</article>\n"
    )


# --- everything -------------------------------------------------------------------------------------------------------


def _tables(summary: Summary, room: int) -> str:
    if not summary:
        return ""
    columns = {
        kind: [name for name in summary.properties if any(name in entry.cells for entry in entries)]
        for kind, entries in summary.kinds.items()
    }
    rows = {
        (kind, entry.name): _row(entry, columns[kind])
        for kind, entries in summary.kinds.items()
        for entry in entries
    }
    ranked = sorted(summary.entries, key=lambda entry: (not entry.failed, not is_weak(entry)))
    kept = set()
    for entry in ranked:
        room -= len(rows[entry.kind, entry.name].encode())
        if room < 0:
            break
        kept.add((entry.kind, entry.name))
    parts = [f"<p>{escape(LEGEND)}</p>"]
    for kind, entries in summary.kinds.items():
        shown = [rows[kind, entry.name] for entry in entries if (kind, entry.name) in kept]
        head = "".join([f'<th scope="col">{escape(name)}</th>' for name in [kind, *columns[kind], "detects"]])
        table = f"<table><caption hidden>{escape(kind)}</caption><thead><tr>{head}</tr></thead><tbody>\n{''.join(shown)}</tbody></table>"
        parts.append(
            f'<div class="part">{web.scrolled(f"Entries of the kind {kind}", table)}</div>\n' if shown else ""
        )
    left = len(rows) - len(kept)
    if left:
        parts.append(f"<p>and {_many(left, 'more entry', 'more entries')}, which --gradcheck-json lists.</p>")
    return "".join(parts)


def _row(entry: Entry, columns: Sequence[str]) -> str:
    """A row; HTML needs no end tags in it, and ten thousand rows are shorter without."""
    name = ' class="f"' if entry.failed else ' class="w"' if is_weak(entry) else ""
    cells = "".join([_cell(entry.cells.get(column)) for column in columns])
    return f"<tr{name}><th scope=row>{escape(entry.name[:200])}{cells}<td>{sensitivity_text(entry.sensitivity)}\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>"
    return f"<td{' class=f' * cell.failed}>{cell_text(cell)}"


def is_weak(entry: Entry) -> bool:
    """Whether a pass of this entry shows little."""
    return (
        any(cell.undecided or cell.counts["inconclusive"] for cell in entry.cells.values())
        or any(check.hidden for cell in entry.cells.values() for check in cell.checks)
        or bool(entry.unseen)
        or (entry.sensitivity or 0.0) >= BLUNT
    )


def _slowest(summary: Summary) -> str:
    tests = summary.slowest_tests
    rows = "".join(
        [
            f'<tr><th scope="row">{escape(test[:300])}</th><td>{seconds:.2f}</td><td>{examples:,}</td></tr>\n'
            for test, seconds, examples in tests[:SLOWEST]
        ]
    )
    if not rows:
        return ""
    head = "".join([f'<th scope="col">{name}</th>' for name in ("test", "seconds", "examples")])
    table = f'<table class="nums"><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>'
    words = f"{'The slowest of ' if len(tests) > SLOWEST else ''}{_many(len(tests), 'test', 'tests')}"
    return f"<details><summary>{words}</summary>{web.scrolled('Tests by their time', table)}</details>"
