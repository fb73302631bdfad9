"""Optimizers and schedulers beside PyTorch's: all are alike, and a difference of the usual kinds is reported."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gradcheck.verification import Problem, VerificationError
from gradcore import optim, registry
from gradcore.optim import lr_scheduler

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def beside(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "ci" / "reports"))
    monkeypatch.syspath_prepend(str(ROOT))
    before = list(sys.path)
    import beside_optimizers

    yield beside_optimizers
    sys.path[:] = before


@pytest.fixture
def theirs(beside):
    from ci.catalogue.frameworks import optimizers

    return optimizers


def test_every_optimizer_and_scheduler_is_as_in_pytorch(beside, theirs):
    words, missed = beside.compare_all(
        3, theirs.OPTIMIZERS, torch.optim.LBFGS, theirs.SCHEDULERS, theirs.KNOWN
    )
    assert missed == []
    assert "without a counterpart: Lion" in words


def test_what_has_no_counterpart_is_reported(beside, theirs):
    optimizers = {name: None for name in theirs.OPTIMIZERS if name != "Adam"}
    schedulers = {name: theirs.SCHEDULERS[name] for name in ("ExponentialLR",)}
    _, missed = beside.compare_all(1, optimizers, torch.optim.LBFGS, schedulers, {})
    others = sorted(set(theirs.SCHEDULERS) - {"ExponentialLR"})
    assert missed == [f"{name}: it has no counterpart" for name in ("Adam", *others)]


class EpsInTheRoot(optim.RMSprop):
    def _update(self, p, g, s, numbers, state):
        lr, alpha, rest, eps, *_ = numbers
        square = state[0]
        square[...] = alpha * square + rest * g * g
        p -= lr * g / np.sqrt(square + eps)


class NoBiasCorrection(optim.Adam):
    def _numbers(self, step):
        return super()._numbers(10**6)


class CoupledDecay(optim.AdamW):
    def _decay(self):
        return self.weight_decay

    def _decayed(self, p, g, decay):
        return g + decay * p


class DampedMomentum(optim.SGD):
    def _update(self, p, g, s, numbers, state):
        super()._update(p, g * (1 - numbers[1]), s, numbers, state)


PLANTED = {
    EpsInTheRoot: ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-4}),
    NoBiasCorrection: ("Adam", {"lr": 0.01}),
    CoupledDecay: ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    DampedMomentum: ("SGD", {"lr": 0.01, "momentum": 0.9}),
}


@pytest.mark.parametrize("cls", PLANTED)
def test_an_optimizer_that_is_another_than_pytorchs_is_reported(beside, theirs, cls):
    name, params = PLANTED[cls]
    problem = Problem.draw([(3,)], 4, 0)
    beside.compare_optimizer(registry.optimizers[name], theirs.OPTIMIZERS[name], problem, params)
    with pytest.raises(VerificationError, match=f"{cls.__name__}.* beside PyTorch's: entry"):
        beside.compare_optimizer(cls, theirs.OPTIMIZERS[name], problem, params)


class ForgetsThePairs(optim.LBFGS):
    def _aim(self, gradient):
        self._moves, self._changes = [], []
        return super()._aim(gradient)


def test_another_lbfgs_than_pytorchs_is_reported(beside):
    settings = {"max_iter": 4, "lr": 0.5}
    beside.compare_lbfgs(optim.LBFGS, torch.optim.LBFGS, settings, 0)
    with pytest.raises(VerificationError, match=r"ForgetsThePairs.*beside PyTorch's: entry"):
        beside.compare_lbfgs(ForgetsThePairs, torch.optim.LBFGS, settings, 0)


class StepsTooLate(lr_scheduler.StepLR):
    def __init__(self, optimizer, step_size, gamma=0.1):
        super().__init__(optimizer, step_size + 1, gamma)


class ForgetsItsPlace(lr_scheduler.ExponentialLR):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "last_epoch": 0})


class OnlyTheFirstGroup(lr_scheduler.ExponentialLR):
    def _set(self):
        before = self.optimizer.lrs
        super()._set()
        self.optimizer.lrs = [self.optimizer.lrs[0], *before[1:]]


class WaitsTooLong(lr_scheduler.ReduceLROnPlateau):
    def __init__(self, optimizer, patience=10, **more):
        super().__init__(optimizer, patience=patience + 1, **more)


class MomentumOneStepBehind(lr_scheduler.OneCycleLR):
    def _set(self):
        self.last_epoch, now = max(self.last_epoch - 1, 0), self.last_epoch
        super()._set()
        self.last_epoch = now
        lr_scheduler.LRScheduler._set(self)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (StepsTooLate, {"step_size": 3}),
        (ForgetsItsPlace, {"gamma": 0.5}),
        (OnlyTheFirstGroup, {"gamma": 0.5}),
        (WaitsTooLong, {"patience": 2}),
        (MomentumOneStepBehind, {"max_lr": 1.0, "total_steps": 40, "cycle_momentum": True}),
    ],
)
def test_a_scheduler_that_is_another_than_pytorchs_is_reported(beside, theirs, cls, settings):
    maker, _ = theirs.SCHEDULERS[cls.__base__.__name__]
    beside.compare_scheduler(cls.__base__, maker, settings, 0)
    with pytest.raises(VerificationError, match=f"{cls.__name__}.*(lr|momentum) is .*, and PyTorch's"):
        beside.compare_scheduler(cls, maker, settings, 0)
