"""What the benches of a training step share: the step's contenders but for their models, and softmax by hand.

A step is the forward pass, cross-entropy, the backward pass and SGD. All start from the same weights and see the same batch.
Compared after the first step: the loss and every weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from contest import Contender, Values, contest
from timing import Race

LR = 0.01


@dataclass(frozen=True)
class Work:
    """What all contenders of one bench start from, the same at every call."""

    weights: Callable[[], list[np.ndarray]]
    batch: Callable[[int], tuple[np.ndarray, np.ndarray]]
    """Images and labels of a batch of some size."""


class Step(Contender):
    """One training step on `work`; `start` makes the model, `now` gives its parameters in the order of the weights."""

    loss: float
    p: list[Any]

    def __init__(self, work: Work, size: int) -> None:
        self.work = work
        self.images, self.labels = work.batch(size)
        self.start()

    def widths(self) -> list[int]:
        """Of a network of linear layers: the features that go in, and those that come out of each layer."""
        inner, *outer = (w for w in self.work.weights() if w.ndim == 2)
        return [*inner.shape, *(w.shape[1] for w in outer)]

    def start(self) -> None:
        raise NotImplementedError

    def now(self) -> list[np.ndarray]:
        return self.p

    def values(self) -> Values:
        weights = self.work.weights()
        parameters = {
            f"parameter {i}": np.array(p).reshape(w.shape)
            for i, (p, w) in enumerate(zip(self.now(), weights, strict=True))
        }
        return {"loss": np.array(self.loss), **parameters}


class ByHand(Step):
    """A step written out in NumPy."""

    def start(self) -> None:
        self.p = self.work.weights()
        self.rows = np.arange(len(self.labels))

    def softmax_in_place(self, z: np.ndarray) -> None:
        """From logits to the gradient of the mean cross-entropy by them, which is put in their place; sets the loss."""
        rows = self.rows
        z -= np.maximum.reduce(z, axis=1)[:, None]
        hit = z[rows, self.labels]
        np.exp(z, out=z)
        total = np.add.reduce(z, axis=1)
        self.loss = float((np.log(total) - hit).mean())
        z /= total[:, None]
        z[rows, self.labels] -= 1
        z /= len(rows)

    def descend(self, gradients: tuple[np.ndarray, ...]) -> None:
        """SGD, which overwrites the gradients."""
        for p, g in zip(self.p, gradients, strict=True):
            g *= LR
            p -= g.reshape(p.shape)


class ModelStep(Step):
    """A step of a library that has modules, losses and optimizers: `run` is the same text for all of them."""

    model: Any
    cross_entropy: Any
    optimizer: Any
    x: Any
    t: Any

    def run(self) -> None:
        loss = self.cross_entropy(self.model(self.x), self.t)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss = loss.item()


class GradcoreStep(ModelStep):
    def made(self) -> Any:
        """The model."""
        raise NotImplementedError

    def start(self) -> None:
        import gradcore
        from gradcore import optim

        self.model, self.cross_entropy = self.made(), gradcore.cross_entropy
        for p, w in zip(self.model.parameters(), self.work.weights(), strict=True):
            p.data = w.reshape(p.shape)
        self.optimizer = optim.SGD(self.model.parameters(), lr=LR)
        self.x, self.t = self.images, self.labels

    def now(self) -> list[np.ndarray]:
        return [p.data for p in self.model.parameters()]


class TorchStep(ModelStep):
    def made(self) -> Any:
        """The model."""
        raise NotImplementedError

    def start(self) -> None:
        import torch

        self.model, self.cross_entropy = self.made(), torch.nn.functional.cross_entropy
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), self.work.weights(), strict=True):
                p.copy_(torch.tensor(w.T if w.ndim == 2 else w))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)
        self.x, self.t = torch.tensor(self.images), torch.tensor(self.labels)

    def now(self) -> list[np.ndarray]:
        found = [p.detach().numpy() for p in self.model.parameters()]
        return [p.T if p.ndim == 2 else p for p in found]


class MyGradStep(Step):
    def start(self) -> None:
        import mygrad

        self.p = [mygrad.tensor(w) for w in self.work.weights()]

    def forward(self) -> Any:
        """The loss."""
        raise NotImplementedError

    def run(self) -> None:
        loss = self.forward()
        loss.backward()
        for p in self.p:
            p.data -= LR * p.grad
            p.null_grad()
        self.loss = loss.item()

    def now(self) -> list[np.ndarray]:
        return [p.data for p in self.p]


class JaxStep(Step):
    """The step compiled as one function, which is given the memory of the old weights for the new ones."""

    def start(self) -> None:
        import jax

        self.p = [jax.numpy.asarray(w) for w in self.work.weights()]
        self.x, self.t = jax.numpy.asarray(self.images), jax.numpy.asarray(self.labels)

        def loss(p: list[Any], x: Any, t: Any) -> Any:
            logs = jax.nn.log_softmax(self.logits(p, x))
            return -jax.numpy.take_along_axis(logs, t[:, None], 1).mean()

        def step(p: list[Any], x: Any, t: Any) -> Any:
            found, gradients = jax.value_and_grad(loss)(p, x, t)
            return found, [a - LR * g for a, g in zip(p, gradients, strict=True)]

        self.step = jax.jit(step, donate_argnums=0)

    def logits(self, p: list[Any], x: Any) -> Any:
        """What the network gives for x."""
        raise NotImplementedError

    def run(self) -> None:
        loss, self.p = self.step(self.p, self.x, self.t)
        self.loss = float(loss)


def race_of(contenders: dict[str, type[Step]], work: Work, size: int, rounds: int) -> Race:
    """Race all implementations over one step at a time with `size` images."""
    return contest({name: partial(kind, work, size) for name, kind in contenders.items()}, rounds, 1e-4)
