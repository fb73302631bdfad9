"""What the examples share: where the picture goes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcore.figures import new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable


def picture_of(description: str) -> Path | None:
    """The file of `--picture FILE.png`, None without it."""
    found: Path | None = parser_of(description).parse_args().picture
    return found


def parser_of(description: str) -> argparse.ArgumentParser:
    """The parser of an example with options of its own, besides `--picture`."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the result as a PNG")
    return parser


def draw(path: Path | None, paint: Callable[[Any], None]) -> None:
    """Let `paint` draw on matplotlib's axes, and save them."""
    if path is None:
        return
    figure = new_figure((6.0, 3.6))
    paint(figure.add_subplot())
    save_figure(figure, path)
    print(f"drawn: {path}")
