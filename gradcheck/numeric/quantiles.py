"""Median and quantiles of a few numbers: to the bit what NumPy gives for them, without what it prepares for any array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 256
"""So many are sorted in less time than they are parted."""


def median(values: NDArray[Any]) -> float:
    """The middle entry, or the mean of the two in the middle. values: of any shape, not empty, no NaN among them.

    >>> median(np.array([3.0, 1.0, 2.0, 10.0]))
    2.5
    """
    middle = values.size // 2
    part = _parted(values.flatten(), middle)
    if part.size % 2:
        return float(part[middle])
    below = part[middle - 1] if part.size <= FEW else part[:middle].max()
    return float((below + part[middle]) / 2)


def lower(values: NDArray[Any], q: float) -> float:
    """The entry at or below the quantile q. values: one axis, not empty, no NaN among them."""
    place = int((values.size - 1) * q)
    return float(_parted(values.copy(), place)[place])


def _parted(values: NDArray[Any], place: int) -> NDArray[Any]:
    """The same array, sorted where it is small, else as far as the entry at `place` needs: none above it to its left."""
    if values.size <= FEW:
        values.sort()
    else:
        values.partition(place)
    return values


def quantiles(values: NDArray[Any], *qs: float) -> list[float]:
    """The quantiles qs, interpolated between the two entries next to each. values: one axis, not empty, no NaN among them.

    >>> quantiles(np.array([2.0, 0.0, 4.0]), 0.25, 0.5)
    [1.0, 2.0]
    """
    ordered, last = np.sort(values), values.size - 1
    found = []
    for q in qs:
        low = int(last * q)
        part = last * q - low
        a, b = float(ordered[low]), float(ordered[min(low + 1, last)])
        found.append(b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part)
    return found
