"""Softmax and layer norm over the rows of (512, 1024) numbers in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from activations import BLOCK, SHAPE, arrays
from contest import JAX, OURS, TORCH
from single import Work

EPS = 1e-5


def softmax_by_hand(x: np.ndarray, gy: np.ndarray) -> Callable[[], Sequence[np.ndarray]]:
    """Block by block; sums of rows as products."""
    y, gx = np.empty_like(x), np.empty_like(x)
    ones = np.ones(SHAPE[1], np.float32)

    def run() -> Sequence[np.ndarray]:
        for i in range(0, SHAPE[0], BLOCK):
            b, yb = x[i : i + BLOCK], y[i : i + BLOCK]
            np.subtract(b, np.maximum.reduce(b, axis=1)[:, None], out=yb)
            np.exp(yb, out=yb)
            np.multiply(yb, (1 / (yb @ ones))[:, None], out=yb)
        for i in range(0, SHAPE[0], BLOCK):
            yb, gb, out = y[i : i + BLOCK], gy[i : i + BLOCK], gx[i : i + BLOCK]
            np.subtract(gb, np.vecdot(gb, yb)[:, None], out=out)
            np.multiply(out, yb, out=out)
        return y, gx

    return run


def layer_norm_arrays() -> list[np.ndarray]:
    """The input, weight, bias and cotangent."""
    x, gy = arrays()
    weight, bias = np.random.default_rng(1).standard_normal((2, SHAPE[1]), dtype=np.float32)
    return [x, weight, bias, gy]


def layer_norm_by_hand(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gy: np.ndarray
) -> Callable[[], Sequence[np.ndarray]]:
    """Block by block; what is normal is kept for the backward pass, sums are products."""
    y, gx, normal = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    n = SHAPE[1]
    ones = np.ones(n, np.float32)
    share = np.full(n, 1 / n, np.float32)
    scale = np.empty(SHAPE[0], np.float32)
    g, s = np.empty((BLOCK, n), np.float32), np.empty((BLOCK, n), np.float32)

    def run() -> Sequence[np.ndarray]:
        for i in range(0, SHAPE[0], BLOCK):
            b, nb, yb = x[i : i + BLOCK], normal[i : i + BLOCK], y[i : i + BLOCK]
            np.subtract(b, (b @ share)[:, None], out=nb)
            scale[i : i + BLOCK] = 1 / np.sqrt(np.vecdot(nb, nb) / n + EPS)
            np.multiply(nb, scale[i : i + BLOCK, None], out=nb)
            np.multiply(nb, weight, out=yb)
            np.add(yb, bias, out=yb)
        gw, gb = np.zeros(n, np.float32), np.zeros(n, np.float32)
        for i in range(0, SHAPE[0], BLOCK):
            gyb, nb, out = gy[i : i + BLOCK], normal[i : i + BLOCK], gx[i : i + BLOCK]
            np.multiply(gyb, nb, out=s)
            np.add(gw, ones[:BLOCK] @ s, out=gw)
            np.add(gb, ones[:BLOCK] @ gyb, out=gb)
            np.multiply(gyb, weight, out=g)
            np.multiply(nb, (np.vecdot(g, nb) / n)[:, None], out=s)
            np.subtract(g, (g @ share)[:, None], out=out)
            np.subtract(out, s, out=out)
            np.multiply(out, scale[i : i + BLOCK, None], out=out)
        return y, gx, gw, gb

    return run


def _ours_softmax() -> Callable[..., Any]:
    from gradcore.nn import functional

    return functional.softmax


def _torch_softmax() -> Callable[..., Any]:
    import torch

    return lambda x: torch.softmax(x, -1)


def _jax_softmax() -> Callable[..., Any]:
    import jax

    return jax.nn.softmax


def _mygrad_softmax() -> Callable[..., Any]:
    from mygrad.nnet.activations import softmax

    return softmax


def _ours_layer_norm() -> Callable[..., Any]:
    import gradcore

    return gradcore.ops.layer_norm


def _torch_layer_norm() -> Callable[..., Any]:
    from torch.nn.functional import layer_norm

    return lambda x, weight, bias: layer_norm(x, SHAPE[1:], weight, bias, EPS)


def _jax_layer_norm() -> Callable[..., Any]:
    import jax.numpy as jnp

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - x.mean(1, keepdims=True)
        return centred / jnp.sqrt((centred**2).mean(1, keepdims=True) + EPS) * weight + bias

    return layer_norm


SOFTMAX = Work(
    arrays,
    softmax_by_hand,
    {OURS: _ours_softmax, TORCH: _torch_softmax, JAX: _jax_softmax, "mygrad": _mygrad_softmax},
)
LAYER_NORM = Work(
    layer_norm_arrays,
    layer_norm_by_hand,
    {OURS: _ours_layer_norm, TORCH: _torch_layer_norm, JAX: _jax_layer_norm},
)
