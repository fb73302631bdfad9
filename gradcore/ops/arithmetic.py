"""Arithmetic on two arrays that broadcast against each other."""

from __future__ import annotations

import math

import numpy as np

from gradcore.errors import DtypeError
from gradcore.op import Array, binary_method, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OpSpec, booleans, case, interval, positives, reals
from gradcore.tensor import Tensor

_PAIR = case(reals("..."), reals("~...")), case(reals("~..."), reals("..."))


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, _a, _b: gy),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.fsum((a, b)))),
    broadcasts=True,
    numpy=(np.add,),
    methods=("add", "__add__"),
)
def add(x: Array, y: Array, /) -> Array:
    """Sum, elementwise: x + y."""
    return x + y


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, _a, _b: -gy),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.fsum((a, -b)))),
    broadcasts=True,
    numpy=(np.subtract,),
    methods=("sub", "__sub__"),
)
def sub(x: Array, y: Array, /) -> Array:
    """Difference, elementwise: x - y."""
    return x - y


@op(
    vjp=(lambda gy, _y, _a, b: gy * b, lambda gy, _y, a, _b: gy * a),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.prod((b, a)))),
    broadcasts=True,
    numpy=(np.multiply,),
    methods=("mul", "__mul__"),
)
def mul(x: Array, y: Array, /) -> Array:
    """Product, elementwise: x y."""
    return x * y


@op(
    vjp=(lambda gy, _y, _a, b: gy / b, lambda gy, y, _a, b: -gy * y / b),
    spec=OpSpec(
        case(reals("..."), positives("~...", low=0.1)),
        case(reals("~..."), interval(-10.0, -0.1, "...")),
        reference=elementwise(lambda a, b: a * b**-1.0),
    ),
    broadcasts=True,
    numpy=(np.divide,),
    methods=("div", "__truediv__"),
)
def div(x: Array, y: Array, /) -> Array:
    """Quotient, elementwise: x / y."""
    return x / y


def _power(x: Array, y: Array) -> Array:
    # A cube by np.power takes 350 times as long as two products: small whole exponents are multiplied out.
    if y.ndim == 0 and x.dtype == np.result_type(x, y):
        exponent = float(y)
        if exponent == 2.0:
            return x * x
        if exponent == 3.0:
            return x * x * x
    return np.power(x, y)


def _pow_base(gy: Array, _out: Array, x: Array, y: Array) -> Array:
    # d x^0 / dx is 0 at x = 0 too, where 0 * 0^(-1) would be NaN. One in gy's dtype: a y narrower than x would round y - 1.
    one = np.ones((), gy.dtype)
    return gy * y * np.power(x, np.where((x == 0) & (y == 0), one, y - one))


def _pow_exponent(gy: Array, out: Array, x: Array, _y: Array) -> Array:
    # 0^y is 0 on an interval of exponents y > 0, so its derivative there is 0, where 0 * log(0) would be NaN.
    # A narrower x is widened by the one of gy's dtype: its logarithm would be that of a rounded number.
    return gy * out * np.log(np.where(x == 0, np.ones((), gy.dtype), x))


@op(
    vjp=(_pow_base, _pow_exponent),
    spec=OpSpec(
        case(positives("...", low=0.1, high=5.0), interval(-3.0, 3.0, "~...")),
        case(positives("~...", low=0.1, high=5.0), interval(-3.0, 3.0, "...")),
        case(
            interval(-3.0, 3.0, "...", kinks=()),
            interval(2.0, 2.0, "", differentiable=False),
        ),
        case(interval(-3.0, 3.0, "..."), interval(3.0, 3.0, "", differentiable=False)),
        case(interval(-3.0, 3.0, "..."), interval(5.0, 5.0, "...", differentiable=False)),
        reference=elementwise(math.pow),
    ),
    broadcasts=True,
    numpy=(np.power, np.float_power),
    methods=("pow", "__pow__"),
)
def pow(x: Array, y: Array, /) -> Array:
    """Power, elementwise: x^y. With respect to y it needs x >= 0; at x = 0 that derivative is taken as 0."""
    return _power(np.asarray(x), np.asarray(y))


def _first_of_max(gy: Array, _out: Array, x: Array, y: Array) -> Array:
    return gy * (x > y) + gy * (x == y) * 0.5


def _second_of_max(gy: Array, _out: Array, x: Array, y: Array) -> Array:
    return gy * (y > x) + gy * (x == y) * 0.5


def _apart(x: Array, y: Array) -> bool:
    return bool(np.all(np.abs(x - y) > 1e-3))


_PAIR_APART = tuple(case(a, b, smooth_where=_apart) for a, b in ((c.arrays[0], c.arrays[1]) for c in _PAIR))


@op(
    vjp=(_first_of_max, _second_of_max),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(max)),
    broadcasts=True,
    numpy=(np.maximum,),
    methods=("maximum",),
)
def maximum(x: Array, y: Array, /) -> Array:
    """The larger of two, elementwise; where they tie, each gets half of the cotangent."""
    return np.maximum(x, y)


@op(
    vjp=(_second_of_max, _first_of_max),
    spec=OpSpec(*_PAIR_APART, reference=elementwise(min)),
    broadcasts=True,
    numpy=(np.minimum,),
    methods=("minimum",),
)
def minimum(x: Array, y: Array, /) -> Array:
    """The smaller of two, elementwise; where they tie, each gets half of the cotangent."""
    return np.minimum(x, y)


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


def _mul_scalar(self: Tensor, scalar: float) -> Tensor:
    """Product with a Python number: `x * scalar`."""
    return self * scalar


for _name, _op in (("add", add), ("sub", sub), ("mul", mul), ("truediv", div), ("pow", pow)):
    setattr(Tensor, f"__r{_name}__", binary_method(_op, swapped=True))
Tensor.mul_scalar = _mul_scalar  # type: ignore[assignment]
