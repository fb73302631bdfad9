"""Ops on images in float32: a convolution 32 -> 64 on 32 x 28 x 28, and batch norm in training on (64, 32, 28, 28)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from contest import JAX, OURS, TORCH
from single import Work

EPS = 1e-5
BATCH, IN, OUT, SIZE = 32, 32, 64, 28
IMAGES = 4  # whose columns are made at a time


def conv_arrays() -> list[np.ndarray]:
    """Images, weight, bias and cotangent."""
    rng = np.random.default_rng(0)
    shapes = ((BATCH, IN, SIZE, SIZE), (OUT, IN, 3, 3), (OUT,), (BATCH, OUT, SIZE, SIZE))
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def conv_by_hand(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gy: np.ndarray
) -> Callable[[], Sequence[np.ndarray]]:
    """Columns of a few images at a time, kept for the weight's gradient; to the input by convolving the gradient."""
    kept = np.empty((BATCH // IMAGES, IN * 9, SIZE * SIZE * IMAGES), np.float32)
    place = np.empty((OUT * 9, SIZE * SIZE * IMAGES), np.float32)
    y = np.empty((OUT, BATCH // IMAGES, SIZE * SIZE * IMAGES), np.float32)
    gx = np.empty((IN, BATCH // IMAGES, SIZE * SIZE * IMAGES), np.float32)
    padded = {c: np.zeros((c, SIZE + 2, SIZE + 2, IMAGES), np.float32) for c in (IN, OUT)}

    def columns(images: np.ndarray, out: np.ndarray) -> np.ndarray:
        c = images.shape[1]
        padded[c][:, 1:-1, 1:-1] = images.transpose(1, 2, 3, 0)
        to = out.reshape(c, 3, 3, SIZE, SIZE, IMAGES)
        for i in range(3):
            for j in range(3):
                to[:, i, j] = padded[c][:, i : i + SIZE, j : j + SIZE]
        return out

    def shaped(flat: np.ndarray) -> np.ndarray:
        c = len(flat)
        return flat.reshape(c, BATCH // IMAGES, SIZE, SIZE, IMAGES).transpose(1, 4, 0, 2, 3).reshape(
            BATCH, c, SIZE, SIZE
        )  # fmt: skip

    def run() -> Sequence[np.ndarray]:
        w = weight.reshape(OUT, -1)
        for i in range(BATCH // IMAGES):
            columns(x[i * IMAGES : (i + 1) * IMAGES], kept[i])
            np.add(w @ kept[i], bias[:, None], out=y[:, i])
        flipped = np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)).reshape(IN, -1)
        gw = np.zeros((OUT, IN * 9), np.float32)
        for i in range(BATCH // IMAGES):
            part = gy[i * IMAGES : (i + 1) * IMAGES]
            g = np.ascontiguousarray(part.transpose(1, 2, 3, 0)).reshape(OUT, -1)
            gw += g @ kept[i].T
            gx[:, i] = flipped @ columns(part, place)
        return shaped(y), shaped(gx), gw.reshape(weight.shape), gy.sum((0, 2, 3))

    return run


def norm_arrays() -> list[np.ndarray]:
    """Images, weight, bias and cotangent."""
    rng = np.random.default_rng(0)
    shapes = ((64, 32, 28, 28), (32,), (32,), (64, 32, 28, 28))
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def norm_by_hand(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, gy: np.ndarray
) -> Callable[[], Sequence[np.ndarray]]:
    """Image by image; sums as products, each pass as few reads as can be."""
    n, c = x.shape[:2]
    x3, g3 = x.reshape(n, c, -1), gy.reshape(n, c, -1)
    y, gx = np.empty_like(x3), np.empty_like(x3)
    pixels = x3.shape[2]
    ones = np.ones(pixels, np.float32)
    s = np.empty((c, pixels), np.float32)

    def run() -> Sequence[np.ndarray]:
        mean = (x3 @ ones).mean(0) / pixels
        square = np.zeros(c, np.float32)
        for image in x3:
            np.subtract(image, mean[:, None], out=s)
            square += np.vecdot(s, s)
        scale = 1 / np.sqrt(square / (n * pixels) + EPS)
        slope = scale * weight
        shift = bias - mean * slope
        for image, to in zip(x3, y, strict=True):
            np.multiply(image, slope[:, None], out=to)
            np.add(to, shift[:, None], out=to)
        gb = (g3 @ ones).sum(0)
        gw = np.zeros(c, np.float32)
        for image, g in zip(x3, g3, strict=True):
            np.subtract(image, mean[:, None], out=s)
            gw += np.vecdot(s, g)
        gw *= scale
        along = slope * scale * gw / (n * pixels)
        rest = slope * gb / (n * pixels) - mean * along
        for image, g, to in zip(x3, g3, gx, strict=True):
            np.multiply(g, slope[:, None], out=to)
            np.multiply(image, along[:, None], out=s)
            np.add(s, rest[:, None], out=s)
            np.subtract(to, s, out=to)
        return y.reshape(x.shape), gx.reshape(x.shape), gw, gb

    return run


def _ours_conv() -> Callable[..., Any]:
    import gradcore

    return lambda x, weight, bias: gradcore.ops.conv2d(x, weight, bias, padding=1)


def _torch_conv() -> Callable[..., Any]:
    from torch.nn.functional import conv2d

    return lambda x, weight, bias: conv2d(x, weight, bias, padding=1)


def _jax_conv() -> Callable[..., Any]:
    import jax

    return lambda x, w, b: jax.lax.conv(x, w, (1, 1), "SAME") + b[:, None, None]


def _mygrad_conv() -> Callable[..., Any]:
    from mygrad.nnet.layers import conv_nd

    return lambda x, w, b: conv_nd(x, w, stride=1, padding=1) + b.reshape(1, -1, 1, 1)


def _ours_norm() -> Callable[..., Any]:
    from gradcore import nn

    module = nn.BatchNorm2d(32)

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        module.weight, module.bias = weight, bias
        return module(x)

    return norm


def _torch_norm() -> Callable[..., Any]:
    import torch

    mean, var = torch.zeros(32), torch.ones(32)
    return lambda x, w, b: torch.nn.functional.batch_norm(x, mean, var, w, b, True, 0.1, EPS)


def _jax_norm() -> Callable[..., Any]:
    import jax.numpy as jnp

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - x.mean((0, 2, 3), keepdims=True)
        normal = centred / jnp.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + EPS)
        return normal * weight[:, None, None] + bias[:, None, None]

    return norm


CONV = Work(
    conv_arrays,
    conv_by_hand,
    {OURS: _ours_conv, TORCH: _torch_conv, JAX: _jax_conv, "mygrad": _mygrad_conv},
    tolerance=1e-4,
)
NORM = Work(norm_arrays, norm_by_hand, {OURS: _ours_norm, TORCH: _torch_norm, JAX: _jax_norm})
