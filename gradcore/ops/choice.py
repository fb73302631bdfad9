"""Ops that choose between values: the larger, the smaller, within bounds, by a condition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import ArgumentError, DtypeError
from gradcore.op import Array, composed, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OneOf, OpSpec, booleans, case, pair, reals


def _first_of_max(gy: Array, _out: Array, x: Array, y: Array) -> Array:
    return gy * (x > y) + gy * (x == y) * 0.5


def _second_of_max(gy: Array, _out: Array, x: Array, y: Array) -> Array:
    return gy * (y > x) + gy * (x == y) * 0.5


def _apart(x: Array, y: Array) -> bool:
    return bool(np.all(np.abs(x - y) > 1e-3))


_PAIR_APART = tuple([c.replaced(smooth_where=_apart) for c in pair(reals())])


@op(
    vjp=(_first_of_max, _second_of_max),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(max)),
    broadcasts=True,
    ufunc=np.maximum,
    methods=("maximum",),
)
def maximum(x: Array, y: Array, /) -> Array:
    """The larger of two, elementwise; where they tie, each gets half of the cotangent."""
    return np.maximum(x, y)


@op(
    vjp=(_second_of_max, _first_of_max),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(min)),
    broadcasts=True,
    ufunc=np.minimum,
    methods=("minimum",),
)
def minimum(x: Array, y: Array, /) -> Array:
    """The smaller of two, elementwise; where they tie, each gets half of the cotangent."""
    return np.minimum(x, y)


def _first_of_fmax(gy: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.isnan(y), gy, _first_of_max(gy, out, x, y))


def _first_of_fmin(gy: Array, out: Array, x: Array, y: Array) -> Array:
    return np.where(np.isnan(y), gy, _second_of_max(gy, out, x, y))


@op(
    vjp=(_first_of_fmax, lambda gy, out, x, y: _first_of_fmax(gy, out, y, x)),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(max)),
    broadcasts=True,
    ufunc=np.fmax,
    methods=("fmax",),
)
def fmax(x: Array, y: Array, /) -> Array:
    """The larger of two, elementwise, where NaN counts as missing; where they tie, each gets half of the cotangent."""
    return np.fmax(x, y)


@op(
    vjp=(_first_of_fmin, lambda gy, out, x, y: _first_of_fmin(gy, out, y, x)),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(min)),
    broadcasts=True,
    ufunc=np.fmin,
    methods=("fmin",),
)
def fmin(x: Array, y: Array, /) -> Array:
    """The smaller of two, elementwise, where NaN counts as missing; where they tie, each gets half of the cotangent."""
    return np.fmin(x, y)


def _clip_rule(gy: Array, _y: Array, x: Array, min: float | None = None, max: float | None = None) -> Array:
    if min is not None:
        gy = gy * (x >= min)
    return gy if max is None else gy * (x <= max)


def _clipped_by_loop(x: Array, min: Any = None, max: Any = None) -> Array:
    low, high = -math.inf if min is None else min, math.inf if max is None else max
    return elementwise(lambda v: sorted((low, v, high))[1])(x)


_CLIP = OpSpec(
    case(reals(kinks=(-1.0, 0.5)), params={"min": OneOf(-1.0, None), "max": OneOf(0.5, None)}),
    reference=_clipped_by_loop,
)


@op(vjp=_clip_rule, spec=_CLIP)
def clip_numbers(x: Array, /, min: float | None = None, max: float | None = None) -> Array:
    """`clip` with numbers as bounds."""
    return np.clip(x, min, max)


@composed(spec=_CLIP, numpy=(np.clip,), methods=("clip", "clamp"))
def clip(x: Array, min: Any = None, max: Any = None, **named: Any) -> Array:
    """min(max(x, min), max), entry by entry; None for no bound. The derivative on a bound is taken as 1.

    A bound that is an array broadcasts against x and gets a gradient too; on such a bound x gets half of the cotangent.
    """
    for old, bound in named.items():
        if old not in ("a_min", "a_max"):
            raise ArgumentError(f"clip takes no {old}: its bounds are min and max")
        min, max = (bound, max) if old == "a_min" else (min, bound)
    if all(bound is None or isinstance(bound, int | float | np.generic) for bound in (min, max)):
        return clip_numbers(x, min=min, max=max)
    y = x if min is None else maximum(x, min)
    return y if max is None else minimum(y, max)


@op(
    vjp=(
        lambda _gy, _y, _c, _a, _b: None,
        lambda gy, _y, c, _a, _b: np.where(c, gy, 0),
        lambda gy, _y, c, _a, _b: np.where(c, 0, gy),
    ),
    spec=OpSpec(
        case(booleans("..."), reals("~..."), reals("...")),
        case(booleans("~..."), reals("..."), reals("~...")),
        reference=lambda c, a, b: elementwise(lambda p, q, r: q if p else r)(c, a, b),
    ),
    broadcasts=True,
    numpy=(np.where,),
)
def where(condition: Array, x: Array, y: Array, /) -> Array:
    """x where the condition holds, y elsewhere; all three broadcast.

    Raises DtypeError unless the condition is of booleans.
    """
    if np.asarray(condition).dtype.kind != "b":
        raise DtypeError(
            f"where takes a condition of booleans, and got {np.asarray(condition).dtype}: compare first, as in c != 0"
        )
    return np.where(condition, x, y)


@composed(
    spec=OpSpec(
        case(reals(), params={"nan": OneOf(0.0, 2.5)}),
        reference=lambda x, nan=0.0: elementwise(lambda v: nan if math.isnan(v) else v)(x),
    ),
    numpy=(np.nan_to_num,),
)
def nan_to_num(x: Array, nan: float = 0.0) -> Array:
    """x with `nan` where it is NaN, where it gets no gradient; infinities are left alone, unlike NumPy's."""
    if np.result_type(x).kind in "iub":  # among which NaN is none
        return x
    return where(~np.isnan(plain(x)), x, nan)
