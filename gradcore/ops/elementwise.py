"""Functions of one array, entry by entry."""

from __future__ import annotations

import math

import numpy as np

from gradcore.op import Array, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OpSpec, case, interval, positives, reals
from gradcore.tensor import Tensor


@op(
    vjp=lambda gy, _y, _x: -gy,
    spec=OpSpec(case(reals()), reference=elementwise(lambda x: 0.0 - x)),
    numpy=(np.negative,),
    methods=("neg", "__neg__"),
)
def neg(x: Array, /) -> Array:
    """The negative: -x."""
    return -x


@op(
    vjp=lambda gy, _y, x: gy * np.sign(x),
    spec=OpSpec(case(reals(kinks=(0.0,))), reference=elementwise(lambda x: math.copysign(x, 1.0))),
    numpy=(np.absolute, np.fabs),
    methods=("abs", "__abs__"),
)
def abs(x: Array, /) -> Array:
    """The absolute value: |x|; the derivative at 0 is taken as 0."""
    return np.absolute(x)


@op(
    vjp=lambda gy, y, _x: gy * y,
    spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(math.exp)),
    numpy=(np.exp,),
    methods=("exp",),
)
def exp(x: Array, /) -> Array:
    """The exponential: e^x."""
    return np.exp(x)


@op(
    vjp=lambda gy, _y, x: gy / x,
    spec=OpSpec(case(positives()), reference=elementwise(math.log)),
    numpy=(np.log,),
    methods=("log",),
)
def log(x: Array, /) -> Array:
    """The natural logarithm, for x > 0."""
    return np.log(x)


@op(
    vjp=lambda gy, y, _x: gy * (y + 1),
    spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(math.expm1)),
    numpy=(np.expm1,),
    methods=("expm1",),
)
def expm1(x: Array, /) -> Array:
    """e^x - 1, accurate near 0."""
    return np.expm1(x)


@op(
    vjp=lambda gy, _y, x: gy / (1 + x),
    spec=OpSpec(case(positives(low=-0.9, high=1e3)), reference=elementwise(math.log1p)),
    numpy=(np.log1p,),
    methods=("log1p",),
)
def log1p(x: Array, /) -> Array:
    """log(1 + x) for x > -1, accurate near 0."""
    return np.log1p(x)


@op(
    vjp=lambda gy, _y, x: gy * np.cos(x),
    spec=OpSpec(case(reals()), reference=elementwise(math.sin)),
    numpy=(np.sin,),
    methods=("sin",),
)
def sin(x: Array, /) -> Array:
    """The sine, of radians."""
    return np.sin(x)


@op(
    vjp=lambda gy, _y, x: -gy * np.sin(x),
    spec=OpSpec(case(reals()), reference=elementwise(math.cos)),
    numpy=(np.cos,),
    methods=("cos",),
)
def cos(x: Array, /) -> Array:
    """The cosine, of radians."""
    return np.cos(x)


@op(
    vjp=lambda gy, y, _x: gy * 0.5 / y,
    spec=OpSpec(case(positives()), reference=elementwise(math.sqrt)),
    numpy=(np.sqrt,),
    methods=("sqrt",),
)
def sqrt(x: Array, /) -> Array:
    """The square root, for x > 0."""
    return np.sqrt(x)


@op(
    vjp=lambda gy, y, _x: gy - gy * (y * y),
    spec=OpSpec(
        case(interval(-3.0, 3.0)),
        reference=elementwise(lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2) if x < 300 else 1.0),
    ),
    numpy=(np.tanh,),
    methods=("tanh",),
)
def tanh(x: Array, /) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


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


@op(
    vjp=lambda gy, y, _x: gy * (y > 0),
    spec=OpSpec(case(reals(kinks=(0.0,))), reference=elementwise(lambda x: x if x > 0 else 0.0)),
    methods=("relu",),
)
def relu(x: Array, /) -> Array:
    """The positive part: max(x, 0); the derivative at 0 is taken as 0."""
    return np.maximum(x, 0)


Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
