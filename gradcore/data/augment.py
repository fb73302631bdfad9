"""Augmentation: pictures moved, turned and mirrored at random, for `DataLoader(..., augment=...)`.

An augmentation is a function of a batch of pictures `(n, channels, height, width)` and a random generator; it returns new
pictures of the same shape and dtype. `compose` puts several together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcore.errors import DomainError, ShapeError

__all__ = ["Augmentation", "compose", "flip", "rotate", "shift"]

Pictures: TypeAlias = npt.NDArray[Any]
Augmentation: TypeAlias = Callable[[Pictures, np.random.Generator], Pictures]


def compose(*parts: Augmentation) -> Augmentation:
    """One after the other."""

    def composed(pictures: Pictures, rng: np.random.Generator) -> Pictures:
        for part in parts:
            pictures = part(pictures, rng)
        return pictures

    return composed


def shift(most: int) -> Augmentation:
    """Each picture by whole pixels, up to `most` in either direction of both axes; what comes in is 0."""
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise DomainError(f"shift got most={most!r}: it is a whole number of pixels of at least 0")

    def shifted(pictures: Pictures, rng: np.random.Generator) -> Pictures:
        _check(pictures, "shift")
        n, _, height, width = pictures.shape
        offsets = rng.integers(-most, most + 1, (2, n))
        padded = np.pad(pictures, ((0, 0), (0, 0), (most, most), (most, most)))
        rows = most + np.arange(height) - offsets[0, :, None]
        columns = most + np.arange(width) - offsets[1, :, None]
        return _gather(padded, rows[:, :, None], columns[:, None, :])

    return shifted


def flip(chance: float = 0.5, axis: int = -1) -> Augmentation:
    """Each picture mirrored with this chance: left to right, or top to bottom with axis -2."""
    if not (isinstance(chance, int | float) and 0 <= chance <= 1):
        raise DomainError(f"flip got chance={chance!r}: it is a number from 0 to 1")
    if axis not in (-1, -2):
        raise DomainError(f"flip got axis={axis!r}: write -1 for left to right, or -2 for top to bottom")

    def flipped(pictures: Pictures, rng: np.random.Generator) -> Pictures:
        _check(pictures, "flip")
        which = rng.random(len(pictures)) < chance
        return np.where(which[:, None, None, None], np.flip(pictures, axis), pictures)

    return flipped


def rotate(degrees: float) -> Augmentation:
    """Each picture about its centre by up to so many degrees either way, with linear interpolation; what comes in is 0."""
    if not (isinstance(degrees, int | float) and 0 <= degrees <= 180):
        raise DomainError(f"rotate got degrees={degrees!r}: it is a number from 0 to 180")

    def rotated(pictures: Pictures, rng: np.random.Generator) -> Pictures:
        return turn(pictures, rng.uniform(-degrees, degrees, len(pictures)))

    return rotated


def turn(pictures: Pictures, degrees: npt.NDArray[Any]) -> Pictures:
    """Each picture turned counter-clockwise about its centre by its own angle."""
    _check(pictures, "rotate")
    n, _, height, width = pictures.shape
    cos, sin = (f(np.deg2rad(degrees)).reshape(n, 1, 1) for f in (np.cos, np.sin))
    y = np.arange(height).reshape(1, -1, 1) - (height - 1) / 2
    x = np.arange(width).reshape(1, 1, -1) - (width - 1) / 2
    # Where each pixel comes from. Beyond the picture's edge stand two rows of zeros, to which all that is outside is clipped.
    from_y = np.clip(cos * y + sin * x + (height - 1) / 2, -1, height) + 1
    from_x = np.clip(cos * x - sin * y + (width - 1) / 2, -1, width) + 1
    top, left = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    down, right = from_y - top, from_x - left
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 2), (1, 2)))
    found: Any = 0
    for dy, weight_y in ((0, 1 - down), (1, down)):
        for dx, weight_x in ((0, 1 - right), (1, right)):
            weight = (weight_y * weight_x)[:, None].astype(pictures.dtype)
            found = found + weight * _gather(padded, top + dy, left + dx)
    return np.asarray(found, pictures.dtype)


def _gather(pictures: Pictures, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> Pictures:
    """Of each picture the pixels at rows and columns `(n, h, w)`, in all channels."""
    pick = np.arange(len(pictures))[:, None, None, None]
    channels = np.arange(pictures.shape[1])[:, None, None]
    found: Pictures = pictures[pick, channels, rows[:, None], columns[:, None]]
    return found


def _check(pictures: Pictures, name: str) -> None:
    if pictures.ndim != 4:
        raise ShapeError(
            f"{name} takes pictures (n, channels, height, width), and got a batch of shape {pictures.shape}: write "
            "data.as_pictures()"
        )
