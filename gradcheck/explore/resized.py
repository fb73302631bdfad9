"""Values like those of an example, in other sizes and on purpose special: zeros, ties, tiny, huge, degenerate."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.quantiles import median

Array = NDArray[Any]
Signs: TypeAlias = Literal["real", "positive", "negative", "within", "near"]
"""Any sign; none below zero; none above; between the least and the largest of the example; the example's own, moved by a
tenth."""

FLOATS = (
    "plain",
    "given",
    "random",
    "integers",
    "specials",
    "zeros",
    "ties",
    "constant",
    "edges",
    "large",
    "mixed",
    "tiny",
    "huge",
    "rank one",
    "identity",
    "any sign",
)
"""Halves; the example's; of its scale; from -3 to 3; half 0 and ±1; all 0; few values; one value; the least and the
largest of the example; 40 times as large; over four decades; of 1e-12; of 1e12; degenerate matrices; the unit matrix; of its scale with both signs, where the example has one."""

FAR = ("tiny", "huge", "larger", "rank one", "any sign")
"""Styles of values that an example does not show: what fails only there is listed as an edge."""

INTEGERS = ("given", "range", "repeated", "edges", "zeros", "negative")


def resized(array: Array, shape: tuple[int, ...]) -> Array:
    """The array cut to a shape of as many axes, or repeated to fill it."""
    if array.size == 0 or 0 in shape:
        return np.ones(shape, array.dtype)
    for axis, n in enumerate(shape):
        array = np.take(array, np.arange(n) % array.shape[axis], axis=axis)
    return np.array(array)


def drawn_integers(
    array: Array, shape: tuple[int, ...], style: str, below: int | None, rng: np.random.Generator
) -> Array:
    """Whole numbers like those of the example, of its dtype; `below`: the size of the axis that they point into."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if below is not None:
        low, high = 0, max(below - 1, 0)
    if below == 0 or style == "zeros":  # nothing to point at: the caller's forward has to refuse any index
        made: Any = np.zeros(shape)
    elif style == "negative":
        made = rng.integers(-(high + 1), 0, shape)
    elif style == "repeated":
        made = np.full(shape, rng.integers(low, high + 1))
    elif style == "edges":
        made = rng.choice([low, high], shape)
    elif style == "given":
        made = resized(array, shape)
        made = made % below if below else made
    else:
        made = rng.integers(low, high + 1, shape)
    return np.asarray(made, array.dtype)


def drawn_floats(
    array: Array, shape: tuple[int, ...], style: str, signs: Signs, rng: np.random.Generator
) -> Array:
    """Values in this style, of the dtype of the example; a complex array gets two drawn parts."""
    if array.dtype.kind == "c":
        parts = [drawn_floats(part, shape, style, signs, rng) for part in (array.real, array.imag)]
        return np.asarray(parts[0] + 1j * parts[1], array.dtype)
    given = resized(array, shape)
    finite = np.abs(array[np.isfinite(array) & (array != 0)]).astype(np.float64)
    scale = median(finite) if finite.size else 1.0
    low, high = (float(array.min()), float(array.max())) if array.size else (-1.0, 1.0)
    if style == "given":
        return given
    if style == "any sign":
        return np.asarray(rng.standard_normal(shape) * scale, array.dtype)
    if signs == "near":
        return np.asarray(given * (1 + 0.1 * rng.standard_normal(shape)), array.dtype)
    unit = 1.0 if 1e-2 <= scale <= 1e2 else 2.0 ** round(np.log2(scale))
    made = _styled(given.astype(np.float64), style, (scale, unit), (low, high), rng)
    if signs == "positive":
        made = np.abs(made)
    elif signs == "negative":
        made = -np.abs(made)
    elif signs == "within":
        part = np.abs(made) / (1 + np.abs(made))
        made = np.where((made >= low) & (made <= high), made, low + (high - low) * part)
    limit = float(np.finfo(array.dtype).max) ** 0.5
    return np.asarray(np.clip(made, -limit, limit), array.dtype)


def _styled(
    given: Array, style: str, sizes: tuple[float, float], edges: tuple[float, float], rng: np.random.Generator
) -> Array:
    """sizes: the typical size of the example's entries, and the unit of whole numbers, which is near it."""
    shape, (scale, unit) = given.shape, sizes
    if style == "plain":
        return np.asarray(unit * rng.integers(1, 9, shape) / 2.0 * rng.choice([-1.0, 1.0], shape))
    if style == "integers":
        return unit * rng.integers(-3, 4, shape).astype(np.float64)
    if style == "zeros":
        return np.zeros(shape)
    if style == "edges":
        return np.asarray(rng.choice(edges, shape))
    if style == "constant":
        return np.full(shape, rng.choice([unit, -unit, 0.5 * unit, edges[1]]))
    if style in ("rank one", "identity") and len(shape) > 1:
        if style == "identity":
            return np.broadcast_to(np.eye(shape[-2], shape[-1]), shape).copy()
        row = unit * rng.integers(-4, 5, (*shape[:-2], 1, shape[-1])) / 2.0
        return np.asarray(row * rng.integers(-2, 3, (*shape[:-1], 1)))
    values = rng.standard_normal(shape) * scale
    if style == "specials":
        return np.where(rng.random(shape) < 0.5, values, rng.choice([0.0, unit, -unit, *edges], shape))
    if style == "ties" and values.size:
        return np.asarray(unit * rng.choice(rng.integers(-4, 5, rng.integers(1, 4)) / 2.0, shape))
    if style == "mixed":
        return np.asarray(values * 10.0 ** rng.uniform(-3, 1, shape))
    return np.asarray(
        values * {"large": 40.0, "larger": 256.0, "small": 0.025, "tiny": 1e-12, "huge": 1e12}.get(style, 1.0)
    )
