"""Normalisation of each channel by its mean and variance over the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.op import Array, op
from gradcore.spec import OneOf, OpSpec, case, reals


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
