"""Every optimizer: its trajectory against a reference derived differently, with numeric gradients, and through any run."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from gradcheck.strategies import parameters
from gradcheck.verification import (
    History,
    Problem,
    VerificationError,
    check_history,
    check_numeric_trajectory,
    check_refusals,
    check_trajectory,
)
from gradcheck.verification.drawing import problems
from gradcheck.verification.machines import optimizer_machine
from gradcheck.verification.optimizers import run
from gradcore import optim, registry
from gradcore.optim import base

EACH = pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)


@pytest.mark.checks("trajectory")
@EACH
def test_the_trajectory_is_the_references(cls, verify):
    verify(
        st.tuples(problems(st.integers(1, 8), least_ndim=cls.spec.least_ndim), parameters(cls.spec.params)),
        lambda drawn: check_trajectory(cls, *drawn),
    )


@pytest.mark.checks("numeric")
@EACH
def test_numeric_gradients_lead_to_the_same_place(cls, verify):
    verify(
        st.tuples(
            problems(st.integers(1, 3), 2, (np.float64,), cls.spec.least_ndim), parameters(cls.spec.params)
        ),
        lambda drawn: check_numeric_trajectory(cls, *drawn),
        share=0.5,
    )


@pytest.mark.parametrize("seed", [53, 213, 263, 294])
def test_what_a_step_rounds_is_no_other_place(seed):
    params = {
        "lr": 0.0204,
        "alpha": 0.999,
        "weight_decay": 0.028,
    }  # whose first step has one size for every gradient
    check_numeric_trajectory(optim.RMSprop, Problem.draw([()], 1, seed), params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_problem_from_which_the_reference_runs_away_compares_nothing(dtype):
    # The variance of one value is 0: steps of gy / eps.
    params = {"lr": 1e-2, "alpha": 0.0, "eps": 1e-8, "centered": True}
    check_trajectory(optim.RMSprop, Problem.draw([(3,), ()], 60, 0, dtype), params)


class Uphill(optim.SGD):
    """Runs away by itself, whatever its reference does."""

    spec = optim.SGD.spec

    def _update(self, p, *more):
        super()._update(p, *more)
        p *= 1e6


def history_of(cls, params, steps, dtype):
    rng = np.random.default_rng(0)
    start = rng.uniform(-2, 2, 3).astype(dtype)
    gradients = list(rng.standard_normal((steps, 3)).astype(dtype))
    factors = [1.0] * steps
    (after,) = run(cls, [start], lambda t, _i, _p: gradients[t], factors, params)
    return History(start, gradients, factors, list(after))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_history_from_which_the_reference_runs_away_is_replayed_and_no_more(dtype):
    params = {"lr": 0.1, "alpha": 0.0, "eps": 1e-8, "weight_decay": 0.1, "centered": True}
    history = history_of(optim.RMSprop, params, 34, dtype)
    check_history(optim.RMSprop, history, params)
    history.after[0] = history.after[0] * 2
    with pytest.raises(VerificationError, match="by the same steps of a new optimizer"):
        check_history(optim.RMSprop, history, params)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_history_that_runs_away_by_itself_is_reported():
    with pytest.raises(VerificationError, match="Uphill"):
        check_history(Uphill, history_of(Uphill, {"lr": 0.1}, 60, np.float64), {"lr": 0.1})


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_an_optimizer_that_runs_away_by_itself_is_reported():
    with pytest.raises(VerificationError, match="Uphill"):
        check_trajectory(Uphill, Problem.draw([()], 60, 0, np.float64), {"lr": 0.1})


@pytest.mark.checks("runs")
@EACH
@pytest.mark.parametrize("block", [base.BLOCK, 3], ids=["whole", "in blocks"])
def test_whatever_happens_in_a_run_only_gradients_and_lr_decide_where_it_leads(
    cls, block, monkeypatch, tally
):
    monkeypatch.setattr(
        base, "BLOCK", block
    )  # three entries at a time, so that small arrays are cut as long ones are
    profile = settings()
    few = settings(profile, max_examples=max(5, profile.max_examples // 2), stateful_step_count=25)
    run_state_machine_as_test(optimizer_machine(cls), settings=few)
    tally.passed()


@pytest.mark.checks("misfits")
@EACH
def test_what_can_not_be_is_refused(cls, tally):
    check_refusals(cls)
    tally.passed()
