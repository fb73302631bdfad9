"""Measures captured steps against the same steps run eagerly, PyTorch, and the floor.

    python ci/bench/captured.py [--quick] [--check]

Implementations take turns of a few milliseconds; reports the median of each round's ratio, with its quartiles. With
`--check`, exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import chain  # noqa: E402 (threads first)
import mlp  # noqa: E402 (threads first)
import numpy as np  # noqa: E402 (threads first)
from contest import FLOOR, OURS, TORCH, Contender, Values, contest  # noqa: E402 (threads first)
from timing import Race  # noqa: E402 (threads first)
from training import race_of  # noqa: E402 (threads first)

CAPTURED = "captured"
CHAIN, TINY, MLP = 0.20, 0.28, 0.53  # the aims, as shares of PyTorch's time
WIDTHS = (10, 16, 16, 4)


class CapturedChain(chain.Gradcore):
    """The chain of the bench, captured."""

    def start(self) -> None:
        import gradcore

        super().start()
        x, w, c, v, h, one = self.x, self.w, self.c, self.v, self.h, chain.ONE
        tanh, ops = self.tanh, self.ops

        def step() -> Any:
            x.zero_grad()
            w.zero_grad()
            y = chain.forward(x, w, c, v, h, tanh, ops)
            y.backward(one)
            return y

        self.step = gradcore.capture(step)

    def run(self) -> None:
        self.y = self.step()


class CapturedMLP(mlp.Gradcore):
    """The network of the bench, captured."""

    def start(self) -> None:
        import gradcore

        super().start()
        model, cross_entropy, optimizer = self.model, self.cross_entropy, self.optimizer

        def step(images: Any, labels: Any) -> Any:
            optimizer.zero_grad()
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        self.step = gradcore.capture(step)

    def run(self) -> None:
        self.loss = self.step(self.x, self.t).item()


class _Tiny(Contender):
    """Forward and backward of a network 10-16-16-4 on eight rows: mean squared error, no step."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.weights = [
            (rng.standard_normal(shape) * 0.3).astype(np.float32)
            for inner, outer in itertools.pairwise(WIDTHS)
            for shape in ((inner, outer), (outer,))
        ]
        self.inputs = rng.standard_normal((8, WIDTHS[0])).astype(np.float32)
        self.targets = rng.standard_normal((8, WIDTHS[-1])).astype(np.float32)
        self.start()

    def start(self) -> None:
        raise NotImplementedError


class TinyFloor(_Tiny):
    def start(self) -> None:
        self.zero, self.share = np.zeros((), np.float32), np.array(2 / 32, np.float32)
        self.count = np.array(32, np.float32)

    def run(self) -> None:
        w1, b1, w2, b2, w3, b3 = self.weights
        x, zero = self.inputs, self.zero
        h1 = x @ w1
        h1 += b1
        np.maximum(h1, zero, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, zero, out=h2)
        z = h2 @ w3
        z += b3
        z -= self.targets
        self.loss = np.add.reduce(z * z, axis=None) / self.count
        z *= self.share
        g2 = z @ w3.T
        g2 *= h2 > zero
        g1 = g2 @ w2.T
        g1 *= h1 > zero
        self.gradients = (
            x.T @ g1, np.add.reduce(g1), h1.T @ g2, np.add.reduce(g2), h2.T @ z, np.add.reduce(z),
        )  # fmt: skip

    def values(self) -> Values:
        return {"loss": np.array(self.loss), **{f"gradient {i}": g for i, g in enumerate(self.gradients)}}


class TinyGradcore(_Tiny):
    def start(self) -> None:
        import gradcore
        from gradcore import nn

        self.model, self.mse = nn.mlp(WIDTHS), gradcore.mse_loss
        self.p = list(self.model.parameters())
        for p, w in zip(self.p, self.weights, strict=True):
            p.data = w.reshape(p.shape)

    def step(self, x: Any, t: Any) -> Any:
        for p in self.p:
            p.zero_grad()
        loss = self.mse(self.model(x), t)
        loss.backward()
        return loss

    def run(self) -> None:
        self.loss = self.step(self.inputs, self.targets)

    def values(self) -> Values:
        found = {
            f"gradient {i}": p.grad.reshape(w.shape)
            for i, (p, w) in enumerate(zip(self.p, self.weights, strict=True))
        }
        return {"loss": self.loss.data, **found}


class TinyCaptured(TinyGradcore):
    def start(self) -> None:
        import gradcore

        super().start()
        self.step = gradcore.capture(super().step)  # type: ignore[method-assign]


class TinyTorch(_Tiny):
    def start(self) -> None:
        import torch
        from torch import nn

        linear = [nn.Linear(*pair) for pair in itertools.pairwise(WIDTHS)]
        self.model = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
        self.p = list(self.model.parameters())
        for p, w in zip(self.p, self.weights, strict=True):
            p.data = torch.from_numpy(w.T.copy())
        self.mse = nn.functional.mse_loss
        self.x, self.t = torch.from_numpy(self.inputs), torch.from_numpy(self.targets)

    def run(self) -> None:
        for p in self.p:
            p.grad = None
        self.loss = self.mse(self.model(self.x), self.t)
        self.loss.backward()

    def values(self) -> Values:
        gradients = {f"gradient {i}": p.grad.numpy().T for i, p in enumerate(self.p)}
        return {"loss": self.loss.detach().numpy(), **gradients}


def races(share: float) -> Iterator[tuple[str, Race, float]]:
    """Each workload: its title, its race, and the aim."""
    chains = {FLOOR: chain.Floor, OURS: chain.Gradcore, CAPTURED: CapturedChain, TORCH: chain.Torch}
    yield "100 elementwise ops on shape (4,)", contest(chains, round(200 * share), 1e-5), CHAIN
    tiny = {FLOOR: TinyFloor, OURS: TinyGradcore, CAPTURED: TinyCaptured, TORCH: TinyTorch}
    yield "10-16-16-4, batch 8, forward and backward", contest(tiny, round(200 * share), 1e-5), TINY
    steps = {FLOOR: mlp.Floor, OURS: mlp.Gradcore, CAPTURED: CapturedMLP, TORCH: mlp.Torch}
    yield "step of 784-128-64-10, batch 32, SGD", race_of(steps, 32, round(120 * share)), MLP


def main() -> int:
    """Race the three workloads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    args = parser.parse_args()
    missed = 0
    for title, race, aim in races(0.2 if args.quick else 1.0):
        print(title)
        for name in race.seconds:
            ratio = race.ratio(name, TORCH) if TORCH in race.seconds else ""
            print(f"  {name:16}{race.time(name) * 1e6:10.1f} us   {ratio} of torch")
        if TORCH in race.seconds:
            found = race.ratio(CAPTURED, TORCH).median
            print(f"  {'met' if found <= aim else 'MISSED'}: {found:.3g}, aim at most {aim:g}")
            missed += found > aim
    return int(args.check and missed > 0)


if __name__ == "__main__":
    sys.exit(main())
