"""Pictures of a check as SVG text, from the plain numbers of `gradcheck.diagnosis.pictures`: no library, no colour of its own.

What stands for a colour is a class, which the page's style gives one in light and dark. No mark differs by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 40

LEVELS = (1.0, 10.0, 1e3, 1e6)
"""Errors in units of what is allowed, at which a map changes its colour."""

LEVEL_WORDS = (
    "within the bound",
    "up to 10 times it",
    "up to 1000 times",
    "up to 1e6 times",
    "more than 1e6 times",
)

VERDICTS = ("pass", "subgradient", "inconclusive", "fail")


def curve(c: Mapping[str, Any]) -> str:
    """The error of differences against their step: a V, the bound of each estimate, the chosen step, and the rule's error."""
    errors = [(h, e) for h, e in zip(c["steps"], c["errors"], strict=True) if e]
    bounds = [(h, b) for h, b in c["bounds"] if b]
    rule = c["off"]
    ys = [y for _, y in [*errors, *bounds]] + [v for v in (rule, c["bound"]) if v]
    xs = [h for h, _ in [*errors, *bounds]]
    if not ys:
        return ""
    plot = _Plot(_decades(xs), _decades(ys))
    parts = [plot.frame("step h", "error")]
    if c["chosen"] is not None:
        low, middle, high = [plot.x(h) for h in c["chosen"]]
        if high - low > 1:
            parts.append(
                f'<rect class="span" x="{low:.0f}" y="{TOP}" width="{high - low:.0f}" height="{plot.tall}"/>'
            )
        parts.append(f'<path class="chosen" d="M{middle:.1f} {TOP}V{TOP + plot.tall}"/>')
    if c["bound"]:
        parts.append(f'<path class="bound" d="M{LEFT} {plot.y(c["bound"]):.1f}H{WIDTH - RIGHT}"/>')
    parts.append(f'<path class="bounds" d="{_line(plot, bounds)}"/>')
    parts += [f'<circle class="dot" cx="{plot.x(h):.1f}" cy="{plot.y(e):.1f}" r="2.6"/>' for h, e in errors]
    if rule:
        name = "rule bad" if c["wrong"] else "rule"
        parts.append(f'<path class="{name}" d="M{LEFT} {plot.y(rule):.1f}H{WIDTH - RIGHT}"/>')
    return drawing(WIDTH, HEIGHT, curve_words(c), parts)


def curve_words(c: Mapping[str, Any]) -> str:
    """What the curve shows, in a sentence."""
    chosen = "" if c["chosen"] is None else f", measured with steps up to {_short(c['chosen'][1])}"
    beyond = "beyond" if c["wrong"] else "within"
    return (
        f"Error of differences against their step, along {c['along']}. The derivative's error is at most "
        f"{_short(c['bound'])}{chosen}. The rule is off by {_short(c['off'])}, {beyond} that bound."
    )


def curve_legend(c: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Class and words of each mark of the curve."""
    marks = [
        ("dot", "plain difference"),
        ("bounds", "bound of each extrapolated estimate"),
        ("bound", "bound of the verdict"),
    ]
    if c["chosen"] is not None:
        marks.append(("chosen", "chosen step"))
    return [*marks, ("rule bad" if c["wrong"] else "rule", "error of the rule")] if c["off"] else marks


def heat(m: Mapping[str, Any]) -> str:
    """The map of an input's errors: a cell for each entry or block of entries; wrong ones have a cross, the named one a frame."""
    rows, columns = len(m["ratios"]), len(m["ratios"][0]) if m["ratios"] else 0
    if not rows or not columns:
        return ""
    size = max(14, min(34, 400 // columns, 300 // rows))
    left, top = 40, 20
    parts = [f'<text x="{left}" y="13">{_range(m["columns"])}</text>']
    parts.append(f'<text x="{left - 5}" y="{top + 12}" text-anchor="end">0</text>')
    if m["rows"] > 1:
        parts.append(
            f'<text x="{left - 5}" y="{top + rows * size - 4}" text-anchor="end">{m["rows"] - 1}</text>'
        )
    for r, (ratios, wrong) in enumerate(zip(m["ratios"], m["wrong"], strict=True)):
        for k, (ratio, bad) in enumerate(zip(ratios, wrong, strict=True)):
            x, y = left + k * size, top + r * size
            parts.append(
                f'<rect class="{level(ratio)}" x="{x}" y="{y}" width="{size - 1}" height="{size - 1}"/>'
            )
            if bad:
                a, b = 0.3 * size, 0.7 * size - 1
                parts.append(
                    f'<path class="cross {level(ratio)}x" d="M{x + a:.0f} {y + a:.0f}L{x + b:.0f} {y + b:.0f}'
                    f'M{x + b:.0f} {y + a:.0f}L{x + a:.0f} {y + b:.0f}"/>'
                )
    if m["entry"] is not None:
        r, k = m["entry"]
        parts.append(
            f'<rect class="named" x="{left + k * size - 1}" y="{top + r * size - 1}" width="{size + 1}" height="{size + 1}"/>'
        )
    return drawing(max(left + columns * size + 6, 120), top + rows * size + 6, heat_words(m), parts)


def heat_words(m: Mapping[str, Any]) -> str:
    """What the map shows, in a sentence."""
    cells = [bad for row in m["wrong"] for bad in row]
    entries = m["rows"] * m["columns"]
    what = "entries" if len(cells) == entries else f"blocks of its {entries:,} entries"
    wrong = (
        f"wrong in {sum(cells)} of {len(cells)} {what}"
        if any(cells)
        else f"none of {len(cells)} {what} is wrong by itself"
    )
    return f"Error of the gradient by {m['input']}, of shape {shape(m['shape'])}: {wrong}."


def heat_legend(m: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Class and words of each mark of the map."""
    seen = {level(ratio) for row in m["ratios"] for ratio in row}
    marks = [(f"c{k}", words) for k, words in enumerate(LEVEL_WORDS) if f"c{k}" in seen]
    marks += [("c", "not judged")] * ("c" in seen)
    marks += [("cross", "wrong")] * any(bad for row in m["wrong"] for bad in row)
    return marks + [("named", "the entry that the report names")] * (m["entry"] is not None)


def level(ratio: float | None) -> str:
    """The class of a cell: c0 within the bound, c4 for the largest errors, c for one that is not judged."""
    if ratio is None:
        return "c"
    return f"c{sum(ratio > limit for limit in LEVELS)}"


def examples(tried: Sequence[Mapping[str, Any]]) -> str:
    """The examples of a verification over their size and the scale of their values, a shape for each verdict."""
    if not tried:
        return ""
    plot = _Plot(
        _decades([1 + t["size"] for t in tried]), _decades([t["scale"] or 1.0 for t in tried], least=2)
    )
    parts = [plot.frame("entries of the inputs + 1", "size of a typical value")]
    ordered = sorted(enumerate(tried), key=lambda item: VERDICTS.index(item[1]["verdict"]))
    for k, t in ordered:  # the same example twice would hide one: each is moved a little
        x = plot.x(1 + t["size"]) + 5 * math.sin(2.4 * k)
        y = plot.y(t["scale"] or 1.0) + 5 * math.cos(2.4 * k)
        parts.append(mark(t["verdict"], x, y, hollow=t["beyond"]))
    return drawing(WIDTH, HEIGHT, examples_words(tried), parts)


def mark(verdict: str, x: float, y: float, *, hollow: bool = False) -> str:
    """A circle, diamond, triangle or cross. hollow: of an example beyond the caller's."""
    name = f"v-{verdict}{' beyond' * hollow}"
    if verdict == "pass":
        return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
    if verdict == "fail":
        return f'<path class="{name}" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"/>'
    shape_ = "l4 4l-4 4l-4-4z" if verdict == "subgradient" else "l4.5 8h-9z"
    return f'<path class="{name}" d="M{x:.1f} {y - 4:.1f}{shape_}"/>'


def examples_words(tried: Sequence[Mapping[str, Any]]) -> str:
    """What the picture of the examples shows, in a sentence."""
    counts = {v: sum(t["verdict"] == v for t in tried) for v in VERDICTS}
    found = ", ".join([f"{n} {v}" for v, n in counts.items() if n])
    return f"{len(tried)} examples over their size and the scale of their values: {found}."


def examples_legend(tried: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Class and words of each mark of the examples."""
    marks = [(f"v-{v}", v) for v in VERDICTS if any(t["verdict"] == v for t in tried)]
    return marks + [("beyond", "pale: beyond the example that was given")] * any(t["beyond"] for t in tried)


def shape(sizes: Iterable[int]) -> str:
    """A shape as Python writes it."""
    return str(tuple(sizes))


class _Plot:
    """Two logarithmic axes. across, up: the exponents of ten that they span."""

    tall, wide = HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT

    def __init__(self, across: tuple[int, int], up: tuple[int, int]) -> None:
        self._across, self._up = across, up

    def x(self, value: float) -> float:
        low, high = self._across
        return LEFT + self.wide * (math.log10(value) - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self._up
        return TOP + self.tall * (1 - (math.log10(value) - low) / (high - low))

    def frame(self, across: str, up: str) -> str:
        """Grid, ticks and names of both axes."""
        parts = []
        for k in _ticks(*self._across):
            x = self.x(10.0**k)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{TOP + self.tall}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{TOP + self.tall + 17}" text-anchor="middle">{_power(k)}</text>'
            )
        for k in _ticks(*self._up):
            y = self.y(10.0**k)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{_power(k)}</text>')
        middle = TOP + self.tall / 2
        parts.append(
            f'<text x="{LEFT + self.wide / 2:.0f}" y="{HEIGHT - 5}" text-anchor="middle">{across}</text>'
        )
        parts.append(
            f'<text x="13" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 13 {middle:.0f})">{up}</text>'
        )
        return "".join(parts)


def _decades(values: Sequence[float], least: int = 1) -> tuple[int, int]:
    """Exponents of ten around positive values, `least` of them or more apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    while high - low < least:
        low, high = low - 1 if high - low else low, high + 1
    return low, high


def _ticks(low: int, high: int) -> range:
    step = max(1, math.ceil((high - low) / 6))
    return range(low, high + 1, step)


def _power(k: int) -> str:
    return {0: "1", 1: "10", 2: "100", 3: "1000", -1: "0.1"}.get(k, f"1e{k}")


def _line(plot: _Plot, points: Sequence[tuple[float, float]]) -> str:
    return "".join([f"{'L' if k else 'M'}{plot.x(h):.1f} {plot.y(y):.1f}" for k, (h, y) in enumerate(points)])


def _short(value: float | None) -> str:
    return "an unknown size" if value is None else f"{value:.2g}"


def _range(n: int) -> str:
    return "0" if n == 1 else f"0 to {n - 1}"


def drawing(width: float, height: float, words: str, parts: Sequence[str]) -> str:
    """A picture with its description."""
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{escape(words)}">'
        f"{''.join(parts)}</svg>"
    )
