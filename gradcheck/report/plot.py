"""The same pictures with matplotlib: figures to be shown in a notebook or saved. No pyplot, no global state, no window."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.report import svg, svg_graph
from gradcore.extras import load_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, DIM, LINE, BAD, GOOD, WARN, BLUE = (
    "#1f2328",
    "#57606a",
    "#d0d7de",
    "#b3261e",
    "#116329",
    "#9a5b00",
    "#0b57d0",
)
CELLS = ("#e6f2e8", "#fbd8b4", "#f29b6c", "#d4542f", "#8b1a1a")
NOT_JUDGED = "#eceff2"

MARKERS = {"pass": ("o", GOOD), "subgradient": ("D", GOOD), "inconclusive": ("^", WARN), "fail": ("x", BAD)}


def plot_check(plain: Mapping[str, Any], title: str) -> Figure:
    """The curve and the maps of a check beside each other. plain: as `Pictures.plain` has them."""
    parts = [*[plain["curve"]] * (plain["curve"] is not None), *plain["maps"]]
    figure = _figure((5.6 * max(len(parts), 1), 4.6), title)
    if not parts:
        figure.text(0.5, 0.45, "nothing was measured that could be drawn", ha="center", color=DIM)
        return figure
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for ax, part in zip(axes, parts, strict=True):
        if "ratios" in part:
            draw_map(ax, part)
        else:
            draw_curve(ax, part)
    return figure


def plot_examples(tried: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """The examples of a verification over size and scale, by verdict."""
    figure = _figure((6.4, 4.2), title)
    ax = figure.subplots()
    for verdict, (marker, color) in MARKERS.items():
        for beyond in (False, True):
            some = [(k, t) for k, t in enumerate(tried) if t["verdict"] == verdict and t["beyond"] is beyond]
            if some:
                x = [(1 + t["size"]) * 1.06 ** np.sin(2.4 * k) for k, t in some]
                y = [(t["scale"] or 1.0) * 1.06 ** np.cos(2.4 * k) for k, t in some]
                label = f"{verdict}{', beyond the example' * beyond} ({len(some)})"
                filled = verdict in ("pass", "fail")
                ax.plot(
                    x,
                    y,
                    marker,
                    color=color,
                    markerfacecolor=color if filled else "none",
                    alpha=0.45 if beyond else 0.9,
                    markersize=5.5,
                    label=label,
                )
    ax.set(xscale="log", yscale="log", xlabel="entries of the inputs + 1", ylabel="size of a typical value")
    _quiet(ax)
    if tried:
        ax.legend(frameon=False, fontsize=9)
    return figure


STATES = {
    "wrong": (BAD, "#fdecea", 2.4),
    "right": (GOOD, "white", 1.2),
    "unjudged": (WARN, "white", 1.2),
    "trusted": (DIM, "white", 1.0),
    "input": (LINE, "#f6f8fa", 1.0),
}
"""Of a box in a graph of ops: edge, fill and width of the edge."""

PIXELS = 80
"""Of a graph's plan, in an inch."""


def plot_graphs(plans: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Graphs of ops below each other. plans: as `gradcheck.report.graph.neighbourhood` makes them."""
    wide = max([plan["width"] for plan in plans], default=400) / PIXELS
    heights = [plan["height"] / PIXELS + 0.7 for plan in plans]
    lines = textwrap.wrap(title, int(12 * max(wide, 5.0)))
    figure = _figure((max(wide, 5.0) + 0.2, sum(heights) + 0.4 + 0.25 * len(lines)), "\n".join(lines))
    if not plans:
        figure.text(0.5, 0.45, "nothing was recorded that could be drawn", ha="center", color=DIM)
        return figure
    all_axes = figure.subplots(len(plans), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, plan in zip(all_axes, plans, strict=True):
        draw_graph(ax, plan)
    return figure


def draw_graph(ax: Axes, plan: Mapping[str, Any]) -> None:
    """The ops around one: boxes, arrows from an op to those that take its result, what is left out."""
    patches = load_extra("matplotlib.patches", "explanation.plot()", "plot")
    paths = load_extra("matplotlib.path", "explanation.plot()", "plot")
    for link in plan["links"]:
        color, style = (BAD, "--") if link["lost"] else (DIM, "-")
        points, codes = [link["points"][0]], [paths.Path.MOVETO]
        for (x, y), (right, down) in itertools.pairwise(link["points"]):
            middle = (y + down) / 2
            points += [(x, middle), (right, middle), (right, down)]
            codes += [paths.Path.CURVE4] * 3
        line = paths.Path(points, codes)
        ax.add_patch(
            patches.FancyArrowPatch(
                path=line,
                arrowstyle="-|>",
                mutation_scale=9,
                color=color,
                linestyle=style,
                shrinkA=0,
                shrinkB=0,
            )
        )
    for box in plan["groups"]:
        _draw_box(ax, patches, box, (DIM, "white", 1.0), "--")
    for box in plan["boxes"]:
        _draw_box(ax, patches, box, STATES[box["state"]], "-")
    ax.set(xlim=(0, plan["width"]), ylim=(plan["height"], 0), aspect="equal")
    ax.set_axis_off()
    marks = [
        (s, words) for s, words in svg_graph.STATES.items() if any(b["state"] == s for b in plan["boxes"])
    ]
    keys = [patches.Patch(facecolor=STATES[s][1], edgecolor=STATES[s][0], label=words) for s, words in marks]
    if any(link["lost"] for link in plan["links"]):
        keys.append(patches.Patch(facecolor="none", edgecolor=BAD, linestyle="--", label=svg_graph.LOST))
    ax.legend(
        handles=keys, frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4
    )
    ax.set_title(svg_graph.graph_words(plan), fontsize=9.5, color=DIM)


def _draw_box(
    ax: Axes, patches: Any, box: Mapping[str, Any], look: tuple[str, str, float], style: str
) -> None:
    edge, fill, width = look
    corner = patches.FancyBboxPatch(
        (box["x"], box["y"]), box["w"], box["h"], boxstyle="round,pad=0,rounding_size=5",
        edgecolor=edge, facecolor=fill, linewidth=width, linestyle=style, zorder=2,
    )  # fmt: skip
    ax.add_patch(corner)
    for k, text in enumerate(box["lines"]):
        ax.text(
            box["x"] + box["w"] / 2, box["y"] + 13 + 16 * k, text, ha="center", va="center",
            color=INK if not k else DIM, fontsize=9 if not k else 8, zorder=3, parse_math=False,
            weight="bold" if box.get("state") == "wrong" and not k else "normal",
        )  # fmt: skip


def draw_curve(ax: Axes, c: Mapping[str, Any]) -> None:
    """Error of differences against their step, the bounds, the chosen step and the error of the rule."""
    errors = [(h, e) for h, e in zip(c["steps"], c["errors"], strict=True) if e]
    bounds = [(h, b) for h, b in c["bounds"] if b]
    ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="error", title=f"along {c['along']}")
    if errors:
        ax.plot(*zip(*errors, strict=True), "o", color=BLUE, markersize=3.5, label="plain difference")
    if bounds:
        ax.plot(*zip(*bounds, strict=True), "--", color=DIM, label="bound of each extrapolated estimate")
    if c["bound"]:
        ax.axhline(c["bound"], color=GOOD, linewidth=1.6, label=f"bound of the verdict, {c['bound']:.1g}")
    if c["chosen"] is not None:
        low, middle, high = c["chosen"]
        ax.axvspan(low, high, color=WARN, alpha=0.15, linewidth=0)
        ax.axvline(middle, color=WARN, linestyle=":", linewidth=1.8, label=f"chosen step, {middle:.1g}")
    rule = c["off"]
    if rule:
        color, width = (BAD, 2.2) if c["wrong"] else (INK, 1.2)
        ax.axhline(
            rule,
            color=color,
            linewidth=width,
            linestyle="-" if c["wrong"] else "-.",
            label=f"error of the rule, {rule:.1g}",
        )
    _quiet(ax)
    ax.legend(frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def draw_map(ax: Axes, m: Mapping[str, Any]) -> None:
    """The error of a gradient over its array: wrong cells have a cross, the named one a frame."""
    colors = load_extra("matplotlib.colors", "report.plot()", "plot")
    patches = load_extra("matplotlib.patches", "report.plot()", "plot")
    levels = [[int(svg.level(r)[1:] or -1) for r in row] for row in m["ratios"]]
    ax.set_title(f"{m['input']} {svg.shape(m['shape'])}", fontsize=10.5, color=INK)
    if not levels or not levels[0]:
        return
    shown = colors.ListedColormap([NOT_JUDGED, *CELLS])
    ax.imshow(
        np.array(levels) + 1,
        cmap=shown,
        vmin=0,
        vmax=len(CELLS),
        aspect="auto" if len(levels[0]) > 4 * len(levels) else "equal",
    )
    for r, row in enumerate(m["wrong"]):
        for k, bad in enumerate(row):
            if bad:
                ax.plot(
                    k, r, "x", color="white" if levels[r][k] >= 3 else INK, markersize=6, markeredgewidth=1.4
                )
    ax.set_xticks(np.arange(0.5, len(levels[0]) - 1), minor=True)
    ax.set_yticks(np.arange(0.5, len(levels) - 1), minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="minor", length=0)
    if m["entry"] is not None:
        r, k = m["entry"]
        ax.add_patch(patches.Rectangle((k - 0.5, r - 0.5), 1, 1, fill=False, edgecolor=BLUE, linewidth=2.2))
    for axis, total, cells in ((ax.yaxis, m["rows"], len(levels)), (ax.xaxis, m["columns"], len(levels[0]))):
        axis.set_ticks(
            [0] if cells == 1 else [0, cells - 1], labels=["0"] if cells == 1 else ["0", str(total - 1)]
        )
    used = sorted({level for row in levels for level in row})
    names = {-1: "not judged", **dict(enumerate(svg.LEVEL_WORDS))}
    keys = [
        patches.Patch(facecolor=[NOT_JUDGED, *CELLS][level + 1], edgecolor=LINE, label=names[level])
        for level in used
    ]
    if m["entry"] is not None:
        keys.append(
            patches.Patch(facecolor="none", edgecolor=BLUE, linewidth=2, label="the entry that is named")
        )
    ax.legend(
        handles=keys, frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3
    )


def _quiet(ax: Axes) -> None:
    ax.grid(color=LINE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.title.set(fontsize=10.5, color=INK)


def _figure(size: tuple[float, float], title: str) -> Figure:
    figure: Figure = load_extra("matplotlib.figure", "report.plot()", "plot").Figure(
        figsize=size, dpi=110, layout="constrained", facecolor="white"
    )
    figure.suptitle(title, color=INK, fontsize=12)
    return figure
