"""How references are written: slow, plain, and by another route than the ops.

A reference takes float64 arrays and the op's static parameters and returns the value that forward must give.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def elementwise(scalar: Callable[..., float]) -> Callable[..., Any]:
    """A function of Python numbers, called entry by entry on arrays that are broadcast against each other."""

    def reference(*arrays: Any) -> Any:
        shape = np.broadcast_shapes(*(np.shape(a) for a in arrays))
        flat = [np.broadcast_to(a, shape).ravel().tolist() for a in arrays]
        return np.array([scalar(*entries) for entries in zip(*flat, strict=True)], dtype=np.float64).reshape(
            shape
        )

    return reference


def along(vector: Callable[[list[float]], float]) -> Callable[..., Any]:
    """A function of a list of numbers, called along the reduced axes: `reference(x, axis=None, keepdims=False)`."""

    def reference(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        axes = range(x.ndim) if axis is None else [a % x.ndim for a in np.atleast_1d(axis)]
        kept = [i for i in range(x.ndim) if i not in axes]
        length = math.prod([x.shape[a] for a in axes])
        rows = np.transpose(x, [*kept, *axes]).reshape([x.shape[i] for i in kept] + [length])
        out = np.empty(rows.shape[:-1])
        for index in np.ndindex(out.shape):
            out[index] = vector(rows[index].tolist())
        return np.expand_dims(out, tuple(sorted(axes))) if keepdims else out

    return reference


def rowwise(vector: Callable[[list[float]], list[float]]) -> Callable[..., Any]:
    """A function from a list of numbers to one of the same length, along one axis: `reference(x, axis=-1)`."""

    def reference(x: Any, axis: int = -1) -> Any:
        moved = np.moveaxis(x, axis, -1)
        out = np.empty(moved.shape)
        for index in np.ndindex(moved.shape[:-1]):
            out[index] = vector(moved[index].tolist())
        return np.moveaxis(out, -1, axis)

    return reference


def both(value: Any) -> tuple[Any, Any]:
    """A pair for (height, width), from a pair or from the one value that both have."""
    return value if isinstance(value, tuple) else (value, value)
