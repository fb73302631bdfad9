"""A step of Adam over a million parameters: 100 tensors of 10,000, and one of 1,000,000."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from contest import FLOOR, OURS, TORCH, Contender, Values, contest
from timing import Race

LAYOUTS = {"100 x 10,000": (100, (100, 100)), "1 x 1,000,000": (1, (1000, 1000))}
LR, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8
BLOCK = 65_536


def start(layout: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Parameters and gradients, the same at every call."""
    rng = np.random.default_rng(0)
    count, shape = LAYOUTS[layout]
    draw = [rng.standard_normal(shape).astype(np.float32) for _ in range(2 * count)]
    return draw[:count], draw[count:]


class _Step(Contender):
    def __init__(self, layout: str) -> None:
        self.p, self.g = start(layout)
        self.start()

    def start(self) -> None:
        raise NotImplementedError

    def values(self) -> Values:
        return {"parameters": np.concatenate([p.ravel() for p in self.p])}


class Floor(_Step):
    """By hand: all parameters in one flat array, in blocks that stay in the cache, everything written in place."""

    def start(self) -> None:
        self.flat = np.concatenate([p.ravel() for p in self.p])
        self.flat_g = np.concatenate([g.ravel() for g in self.g])
        self.mean, self.square = np.zeros_like(self.flat), np.zeros_like(self.flat)
        self.scratch = np.empty(BLOCK, np.float32)
        self.steps = 0

    def run(self) -> None:
        self.steps += 1
        size = LR / (1 - B1**self.steps)
        scale = 1 / math.sqrt(1 - B2**self.steps)
        for first in range(0, len(self.flat), BLOCK):
            part = slice(first, first + BLOCK)
            p, g, m, v = self.flat[part], self.flat_g[part], self.mean[part], self.square[part]
            s = self.scratch[: len(p)]
            np.multiply(g, 1 - B1, out=s)
            m *= B1
            m += s
            np.multiply(g, g, out=s)
            s *= 1 - B2
            v *= B2
            v += s
            np.sqrt(v, out=s)
            s *= scale
            s += EPS
            np.divide(m, s, out=s)
            s *= size
            p -= s

    def values(self) -> Values:
        return {"parameters": self.flat}


class Gradcore(_Step):
    def start(self) -> None:
        import gradcore
        from gradcore import optim

        # Copies that nothing else holds: a step writes into a held array's copy, and what holds it keeps the old values.
        self.parameters = [gradcore.Tensor(p.copy(), True) for p in self.p]
        for p, g in zip(self.parameters, self.g, strict=True):
            p.grad = g
        self.optimizer = optim.Adam(self.parameters, LR, (B1, B2), EPS)

    def run(self) -> None:
        self.optimizer.step()

    def values(self) -> Values:
        return {"parameters": np.concatenate([p.data.ravel() for p in self.parameters])}


class Torch(_Step):
    fused = False

    def start(self) -> None:
        import torch

        parameters = [torch.from_numpy(p).requires_grad_() for p in self.p]
        for p, g in zip(parameters, self.g, strict=True):
            p.grad = torch.from_numpy(g)
        self.optimizer = torch.optim.Adam(parameters, LR, (B1, B2), EPS, fused=self.fused)

    def run(self) -> None:
        self.optimizer.step()


class FusedTorch(Torch):
    note = "fused=True, not PyTorch's default"
    fused = True


CONTENDERS: dict[str, type[_Step]] = {
    FLOOR: Floor,
    OURS: Gradcore,
    TORCH: Torch,
    "torch fused": FusedTorch,
}


def bench(layout: str, rounds: int) -> Race:
    """Race all implementations over one step at a time."""
    found = contest({name: partial(kind, layout) for name, kind in CONTENDERS.items()}, rounds, 1e-5)
    found.skipped.update(dict.fromkeys(("autograd", "mygrad"), "has no Adam that works in place"))
    return found
