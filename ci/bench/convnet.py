"""One training step of a small convolutional network on images of 1 x 28 x 28: forward, cross-entropy, backward, SGD.

Twice (3 x 3 convolution with padding 1, ReLU, 2 x 2 max pooling), with 16 and 32 channels, then one linear layer to 10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from contest import FLOOR, OURS, TORCH, Contender, Values, contest
from timing import Race

LR = 0.01
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


class _Step(Contender):
    loss: float

    def __init__(self, size: int) -> None:
        self.images, self.labels = batch(size)
        self.start()

    def start(self) -> None:
        raise NotImplementedError

    def now(self) -> list[np.ndarray]:
        raise NotImplementedError

    def values(self) -> Values:
        parameters = {
            f"parameter {i}": np.array(p).reshape(shape)
            for i, (p, shape) in enumerate(zip(self.now(), SHAPES, strict=True))
        }
        return {"loss": np.array(self.loss), **parameters}


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


class Floor(_Step):
    """By hand: the batch innermost in memory, windows as columns that are kept for the backward pass."""

    def start(self) -> None:
        self.p = weights()
        self.rows = np.arange(len(self.labels))

    def run(self) -> None:
        k1, b1, k2, b2, w, b = self.p
        n, rows = len(self.rows), self.rows
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
        z -= np.maximum.reduce(z, axis=1)[:, None]
        hit = z[rows, self.labels]
        np.exp(z, out=z)
        total = np.add.reduce(z, axis=1)
        self.loss = float((np.log(total) - hit).mean())
        z /= total[:, None]
        z[rows, self.labels] -= 1
        z /= n
        g2 = _unpooled((w @ z.T).reshape(p2.shape), p2, h2)
        flipped = k2[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(16, 32 * 9)
        g1 = _unpooled((flipped @ _columns(g2)).reshape(p1.shape), p1, h1)
        g1, g2 = g1.reshape(16, -1), g2.reshape(32, -1)
        gradients = (g1 @ c1.T, g1.sum(1), g2 @ c2.T, g2.sum(1), features @ z, z.sum(0))
        for p, g in zip(self.p, gradients, strict=True):
            g *= LR
            p -= g.reshape(p.shape)

    def now(self) -> list[np.ndarray]:
        return self.p


class Gradcore(_Step):
    def start(self) -> None:
        import gradcore
        from gradcore import nn, optim

        self.cross_entropy = gradcore.cross_entropy
        self.model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
        )  # fmt: skip
        for p, w in zip(self.model.parameters(), weights(), strict=True):
            p.data = w.reshape(p.shape)
        self.optimizer = optim.SGD(self.model.parameters(), lr=LR)

    def run(self) -> None:
        loss = self.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss = loss.item()

    def now(self) -> list[np.ndarray]:
        return [p.data for p in self.model.parameters()]


class Torch(_Step):
    def start(self) -> None:
        import torch
        from torch import nn

        self.model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
        )  # fmt: skip
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), weights(), strict=True):
                p.copy_(torch.tensor(w.T if w.ndim == 2 else w))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)
        self.cross_entropy = torch.nn.functional.cross_entropy
        self.x, self.t = torch.tensor(self.images), torch.tensor(self.labels)

    def run(self) -> None:
        loss = self.cross_entropy(self.model(self.x), self.t)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss = loss.item()

    def now(self) -> list[np.ndarray]:
        found = [p.detach().numpy() for p in self.model.parameters()]
        return [p.T if p.ndim == 2 else p for p in found]


class MyGrad(_Step):
    def start(self) -> None:
        import mygrad
        from mygrad.nnet.activations import relu
        from mygrad.nnet.layers import conv_nd, max_pool
        from mygrad.nnet.losses import softmax_crossentropy

        self.relu, self.conv, self.pool, self.cross_entropy = relu, conv_nd, max_pool, softmax_crossentropy
        self.p = [mygrad.tensor(w) for w in weights()]

    def run(self) -> None:
        k1, b1, k2, b2, w, b = self.p
        h = self.images
        for k, bias in ((k1, b1), (k2, b2)):
            h = self.relu(self.conv(h, k, stride=1, padding=1) + bias.reshape(1, -1, 1, 1))
            h = self.pool(h, (2, 2), 2)
        loss = self.cross_entropy(h.reshape(len(self.labels), -1) @ w + b, self.labels)
        loss.backward()
        for p in self.p:
            p.data -= LR * p.grad
            p.null_grad()
        self.loss = loss.item()

    def now(self) -> list[np.ndarray]:
        return [p.data for p in self.p]


CONTENDERS: dict[str, type[_Step]] = {FLOOR: Floor, OURS: Gradcore, TORCH: Torch, "mygrad": MyGrad}


def bench(size: int, rounds: int) -> Race:
    """Race all implementations over one step at a time with `size` images."""

    def maker(kind: type[_Step]) -> Callable[[], Contender]:
        return lambda: kind(size)

    found = contest({name: maker(kind) for name, kind in CONTENDERS.items()}, rounds, 1e-4)
    found.skipped["autograd"] = "its convolution goes through scipy.signal and has no pooling"
    return found
