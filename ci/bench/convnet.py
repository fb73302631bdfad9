"""One training step of a small convolutional network on images of 1 x 28 x 28: forward, cross-entropy, backward, SGD.

Twice (3 x 3 convolution with padding 1, ReLU, 2 x 2 max pooling), with 16 and 32 channels, then one linear layer to 10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import FLOOR, JAX, OURS, TORCH
from timing import Race
from training import ByHand, GradcoreStep, JaxStep, MyGradStep, Step, TorchStep, Work, race_of

SHAPES = ((16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (32 * 7 * 7, 10), (10,))


def weights() -> list[np.ndarray]:
    """Weights (out, in, 3, 3) and biases of the convolutions, matrix (in, out) and bias of the linear layer."""
    rng = np.random.default_rng(0)
    fans = (9, 0, 144, 0, 1568, 0)
    return [
        (rng.standard_normal(shape) * (np.sqrt(2 / fan) if fan else 0.1)).astype(np.float32)
        for shape, fan in zip(SHAPES, fans, strict=True)
    ]


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, 1, 28, 28) and labels."""
    rng = np.random.default_rng(1)
    return rng.random((size, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, size)


WORK = Work(weights, batch)


def _columns(x: np.ndarray) -> np.ndarray:
    """All 3 x 3 windows of (c, h, w, n), padded by one: (c * 9, h * w * n)."""
    c, h, w, n = x.shape
    padded = np.zeros((c, h + 2, w + 2, n), np.float32)
    padded[:, 1:-1, 1:-1] = x
    found = np.empty((c, 3, 3, h, w, n), np.float32)
    for i in range(3):
        for j in range(3):
            found[:, i, j] = padded[:, i : i + h, j : j + w]
    return found.reshape(c * 9, h * w * n)


def _corners(x: np.ndarray) -> list[np.ndarray]:
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _pooled(x: np.ndarray) -> np.ndarray:
    a, b, c, d = _corners(x)
    found = np.maximum(a, b)
    np.maximum(found, c, out=found)
    return np.maximum(found, d, out=found)


def _unpooled(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Through pooling and ReLU: corners that tie are zeros, through which ReLU lets nothing pass."""
    found = np.empty_like(x)
    g = g * (y > 0)
    for to, corner in zip(_corners(found), _corners(x), strict=True):
        np.multiply(g, corner == y, out=to)
    return found


class Floor(ByHand):
    """By hand: the batch innermost in memory, windows as columns that are kept for the backward pass."""

    def run(self) -> None:
        k1, b1, k2, b2, w, b = self.p
        n = len(self.rows)
        c1 = _columns(self.images.transpose(1, 2, 3, 0))
        h1 = k1.reshape(16, 9) @ c1
        h1 += b1[:, None]
        np.maximum(h1, np.float32(0), out=h1)
        h1 = h1.reshape(16, 28, 28, n)
        p1 = _pooled(h1)
        c2 = _columns(p1)
        h2 = k2.reshape(32, 144) @ c2
        h2 += b2[:, None]
        np.maximum(h2, np.float32(0), out=h2)
        h2 = h2.reshape(32, 14, 14, n)
        p2 = _pooled(h2)
        features = p2.reshape(-1, n)
        z = features.T @ w
        z += b
        self.softmax_in_place(z)
        g2 = _unpooled((w @ z.T).reshape(p2.shape), p2, h2)
        flipped = k2[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(16, 32 * 9)
        g1 = _unpooled((flipped @ _columns(g2)).reshape(p1.shape), p1, h1)
        g1, g2 = g1.reshape(16, -1), g2.reshape(32, -1)
        self.descend((g1 @ c1.T, g1.sum(1), g2 @ c2.T, g2.sum(1), features @ z, z.sum(0)))


def _model(nn: Any) -> Any:
    """The network, of gradcore's modules or of PyTorch's: they take the same arguments."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip


class Gradcore(GradcoreStep):
    def made(self) -> Any:
        from gradcore import nn

        return _model(nn)


class Torch(TorchStep):
    def made(self) -> Any:
        from torch import nn

        return _model(nn)


class Jax(JaxStep):
    def logits(self, p: list[Any], x: Any) -> Any:
        import jax

        for k, bias in (p[:2], p[2:4]):
            x = jax.nn.relu(jax.lax.conv(x, k, (1, 1), "SAME") + bias[:, None, None])
            x = jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return x.reshape(len(x), -1) @ p[4] + p[5]


class MyGrad(MyGradStep):
    def start(self) -> None:
        from mygrad.nnet.activations import relu
        from mygrad.nnet.layers import conv_nd, max_pool
        from mygrad.nnet.losses import softmax_crossentropy

        super().start()
        self.relu, self.conv, self.pool, self.cross_entropy = relu, conv_nd, max_pool, softmax_crossentropy

    def forward(self) -> Any:
        k1, b1, k2, b2, w, b = self.p
        h = self.images
        for k, bias in ((k1, b1), (k2, b2)):
            h = self.relu(self.conv(h, k, stride=1, padding=1) + bias.reshape(1, -1, 1, 1))
            h = self.pool(h, (2, 2), 2)
        return self.cross_entropy(h.reshape(len(self.labels), -1) @ w + b, self.labels)


CONTENDERS: dict[str, type[Step]] = {FLOOR: Floor, OURS: Gradcore, TORCH: Torch, JAX: Jax, "mygrad": MyGrad}


def bench(size: int, rounds: int) -> Race:
    """Race all implementations over one step at a time with `size` images."""
    found = race_of(CONTENDERS, WORK, size, rounds)
    found.skipped["autograd"] = "its convolution goes through scipy.signal and has no pooling"
    return found
