"""Arithmetic on two arrays that broadcast against each other."""

from __future__ import annotations

import math

import numpy as np

from gradcore.op import Array, binary_method, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OpSpec, case, interval, pair, positives, reals
from gradcore.tensor import Tensor

_PAIR = pair(reals())


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, _a, _b: gy),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.fsum((a, b)))),
    broadcasts=True,
    ufunc=np.add,
    methods=("add", "__add__"),
)
def add(x: Array, y: Array, /) -> Array:
    """Sum, elementwise: x + y."""
    return x + y


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, _a, _b: -gy),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.fsum((a, -b)))),
    broadcasts=True,
    ufunc=np.subtract,
    methods=("sub", "__sub__"),
)
def sub(x: Array, y: Array, /) -> Array:
    """Difference, elementwise: x - y."""
    return x - y


@op(
    vjp=(lambda gy, _y, _a, b: gy * b, lambda gy, _y, a, _b: gy * a),
    spec=OpSpec(*_PAIR, reference=elementwise(lambda a, b: math.prod((b, a)))),
    broadcasts=True,
    ufunc=np.multiply,
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
    ufunc=np.divide,
    methods=("div", "__truediv__"),
)
def div(x: Array, y: Array, /) -> Array:
    """Quotient, elementwise: x / y."""
    return x / y


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
    # A cube by np.power takes 350 times as long as two products: small whole exponents are multiplied out.
    if np.ndim(y) == 0 and np.result_type(x) == np.result_type(x, y):
        exponent = float(y)
        if exponent == 2.0:
            return x * x
        if exponent == 3.0:
            return x * x * x
    return np.power(x, y)


def _remainder_by_loop(a: float, b: float) -> float:
    rest = math.fmod(a, b)
    return rest + b if rest and (rest < 0) != (b < 0) else rest


def _between_multiples(x: Array, y: Array) -> bool:
    part = (x / y) % 1  # the remainder jumps at whole quotients
    return bool(np.all((part > 0.05) & (part < 0.95)))


_DIVIDED = tuple(
    [
        case(*arrays, values_where=_between_multiples)
        for arrays in (
            (interval(-10.0, 10.0), positives("~...", low=0.5, high=5.0)),
            (interval(-10.0, 10.0, "~..."), interval(-5.0, -0.5, "...")),
        )
    ]
)


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, a, b: -gy * np.floor_divide(a, b)),
    spec=OpSpec(*_DIVIDED, reference=elementwise(_remainder_by_loop)),
    broadcasts=True,
    ufunc=np.remainder,
    methods=("remainder", "__mod__"),
)
def remainder(x: Array, y: Array, /) -> Array:
    """x - floor(x / y) y, which has the sign of y; it jumps where the quotient is whole."""
    return np.remainder(x, y)


@op(
    vjp=(lambda gy, _y, _a, _b: gy, lambda gy, _y, a, b: -gy * np.trunc(a / b)),
    spec=OpSpec(*_DIVIDED, reference=elementwise(lambda a, b: a - int(a / b) * b)),
    broadcasts=True,
    ufunc=np.fmod,
    methods=("fmod",),
)
def fmod(x: Array, y: Array, /) -> Array:
    """x - trunc(x / y) y, which has the sign of x; it jumps where the quotient is whole."""
    return np.fmod(x, y)


def _mul_scalar(self: Tensor, scalar: float) -> Tensor:
    """Product with a Python number: `x * scalar`."""
    return self * scalar


for _name, _op in (
    ("add", add),
    ("sub", sub),
    ("mul", mul),
    ("truediv", div),
    ("pow", pow),
    ("mod", remainder),
):
    setattr(Tensor, f"__r{_name}__", binary_method(_op, swapped=True))
Tensor.mul_scalar = _mul_scalar  # type: ignore[assignment]
