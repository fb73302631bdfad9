"""Directions and cotangents to probe a gradient with: random signs, sizes that let every entry count."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.line import as_tuple, in_a_row, magnitudes, positive
from gradcheck.numeric.quantiles import median, quantiles

Array = NDArray[Any]


EVENED = 100
"""Most powers of two by which evening changes the size of a cotangent's entry."""

REACH = 32
"""Powers of two by which an entry moves further than its own size, at most: what a fine step has to undo, to see it."""

NEAREST = -20
"""Powers of two of its size by which an entry moves at least where it is to contribute little: shorter steps would round."""


@cache
def _largest(dtype: np.dtype[Any]) -> float:
    """What no entry of a cotangent exceeds, so that what a rule multiplies and adds up stays in the dtype's range."""
    half = np.finfo(dtype).maxexp <= 16
    return float(np.finfo(dtype).max ** (0.5 if half else 0.625))


def _size(array: Array) -> NDArray[np.float64]:
    """Power of two at or below the magnitude of each entry."""
    return np.asarray(np.exp2(np.floor(np.log2(magnitudes(array)))))


def _signed(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Random signs times a factor of 1, 9/8, ..., 15/8: few bits, so that products with powers of two are exact."""
    factor = 1.0 + rng.integers(0, 8, shape) / 8.0
    return np.asarray(np.copysign(factor, rng.random(shape) - 0.5))


def _draw(array: Array, size: NDArray[np.float64] | float, rng: np.random.Generator) -> Array:
    if array.dtype.kind == "c":
        return np.asarray(_signed(array.shape, rng) * size + 1j * (_signed(array.shape, rng) * size))
    return np.asarray(_signed(array.shape, rng) * size)


def direction(
    x: Any, rng: np.random.Generator, *, gx: Any = None, wrt: tuple[bool, ...] | None = None
) -> tuple[Array | None, ...]:
    """Random direction for the arrays of `x`: signs drawn independently, sizes near those of the entries.

    With |v_i| in [1/2, 2)·|x_i| the step relative to each entry is alike, and `x ± h v` is exact. With `gx`, the
    claimed gradient, the sizes are evened out further, so that every entry contributes alike to `<gx, v>`: entries
    with a smaller claimed contribution keep their size, larger ones are shortened to the typical contribution. A wrong
    entry then cannot hide behind larger ones, whether it is claimed too small (its true contribution is large) or too
    large (its true contribution is missing).

    Args:
        x: array or tuple of arrays; integer and boolean arrays stay (None).
        rng: source of the signs. The verdict of `compare` relies on signs independent of gx.
        gx: claimed gradient, an array or None for every array of x.
        wrt: for every array of x, whether it moves; all floating arrays by default.
    """
    points = [np.asarray(point) for point in as_tuple(x)]
    moving = wrt if wrt is not None else (True,) * len(points)
    sizes = [_size(point) for point in points]
    if gx is not None:
        weights = [
            None if g is None else np.abs(np.asarray(g)).astype(np.float64) * size
            for g, size in zip(as_tuple(gx), sizes, strict=True)
        ]
        every = positive(in_a_row([w for w in weights if w is not None]))
        typical = float(np.exp2(median(np.log2(every)))) if every.size else 1.0
        for place, weight in enumerate(weights):
            if weight is not None:
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    shrink = np.exp2(np.floor(np.log2(typical / weight)))
                sizes[place] = sizes[place] * np.fmin(shrink, 1.0)  # 1 for NaN as well
    return tuple(
        _draw(point, size, rng) if move and point.dtype.kind in "fc" else None
        for point, size, move in zip(points, sizes, moving, strict=True)
    )


def unit_direction(
    x: Any, rng: np.random.Generator, *, wrt: tuple[bool, ...] | None = None
) -> tuple[Array | None, ...]:
    """Random direction with one size per array, that of its median entry.

    Arguments as for `direction`. Entries much smaller than their neighbours move by many times their own size, at most
    2^32 times: the finest steps then still resolve what happens at zero, such as the pole of a logarithm.
    """
    points = [np.asarray(point) for point in as_tuple(x)]
    moving = wrt if wrt is not None else (True,) * len(points)
    result: list[Array | None] = []
    for point, move in zip(points, moving, strict=True):
        if not move or point.dtype.kind not in "fc":
            result.append(None)
            continue
        size = _size(point)
        typical = median(size) if size.size else 1.0
        result.append(_draw(point, np.minimum(size * 2.0**REACH, typical), rng))
    return tuple(result)


def wide_direction(
    x: Any, rng: np.random.Generator, *, target: float, gx: Any = None, wrt: tuple[bool, ...] | None = None
) -> tuple[Array | None, ...]:
    """Random direction for steps as long as itself, in which every entry contributes `target` to `<gx, v>`.

    No entry moves by more than its size or 1, and those with a claim of 0 by that. An entry of 1e-17 moves as far as the claim
    says is seen: exp does not change over a step of the entry's size. Other arguments as for `direction`.
    """
    points = [np.asarray(point) for point in as_tuple(x)]
    moving = wrt if wrt is not None else (True,) * len(points)
    claims = as_tuple(gx) if gx is not None else (None,) * len(points)
    result: list[Array | None] = []
    for point, g, move in zip(points, claims, moving, strict=True):
        if not move or point.dtype.kind not in "fc":
            result.append(None)
            continue
        own = _size(point)
        size = most = np.maximum(np.where(point == 0, 0.0, own), 1.0)
        if g is not None:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                size = np.exp2(np.floor(np.log2(target / np.abs(np.asarray(g)).astype(np.float64))))
            size = np.clip(np.where(np.isfinite(size), size, most), np.minimum(own, 1.0) * 2.0**NEAREST, most)
        result.append(_draw(point, size, rng))
    return tuple(result)


def cotangents(
    y: Any, rng: np.random.Generator, *, usable: Any = None, even: bool = False
) -> tuple[Array, ...]:
    """Random cotangent for the arrays of `y`: independent signs, one size per output array so that none drowns another.

    Each array's cotangent has entries of a power of two next to 1/(typical |y|) in size, times a factor in [1, 2). The
    dtype is that of `y`.

    Args:
        y: array or tuple of arrays, all floating or complex.
        rng: source of the signs.
        even: size each entry by its own |y| instead, as far as the array's entries differ in scale: the rounding of a
            large output then does not hide the contribution of a small one.
        usable: boolean array for every array of y; entries that are False get a cotangent of 0 (see
            `Derivative.usable`).
    """
    outputs = [np.asarray(output) for output in as_tuple(y)]
    masks = as_tuple(usable) if usable is not None else (None,) * len(outputs)
    result = []
    for output, mask in zip(outputs, masks, strict=True):
        every = np.abs(output).astype(np.float64, copy=False)
        those = positive(every.reshape(-1))
        typical = float(np.exp2(-np.floor(np.log2(median(those))))) if those.size else 1.0
        largest = _largest(output.dtype)
        size: Any = min(max(typical, 1.0 / largest), largest)
        if even and those.size:
            size = np.clip(size * _evening(every, those, output.dtype), 1.0 / largest, largest)
        cotangent = _draw(output, size, rng)
        if mask is not None:
            cotangent = np.where(mask, cotangent, 0.0)
        result.append(cotangent.astype(output.dtype, copy=False))
    return tuple(result)


def _evening(
    every: NDArray[np.float64], those: NDArray[np.float64], dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """Powers of two near typical/magnitude, between bounds that the spread of those magnitudes sets that are usable.

    An entry that is near zero by chance, among others of one scale, must not outweigh them: its rounding would be theirs.
    """
    low, typical = quantiles(np.log2(those), 0.1, 0.5)
    bits = min(EVENED, np.finfo(dtype).maxexp // 8)
    with np.errstate(divide="ignore"):
        own = np.log2(every)
    if those.size < every.size:
        own = np.where(np.isfinite(own), own, typical)
    return np.asarray(np.exp2(np.floor(np.clip(typical - own, -bits, min(bits, 4.0 * (typical - low))))))
