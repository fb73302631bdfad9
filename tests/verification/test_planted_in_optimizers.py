"""Stage 1 can fail: mistakes in optimizers, each detected by the very check that the suite runs."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.strategies import parameters
from gradcheck.verification import (
    CHANGES,
    Problem,
    VerificationError,
    broken,
    check_clipping,
    check_numeric_trajectory,
    check_refusals,
    check_trajectory,
)
from gradcheck.verification.machines import optimizer_machine
from gradcheck.verification.planted import SEEK, detected, detected_in_a_run
from gradcore import Tensor, optim, registry
from gradcore.errors import StateError
from gradcore.optim import base

# --- alone, along a function's gradients ------------------------------------------------------------------------------


class Uphill(optim.SGD):
    def _update(self, p, g, s, numbers, state):
        super()._update(p, -g, s, numbers, state)


class Uncorrected(optim.Adam):
    def _update(self, p, g, s, numbers, state):
        before, p[...] = p.copy(), 0
        super()._update(p, g, s, numbers, state)
        p[...] = before + p * 0.999


class OneStateForAll(optim.SGD):
    def step(self):
        super().step()
        for state in self._state[1:]:
            if state and state["velocity"].shape == self._state[0]["velocity"].shape:
                state["velocity"][...] = self._state[0]["velocity"]


class Widens(optim.SGD):
    def step(self):
        super().step()
        for p in self.params:
            p.data = p.data.astype(np.float64)


class DecayThatWaits(optim.AdamW):
    """Weight decay from the second step on."""

    def _numbers(self, step):
        found = super()._numbers(step)
        return found if step > 1 else (*found[:-1], 1.0)


class ForgetsTheLargest(optim.Adam):
    """amsgrad that keeps the largest of the last two only."""

    def _update(self, p, g, s, numbers, state):
        before = state[1].copy()
        super()._update(p, g, s, numbers, state)
        for largest in state[2:]:
            largest[...] = np.maximum(before, state[1])


class AroundTheMeanAfter(optim.RMSprop):
    """centered around the mean that has taken in the gradient already."""

    def _update(self, p, g, s, numbers, state):
        if self.centered:
            g = g + 0 * p
            state[1][...] = numbers[1] * state[1] + numbers[2] * g
        super()._update(p, g, s, numbers, state)


class OrthogonalByColumns(optim.Muon):
    """Newton-Schulz steps on each column by itself."""

    def _update(self, p, g, s, numbers, state):
        for i in range(p.shape[1]):
            part = (slice(None), slice(i, i + 1))
            super()._update(p[part], g[part], s[part], numbers, [a[part] for a in state])


def problems(steps=5, dtype=np.float64):
    return st.builds(
        Problem.draw, st.just([(2,), (2,)]), st.just(steps), st.integers(0, 2**32 - 1), st.just(dtype)
    )


@pytest.mark.parametrize(
    "cls", [Uphill, Uncorrected, OneStateForAll, DecayThatWaits, ForgetsTheLargest, AroundTheMeanAfter]
)
def test_an_optimizer_that_goes_elsewhere_is_detected(cls):
    drawn = st.tuples(problems(), parameters(cls.spec.params))
    assert cls.__name__ in detected(drawn, lambda given: check_trajectory(cls, *given))


def test_an_optimizer_that_changes_the_dtype_is_detected():
    drawn = st.tuples(problems(dtype=np.float32), parameters(Widens.spec.params))
    assert "was float32 (2,) and became float64" in detected(
        drawn, lambda given: check_trajectory(Widens, *given)
    )


def test_a_matrix_that_is_made_orthogonal_in_parts_is_detected():
    drawn = st.tuples(
        st.builds(Problem.draw, st.just([(2, 2)]), st.just(3), st.integers(0, 2**32 - 1)),
        parameters(optim.Muon.spec.params),
    )
    assert "OrthogonalByColumns" in detected(
        drawn, lambda given: check_trajectory(OrthogonalByColumns, *given)
    )


def test_gradients_that_are_not_those_of_the_function_are_detected(monkeypatch):
    wrong = broken(registry.ops["mul"], 0, CHANGES["factor 1.001"])
    monkeypatch.setattr(Tensor, "__mul__", lambda x, y: wrong(x, y))
    drawn = st.tuples(problems(steps=3), parameters(optim.SGD.spec.params))
    assert "with numeric gradients" in detected(
        drawn, lambda given: check_numeric_trajectory(optim.SGD, *given)
    )


# --- clipping ---------------------------------------------------------------------------------------------------------


def by_largest_entry(params, max_norm):
    norm = max(float(np.abs(p.grad).max(initial=0.0)) for p in params)
    for p in params:
        p.grad *= min(1.0, max_norm / norm)
    return norm


def one_by_one(params, max_norm):
    norms = [optim.clip_grad_norm([p], max_norm) for p in params]
    return float(np.linalg.norm(norms))


def from_above_only(params, max_value):
    for p in params:
        np.minimum(p.grad, max_value, out=p.grad)


@pytest.mark.parametrize(
    ("kind", "mistake"), [("norm", by_largest_entry), ("norm", one_by_one), ("value", from_above_only)]
)
def test_gradients_clipped_in_another_way_are_detected(kind, mistake, monkeypatch):
    monkeypatch.setattr(f"gradcheck.verification.optimizers.clip_grad_{kind}", mistake)
    gradients = [np.array([3.0, -8.0]), np.array([[12.0]])]
    with pytest.raises(VerificationError, match=f"clip_grad_{kind}"):
        check_clipping(kind, gradients, 6.5)


# --- whatever happens in a run ----------------------------------------------------------------------------------------


class MomentumNotSaved(optim.SGD):
    def state_dict(self):
        return {
            name: np.zeros_like(value) if name.endswith(".velocity") else value
            for name, value in super().state_dict().items()
        }


class CountNotRestored(optim.Adam):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.steps = [min(n, 1) for n in self.steps]


class LrOfTheStart(optim.RMSprop):
    """A change of lr comes too late: its first value is kept."""

    def _numbers(self, step):
        self.first = getattr(self, "first", self.lr)
        return (self.first, *super()._numbers(step)[1:])


class LrNotSaved(optim.AdamW):
    def load_state_dict(self, state):
        lr = self.lr
        super().load_state_dict(state)
        self.lr = lr


class DecaysWhatIsSkipped(optim.AdamW):
    def step(self):
        super().step()
        for p in self.params:
            if p.grad is None:
                p.data *= 1 - self.lr * self.weight_decay


class MomentumOfWhatIsSkipped(optim.SGD):
    """A parameter without a gradient counts as one with a gradient of zeros."""

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is None and self.momentum and "velocity" in self._state[i]:
                self._state[i]["velocity"] *= self.momentum
        super().step()


class CommonCount(optim.Adam):
    """One count of steps for all: a parameter that starts late is corrected as if it had not."""

    def step(self):
        most = max(self.steps)
        self.steps = [most for _ in self.steps]
        super().step()


class HalfApplies(optim.SGD):
    def load_state_dict(self, state):
        if "lr" in state:
            self.lr = state["lr"]
        super().load_state_dict(state)


class TakesAnything(optim.RMSprop):
    def load_state_dict(self, state):
        try:
            super().load_state_dict(state)
        except StateError:
            return


class TakesAnyLr(optim.RMSprop):
    def load_state_dict(self, state):
        super().load_state_dict(
            {**state, "lr": abs(state["lr"])} if isinstance(state.get("lr"), float) else state
        )


class StumblesOverWhatDoesNotFit(optim.Adam):
    def load_state_dict(self, state):
        int(state["steps"][0])
        super().load_state_dict(state)


class SharesItsState(optim.Adam):
    """What was saved goes on changing with the optimizer that it was saved from."""

    def state_dict(self):
        found = super().state_dict()
        found.update({f"{i}.{name}": a for i, s in enumerate(self._state) for name, a in s.items()})
        return found

    def load_state_dict(self, state):
        super().load_state_dict(state)
        for i, s in enumerate(self._state):
            s.update({name: state[f"{i}.{name}"] for name in s})


class ScalesGradients(optim.SGD):
    def step(self):
        for p in self.params:
            if p.grad is not None:
                p.grad *= self.lr
        super().step()


class ForgetsOneGradient(optim.SGD):
    def zero_grad(self):
        for p in self.params[:1]:
            p.grad = None


class LeavesTheLastBlock(optim.SGD):
    """Of a long array, what does not fill a block stays as it is."""

    def _update(self, p, g, s, numbers, state):
        if p.size == base.BLOCK or all(other.size <= base.BLOCK for other in self.params):
            super()._update(p, g, s, numbers, state)


RUNS = [
    (MomentumNotSaved, "without interruption"),
    (CountNotRestored, "without interruption"),
    (LrOfTheStart, "off by"),
    (LrNotSaved, "without interruption"),
    (DecaysWhatIsSkipped, "not by a step in which it had a gradient"),
    (MomentumOfWhatIsSkipped, "without interruption"),
    (CommonCount, "without interruption"),
    (HalfApplies, "took over part of it before"),
    (TakesAnything, "took over a state with"),
    (TakesAnyLr, "took over a state with a hyperparameter out of range (lr)"),
    (StumblesOverWhatDoesNotFit, "is to be refused with StateError, and raised"),
    (SharesItsState, "without interruption"),
    (ScalesGradients, "the gradient of parameter"),
    (ForgetsOneGradient, "the gradient of parameter"),
    (LeavesTheLastBlock, "off by"),
]


@pytest.mark.parametrize(("cls", "words"), RUNS, ids=[cls.__name__ for cls, _ in RUNS])
def test_a_mistake_that_shows_in_the_course_of_a_run_is_detected(cls, words, monkeypatch):
    monkeypatch.setattr(base, "BLOCK", 3)
    message = detected_in_a_run(optimizer_machine(cls))
    assert cls.__name__ in message
    assert words in message


ONLY_IN_RUNS = [cls for cls, _ in RUNS if cls not in (LeavesTheLastBlock, LrOfTheStart, ScalesGradients)]


@pytest.mark.parametrize("cls", ONLY_IN_RUNS)
def test_and_by_its_steps_alone_it_is_not(cls):
    @settings(SEEK, max_examples=20)
    @given(st.tuples(problems(), parameters(cls.spec.params)))
    def passes(drawn):
        check_trajectory(cls, *drawn)

    passes()


# --- what can't be ----------------------------------------------------------------------------------------------------


class TakesNothing(optim.SGD):
    def __init__(self, params, **hyper):
        params = list(params)
        super().__init__(params or [Tensor(np.ones(1), requires_grad=True)], **hyper)


class DropsWhatComesTwice(optim.Adam):
    def __init__(self, params, **hyper):
        super().__init__({id(p): p for p in params}.values(), **hyper)


class TakesAnyMomentum(optim.RMSprop):
    hyper: ClassVar = {**optim.RMSprop.hyper, "momentum": lambda name, value: value}


class BroadcastsGradients(optim.SGD):
    def step(self):
        for p in self.params:
            if p.grad is not None and p.grad.shape != p.shape:
                p.grad = np.resize(p.grad, p.shape)
        super().step()


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (TakesNothing, "took no parameters"),
        (DropsWhatComesTwice, "took one parameter twice"),
        (TakesAnyMomentum, r"took momentum=-1\.0"),
        (BroadcastsGradients, "took a gradient of another shape"),
    ],
)
def test_an_optimizer_that_takes_what_can_not_be_is_detected(cls, words):
    with pytest.raises(VerificationError, match=f"^{cls.__name__} {words}"):
        check_refusals(cls)
