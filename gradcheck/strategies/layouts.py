"""Memory layouts: the same values behind other strides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYOUTS = ("C", "F", "negative", "sliced", "readonly", "zero-stride")
"""C and Fortran order, negative strides, every second entry of a larger array, not writeable, strides of 0."""


def layouts(*, equal: bool = True) -> tuple[str, ...]:
    """Names of layouts to choose among, "C" more often than others; `equal`: "zero-stride" too, which makes entries equal."""
    return ("C", "C", *[name for name in LAYOUTS if equal or name != "zero-stride"])


def with_layout(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """A new array of the same values, shape and dtype in another layout.

    "zero-stride" repeats the first entry along the first axis that is longer than 1, so it changes values; where there
    is no such axis the array is what it was. What lies between the entries of a "sliced" array is NaN, or the largest
    integer, so that reading it shows.

    >>> with_layout(np.ones((2, 3)), "sliced").strides
    (112, 16)
    """
    if layout == "F":
        return np.array(array, order="F")
    if layout == "negative":
        flip = (slice(None, None, -1),) * array.ndim
        return np.array(array[flip], order="C")[flip] if array.ndim else array.copy()
    if layout == "sliced":
        junk: Any = np.nan if array.dtype.kind in "fc" else True
        if array.dtype.kind in "iu":
            junk = np.iinfo(array.dtype).max
        view = np.full([2 * n + 1 for n in array.shape], junk, array.dtype)[(slice(1, None, 2),) * array.ndim]
        view = view if array.ndim else np.array(view)
        view[...] = array
        return view
    if layout == "readonly":
        fixed = np.array(array, order="C")
        fixed.flags.writeable = False
        return fixed
    if layout == "zero-stride":
        for axis, n in enumerate(array.shape):
            if n > 1:
                first = (slice(None),) * axis + (slice(0, 1),)
                return np.broadcast_to(array[first].copy(), array.shape)
    elif layout != "C":
        raise ValueError(f"there is no layout {layout!r}: use one of {LAYOUTS}")
    return np.array(array, order="C")
