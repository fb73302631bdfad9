"""One training step of networks of three linear layers, 784-128-64-10 and a tiny one: forward, cross-entropy, backward, SGD."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
from contest import CAPTURED, FLOOR, JAX, OURS, TORCH
from timing import Race
from training import LR, ByHand, GradcoreStep, JaxStep, MyGradStep, Step, TorchStep, Work, race_of

REFERENCE, TINY = (784, 128, 64, 10), (10, 16, 16, 4)


def weights(widths: tuple[int, ...]) -> list[np.ndarray]:
    """Matrix (in, out) and bias (out,) of each layer, the same at every call."""
    rng = np.random.default_rng(0)
    found: list[np.ndarray] = []
    for inner, outer in itertools.pairwise(widths):
        found.append((rng.standard_normal((inner, outer)) * np.sqrt(2 / inner)).astype(np.float32))
        found.append((rng.standard_normal(outer) * 0.1).astype(np.float32))
    return found


def batch(widths: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, features) and labels."""
    rng = np.random.default_rng(1)
    return rng.random((size, widths[0]), dtype=np.float32), rng.integers(0, widths[-1], size)


def work(widths: tuple[int, ...]) -> Work:
    """A network of these widths."""
    return Work(partial(weights, widths), partial(batch, widths))


class Floor(ByHand):
    """By hand: nothing is kept that is not needed, and arrays are written in place where nobody reads them again."""

    zero = np.zeros((), np.float32)

    def run(self) -> None:
        w1, b1, w2, b2, w3, b3 = self.p
        x, zero = self.images, self.zero
        h1 = x @ w1
        h1 += b1
        np.maximum(h1, zero, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, zero, out=h2)
        z = h2 @ w3
        z += b3
        self.softmax_in_place(z)
        g2 = z @ w3.T
        g2 *= h2 > zero
        g1 = g2 @ w2.T
        g1 *= h1 > zero
        self.descend((x.T @ g1, np.add.reduce(g1), h1.T @ g2, np.add.reduce(g2), h2.T @ z, np.add.reduce(z)))


class Gradcore(GradcoreStep):
    def made(self) -> Any:
        from gradcore import nn

        return nn.mlp(self.widths())


class Captured(Gradcore):
    """The same step, recorded and replayed."""

    def start(self) -> None:
        import gradcore

        super().start()
        model, cross_entropy, optimizer = self.model, self.cross_entropy, self.optimizer

        def step(x: Any, t: Any) -> Any:
            loss = cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        self.step = gradcore.capture(step)

    def run(self) -> None:
        self.loss = self.step(self.x, self.t).item()


class Torch(TorchStep):
    def made(self) -> Any:
        from torch import nn

        linear = [nn.Linear(*pair) for pair in itertools.pairwise(self.widths())]
        return nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])


class Autograd(Step):
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

        self.p = self.work.weights()
        self.gradient = autograd.value_and_grad(loss)

    def run(self) -> None:
        self.loss, gradients = self.gradient(self.p)
        for p, g in zip(self.p, gradients, strict=True):
            p -= LR * g


class Jax(JaxStep):
    def logits(self, p: list[Any], x: Any) -> Any:
        from jax.nn import relu

        return relu(relu(x @ p[0] + p[1]) @ p[2] + p[3]) @ p[4] + p[5]


class MyGrad(MyGradStep):
    def start(self) -> None:
        from mygrad.nnet.activations import relu
        from mygrad.nnet.losses import softmax_crossentropy

        super().start()
        self.relu, self.cross_entropy = relu, softmax_crossentropy

    def forward(self) -> Any:
        p = self.p
        h = self.relu(self.images @ p[0] + p[1])
        h = self.relu(h @ p[2] + p[3])
        return self.cross_entropy(h @ p[4] + p[5], self.labels)


CONTENDERS: dict[str, type[Step]] = {
    FLOOR: Floor,
    OURS: Gradcore,
    CAPTURED: Captured,
    TORCH: Torch,
    JAX: Jax,
    "autograd": Autograd,
    "mygrad": MyGrad,
}


def bench(widths: tuple[int, ...], size: int, rounds: int) -> Race:
    """Race all implementations over one step at a time with `size` images."""
    return race_of(CONTENDERS, work(widths), size, rounds)
