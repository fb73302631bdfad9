"""Normalisation by mean and variance within each example: of the last axes, of groups of channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.modes import repeated
from gradcore.op import Array, composed, op
from gradcore.ops._rows import as_rows, by_block, each_block, row_blocks, writable
from gradcore.ops.elementwise import sqrt, square
from gradcore.ops.reduce import mean
from gradcore.ops.shape import reshape
from gradcore.spec import Derived, OneOf, OpSpec, case, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EPS = {"eps": OneOf(1e-5, 1e-2)}


def _rows_by_loop(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    rows = x.reshape((-1, weight.size))
    out = np.empty(rows.shape)
    for i, row in enumerate(rows.tolist()):
        middle = math.fsum(row) / len(row)
        variance = math.fsum((v - middle) ** 2 for v in row) / len(row)
        for j, v in enumerate(row):
            out[i, j] = (v - middle) / math.sqrt(variance + eps) * weight.flat[j] + bias.flat[j]
    return out.reshape(x.shape)


def _normalised(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """(x - mean) / sqrt(variance + eps) over these axes, and 1 / sqrt(variance + eps)."""
    centred = x - np.mean(x, axis=axes, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    return centred * scale, scale


def _centred(x: NDArray[Any], ones: NDArray[Any], eps: float, out: NDArray[Any]) -> NDArray[Any]:
    """Rows less their means, written to `out`; returns 1 / sqrt(variance + eps)."""
    means = x @ ones
    means /= len(ones)
    np.subtract(x, means[:, None], out=out)
    scale: NDArray[Any] = np.vecdot(out, out)
    scale /= len(ones)
    scale += eps
    np.sqrt(scale, out=scale)
    np.reciprocal(scale, out=scale)
    return scale


def _layer_norm_rule(
    gy: Array, _y: Array, x: Array, weight: Array, bias: Array, eps: float = 1e-5, *, needs: tuple[bool, ...]
) -> tuple[Array, ...]:
    if writable(x, weight, bias, gy):
        return _layer_norm_gradients(gy, x, weight, eps, needs)
    axes = tuple(range(-weight.ndim, 0))
    normal, scale = _normalised(x, axes, eps)
    gx = None
    if needs[0]:
        g = gy * weight
        inner = g - np.mean(g, axis=axes, keepdims=True)
        gx = scale * (inner - normal * np.mean(g * normal, axis=axes, keepdims=True))
    rows = tuple(range(x.ndim - weight.ndim))
    return (
        gx,
        np.sum(gy * normal, axis=rows) if needs[1] else None,
        np.sum(gy, axis=rows) if needs[2] else None,
    )


def _layer_norm_gradients(
    gy: NDArray[Any], x: NDArray[Any], weight: NDArray[Any], eps: float, needs: tuple[bool, ...]
) -> tuple[Array, ...]:
    """The rule above, a block of rows at a time. With c = x - mean and s = 1 / sqrt(variance + eps) of a row of n entries:

    gx = s (gy weight - mean(gy weight) - c s^2 mean(gy c weight)); gw = sum of s gy c over rows; gb = sum of gy.
    """
    n = weight.size
    xs, gys, w = as_rows(x, n), as_rows(gy, n), weight.reshape(n)
    ones = np.ones(n, x.dtype)
    gx = np.empty(x.shape, x.dtype) if needs[0] else None

    def pull(block: slice) -> tuple[Array, Array]:
        """Fill in gx, and give the block's share of gw and of gb."""
        g = gys[block]
        part_b = np.ones(len(g), x.dtype) @ g if needs[2] else None
        if not (needs[0] or needs[1]):
            return None, part_b
        centred, product = np.empty((2, *g.shape), x.dtype)
        scale = _centred(xs[block], ones, eps, centred)
        np.multiply(g, centred, out=product)
        part_w = scale @ product if needs[1] else None
        if gx is not None:
            along = product @ w
            along /= n
            along *= scale
            along *= scale
            means = g @ w
            means /= n
            out = as_rows(gx, n)[block]
            np.multiply(g, w, out=out)
            centred *= along[:, None]
            out -= centred
            out -= means[:, None]
            out *= scale[:, None]
        return part_w, part_b

    gw = np.zeros(n, x.dtype) if needs[1] else None
    gb = np.zeros(n, x.dtype) if needs[2] else None
    for part_w, part_b in by_block(pull, row_blocks(*xs.shape)):
        if gw is not None:
            gw += part_w
        if gb is not None:
            gb += part_b
    return gx, *(found if found is None else found.reshape(weight.shape) for found in (gw, gb))


@op(
    vjp=_layer_norm_rule,
    spec=OpSpec(
        case(reals("n c"), reals("c"), reals("c"), params=_EPS, sizes={"c": (2, 5)}),
        case(
            reals("n t c d"),
            reals("c d"),
            reals("c d"),
            params=_EPS,
            sizes={"c": (2, 3), "d": (1, 3), "t": (0, 2)},
        ),
        reference=_rows_by_loop,
    ),
)
def layer_norm(x: Array, weight: Array, bias: Array, /, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over the last axes, those of the weight.

    Ba et al. 2016. Raises ShapeError where x does not end in the weight's shape, where that has no entries, and where the
    bias has another shape.
    """
    axes = _last_axes("layer_norm", x, weight)
    if bias.shape != weight.shape:
        raise ShapeError(
            f"layer_norm got a weight of shape {weight.shape} and a bias of shape {bias.shape}: they must be equal"
        )
    if not writable(x, weight, bias):
        return _normalised(x, axes, eps)[0] * weight + bias
    rows = as_rows(x, weight.size)
    y = np.empty(x.shape, x.dtype)
    ys = as_rows(y, weight.size)
    ones, w, b = np.ones(weight.size, x.dtype), weight.reshape(-1), bias.reshape(-1)

    def fill(block: slice) -> None:
        out = ys[block]
        out *= _centred(rows[block], ones, eps, out)[:, None]
        out *= w
        out += b

    each_block(fill, row_blocks(*rows.shape))
    return y


def _last_axes(name: str, x: Array, weight: Array) -> tuple[int, ...]:
    own, shape = np.shape(weight), np.shape(x)
    if not own or shape[-len(own) :] != own:
        raise ShapeError(
            f"{name} got x of shape {shape} and a weight of shape {own}: x must end in the weight's shape"
        )
    if 0 in own:
        raise ShapeError(f"{name} got a weight of shape {own}: the mean of no entries has no value")
    return tuple(range(-len(own), 0))


def _rms_by_loop(x: Any, weight: Any, eps: float = 1e-5) -> Any:
    out = np.empty(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        row = x[index].tolist()
        size = math.sqrt(math.fsum(v * v for v in row) / len(row) + eps)
        out[index] = [v / size * w for v, w in zip(row, weight.tolist(), strict=True)]
    return out


@composed(
    spec=OpSpec(
        case(reals("n c"), reals("c"), params=_EPS, sizes={"c": (1, 5)}),
        case(reals("n t c"), reals("c"), params=_EPS, sizes={"c": (1, 4)}),
        reference=_rms_by_loop,
    )
)
def rms_norm(x: Array, weight: Array, eps: float = 1e-5) -> Array:
    """x / sqrt(mean of x^2 + eps) * weight, over the last axes, those of the weight: Zhang and Sennrich 2019, equation 4.

    Raises ShapeError where x does not end in the weight's shape.
    """
    axes = _last_axes("rms_norm", x, weight)
    return x / sqrt(mean(square(x), axes, True) + eps) * weight


def _groups_by_loop(x: Any, weight: Any, bias: Any, groups: int, eps: float = 1e-5) -> Any:
    out = np.empty(x.shape)
    for n in range(x.shape[0]):
        for part in np.split(np.arange(x.shape[1]), groups):
            values = x[n, part]
            out[n, part] = (values - values.mean()) / np.sqrt(values.var() + eps)
    by_channel = (-1, *(1,) * (x.ndim - 2))
    return out * weight.reshape(by_channel) + bias.reshape(by_channel)


_GROUPS = {"groups": Derived(lambda e: [g for g in (1, 2, e["c"]) if e["c"] % g == 0]), **_EPS}


@composed(
    spec=OpSpec(
        case(
            reals("n c"),
            reals("c"),
            reals("c"),
            params=_GROUPS,
            sizes={"c": (2, 4)},
            where=lambda e: e["groups"] < e["c"],
        ),
        case(
            reals("n c h w"),
            reals("c"),
            reals("c"),
            params=_GROUPS,
            sizes={"n": (0, 3), "c": (1, 4), "h": (2, 3), "w": (1, 3)},
        ),
        reference=_groups_by_loop,
    )
)
def group_norm(x: Array, weight: Array, bias: Array, groups: int, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance of each example's group of channels.

    x: (n, c, ...), of which c / groups channels in a row are a group; weight and bias: (c,). Wu and He 2018. Raises
    ShapeError where the groups do not divide c, or weight or bias is not (c,).
    """
    shape = np.shape(x)
    own = np.shape(weight), np.shape(bias)
    if len(shape) < 2 or groups < 1 or shape[1] % groups or own != (shape[1:2], shape[1:2]):
        raise ShapeError(
            f"group_norm got x of shape {shape}, {groups} groups, and weight and bias of shapes {own[0]} and {own[1]}: x is "
            "(n, c, ...), with c a multiple of the groups, and both are (c,)"
        )
    size = math.prod(shape[1:]) // groups
    ones, zeros = (repeated(fill, size, np.result_type(x)) for fill in (np.ones, np.zeros))
    normal = layer_norm(reshape(x, (shape[0], groups, size)), ones, zeros, eps)
    by_channel = (shape[1], *(1,) * (len(shape) - 2))
    return reshape(normal, shape) * reshape(weight, by_channel) + reshape(bias, by_channel)
