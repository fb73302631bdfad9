"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

import math

import numpy as np

from gradcore.op import Array, composed, op
from gradcore.ops.reference import elementwise
from gradcore.spec import OpSpec, case, interval, pair, positives, reals


def _apart(x: Array, y: Array) -> bool:
    # Away from the origin, and from where the angle jumps.
    return bool(np.all((np.hypot(x, y) > 0.1) & ((y > 0.1) | (np.abs(x) > 0.1))))


_APART_FROM_0 = tuple([c.replaced(values_where=_apart) for c in pair(interval(-5.0, 5.0))])


def _over_square(side: Array, y: Array, x: Array) -> Array:
    """side / (x^2 + y^2), free of overflow; 0 at the origin."""
    r = np.hypot(y, x)
    r = np.where(r == 0, np.ones((), r.dtype), r)
    return side / r / r


def _arctan2_y(gy: Array, _out: Array, y: Array, x: Array) -> Array:
    return gy * _over_square(x, y, x)


def _arctan2_x(gy: Array, _out: Array, y: Array, x: Array) -> Array:
    return -gy * _over_square(y, y, x)


def _hypot_side(gy: Array, y: Array, side: Array, _other: Array) -> Array:
    return gy * (side / np.where(y == 0, np.ones((), y.dtype), y))


def _length(a: float, b: float) -> float:
    longest = math.fabs(a) if math.fabs(a) > math.fabs(b) else math.fabs(b)
    return longest * math.sqrt((a / longest) ** 2 + (b / longest) ** 2)


_SINC = [(-1) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(1, 11)]
"""sinc'(x) = sum _SINC[k-1] x^(2k-1)."""


def _sinc_slope(x: Array) -> Array:
    """(cos(pi x) - sinc(x)) / x; by its series where the two cancel."""
    near = np.absolute(x) < 0.5
    small = np.where(near, x, np.zeros((), x.dtype))
    square = small * small
    series = small * _SINC[-1]
    for coefficient in _SINC[-2::-1]:
        series = series * square + small * coefficient
    large = np.where(near, np.ones((), x.dtype), x)
    return np.where(near, series, (np.cos(large * math.pi) - np.sinc(large)) / large)


@op(
    vjp=lambda gy, _y, x: gy * np.cos(x),
    spec=OpSpec(case(reals()), reference=elementwise(math.sin)),
    ufunc=np.sin,
    methods=("sin",),
)
def sin(x: Array, /) -> Array:
    """The sine, of radians."""
    return np.sin(x)


@op(
    vjp=lambda gy, _y, x: -gy * np.sin(x),
    spec=OpSpec(case(reals()), reference=elementwise(math.cos)),
    ufunc=np.cos,
    methods=("cos",),
)
def cos(x: Array, /) -> Array:
    """The cosine, of radians."""
    return np.cos(x)


@op(
    vjp=lambda gy, y, _x: gy * (1 + y * y),
    spec=OpSpec(case(interval(-1.4, 1.4)), reference=elementwise(lambda x: math.sin(x) / math.cos(x))),
    ufunc=np.tan,
    methods=("tan",),
)
def tan(x: Array, /) -> Array:
    """The tangent, of radians."""
    return np.tan(x)


@op(
    vjp=lambda gy, _y, x: gy / np.sqrt((1 - x) * (1 + x)),
    spec=OpSpec(
        case(interval(-0.99, 0.99, specials=(0.0,))),
        reference=elementwise(lambda x: math.atan2(x, math.sqrt((1 - x) * (1 + x)))),
    ),
    ufunc=np.arcsin,
    methods=("arcsin",),
)
def arcsin(x: Array, /) -> Array:
    """The inverse of sin, in radians, for -1 < x < 1."""
    return np.arcsin(x)


@op(
    vjp=lambda gy, _y, x: -gy / np.sqrt((1 - x) * (1 + x)),
    spec=OpSpec(
        case(interval(-0.99, 0.99, specials=(0.0,))),
        reference=elementwise(lambda x: math.atan2(math.sqrt((1 - x) * (1 + x)), x)),
    ),
    ufunc=np.arccos,
    methods=("arccos",),
)
def arccos(x: Array, /) -> Array:
    """The inverse of cos, in radians, for -1 < x < 1."""
    return np.arccos(x)


@op(
    vjp=lambda gy, _y, x: gy / (1 + x * x),
    spec=OpSpec(case(reals()), reference=elementwise(math.atan)),
    ufunc=np.arctan,
    methods=("arctan",),
)
def arctan(x: Array, /) -> Array:
    """The inverse of tan, in radians."""
    return np.arctan(x)


@op(
    vjp=(_arctan2_y, _arctan2_x),
    spec=OpSpec(*_APART_FROM_0, reference=elementwise(math.atan2)),
    broadcasts=True,
    ufunc=np.arctan2,
    methods=("arctan2",),
)
def arctan2(y: Array, x: Array, /) -> Array:
    """The angle of the point (x, y), in radians from -pi to pi; it jumps where x < 0 and y changes sign."""
    return np.arctan2(y, x)


@op(
    vjp=(_hypot_side, lambda gy, y, a, b: _hypot_side(gy, y, b, a)),
    spec=OpSpec(*_APART_FROM_0, reference=elementwise(_length)),
    broadcasts=True,
    ufunc=np.hypot,
    methods=("hypot",),
)
def hypot(x: Array, y: Array, /) -> Array:
    """sqrt(x^2 + y^2), free of overflow; the derivative at (0, 0) is taken as 0."""
    return np.hypot(x, y)


@op(
    vjp=lambda gy, _y, x: gy * np.cosh(x),
    spec=OpSpec(
        case(interval(-10.0, 10.0)), reference=elementwise(lambda x: (math.expm1(x) - math.expm1(-x)) / 2)
    ),
    ufunc=np.sinh,
    methods=("sinh",),
)
def sinh(x: Array, /) -> Array:
    """The hyperbolic sine."""
    return np.sinh(x)


@op(
    vjp=lambda gy, _y, x: gy * np.sinh(x),
    spec=OpSpec(
        case(interval(-10.0, 10.0)), reference=elementwise(lambda x: (math.exp(x) + math.exp(-x)) / 2)
    ),
    ufunc=np.cosh,
    methods=("cosh",),
)
def cosh(x: Array, /) -> Array:
    """The hyperbolic cosine."""
    return np.cosh(x)


@op(
    vjp=lambda gy, y, _x: gy - gy * (y * y),
    spec=OpSpec(
        case(interval(-3.0, 3.0)),
        reference=elementwise(lambda x: math.expm1(2 * x) / (math.expm1(2 * x) + 2) if x < 300 else 1.0),
    ),
    ufunc=np.tanh,
    methods=("tanh",),
)
def tanh(x: Array, /) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


@op(
    vjp=lambda gy, _y, x: gy / np.hypot(x, 1.0),
    spec=OpSpec(case(reals()), reference=elementwise(math.asinh)),
    ufunc=np.arcsinh,
    methods=("arcsinh",),
)
def arcsinh(x: Array, /) -> Array:
    """The inverse of sinh."""
    return np.arcsinh(x)


@op(
    vjp=lambda gy, _y, x: gy / np.sqrt((x - 1) * (x + 1)),
    spec=OpSpec(
        case(positives(low=1.1, specials=())),
        reference=elementwise(lambda x: math.log(x + math.sqrt((x - 1) * (x + 1)))),
    ),
    ufunc=np.arccosh,
    methods=("arccosh",),
)
def arccosh(x: Array, /) -> Array:
    """The inverse of cosh, for x > 1."""
    return np.arccosh(x)


@op(
    vjp=lambda gy, _y, x: gy / ((1 - x) * (1 + x)),
    spec=OpSpec(
        case(interval(-0.95, 0.95, specials=(0.0,))),
        reference=elementwise(lambda x: (math.log1p(x) - math.log1p(-x)) / 2),
    ),
    ufunc=np.arctanh,
    methods=("arctanh",),
)
def arctanh(x: Array, /) -> Array:
    """The inverse of tanh, for -1 < x < 1."""
    return np.arctanh(x)


@op(
    vjp=lambda gy, _y, x: gy * _sinc_slope(x),
    spec=OpSpec(
        case(interval(-5.0, 5.0)),
        reference=elementwise(lambda x: math.sin(math.pi * x) / (math.pi * x) if x else 1.0),
    ),
    numpy=(np.sinc,),
    methods=("sinc",),
)
def sinc(x: Array, /) -> Array:
    """sin(pi x) / (pi x), which is 1 at 0."""
    return np.sinc(x)


@composed(
    spec=OpSpec(case(reals()), reference=elementwise(math.radians)),
    numpy=(np.deg2rad, np.radians),
    methods=("deg2rad",),
)
def deg2rad(x: Array) -> Array:
    """Degrees to radians."""
    return x * (math.pi / 180)


@composed(
    spec=OpSpec(case(reals()), reference=elementwise(math.degrees)),
    numpy=(np.rad2deg, np.degrees),
    methods=("rad2deg",),
)
def rad2deg(x: Array) -> Array:
    """Radians to degrees."""
    return x * (180 / math.pi)
