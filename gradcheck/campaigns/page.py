"""A campaign as one web page that needs nothing else, and stays below a megabyte or so however many checks there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from gradcheck.campaigns import table
from gradcheck.report import page, web

Result = Mapping[str, Any]

FAILURES, BRIEF, ALL = 380_000, 90_000, 920_000
"""Bytes for failures in full, for those in one line, and for both with the rows of the table."""

EXAMPLES = 3
"""Most failing examples of one check."""

NAMED, PRINTED = 6, 2_000
"""So many checks of one weakness are named; so many letters are shown of what a process printed."""

TITLES = {
    "fail": "Failed",
    "none": "Without a verdict",
    "inconclusive": "Inconclusive",
    "pass": "Passed",
}


def campaign_page(c: Mapping[str, Any], date: str) -> str:
    """The page. c: as `Campaign.to_json` has it, its results with pictures where there are some."""
    results: Sequence[Result] = c["results"]
    bad = [r for r in results if r["verdict"] not in ("pass", "subgradient", "inconclusive")]
    bad.sort(key=lambda r: r["verdict"] != "fail")
    title = f"{TITLES[c['verdict']]}: {_counted(c, len(bad), len(results))}"
    names = web.Names()
    failed, left = web.bounded(((_article(r, names), _line(r)) for r in bad), FAILURES, BRIEF)
    if left:
        failed += f"<p>and {left:,} more, of which --json has what is known.</p>"
    unchecked = [f"<b>{escape(u['name'])}</b>, {escape(u['words'])}" for u in c["unchecked"]]
    main = (
        web.section("weak", "What makes a pass weak", web.weak(weak(results)))
        + (web.tools("checks") if results else "")
        + web.section("failures", "What failed", failed)
        + web.section("unchecked", "Not checked", web.listed(unchecked))
        + web.section("entries", "Every check", _table(results, ALL - len(failed.encode())))
    )
    versions = {k.replace("python", "Python"): v for k, v in c["versions"].items() if k != "source"}
    known = {"date": date, **versions, "seed": str(c["seed"])}
    badge = "no verdict" if c["verdict"] == "none" else ""
    head = web.head(c["verdict"], title, [table.headline(c["target"], c["seed"], results)], known, badge)
    return web.document(f"{title} - {c['target']}", head, main)


def _counted(c: Mapping[str, Any], bad: int, total: int) -> str:
    if not total:
        return "there was nothing to check"
    if c["verdict"] in ("fail", "none"):
        return f"{bad:,} of {total:,} checks"
    if c["verdict"] == "inconclusive":
        return f"{c['counts']['inconclusive']:,} of {total:,} checks"
    return f"{total:,} check{'s' * (total > 1)}"


def weak(results: Sequence[Result]) -> list[str]:
    """What the verdict leaves open, a sentence for each kind of weakness, with the checks that have it."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for r in results:
        if r["verdict"] == "inconclusive":
            reason = (r["text"].splitlines() or [""])[0].removeprefix(f"{r['check']}: ")
            found["Inconclusive checks"].append((r["check"], reason))
        elif r["verdict"] == "pass":
            for text in r["weak"]:
                kind, _, words = text.partition(": ")
                found[kind].append((r["check"], words))
    return [f"{kind}: {_named(items)}" for kind, items in found.items()]


def _named(items: Sequence[tuple[str, str]]) -> str:
    first, words = items[0]
    if len(items) == 1:
        return f"{first}: {words}"
    more = len(items) - NAMED
    names = ", ".join([name for name, _ in items[:NAMED]]) + f" and {more:,} more" * (more > 0)
    return f"{len(items):,} checks: {names}. The first one: {words}"


def _article(r: Result, names: Callable[[], str]) -> str:
    first, _, rest = r["text"].partition("\n")
    report = r["report"] or {}
    examples = [*report.get("failures", []), *[edge["report"] for edge in report.get("edges", [])]]
    examples = examples or [report] * bool(report)
    drawn = iter(r.get("pictures") or [])
    parts = [_example(e, names, next(drawn, None)) for e in examples[:EXAMPLES]]
    if len(examples) > EXAMPLES:
        parts.append(f"<p>and {len(examples) - EXAMPLES} more examples</p>")
    if not examples and rest:
        parts.append(f'<pre class="fill" tabindex="0" aria-label="The message">{escape(rest)}</pre>')
    if r["output"]:
        shown = r["output"].rstrip()[-PRINTED:]
        parts.append(f'<pre class="fill" tabindex="0" aria-label="What was printed">{escape(shown)}</pre>')
    seed = "" if r["seed"] is None else f", seed {r['seed']}"
    return (
        f'<article data-find><h3><bdi>{escape(r["check"])}</bdi>: <span class="f">{escape(_what(r))}</span></h3>\n'
        f'<p class="name dim">{escape(r["kind"])}, {_many(r["examples"])}{seed}</p><p>{escape(first)}</p>'
        f"{''.join(parts)}</article>\n"
    )


def _example(report: Result, names: Callable[[], str], pictures: Mapping[str, Any] | None) -> str:
    shown = report["second"] if not report["faults"] and report["second"] else report
    return page.wrong(shown, names, pictures) + page.inputs_table(shown)


def _what(r: Result) -> str:
    """The cause of a failure, or what became of a check without a verdict."""
    report = r["report"] or {}
    for one in [*report.get("failures", []), report]:
        for fault in one.get("faults", []):
            return str(fault["cause"])
    return str(r["verdict"])


def _many(examples: int) -> str:
    return f"{examples:,} example{'s' * (examples != 1)}"


def _line(r: Result) -> str:
    return f"{r['check']}: {_what(r)}"


def _table(results: Sequence[Result], room: int) -> str:
    if not results:
        return ""
    rows = {k: _row(r) for k, r in enumerate(results)}
    ranked = sorted(rows, key=lambda k: {"f": 0, "w": 1}.get(_class(results[k]), 2))
    kept = set(ranked[: len(web.within([rows[k] for k in ranked], room)[0])])
    head = "".join(
        [f'<th scope="col">{name}</th>' for name in ("check", "verdict", "examples", "detects", "seconds")]
    )
    parts = []
    for kind in dict.fromkeys([r["kind"] for r in results]):
        shown = [rows[k] for k in rows if k in kept and results[k]["kind"] == kind]
        if shown:
            body = f"<caption hidden>{escape(kind)}</caption><thead><tr>{head}</tr></thead><tbody>\n{''.join(shown)}</tbody>"
            scrolled = web.scrolled(f"Checks of the kind {kind}", f"<table>{body}</table>")
            parts.append(f'<div class="part"><h3>{escape(kind)}</h3>{scrolled}</div>\n')
    left = len(rows) - len(kept)
    return "".join(parts) + (f"<p>and {left:,} more checks, which --json lists.</p>" if left else "")


def _class(r: Result) -> str:
    if r["verdict"] in ("pass", "subgradient"):
        return "w" if r["weak"] else ""
    return "w" if r["verdict"] == "inconclusive" else "f"


def _row(r: Result) -> str:
    size = "-" if r["sensitivity"] is None else f"{r['sensitivity']:.0e}"
    kind = f' class="{_class(r)}"' if _class(r) else ""
    verdict = f"<td{' class=f' * (_class(r) == 'f')}>{escape(r['verdict'])}"
    return (
        f"<tr{kind}><th scope=row>{escape(r['check'][:200])}{verdict}<td>{r['examples']:,}<td>{size}"
        f"<td>{r['seconds']:.1f}\n"
    )
