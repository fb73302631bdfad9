"""The error function, and the logarithm of the gamma function with its derivatives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.op import Array, op
from gradcore.ops._rows import Blocks, each_block, row_blocks
from gradcore.ops.reference import elementwise
from gradcore.ops.shape import as_floats
from gradcore.spec import OneOf, OpSpec, case, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORK = 4  # of an entry: as much as of four that are but exponentiated
_SLOPE = 2 / math.sqrt(math.pi)
_erf, _erfc, _lgamma = (np.frompyfunc(f, 1, 1) for f in (math.erf, math.erfc, math.lgamma))


def _one_by_one(function: np.ufunc, x: Array) -> Array:
    """The Python numbers that the function gives of each entry, as an array of x's dtype."""
    return np.asarray(function(x), x.dtype)


def _by_series(x: float) -> float:
    """Erf by its series, or by the continued fraction of erfc (Abramowitz and Stegun 1964, 7.1.5 and 7.1.14)."""
    z = math.fabs(x)
    if z < 2.5:
        term = total = x
        for n in range(1, 60):
            term *= -x * x / n
            total += term / (2 * n + 1)
        return total * _SLOPE
    return math.copysign(1 - _tail(z), x)


def _tail(z: float) -> float:
    fraction = z
    for n in range(120, 0, -1):
        fraction = z + n / 2 / fraction
    return math.exp(-z * z) / fraction / math.sqrt(math.pi)


@op(
    vjp=lambda gy, _y, x: gy * _SLOPE * np.exp(-(x * x)),
    spec=OpSpec(case(interval(-4.0, 4.0)), reference=elementwise(_by_series)),
    methods=("erf",),
)
def erf(x: Array, /) -> Array:
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return _one_by_one(_erf, as_floats(x))


# log(erfc(z) / t) + z^2 in powers of t = 2 / (2 + z), for z from 0 to 10.5, beyond which erfc is below any number of 32
# bits: a Chebyshev interpolation of mpmath's values. Of erfc it loses less than 2e-10, relatively.
_TAIL = (
    -1.26550520038,
    0.9997550215564,
    0.3788636300713,
    0.04742537211872,
    0.1330216814488,
    -1.06568240686,
    2.649257231201,
    -5.732661263866,
    8.517234635063,
    -7.866346744792,
    4.391175707364,
    -1.372349280495,
    0.185811617742,
)


def _erfc_in_doubles(x: NDArray[Any]) -> NDArray[Any]:
    """Erfc of 32 bits or fewer, a block at a time: seven times as fast as a call of `math.erfc` for each entry."""
    xs, out = x.reshape(-1), np.empty(x.size, x.dtype)

    def fill(block: slice) -> None:
        part = xs[block].astype(np.float64)
        z = np.absolute(part)
        t = 2 / (z + 2)
        e = np.full_like(t, _TAIL[-1])
        for coefficient in _TAIL[-2::-1]:
            e *= t
            e += coefficient
        z *= z
        e -= z
        np.exp(e, out=e)
        e *= t
        sign = np.copysign(1.0, part)  # erfc(-z) = 2 - erfc(z)
        e *= sign
        e += 1 - sign
        out[block] = e

    blocks = row_blocks(x.size, 1)
    each_block(fill, Blocks(blocks, _WORK * blocks.work))
    return out.reshape(x.shape)


@op(
    vjp=lambda gy, _y, x: gy * -_SLOPE * np.exp(-(x * x)),
    spec=OpSpec(
        case(interval(-4.0, 8.0)), reference=elementwise(lambda x: _tail(x) if x > 2.5 else 1 - _by_series(x))
    ),
    methods=("erfc",),
)
def erfc(x: Array, /) -> Array:
    """1 - erf(x), accurate in the right tail."""
    x = as_floats(x)
    if isinstance(x, np.ndarray) and x.dtype.itemsize <= 4:
        return _erfc_in_doubles(x)
    return _one_by_one(_erfc, x)


def _integral(n: int, x: float) -> float:
    """The polygamma function of order n as an integral (Abramowitz and Stegun 1964, 6.3.21 and 6.4.1), by tanh-sinh's rule."""
    total = []
    for k in range(-350, 351):
        s = k / 80
        t = math.exp(math.pi / 2 * math.sinh(s))  # from 0 to infinity
        weight = t * math.pi / 2 * math.cosh(s) / 80
        if n:
            total.append(weight * t**n * math.exp(-x * t) / -math.expm1(-t))
        else:
            total.append(weight * (math.exp(-t) / t - math.exp(-x * t) / -math.expm1(-t)))
    return math.fsum(total) * (1.0 if n % 2 or not n else -1.0)


_SHIFT = 12
_BERNOULLI = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
)


def _polygamma(x: Array, n: int) -> Array:
    """By its recurrence up to x + 12 + n, then its asymptotic series (Abramowitz and Stegun 1964, 6.4.6 and 6.4.11)."""
    sign = 1.0 if n % 2 else -1.0
    steps = _SHIFT + n
    x = as_floats(x)
    wide = np.where(x > 0, x, np.nan).astype(np.float64)
    below = sum([(wide + k) ** -(n + 1.0) for k in range(steps)]) * math.factorial(n)
    z = wide + steps
    first = -np.log(z) if n == 0 else math.factorial(n - 1) * z ** -float(n)
    series = first + math.factorial(n) / 2 * z ** -(n + 1.0)
    for k, b in enumerate(_BERNOULLI, 1):
        series = series + b * (math.factorial(2 * k + n - 1) / math.factorial(2 * k)) * z ** -(2.0 * k + n)
    return (sign * (below + series)).astype(x.dtype)


def _polygamma_rule(gy: Array, _y: Array, x: Array, n: int) -> Array:
    return gy * polygamma(x, n + 1)


@op(
    vjp=_polygamma_rule,
    spec=OpSpec(
        case(interval(0.3, 30.0, specials=(1.0,)), params={"n": OneOf(0, 1, 2, 3)}),
        reference=lambda x, n: elementwise(lambda v: _integral(n, v))(x),
    ),
)
def polygamma(x: Array, /, n: int) -> Array:
    """The derivative of order n + 1 of log gamma(x), for x > 0; NaN elsewhere. DomainError for a negative n."""
    if n < 0:
        raise DomainError(f"polygamma got n={n}: the order is 0 (the digamma function) or above")
    return _polygamma(x, n)


@op(
    vjp=lambda gy, _y, x: gy * polygamma(x, 1),
    spec=OpSpec(case(interval(0.3, 30.0, specials=(1.0,))), reference=elementwise(lambda x: _integral(0, x))),
    methods=("digamma",),
)
def digamma(x: Array, /) -> Array:
    """The derivative of log gamma(x), for x > 0; NaN elsewhere."""
    return _polygamma(x, 0)


@op(
    vjp=lambda gy, _y, x: gy * polygamma(x, 0),
    spec=OpSpec(
        case(interval(0.3, 30.0, specials=(1.0, 2.0))),
        reference=elementwise(lambda x: math.log(math.gamma(x))),
    ),
    methods=("lgamma",),
)
def lgamma(x: Array, /) -> Array:
    """log |gamma(x)|; its derivative is there for x > 0."""
    return _one_by_one(_lgamma, as_floats(x))
