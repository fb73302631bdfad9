"""Arrays moved by units in their last place, and by how much results follow: what rounding does, measured.

Stochastic arithmetic: the condition of a function and cancellation inside it show by themselves (Vignes' CESTAC method).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def signs(x: Array, rng: np.random.Generator) -> Array:
    """A random sign for each entry, of the array's dtype (of its parts for a complex one)."""
    return np.asarray(np.array([-1.0, 1.0], x.real.dtype)[rng.integers(0, 2, x.shape)])


def moved(x: Array, by: Array | float, rng: np.random.Generator) -> Array:
    """The array with each entry moved by the part `by` of its size, up or down, in its own dtype; integers as they are.

    >>> moved(np.array([2.0, -4.0]), 0.5, np.random.default_rng(1)).tolist()
    [1.0, -6.0]
    """
    if x.dtype.kind not in "fc":
        return x
    return np.asarray(x * (1 + by * signs(x, rng)), x.dtype)


def change(x: Array | None, y: Array | None) -> Array:
    """Difference of each entry, infinite where one is finite and the other is not; of no entries where nothing floats."""
    if x is None or y is None or x.dtype.kind not in "fc":
        return np.zeros(0)
    with np.errstate(all="ignore"):
        difference = np.where(np.isfinite(x), x - y, 0)
    return np.asarray(np.where(np.isfinite(x) == np.isfinite(y), difference, np.inf))


def widest(x: Array, results: Iterable[Array]) -> Array:
    """The largest |change| of every entry over several results in place of `x`; what is not finite counts as none."""
    found = np.zeros(x.shape)
    for y in results:
        with np.errstate(all="ignore"):
            by = np.abs(np.asarray(y) - x)
        found = np.fmax(found, np.where(np.isfinite(by), by, 0.0))
    return found
