"""Exponentials and logarithms, and the logistic function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradcore.op import Array, composed, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OpSpec, case, interval, pair, positives

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG_2, _LOG_10 = math.log(2.0), math.log(10.0)


@op(
    vjp=lambda gy, y, _x: gy * y,
    spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(math.exp)),
    ufunc=np.exp,
    methods=("exp",),
)
def exp(x: Array, /) -> Array:
    """The exponential: e^x."""
    return np.exp(x)


@op(
    vjp=lambda gy, y, _x: gy * (y + 1),
    spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(math.expm1)),
    ufunc=np.expm1,
    methods=("expm1",),
)
def expm1(x: Array, /) -> Array:
    """e^x - 1, accurate near 0."""
    return np.expm1(x)


@op(
    vjp=lambda gy, y, _x: gy * y * _LOG_2,
    spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(lambda x: math.pow(2.0, x))),
    ufunc=np.exp2,
    methods=("exp2",),
)
def exp2(x: Array, /) -> Array:
    """2^x."""
    return np.exp2(x)


@op(
    vjp=lambda gy, _y, x: gy / x,
    spec=OpSpec(case(positives()), reference=elementwise(math.log)),
    ufunc=np.log,
    methods=("log",),
)
def log(x: Array, /) -> Array:
    """The natural logarithm, for x > 0."""
    return np.log(x)


@op(
    vjp=lambda gy, _y, x: gy / (1 + x),
    spec=OpSpec(case(positives(low=-0.9, high=1e3)), reference=elementwise(math.log1p)),
    ufunc=np.log1p,
    methods=("log1p",),
)
def log1p(x: Array, /) -> Array:
    """log(1 + x) for x > -1, accurate near 0."""
    return np.log1p(x)


@op(
    vjp=lambda gy, _y, x: gy / (x * _LOG_2),
    spec=OpSpec(case(positives()), reference=elementwise(lambda x: math.log(x) / math.log(2.0))),
    ufunc=np.log2,
    methods=("log2",),
)
def log2(x: Array, /) -> Array:
    """The logarithm to base 2, for x > 0."""
    return np.log2(x)


@op(
    vjp=lambda gy, _y, x: gy / (x * _LOG_10),
    spec=OpSpec(case(positives()), reference=elementwise(lambda x: math.log(x) / math.log(10.0))),
    ufunc=np.log10,
    methods=("log10",),
)
def log10(x: Array, /) -> Array:
    """The logarithm to base 10, for x > 0."""
    return np.log10(x)


@op(
    vjp=lambda gy, y, _x: gy * (y * (1 - y)),
    spec=OpSpec(
        case(interval(-20.0, 5.0)),
        reference=elementwise(lambda x: 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x)),
    ),
    methods=("sigmoid",),
)
def sigmoid(x: Array, /) -> Array:
    """The logistic function 1 / (1 + e^-x), accurate in both tails and free of overflow."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.absolute(x)))


@composed(
    spec=OpSpec(case(interval(0.01, 0.99)), reference=elementwise(lambda p: math.log(p / (1 - p)))),
    methods=("logit",),
)
def logit(p: Array) -> Array:
    """log(p / (1 - p)), the inverse of `sigmoid`: the logit of a probability."""
    return np.log(p) - np.log1p(-p)


def _log_of_sum(base: float) -> Callable[[float, float], float]:
    def reference(a: float, b: float) -> float:
        low, high = sorted((a, b))
        return high + math.log(1 + math.pow(base, low - high), base)

    return reference


@op(
    # By the difference, not by e^(x - y): next to an x of 1e8 the rounding of y is as large as what it must resolve.
    vjp=(lambda gy, _y, a, b: gy * sigmoid(a - b), lambda gy, _y, a, b: gy * sigmoid(b - a)),
    spec=OpSpec(*pair(interval(-10.0, 10.0)), reference=elementwise(_log_of_sum(math.e))),
    broadcasts=True,
    ufunc=np.logaddexp,
    methods=("logaddexp",),
)
def logaddexp(x: Array, y: Array, /) -> Array:
    """log(e^x + e^y), free of overflow."""
    return np.logaddexp(x, y)


@op(
    vjp=(
        lambda gy, _y, a, b: gy * sigmoid((a - b) * _LOG_2),
        lambda gy, _y, a, b: gy * sigmoid((b - a) * _LOG_2),
    ),
    spec=OpSpec(*pair(interval(-10.0, 10.0)), reference=elementwise(_log_of_sum(2.0))),
    broadcasts=True,
    ufunc=np.logaddexp2,
    methods=("logaddexp2",),
)
def logaddexp2(x: Array, y: Array, /) -> Array:
    """log2(2^x + 2^y), free of overflow."""
    return np.logaddexp2(x, y)
