"""The summary in the terminal: a line per entry, a column per property, and what is odd stands out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import NamedTuple

from gradcheck.summary.results import Cell, Entry, Summary

SLOWEST = 5
NAMED = 5
NAME = 24

_SIGNS = {"subgradient": "k", "inconclusive": "?", "vacuous": "v"}
_LEGEND = {
    "k": "k at a kink, between the slopes of its sides",
    "?": "? inconclusive",
    "v": "v gradient zero",
}
BLUNT = 0.1
"""A check that would not have detected an error of this size at its worst example stands out."""


class Line(NamedTuple):
    """A line of text and its markup, in pytest's terms."""

    text: str
    markup: dict[str, bool]


def lines(summary: Summary, width: int, brief: bool = False) -> list[Line]:
    """The summary for a terminal of this width; brief: only the headline and the entries that failed."""
    shown = {
        kind: [entry for entry in entries if entry.failed or not brief]
        for kind, entries in summary.kinds.items()
    }
    found = [line for kind, entries in shown.items() if entries for line in _table(kind, entries, summary)]
    if not brief:
        found += _legend([line.text for line in found], width)
        found += _times(summary, width)
    return [*found, headline(summary)]


def headline(summary: Summary) -> Line:
    """One line: how much was verified, and what failed."""
    failed = [f"{entry.kind} {entry.name}" for entry in summary.entries if entry.failed]
    kinds = ", ".join([_many(len(entries), kind) for kind, entries in summary.kinds.items()])
    text = f"{kinds} verified on {_many(summary.examples, 'example')}"
    if not failed:
        return Line(f"{text}: all right", {"green": True})
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return Line(f"{text}: {', '.join(failed[:NAMED])}{more} FAILED", {"red": True})


def cell_text(cell: Cell | None) -> str:
    """How many examples, and how many of them are less than a pass: "20 3k 1?", or FAIL."""
    if cell is None:
        return ""
    if cell.failed:
        return "FAIL"
    odd = [f"{cell.counts[name]}{sign}" for name, sign in _SIGNS.items() if cell.counts[name]]
    return " ".join([str(cell.counts.total()), *odd])


def sensitivity_text(value: float | None) -> str:
    """Its order of magnitude, such as 3e-07, or a dash for none."""
    return "-" if value is None else f"{value:.0e}"


def _table(kind: str, entries: list[Entry], summary: Summary) -> Iterable[Line]:
    columns = [name for name in summary.properties if any(name in entry.cells for entry in entries)]
    parts = [
        [_cut(kind.upper(), NAME), *(_cut(entry.name, NAME) for entry in entries)],
        *(_column(name, [entry.cells.get(name) for entry in entries]) for name in columns),
        ["detects", *(f"{sensitivity_text(entry.sensitivity):>7}" for entry in entries)],
    ]
    widths = [max(map(len, part)) for part in parts]
    texts = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*parts, strict=True)]
    yield Line(texts[0], {"bold": True})
    for entry, text in zip(entries, texts[1:], strict=True):
        odd = any(cell.undecided for cell in entry.cells.values()) or (entry.sensitivity or 0) >= BLUNT
        yield Line(text, {"red": True} if entry.failed else {"yellow": True} if odd else {})


def _column(name: str, cells: list[Cell | None]) -> list[str]:
    """Head and cells of one column, the counts one below the other."""
    split = [cell_text(cell).partition(" ") for cell in cells]
    size = max([len(count) for count, _, _ in split])
    return [_cut(name, NAME), *(f"{count:>{size}} {odd}".rstrip() for count, _, odd in split)]


def _legend(texts: Iterable[str], width: int) -> list[Line]:
    words = {word[-1] for text in texts for word in text.split() if word[:-1].isdigit()}
    parts = ["counts are examples", *(text for sign, text in _LEGEND.items() if sign in words)]
    parts.append(
        "detects: smallest relative error in the median entry that the worst example would have shown"
    )
    return [Line(text, {"light": True}) for text in textwrap.wrap("; ".join(parts), width)]


def _times(summary: Summary, width: int) -> list[Line]:
    total = sum(summary.seconds().values())
    shares = [f"{name} {100 * s / total:.0f}%" for name, s in summary.seconds().items() if s > 0.005 * total]
    head = f"{total:.0f} s of checks: {', '.join(shares)}; the slowest:"
    found = [Line(text, {}) for text in textwrap.wrap(head, width)]
    for test, seconds, examples in summary.slowest_tests[:SLOWEST]:
        text = f"{seconds:7.2f} s {_many(examples, 'example'):>15}  "
        found.append(Line(text + _cut_left(test, max(20, width - len(text) - 1)), {}))
    return found


def _many(count: int, kind: str) -> str:
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{count:,} {kind if count == 1 else plural}"


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."


def _cut_left(text: str, size: int) -> str:
    return text if len(text) <= size else "..." + text[3 - size :]
