"""Gelu by its approximation with tanh, on (512, 1024) numbers in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from contest import JAX, OURS, TORCH
from single import Work

SHAPE = (512, 1024)
BLOCK = 64  # rows, which with the buffers stay in the cache
_C, _A = math.sqrt(2 / math.pi), 0.044715


def arrays() -> list[np.ndarray]:
    """The input and the cotangent."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(2)]


def gelu_by_hand(x: np.ndarray, gy: np.ndarray) -> Callable[[], Sequence[np.ndarray]]:
    """Block by block; tanh is kept for the backward pass."""
    y, t, gx = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    s, u = np.empty((BLOCK, SHAPE[1]), np.float32), np.empty((BLOCK, SHAPE[1]), np.float32)
    one, half, c, ca, ca3 = (np.array(v, np.float32) for v in (1.0, 0.5, _C, _C * _A, 3 * _C * _A))

    def run() -> Sequence[np.ndarray]:
        for i in range(0, SHAPE[0], BLOCK):
            b, tb, yb = x[i : i + BLOCK], t[i : i + BLOCK], y[i : i + BLOCK]
            np.multiply(b, b, out=s)
            np.multiply(s, ca, out=s)
            np.add(s, c, out=s)
            np.multiply(s, b, out=s)
            np.tanh(s, out=tb)
            np.add(tb, one, out=s)
            np.multiply(s, b, out=s)
            np.multiply(s, half, out=yb)
        for i in range(0, SHAPE[0], BLOCK):
            b, tb = x[i : i + BLOCK], t[i : i + BLOCK]
            np.multiply(b, b, out=s)
            np.multiply(s, ca3, out=s)
            np.add(s, c, out=s)
            np.multiply(s, b, out=s)
            np.multiply(tb, tb, out=u)
            np.subtract(one, u, out=u)
            np.multiply(s, u, out=s)
            np.add(s, tb, out=s)
            np.add(s, one, out=s)
            np.multiply(s, half, out=s)
            np.multiply(s, gy[i : i + BLOCK], out=gx[i : i + BLOCK])
        return y, gx

    return run


def _gradcore() -> Callable[..., Any]:
    from gradcore.nn import functional

    return lambda x: functional.gelu(x, "tanh")


def _torch() -> Callable[..., Any]:
    from torch.nn import functional

    return lambda x: functional.gelu(x, approximate="tanh")


def _jax() -> Callable[..., Any]:
    import jax

    return lambda x: jax.nn.gelu(x, approximate=True)


GELU = Work(arrays, gelu_by_hand, {OURS: _gradcore, TORCH: _torch, JAX: _jax})
