"""The chart of time against size: the figures of the benches `growth` and `depth`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PANELS = {
    "elements": "tanh(x w + c), forward and backward",
    "ops": "chain of ops on (4,), forward and backward",
}
COLORS = {"numpy by hand": "#24292f", "gradcore": "#cf222e", "torch": "#0969da"}
STYLES = ("o-", "s--", "^:", "v-.")  # by the number of threads


def curves(figures: Mapping[int, Mapping[str, Any]], what: str) -> dict[tuple[str, int], Mapping[str, Any]]:
    """What was measured of each implementation in `COLORS` and number of threads."""
    found = {}
    for threads, of_threads in figures.items():
        for name, growth in of_threads.get(f"growth in {what}", {}).items():
            if name in COLORS:
                found[name, threads] = growth
    return found


def draw(figures: Mapping[int, Mapping[str, Any]], out: Path) -> bool:
    """Write the chart in the format of its suffix; False where matplotlib is missing. figures: by number of threads."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "gradcore", "font.size": 10})
    from matplotlib import pyplot

    panels = {what: found for what in PANELS if (found := curves(figures, what))}
    styles = dict(zip(figures, STYLES * len(figures), strict=False))
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(6 * len(panels), 4.2), layout="constrained", squeeze=False
    )
    for panel, (what, found) in zip(axes[0], panels.items(), strict=True):
        for (name, threads), growth in found.items():
            count = f", {threads} threads" if len(figures) > 1 else ""
            panel.loglog(
                list(growth["seconds"]), list(growth["seconds"].values()), styles[threads], color=COLORS[name],
                label=f"{name}{count}: size^{growth['large']['exponent']:.2f}",
            )  # fmt: skip
        panel.set_title(PANELS[what])
        panel.set_xlabel(what)
        panel.set_ylabel("seconds")
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend(frameon=False, title="of the larger sizes")
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    pyplot.close(figure)
    return True
