"""Functions of one array, entry by entry: sign, powers and roots."""

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
    ufunc=np.negative,
    methods=("neg", "__neg__"),
)
def neg(x: Array, /) -> Array:
    """The negative: -x."""
    return -x


@op(
    vjp=lambda gy, _y, x: gy * np.sign(x),
    spec=OpSpec(case(reals(kinks=(0.0,))), reference=elementwise(lambda x: math.copysign(x, 1.0))),
    ufunc=np.absolute,
    numpy=(np.fabs,),
    methods=("abs", "__abs__"),
)
def abs(x: Array, /) -> Array:
    """The absolute value: |x|; the derivative at 0 is taken as 0."""
    return np.absolute(x)


@op(
    vjp=lambda gy, _y, x: gy * (x * 2),
    spec=OpSpec(case(reals()), reference=elementwise(lambda x: math.pow(x, 2.0))),
    numpy=(np.square,),
    methods=("square",),
)
def square(x: Array, /) -> Array:
    """The square: x^2."""
    return x * x


@op(
    vjp=lambda gy, y, _x: gy * 0.5 / y,
    spec=OpSpec(case(positives()), reference=elementwise(math.sqrt)),
    ufunc=np.sqrt,
    methods=("sqrt",),
)
def sqrt(x: Array, /) -> Array:
    """The square root, for x > 0."""
    return np.sqrt(x)


@op(
    vjp=lambda gy, y, _x: gy / (y * y * 3),
    spec=OpSpec(
        case(positives()),
        case(interval(-10.0, -0.1)),
        reference=elementwise(lambda x: math.copysign(math.pow(math.fabs(x), 1 / 3), x)),
    ),
    ufunc=np.cbrt,
    methods=("cbrt",),
)
def cbrt(x: Array, /) -> Array:
    """The cube root, of either sign; it has no derivative at 0."""
    return np.cbrt(x)


@op(
    vjp=lambda gy, y, _x: -gy * (y * y),
    spec=OpSpec(
        case(positives(low=0.1)),
        case(interval(-10.0, -0.1)),
        reference=elementwise(lambda x: math.pow(x, -1.0)),
    ),
    numpy=(np.reciprocal,),
    methods=("reciprocal",),
)
def reciprocal(x: Array, /) -> Array:
    """1 / x."""
    return 1.0 / x


Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
