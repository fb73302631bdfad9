"""One training step of the reference network 784-128-64-10: forward, cross-entropy, backward, SGD.

All start from the same weights and see the same batch. Compared after the first step: the loss and every weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from contest import FLOOR, OURS, TORCH, Contender, Values, contest
from timing import Race

WIDTHS = (784, 128, 64, 10)
LR = 0.01


def weights() -> list[np.ndarray]:
    """Matrix (in, out) and bias (out,) of each layer, the same at every call."""
    rng = np.random.default_rng(0)
    found: list[np.ndarray] = []
    for inner, outer in itertools.pairwise(WIDTHS):
        found.append((rng.standard_normal((inner, outer)) * np.sqrt(2 / inner)).astype(np.float32))
        found.append((rng.standard_normal(outer) * 0.1).astype(np.float32))
    return found


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, 784) and labels."""
    rng = np.random.default_rng(1)
    return rng.random((size, 784), dtype=np.float32), rng.integers(0, 10, size)


def named(loss: float, parameters: list[np.ndarray]) -> Values:
    """What is compared: the loss and all weights after the step."""
    return {"loss": np.array(loss), **{f"parameter {i}": p for i, p in enumerate(parameters)}}


class _Step(Contender):
    loss: float

    def __init__(self, size: int) -> None:
        self.images, self.labels = batch(size)
        self.start()

    def start(self) -> None:
        raise NotImplementedError

    def values(self) -> Values:
        return named(
            self.loss, [np.array(p).reshape(w.shape) for p, w in zip(self.now(), weights(), strict=True)]
        )

    def now(self) -> list[np.ndarray]:
        raise NotImplementedError


class Floor(_Step):
    """By hand: nothing is kept that is not needed, and arrays are written in place where nobody reads them again."""

    def start(self) -> None:
        self.p = weights()
        self.rows = np.arange(len(self.labels))
        self.zero = np.zeros((), np.float32)

    def run(self) -> None:
        w1, b1, w2, b2, w3, b3 = self.p
        x, zero, rows = self.images, self.zero, self.rows
        h1 = x @ w1
        h1 += b1
        np.maximum(h1, zero, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, zero, out=h2)
        z = h2 @ w3
        z += b3
        z -= np.maximum.reduce(z, axis=1)[:, None]
        hit = z[rows, self.labels]
        np.exp(z, out=z)
        total = np.add.reduce(z, axis=1)
        self.loss = float((np.log(total) - hit).mean())
        z /= total[:, None]
        z[rows, self.labels] -= 1
        z /= len(rows)
        g2 = z @ w3.T
        g2 *= h2 > zero
        g1 = g2 @ w2.T
        g1 *= h1 > zero
        gradients = (x.T @ g1, np.add.reduce(g1), h1.T @ g2, np.add.reduce(g2), h2.T @ z, np.add.reduce(z))
        for p, g in zip(self.p, gradients, strict=True):
            g *= LR
            p -= g

    def now(self) -> list[np.ndarray]:
        return self.p


class Gradcore(_Step):
    def start(self) -> None:
        import gradcore
        from gradcore import nn, optim

        self.cross_entropy = gradcore.cross_entropy
        self.model = nn.mlp(WIDTHS)
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

        linear = [nn.Linear(*pair) for pair in itertools.pairwise(WIDTHS)]
        self.model = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), weights(), strict=True):
                p.copy_(torch.tensor(w.T))
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
        return [p.detach().numpy().T for p in self.model.parameters()]


class Autograd(_Step):
    def start(self) -> None:
        import autograd
        import autograd.numpy as anp
        from autograd.scipy.special import logsumexp

        rows = np.arange(len(self.labels))

        def loss(p: list[np.ndarray]) -> float:
            h = anp.maximum(self.images @ p[0] + p[1], 0)
            h = anp.maximum(h @ p[2] + p[3], 0)
            z = h @ p[4] + p[5]
            return anp.mean(logsumexp(z, axis=1) - z[rows, self.labels])

        self.p = weights()
        self.gradient = autograd.value_and_grad(loss)

    def run(self) -> None:
        self.loss, gradients = self.gradient(self.p)
        for p, g in zip(self.p, gradients, strict=True):
            p -= LR * g

    def now(self) -> list[np.ndarray]:
        return self.p


class MyGrad(_Step):
    def start(self) -> None:
        import mygrad
        from mygrad.nnet.activations import relu
        from mygrad.nnet.losses import softmax_crossentropy

        self.relu, self.cross_entropy = relu, softmax_crossentropy
        self.p = [mygrad.tensor(w) for w in weights()]

    def run(self) -> None:
        p = self.p
        h = self.relu(self.images @ p[0] + p[1])
        h = self.relu(h @ p[2] + p[3])
        loss = self.cross_entropy(h @ p[4] + p[5], self.labels)
        loss.backward()
        for q in p:
            q.data -= LR * q.grad
            q.null_grad()
        self.loss = loss.item()

    def now(self) -> list[np.ndarray]:
        return [p.data for p in self.p]


CONTENDERS: dict[str, type[_Step]] = {
    FLOOR: Floor,
    OURS: Gradcore,
    TORCH: Torch,
    "autograd": Autograd,
    "mygrad": MyGrad,
}


def bench(size: int, rounds: int) -> Race:
    """Race all implementations over one step at a time with `size` images."""

    def maker(kind: type[_Step]) -> Callable[[], Contender]:
        return lambda: kind(size)

    return contest({name: maker(kind) for name, kind in CONTENDERS.items()}, rounds, 1e-4)
