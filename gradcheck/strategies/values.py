"""Values of one array: in styles, within bounds, away from kinks or on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradcheck.strategies.shapes import Unfit
from gradcheck.strategies.structures import structured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gradcore.spec import Array

Mode = Literal["smooth", "kinks"]

STYLES = ("plain", "random", "mixed", "specials", "zeros", "ties")
"""Halves; one scale for all; scales over four decades; zeros, ones, bounds and whatever the spec names; half the entries
zero, of either sign; few values."""

MARGIN = 1 / 16
"""Distance kept from a kink, in units of the larger of |kink| and the array's scale.

A checker's first step moves an entry by an eighth of its size: with a sixteenth, its finer steps are all on one side.
"""


@dataclass(frozen=True, slots=True)
class Domain:
    """The domain of one array, with its shape, and its bounds as numbers."""

    array: Array
    shape: tuple[int, ...]
    low: float | None
    high: float | None

    @property
    def equal(self) -> bool:
        """Whether entries may be equal."""
        return not (self.array.distinct or self.array.structure)

    def clip(self, values: NDArray[Any]) -> NDArray[Any]:
        """The nearest values within the bounds, also after rounding to the values' dtype."""
        if self.low is None and self.high is None:
            return values
        if values.dtype.kind == "c":
            return np.asarray(self.clip(values.real) + 1j * self.clip(values.imag), values.dtype)
        low, high = (
            None if bound is None else _inward(bound, values.dtype, side)
            for bound, side in ((self.low, math.inf), (self.high, -math.inf))
        )
        return np.asarray(np.clip(values, low, high))


def takes(domain: Domain, values: NDArray[Any], mode: Mode) -> bool:
    """Whether values are of the domain: within its bounds; away from its kinks and from each other at smooth points."""
    array = domain.array
    if array.structure or array.dtype == "bool" or values.shape != domain.shape:
        return False
    if values.dtype.kind == "c":
        parts = replace(domain, array=array.replaced(dtype="float"))
        return all(takes(parts, part, mode) for part in (values.real, values.imag))
    if not np.array_equal(domain.clip(values), values):
        return False
    if array.distinct and mode == "smooth" and values.size > 1:
        gaps = np.diff(np.sort(values.reshape(-1)))
        if gaps.min() < min(0.5, 0.5 * np.ptp(values) / values.size):
            return False
    if mode == "smooth":
        return all(
            bool((np.abs(values - kink) >= MARGIN * max(abs(kink), 1.0)).all()) for kink in array.kinks
        )
    return True


def _inward(bound: float, dtype: np.dtype[Any], side: float) -> Any:
    rounded = dtype.type(bound)
    if dtype.kind == "f" and (float(rounded) - bound) * side < 0:
        return np.nextafter(rounded, dtype.type(side))
    return rounded


def draw_values(
    domain: Domain, style: str, mode: Mode, dtype: np.dtype[Any], rng: np.random.Generator
) -> NDArray[Any]:
    """Values of the array's kind; floats in `dtype`, complex numbers of two of them. Raises Unfit where the domain is empty."""
    if domain.array.dtype == "complex":
        part = replace(domain, array=domain.array.replaced(dtype="float"))
        real, imaginary = (draw_values(part, style, mode, dtype, rng) for _ in range(2))
        return np.asarray(real + imaginary * np.array(1j, np.result_type(dtype, np.complex64)))
    if domain.array.dtype == "bool":
        return _booleans(domain, style, rng)
    if domain.array.dtype == "int":
        return _integers(domain, style, rng)
    array, shape = domain.array, domain.shape
    if array.structure:
        return structured(array.structure, shape, rng).astype(dtype)
    scale = _scale(array, style, rng)
    if array.distinct and mode == "smooth":
        values = _apart(domain, scale, rng)
    else:
        values = _floats(domain, style, scale, rng)
    if array.kinks and mode == "kinks":
        on = rng.random(shape) < 0.5
        values = np.where(on, rng.choice(array.kinks, shape), values)
    if mode == "kinks" and array.distinct:
        values = _tied(values, rng)
    values = domain.clip(np.asarray(values, np.float64))
    if array.kinks and mode == "smooth":
        values = _away(domain, values, scale, rng)
    return domain.clip(values.astype(dtype))


def _booleans(domain: Domain, style: str, rng: np.random.Generator) -> NDArray[Any]:
    if style in ("specials", "zeros", "ties"):
        return np.full(domain.shape, rng.random() < 0.5)
    return rng.random(domain.shape) < 0.5


def _integers(domain: Domain, style: str, rng: np.random.Generator) -> NDArray[Any]:
    low = -6 if domain.low is None else math.ceil(domain.low)
    high = max(low, 6) if domain.high is None else math.floor(domain.high)
    if low > high:
        if math.prod(domain.shape):
            raise Unfit
        return np.zeros(domain.shape, np.int64)
    if domain.array.distinct:
        if high - low + 1 < math.prod(domain.shape):
            raise Unfit
        return rng.permutation(np.arange(low, high + 1))[: math.prod(domain.shape)].reshape(domain.shape)
    values = rng.integers(low, high + 1, domain.shape)
    if style == "specials":
        values = np.where(rng.random(domain.shape) < 0.5, values, rng.choice([low, high], domain.shape))
    elif style == "ties":
        values = _tied(values, rng)
    return values.astype(np.int32 if style == "mixed" else np.int64)


def _scale(array: Array, style: str, rng: np.random.Generator) -> float:
    low, high = array.scale
    if style == "plain" and low <= 1.0 <= high:
        return 1.0
    between = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.choice([low, between, between, high]))


def _apart(domain: Domain, scale: float, rng: np.random.Generator) -> NDArray[Any]:
    """Entries on a shuffled grid, moved by up to a quarter of its spacing: at least half a spacing apart."""
    n = math.prod(domain.shape)
    place = rng.permutation(n) + rng.uniform(-0.25, 0.25, n)
    if domain.low is not None and domain.high is not None:
        values = domain.low + (domain.high - domain.low) * (place + 0.5) / max(n, 1)
    elif domain.low is not None:
        values = domain.low + scale * (place + 0.5)
    elif domain.high is not None:
        values = domain.high - scale * (place + 0.5)
    else:
        values = scale * (place - n // 2)
    return values.reshape(domain.shape)


def _floats(domain: Domain, style: str, scale: float, rng: np.random.Generator) -> NDArray[Any]:
    shape, low, high = domain.shape, domain.low, domain.high
    if low is not None and high is not None:
        if style == "plain":
            part = rng.integers(0, 9, shape) / 8.0
        elif style == "mixed":
            part = 10.0 ** rng.uniform(-4.0, 0.0, shape)
        else:
            part = rng.random(shape)
        values = low + (high - low) * part
    else:
        if style == "plain":
            values = rng.integers(1, 9, shape) / 2.0 * rng.choice([-1.0, 1.0], shape)
        else:
            values = rng.standard_normal(shape)
            if style == "mixed":
                values = values * 10.0 ** rng.uniform(-3.0, 1.0, shape)
        values = values * scale
        if low is not None:
            values = low + np.abs(values)
        elif high is not None:
            values = high - np.abs(values)
    if style == "specials":
        bounds = [b for b in (low, high) if b is not None]
        inside = [
            s for s in domain.array.specials if (low is None or s >= low) and (high is None or s <= high)
        ]
        if bounds or inside:
            values = np.where(rng.random(shape) < 0.5, values, rng.choice(inside + bounds, shape))
    elif style == "zeros" and _holds_zero(domain):
        zeros = np.zeros(shape) if low is not None and low >= 0 else rng.choice([0.0, -0.0], shape)
        values = np.where(rng.random(shape) < 0.5, values, zeros)
    elif style == "ties":
        values = _tied(values, rng)
    return np.asarray(values)


def _holds_zero(domain: Domain) -> bool:
    """Whether zero is among the values that the spec names, or a bound."""
    named = (*domain.array.specials, domain.low, domain.high)
    return 0.0 in named and (domain.low or 0.0) <= 0.0 <= (domain.high or 0.0)


def tied_to(array: Any, others: Sequence[Any], rng: np.random.Generator) -> Any:
    """Half of the entries equal to those of an earlier array that broadcasts with this one, where there is one."""
    for other in others:
        if other is not None and other.dtype == array.dtype and _broadcast(other, array) is not None:
            return np.where(rng.random(array.shape) < 0.5, array, _broadcast(other, array))
    return array


def _broadcast(other: Any, array: Any) -> Any:
    """`other` in the shape of `array`, the first entries of an axis that is 1 there; None where they do not broadcast."""
    extra = other.ndim - array.ndim
    if extra > 0:
        other = other[(0,) * extra] if 0 not in other.shape[:extra] else None
    if other is None:
        return None
    cut = tuple([slice(0, 1) if n == 1 else slice(None) for n in array.shape[array.ndim - other.ndim :]])
    try:
        return np.broadcast_to(other[cut], array.shape)
    except ValueError:
        return None


def _tied(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """At most three of the values, repeated."""
    if values.size < 2:
        return values
    few = rng.choice(values.reshape(-1), rng.integers(1, 4))
    return np.asarray(rng.choice(few, values.shape))


def _away(domain: Domain, values: NDArray[Any], scale: float, rng: np.random.Generator) -> NDArray[Any]:
    """Entries too near a kink are moved to one side of it, by 1 to 2 margins."""
    moved = values.copy()
    for kink in domain.array.kinks:
        margin = MARGIN * max(abs(kink), scale)
        near = np.abs(moved - kink) < margin
        sides = rng.choice([-1.0, 1.0], values.shape) * margin * rng.uniform(1.0, 2.0, values.shape)
        for sign in (1.0, -1.0):
            there = kink + sign * sides
            moved = np.where(near & (np.abs(moved - kink) < margin), domain.clip(there), moved)
    for kink in domain.array.kinks:
        if (np.abs(moved - kink) < 0.99 * MARGIN * max(abs(kink), scale)).any():
            raise Unfit
    return moved
