"""The graph of ops around one of them as SVG text, from the plan of `gradcheck.report.graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gradcheck.report import svg

STATES = {
    "wrong": "✗ at fault",
    "right": "✓ verified",
    "unjudged": "? no verdict",
    "trusted": "the framework's own, taken for right",
    "input": "input",
}

LOST = "the derivative is lost here"

TIP = 5.0
"""Length of an arrow's tip."""


def graph(plan: Mapping[str, Any]) -> str:
    """Boxes with name, shape and source line; arrows from an op to those that take its result; what is left out, counted."""
    parts = []
    for link in plan["links"]:
        (*_, (x, y)) = link["points"]
        lost = " lost" * link["lost"]
        parts.append(f'<path class="link{lost}" d="{_curve(link["points"])}"/>')
        parts.append(f'<path class="tip{lost}" d="M{x} {y}l-{TIP - 1} -{TIP}h{2 * TIP - 2}z"/>')
    parts += [_rect("o o-group", box) + _text("", box, 16.0, box["lines"][0]) for box in plan["groups"]]
    for box in plan["boxes"]:
        lines = "".join(
            [
                _text("o-name" if not k else "", box, 17.0 + 16 * k, line)
                for k, line in enumerate(box["lines"])
            ]
        )
        rect = _rect(f"o o-{box['state']}", box)
        parts.append(f"<g><title>{escape(box['words'])}</title>{rect}{lines}</g>")
    return svg.drawing(plan["width"], plan["height"], graph_words(plan), parts)


def graph_words(plan: Mapping[str, Any]) -> str:
    """What the graph shows, in a sentence."""
    shown, ops = plan["shown"], plan["ops"]
    what = f"All {ops:,} ops" if shown == ops else f"{shown:,} of {ops:,} ops, those around {plan['name']}"
    return f"{what if ops > 1 else 'The only op'}, from the inputs above to the result below."


def graph_legend(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Class and words of each mark of the graph."""
    seen = {box["state"] for box in plan["boxes"]}
    marks = [(f"o o-{state}", words) for state, words in STATES.items() if state in seen]
    marks += [("o o-group", "ops that are left out")] * bool(plan["groups"])
    return marks + [("link lost", LOST)] * any(k["lost"] for k in plan["links"])


def _curve(points: Sequence[Sequence[float]]) -> str:
    (x, y), *others = points
    parts = [f"M{x} {y}"]
    for right, down in others:
        middle = round((y + down) / 2, 1)
        parts.append(f"V{down}" if right == x else f"C{x} {middle} {right} {middle} {right} {down}")
        x, y = right, down
    return "".join(parts)


def _rect(name: str, box: Mapping[str, Any]) -> str:
    return (
        f'<rect class="{name}" x="{box["x"]}" y="{box["y"]}" width="{box["w"]}" height="{box["h"]}" rx="5"/>'
    )


def _text(name: str, box: Mapping[str, Any], down: float, text: str) -> str:
    kind = f' class="{name}"' if name else ""
    x, y = box["x"] + box["w"] / 2, box["y"] + down
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'
