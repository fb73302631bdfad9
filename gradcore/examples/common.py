"""What the examples share: where the picture goes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def picture_of(description: str) -> Path | None:
    """The file of `--picture FILE.png`, None without it."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the result into a PNG or SVG")
    found: Path | None = parser.parse_args().picture
    return found


def draw(path: Path | None, paint: Callable[[Any], None]) -> None:
    """Let `paint` draw on matplotlib's axes, and save them."""
    if path is None:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    paint(figure.add_subplot())
    figure.savefig(path)
    print(f"drawn: {path}")
