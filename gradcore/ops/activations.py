"""Activations: functions of one array between the layers of a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops._rows import are_arrays, each_block, row_blocks, writable
from gradcore.ops.axes import axis_of
from gradcore.ops.choice import clip, where
from gradcore.ops.exponential import logaddexp, sigmoid
from gradcore.ops.index import getitem
from gradcore.ops.reference import elementwise
from gradcore.ops.shape import reshape
from gradcore.ops.special import erfc
from gradcore.spec import Derived, Env, OneOf, OpSpec, case, interval, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_BOTH_SIDES = interval(-5.0, 5.0, kinks=(0.0,))


@op(
    vjp=lambda gy, y, _x: gy * (y > 0),
    spec=OpSpec(case(reals(kinks=(0.0,))), reference=elementwise(lambda x: x if x > 0 else 0.0)),
    methods=("relu",),
)
def relu(x: Array, /) -> Array:
    """The positive part: max(x, 0); the derivative at 0 is taken as 0."""
    return np.maximum(x, 0)


@op(
    vjp=lambda gy, _y, x, slope=0.01: np.where(x > 0, gy, gy * slope),
    spec=OpSpec(
        case(reals(kinks=(0.0,)), params={"slope": OneOf(0.01, 0.3, 0.0, 2.0, -0.5)}),
        reference=lambda x, slope=0.01: elementwise(lambda v: v if v > 0 else slope * v)(x),
    ),
)
def leaky_relu(x: Array, /, slope: float = 0.01) -> Array:
    """x where x > 0, `slope` x elsewhere; the derivative at 0 is taken as `slope`."""
    return np.where(x > 0, x, x * slope)


def _by_channel(x: Array, weight: Array) -> Array:
    count = np.shape(weight)
    if count in ((), (1,)):
        return reshape(weight, ())
    if len(count) == 1 and len(x.shape) > 1 and count[0] == x.shape[1]:
        return reshape(weight, (count[0],) + (1,) * (len(x.shape) - 2))
    channels = f"({x.shape[1]},), one for each channel, or " if len(x.shape) > 1 else ""
    raise ShapeError(
        f"prelu got x of shape {x.shape} and a weight of shape {count}: {channels}(1,) would fit"
    )


def _prelu_by_loop(x: Array, weight: Array) -> Array:
    y = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        a = weight[index[1]] if weight.size > 1 else weight.item()
        y[index] = x[index] if x[index] > 0 else a * x[index]
    return y


@composed(
    spec=OpSpec(
        case(reals("n c", kinks=(0.0,)), reals("c")),
        case(reals("n c h w", kinks=(0.0,)), reals("c")),
        case(reals(kinks=(0.0,)), reals("1")),
        reference=_prelu_by_loop,
    )
)
def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, `weight` x elsewhere; weight: one number, or one for each channel, which is axis 1 of x.

    He et al. 2015, "Delving Deep into Rectifiers", equation 1. Raises ShapeError where the weight does not fit.
    """
    return where(plain(x) > 0, x, x * _by_channel(x, weight))


def _elu_by_loop(x: Array, alpha: float = 1.0) -> Array:
    return elementwise(lambda v: v if v > 0 else alpha * math.expm1(v))(x)


@op(
    # alpha e^x, which y + alpha is as well: in the left tail that has no digits left
    vjp=lambda gy, _y, x, alpha=1.0: np.where(x > 0, gy, gy * (np.exp(np.minimum(x, 0)) * alpha)),
    spec=OpSpec(case(_BOTH_SIDES, params={"alpha": OneOf(1.0, 0.3, 2.0)}), reference=_elu_by_loop),
)
def elu(x: Array, /, alpha: float = 1.0) -> Array:
    """x where x > 0, alpha (e^x - 1) elsewhere: Clevert et al. 2016, equation 15; the derivative at 0 is taken as alpha."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * alpha)


@composed(
    spec=OpSpec(
        case(_BOTH_SIDES, params={"alpha": OneOf(1.0, 0.3, 2.0)}),
        reference=lambda x, alpha=1.0: elementwise(lambda v: v if v > 0 else alpha * math.expm1(v / alpha))(
            x
        ),
    )
)
def celu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, alpha (e^(x / alpha) - 1) elsewhere: smooth to the first derivative (Barron 2017).

    Raises DomainError for an alpha of 0.
    """
    if alpha == 0:
        raise DomainError("celu got alpha=0, by which it divides: relu(x) is its limit")
    return elu(x / alpha) * alpha


@composed(
    spec=OpSpec(
        case(_BOTH_SIDES),
        reference=elementwise(lambda x: _SELU_SCALE * (x if x > 0 else _SELU_ALPHA * (math.exp(x) - 1))),
    )
)
def selu(x: Array) -> Array:
    """The scaled elu that keeps mean 0 and variance 1: Klambauer et al. 2017, equation 2."""
    return elu(x, alpha=_SELU_ALPHA) * _SELU_SCALE


def _softplus_by_loop(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


@composed(
    spec=OpSpec(
        case(interval(-20.0, 20.0), params={"beta": OneOf(1.0, 0.5, 2.0)}),
        reference=lambda x, beta=1.0: elementwise(lambda v: _softplus_by_loop(beta * v) / beta)(x),
    )
)
def softplus(x: Array, beta: float = 1.0) -> Array:
    """log(1 + e^(beta x)) / beta, free of overflow; DomainError unless beta > 0."""
    if not beta > 0:
        raise DomainError(f"softplus got beta={beta}: it must be above 0")
    return logaddexp(x * beta, 0.0) / beta


@composed(spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(lambda x: -_softplus_by_loop(-x))))
def logsigmoid(x: Array) -> Array:
    """log(1 / (1 + e^-x)), accurate in both tails and free of overflow."""
    return -logaddexp(-x, 0.0)


@composed(spec=OpSpec(case(interval(-20.0, 20.0)), reference=elementwise(lambda x: x / (1 + math.exp(-x)))))
def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish: Elfwing et al. 2018."""
    return x * sigmoid(x)


@composed(
    spec=OpSpec(
        case(interval(-10.0, 10.0)), reference=elementwise(lambda x: x * math.tanh(_softplus_by_loop(x)))
    )
)
def mish(x: Array) -> Array:
    """x tanh(softplus(x)): Misra 2020."""
    # With q = 1 - s the quotient is tanh(softplus(x)), and nothing on the way overflows.
    s, q = sigmoid(x), sigmoid(-x)
    return x * s * (1 + q) / (1 + q * q)


def _gelu_by_loop(x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return elementwise(lambda v: v * math.erfc(-v / math.sqrt(2)) / 2)(x)
    return elementwise(lambda v: v / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))))(x)


# 0.5 (1 + tanh z) = sigmoid(2 z), which keeps its digits in the left tail: 2 z = x (_LINEAR + _CUBIC x^2).
_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = _LINEAR * 0.044715


def _gelu_rule(gy: Array, y: Array, x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        if writable(x, y, gy):
            return _tanh_gelu_gradient(gy, y, x)
        share = sigmoid(x * (x * x * _CUBIC + _LINEAR))
        return gy * (share + x * share * (1 - share) * (x * x * (3 * _CUBIC) + _LINEAR))
    share = _share(y, x, np.empty_like(y)) if are_arrays(y, x) else erfc(x * -math.sqrt(0.5)) * 0.5
    return gy * (share + x * np.exp(x * x * -0.5) * math.sqrt(0.5 / math.pi))


def _share(y: NDArray[Any], x: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """The share y / x of x that gelu lets through, 1/2 where x is 0, in `out`: far cheaper than to compute it again."""
    zero = x == 0
    some = bool(zero.any())
    np.divide(y, x + zero if some else x, out=out)
    if some:
        out[zero] = 0.5
    return out


def _tanh_gelu_gradient(gy: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    """The rule above, a block at a time: gy (s + y (1 - s) (_LINEAR + 3 _CUBIC x^2)), with s the share."""
    gx = np.empty(x.shape, x.dtype)
    xs, ys, gys, gxs = x.reshape(-1), y.reshape(-1), gy.reshape(-1), gx.reshape(-1)

    def pull(block: slice) -> None:
        part, out = xs[block], gxs[block]
        s, t = np.empty((2, len(part)), x.dtype)
        _share(ys[block], part, s)
        np.multiply(part, part, out=out)
        out *= 3 * _CUBIC
        out += _LINEAR
        out *= ys[block]
        np.multiply(out, s, out=t)
        out -= t
        out += s
        out *= gys[block]

    each_block(pull, row_blocks(x.size, 1))
    return gx


@op(
    vjp=_gelu_rule,
    spec=OpSpec(
        case(interval(-5.0, 5.0), params={"approximate": OneOf("none", "tanh")}), reference=_gelu_by_loop
    ),
)
def gelu(x: Array, /, approximate: Literal["none", "tanh"] = "none") -> Array:
    """x Phi(x), with Phi the normal distribution function: Hendrycks and Gimpel 2016.

    approximate: "tanh" for 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). Raises DomainError for another word.
    """
    if approximate == "none":
        return x * erfc(x * -math.sqrt(0.5)) * 0.5
    if approximate != "tanh":
        raise DomainError(f"gelu got approximate={approximate!r}: it is 'none' or 'tanh'")
    if not writable(x):
        return x * sigmoid(x * (x * x * _CUBIC + _LINEAR))
    y, xs = np.empty(x.size, x.dtype), x.reshape(-1)

    def fill(block: slice) -> None:
        part, out = xs[block], y[block]
        np.multiply(part, part, out=out)
        out *= -_CUBIC
        out -= _LINEAR
        out *= part
        np.exp(out, out=out)
        out += 1
        np.divide(part, out, out=out)

    with np.errstate(over="ignore"):  # of e^-2z, far to the left, where the result is as good as 0
        each_block(fill, row_blocks(x.size, 1))
    return y.reshape(x.shape)


@composed(spec=OpSpec(case(reals(kinks=(0.0,))), reference=elementwise(lambda x: x / (1 + math.fabs(x)))))
def softsign(x: Array) -> Array:
    """x / (1 + |x|)."""
    return x / (np.absolute(x) + 1)


@composed(
    spec=OpSpec(case(reals(kinks=(0.0, 6.0))), reference=elementwise(lambda x: sorted((0.0, x, 6.0))[1]))
)
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return clip(x, 0.0, 6.0)


@composed(
    spec=OpSpec(
        case(interval(-3.0, 3.0, kinks=(-1.0, 1.0))),
        reference=elementwise(lambda x: sorted((-1.0, x, 1.0))[1]),
    )
)
def hardtanh(x: Array) -> Array:
    """min(max(x, -1), 1); for other bounds there is `clip`."""
    return clip(x, -1.0, 1.0)


@composed(
    spec=OpSpec(
        case(interval(-6.0, 6.0, kinks=(-3.0, 3.0))),
        reference=elementwise(lambda x: sorted((0.0, (x + 3) / 6, 1.0))[1]),
    )
)
def hardsigmoid(x: Array) -> Array:
    """min(max(x / 6 + 1 / 2, 0), 1): Howard et al. 2019, section 5.2."""
    return clip(x / 6 + 0.5, 0.0, 1.0)


@composed(
    spec=OpSpec(
        case(interval(-6.0, 6.0, kinks=(-3.0, 3.0))),
        reference=elementwise(lambda x: x * sorted((0.0, (x + 3) / 6, 1.0))[1]),
    )
)
def hardswish(x: Array) -> Array:
    """x hardsigmoid(x): Howard et al. 2019, section 5.2."""
    return x * hardsigmoid(x)


def _even_axes(env: Env) -> list[int]:
    (shape,) = env.shapes
    even = [i for i, n in enumerate(shape) if n % 2 == 0]
    return [*even, *[i - len(shape) for i in even]]


def _glu_by_halves(x: Array, axis: int = -1) -> Array:
    a, b = np.split(x, 2, axis)
    return elementwise(lambda p, q: p / (1 + math.exp(-q)))(a, b)


@composed(
    spec=OpSpec(case(interval(-10.0, 10.0), params={"axis": Derived(_even_axes)}), reference=_glu_by_halves)
)
def glu(x: Array, axis: int = -1) -> Array:
    """a sigmoid(b) for the halves a, b of x along `axis`: Dauphin et al. 2017. ShapeError for an odd size."""
    axis = axis_of("glu", axis, len(x.shape), x.shape)
    half, odd = divmod(x.shape[axis], 2)
    if odd:
        raise ShapeError(f"glu halves axis {axis} of shape {x.shape}, whose size {x.shape[axis]} is odd")
    before = (slice(None),) * axis
    return getitem(x, (*before, slice(None, half))) * sigmoid(getitem(x, (*before, slice(half, None))))
