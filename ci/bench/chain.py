"""A chain of elementwise ops on four numbers, forward and backward: what an engine's bookkeeping costs.

One cycle of ten ops: five of two tensors, three of a tensor and a Python number, two of one tensor. It gives back what
it got, but for rounding and a trace of tanh's curvature, so that a chain of any length stays among ordinary numbers.
The gradient goes to the start and to one operand, which every cycle uses once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import CAPTURED, FLOOR, JAX, OURS, TORCH, Contender, Values, contest
from timing import Race

OPS = "per cycle of ten: x*w, x+c, x*number, tanh x, x*number, x-c, -x, x/v, number-x, x-h"
CYCLE = 10

_rng = np.random.default_rng(0)
X, W, C = (_rng.uniform(0.5, 1.5, 4).astype(np.float32) for _ in range(3))
V, H, ONE = W.copy(), np.full(4, 0.5, np.float32), np.ones(4, np.float32)


def forward(y: Any, w: Any, c: Any, v: Any, h: Any, tanh: Any, ops: int = 100) -> Any:
    """The chain on any kind of value that has operators."""
    for _ in range(ops // CYCLE):
        y = y * w
        y = y + c
        y = y * 0.001
        y = tanh(y)
        y = y * 1000.0
        y = y - c
        y = -y
        y = y / v
        y = 0.5 - y
        y = y - h
    return y


class _Chain(Contender):
    def __init__(self, ops: int = 100) -> None:
        self.ops = ops
        self.start()

    def start(self) -> None:
        raise NotImplementedError


class Floor(_Chain):
    """By hand: the rules written out one after another. Numbers are 0-d arrays, as a careful hand would have them."""

    def start(self) -> None:
        self.small, self.large, self.half = (np.array(s, np.float32) for s in (0.001, 1000.0, 0.5))

    def run(self) -> None:
        small, large, half = self.small, self.large, self.half
        w, c, v, h = W, C, V, H
        saved = []
        y = X
        for _ in range(self.ops // CYCLE):
            x = y
            t = np.tanh((x * w + c) * small)
            saved.append((x, t))
            y = half - -(t * large - c) / v - h
        self.y = y
        gy = ONE
        gw = None
        for x, t in reversed(saved):
            g = -(-gy / v) * large
            g = (g - g * (t * t)) * small
            gw = g * x if gw is None else gw + g * x
            gy = g * w
        self.gx, self.gw = gy, gw

    def values(self) -> Values:
        return {"y": self.y, "x's gradient": self.gx, "w's gradient": self.gw}


class Gradcore(_Chain):
    def start(self) -> None:
        import gradcore

        self.tanh = gradcore.tanh
        self.x, self.w = gradcore.Tensor(X, True), gradcore.Tensor(W, True)
        self.c, self.v, self.h = (gradcore.Tensor(a) for a in (C, V, H))

    def run(self) -> None:
        self.x.grad = self.w.grad = None
        self.y = forward(self.x, self.w, self.c, self.v, self.h, self.tanh, self.ops)
        self.y.backward(ONE)

    def values(self) -> Values:
        return {"y": self.y.data, "x's gradient": self.x.grad, "w's gradient": self.w.grad}


class Captured(Gradcore):
    """The same, recorded and replayed."""

    def start(self) -> None:
        import gradcore

        super().start()
        x, w, c, v, h, tanh, ops = self.x, self.w, self.c, self.v, self.h, self.tanh, self.ops

        def step() -> Any:
            x.zero_grad()
            w.zero_grad()
            y = forward(x, w, c, v, h, tanh, ops)
            y.backward(ONE)
            return y

        self.step = gradcore.capture(step)

    def run(self) -> None:
        self.y = self.step()


class Torch(_Chain):
    def start(self) -> None:
        import torch

        self.tanh = torch.tanh
        self.x, self.w, self.c, self.v, self.h, self.one = (
            torch.tensor(a, requires_grad=a is X or a is W) for a in (X, W, C, V, H, ONE)
        )

    def run(self) -> None:
        self.x.grad = self.w.grad = None
        self.y = forward(self.x, self.w, self.c, self.v, self.h, self.tanh, self.ops)
        self.y.backward(self.one)

    def values(self) -> Values:
        return {
            "y": self.y.detach().numpy(),
            "x's gradient": self.x.grad.numpy(),
            "w's gradient": self.w.grad.numpy(),
        }


class Jax(_Chain):
    def start(self) -> None:
        import jax

        def both(x: Any, w: Any) -> Any:
            y, pull = jax.vjp(lambda x, w: forward(x, w, C, V, H, jax.numpy.tanh, self.ops), x, w)
            return (y, *pull(jax.numpy.asarray(ONE)))

        self.both = jax.jit(both)
        self.x, self.w = jax.numpy.asarray(X), jax.numpy.asarray(W)

    def run(self) -> None:
        self.found = [a.block_until_ready() for a in self.both(self.x, self.w)]

    def values(self) -> Values:
        names = ("y", "x's gradient", "w's gradient")
        return {name: np.asarray(a) for name, a in zip(names, self.found, strict=True)}


class Autograd(_Chain):
    def start(self) -> None:
        import autograd
        import autograd.numpy as anp

        self.pull = autograd.make_vjp(
            lambda operands: forward(*operands, C, V, H, anp.tanh, self.ops), argnum=0
        )

    def run(self) -> None:
        pull, self.y = self.pull((X, W))
        self.gradients = pull(ONE)

    def values(self) -> Values:
        return {"y": self.y, "x's gradient": self.gradients[0], "w's gradient": self.gradients[1]}


class MyGrad(_Chain):
    note = "float64 from the first Python number on"

    def start(self) -> None:
        import mygrad

        self.tanh = mygrad.tanh
        self.x, self.w = mygrad.tensor(X), mygrad.tensor(W)
        self.c, self.v, self.h = (mygrad.tensor(a, constant=True) for a in (C, V, H))

    def run(self) -> None:
        self.x.null_grad()
        self.w.null_grad()
        self.y = forward(self.x, self.w, self.c, self.v, self.h, self.tanh, self.ops)
        self.y.backward(ONE)

    def values(self) -> Values:
        return {"y": self.y.data, "x's gradient": self.x.grad, "w's gradient": self.w.grad}


CONTENDERS = {
    FLOOR: Floor,
    OURS: Gradcore,
    CAPTURED: Captured,
    TORCH: Torch,
    JAX: Jax,
    "autograd": Autograd,
    "mygrad": MyGrad,
}


def bench(rounds: int) -> Race:
    """Race all implementations over 100 ops."""
    return contest(CONTENDERS, rounds, 1e-5)
