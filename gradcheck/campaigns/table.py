"""A campaign's results in a terminal: counts by kind, then what is no pass, then what could not be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.campaigns.check import Unchecked

WITHOUT = ("crashed", "hung", "error")
"""Verdicts that are none."""

VERDICTS = ("pass", "subgradient", "inconclusive", "fail", *WITHOUT)
IN_FULL = 10
"""Results that are printed in full, of each verdict; of more, the name."""

PRINTED = 12
"""Lines of what a process printed before it ended."""


def lines(
    target: str, seed: int, results: Sequence[Mapping[str, Any]], unchecked: Sequence[Unchecked]
) -> Iterator[str]:
    """The summary, line by line."""
    yield from _counts(results)
    for verdict in ("inconclusive", *WITHOUT, "fail"):
        of_it = [r for r in results if r["verdict"] == verdict]
        for result in of_it[:IN_FULL]:
            yield ""
            yield from _in_full(result)
        if len(of_it) > IN_FULL:
            yield ""
            yield f"{len(of_it) - IN_FULL} more {verdict}: {', '.join([r['check'] for r in of_it[IN_FULL:]])}"
    if unchecked:
        yield ""
    for u in unchecked:
        yield f"not checked: {u.name}, {u.words}"
    yield ""
    yield headline(target, seed, results)


def headline(target: str, seed: int, results: Sequence[Mapping[str, Any]]) -> str:
    """One line: how many checks, and what came of them."""
    counts = Counter([r["verdict"] for r in results])
    words = ", ".join([f"{counts[name]:,} {name}" for name in VERDICTS if counts[name]])
    examples = sum([r["examples"] for r in results])
    seconds = sum([r["seconds"] for r in results])
    several = "check" if len(results) == 1 else "checks"
    return f"{target}: {len(results):,} {several} on {examples:,} examples, seed {seed}, {seconds:,.0f} s of workers: {words}"


def _counts(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    found = [name for name in VERDICTS if any(r["verdict"] == name for r in results)]
    rows = [["KIND", "checks", *found, "examples", "seconds"]]
    for kind in dict.fromkeys([r["kind"] for r in results]):
        own = [r for r in results if r["kind"] == kind]
        counts = Counter([r["verdict"] for r in own])
        row = [kind, f"{len(own):,}", *[f"{counts[name]:,}" for name in found]]
        rows.append(
            [*row, f"{sum([r['examples'] for r in own]):,}", f"{sum([r['seconds'] for r in own]):,.0f}"]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        yield "  ".join(
            [name.ljust(widths[0]), *[c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]]
        )


def _in_full(result: Mapping[str, Any]) -> Iterator[str]:
    """A result that is no pass; what it printed before it ended, where it did."""
    first, *others = result["text"].splitlines() or [""]
    prefix = f"{result['verdict'].upper()}  "
    name = "" if first.startswith((prefix, result["check"])) else f"{result['check']}: "
    yield f"{'' if first.startswith(prefix) else prefix}{name}{first}"
    yield from others
    printed = result["output"].rstrip().splitlines()
    crash = bool(printed) and printed[0].startswith(
        "Fatal Python error"
    )  # its traceback begins with the latest call
    yield from [f"    | {line}" for line in (printed[:PRINTED] if crash else printed[-PRINTED:])]
