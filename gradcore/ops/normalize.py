"""Normalisation by mean and variance: of the batch, of the last axes, of groups of channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops.elementwise import sqrt, square
from gradcore.ops.reduce import mean
from gradcore.ops.shape import reshape
from gradcore.spec import Derived, OneOf, OpSpec, case, reals


def _axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _normalised(x: Array, eps: float) -> tuple[Array, Array]:
    """(x - mean) / std for each channel, and 1 / std."""
    axes = _axes(x.ndim)
    centred = x - np.mean(x, axis=axes, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    return centred * scale, scale


def _by_channel(v: Array, ndim: int) -> Array:
    return np.reshape(v, (1, -1, *(1,) * (ndim - 2)))


def _rule(
    gy: Array, _y: Array, x: Array, weight: Array, _bias: Array, eps: float = 1e-5, *, needs: tuple[bool, ...]
) -> tuple[Array, ...]:
    axes = _axes(x.ndim)
    normal, scale = _normalised(x, eps)
    gx = None
    if needs[0]:
        g = gy * _by_channel(weight, x.ndim)
        inner = g - np.mean(g, axis=axes, keepdims=True)
        gx = scale * (inner - normal * np.mean(g * normal, axis=axes, keepdims=True))
    return (
        gx,
        np.sum(gy * normal, axis=axes) if needs[1] else None,
        np.sum(gy, axis=axes) if needs[2] else None,
    )


def _by_loop(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c].ravel().tolist()
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        out[:, c] = weight[c] * (x[:, c] - mean) / math.sqrt(variance + eps) + bias[c]
    return out


@op(
    vjp=_rule,
    spec=OpSpec(
        case(reals("n c"), reals("c"), reals("c"), params={"eps": OneOf(1e-5, 1e-2)}, sizes={"n": (2, 6)}),
        case(
            reals("n c h w"),
            reals("c"),
            reals("c"),
            params={"eps": OneOf(1e-5, 1e-2)},
            sizes={"n": (2, 4), "h": (1, 3), "w": (1, 3)},
        ),
        reference=_by_loop,
    ),
)
def batch_norm(x: Array, weight: Array, bias: Array, /, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over all axes of x but axis 1.

    x: (n, c, ...); weight and bias: (c,). The variance is the biased one. Ioffe and Szegedy 2015, algorithm 1.
    """
    normal, _ = _normalised(x, eps)
    return normal * _by_channel(weight, x.ndim) + _by_channel(bias, x.ndim)


def _scaled(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps) over these axes."""
    centred = x - mean(x, axes, True)
    return centred / sqrt(mean(square(centred), axes, True) + eps)


def _rows_by_loop(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    rows = x.reshape((-1, weight.size))
    out = np.empty(rows.shape)
    for i, row in enumerate(rows.tolist()):
        middle = math.fsum(row) / len(row)
        variance = math.fsum((v - middle) ** 2 for v in row) / len(row)
        for j, v in enumerate(row):
            out[i, j] = (v - middle) / math.sqrt(variance + eps) * weight.flat[j] + bias.flat[j]
    return out.reshape(x.shape)


_EPS = {"eps": OneOf(1e-5, 1e-2)}


@composed(
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
    )
)
def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over the last axes, those of the weight.

    Ba et al. 2016. Raises ShapeError where x does not end in the weight's shape.
    """
    axes = _last_axes("layer_norm", x, weight)
    return _scaled(x, axes, eps) * weight + bias


def _last_axes(name: str, x: Array, weight: Array) -> tuple[int, ...]:
    own, shape = np.shape(weight), np.shape(x)
    if not own or shape[-len(own) :] != own:
        raise ShapeError(
            f"{name} got x of shape {shape} and a weight of shape {own}: x must end in the weight's shape"
        )
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

    x: (n, c, ...), of which c / groups channels in a row are a group; weight and bias: (c,). Wu and He 2018. Raises ShapeError where the groups do not divide c, or the weight is not (c,).
    """
    shape = np.shape(x)
    if len(shape) < 2 or groups < 1 or shape[1] % groups or np.shape(weight) != shape[1:2]:
        raise ShapeError(
            f"group_norm got x of shape {shape}, {groups} groups and a weight of shape {np.shape(weight)}: x is (n, c, ...), "
            "with c a multiple of the groups, and the weight (c,)"
        )
    grouped = reshape(x, (shape[0], groups, math.prod(shape[1:]) // groups))
    by_channel = (shape[1], *(1,) * (len(shape) - 2))
    return reshape(_scaled(grouped, (2,), eps), shape) * reshape(weight, by_channel) + reshape(
        bias, by_channel
    )
