"""What the reports on training runs share: 300 digits as files, a model of one's own, and pictures that are not drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradcore import nn
from gradcore.data import encode_idx, load
from gradcore.io import write_atomically
from gradcore.runs import training


def own(shape: tuple[int, ...], classes: int, rng: Any) -> nn.Module:
    """A model with random numbers and running averages."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(shape)), 32, rng=rng),
        nn.BatchNorm1d(32),
        nn.Dropout(0.3, rng=rng),
        nn.ReLU(),
        nn.Linear(32, classes, rng=rng),
    )


def write_picture(path: Path, *_: Any, **__: Any) -> None:
    """In the place of a picture, whose drawing takes ten times as long as the run: a file that is written as one."""
    write_atomically(path, b"a picture" * 1000)


def write_data(folder: Path) -> None:
    """300 digits to train on and 60 to test on, as IDX files."""
    folder.mkdir()
    digits = load("digits")
    for part, prefix, n in ((digits.train, "train", 300), (digits.test, "t10k", 60)):
        step = len(part) // n
        images = (part.images[::step][:n, 0] * 255).round().astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(encode_idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            encode_idx(part.labels[::step][:n].astype(np.uint8))
        )


def draw_nothing() -> None:
    """Let the runs of this process write files in the place of pictures."""
    training.save_curves = training.save_mistakes = write_picture
