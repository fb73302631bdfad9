"""L-BFGS: its direction against dense matrices, its line search against the conditions; tests/reports holds it beside PyTorch's.

It takes a closure and moves all parameters as one vector, so the registry's form does not hold it.
"""

import json
import math

import numpy as np
import pytest
from optimizers import closure_of, parameter

from gradcore import Tensor, nn
from gradcore.errors import ArgumentError, DivergenceError, DomainError, GraphError, ShapeError, StateError
from gradcore.optim import LBFGS
from gradcore.optim.lbfgs import direction
from gradcore.optim.line_search import CURVATURE, DECREASE, Trial, strong_wolfe
from gradcore.train import Trainer


def dense(moves, changes):
    """The inverse Hessian's estimate as a matrix: H = V^T H V + r s s^T, V = I - r y s^T, r = 1 / (y s)."""
    s, y = moves[-1], changes[-1]
    found = np.eye(len(s)) * (y @ s) / (y @ y)
    for s, y in zip(moves, changes, strict=True):
        r = 1 / (y @ s)
        v = np.eye(len(s)) - r * np.outer(y, s)
        found = v.T @ found @ v + r * np.outer(s, s)
    return found


def pairs(count, size=6, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, size))
    moves = list(rng.normal(size=(count, size)))
    return moves, [(a @ a.T + np.eye(size)) @ s for s in moves], rng.normal(size=size)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_a_direction_is_that_of_the_dense_matrix(count):
    moves, changes, gradient = pairs(count)
    np.testing.assert_allclose(
        direction(gradient, moves, changes), -dense(moves, changes) @ gradient, rtol=1e-7
    )


def test_a_direction_from_pairs_in_another_order_is_another():
    moves, changes, gradient = pairs(3)
    other = direction(gradient, moves[::-1], changes[::-1])
    assert np.abs(other + dense(moves, changes) @ gradient).max() > 1e-3


def test_without_memory_the_direction_is_down_the_gradient():
    assert direction(np.array([1.0, -2.0]), [], []).tolist() == [-1, 2]


# --- the line search --------------------------------------------------------------------------------------------------

LINES = {
    "a parabola": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "far away": (lambda t: (t / 100 - 3) ** 2, lambda t: (t / 100 - 3) / 50),
    "near": (lambda t: (100 * t - 3) ** 2, lambda t: 200 * (100 * t - 3)),
    "flat, then steep": (lambda t: math.exp(t) - 5 * t, lambda t: math.exp(t) - 5),
    "waves": (lambda t: 0.02 * t * t - math.sin(3 * t), lambda t: 0.04 * t - 3 * math.cos(3 * t)),
    "a step up": (
        lambda t: -t * math.exp(-t) + 2 / (1 + math.exp(-5 * (t - 5))),
        lambda t: (t - 1) * math.exp(-t) + 2.5 / math.cosh(2.5 * (t - 5)) ** 2,
    ),
    "of degree four": (lambda t: (t - 1) ** 4 - t, lambda t: 4 * (t - 1) ** 3 - 1),
}


def search(f, slope, t, most=50):
    called = []

    def at(t):
        called.append(t)
        return Trial(t, f(t), None, slope(t))

    found, count = strong_wolfe(at, at(0.0), t, most, 1.0, 1e-12)
    assert count == len(called) - 1
    return found


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 20.0])
@pytest.mark.parametrize("name", LINES)
def test_a_step_meets_the_strong_wolfe_conditions(name, first):
    f, slope = LINES[name]
    found = search(f, slope, first)
    assert found.t > 0
    assert found.loss <= f(0) + DECREASE * found.t * slope(0)
    assert abs(found.slope) <= -CURVATURE * slope(0)


def test_a_search_for_any_slope_does_not(monkeypatch):
    monkeypatch.setattr("gradcore.optim.line_search.CURVATURE", 50.0)
    with pytest.raises(AssertionError):
        test_a_step_meets_the_strong_wolfe_conditions("far away", 0.1)


def test_a_search_ends_at_the_number_of_evaluations():
    for most in range(5):
        assert search(lambda t: -t, lambda t: -1.0, 1.0, most).t >= 0


def test_a_search_steps_back_from_where_there_is_no_number():
    f = lambda t: math.log(2 - t) - t if t < 2 else math.nan  # noqa: E731
    g = lambda t: -1 / (2 - t) - 1 if t < 2 else math.nan  # noqa: E731
    assert search(f, g, 50.0).loss < f(0)


# --- the whole --------------------------------------------------------------------------------------------------------


def rosenbrock(params):
    x, y = params
    return (1 - x).square().sum() + 100 * (y - x.square()).square().sum()


def start():
    return [parameter([-1.2, 0.5]), parameter([1.0, 2.0])]


def test_it_finds_the_minimum_of_rosenbrocks_function():
    params, calls = start(), []
    optimizer = LBFGS(params, max_iter=100, tolerance_change=1e-18, line_search_fn="strong_wolfe")
    first = optimizer.step(closure_of(optimizer, params, rosenbrock, calls))
    assert (first.item(), len(calls) < 125) == (calls[0], True)
    for p in params:
        np.testing.assert_allclose(p.data, [1, 1], atol=1e-6)


def test_without_a_line_search_steps_are_of_lr_and_the_first_of_the_gradients_size():
    p = parameter([3.0, 4.0])
    optimizer = LBFGS([p], lr=0.5, max_iter=1)
    optimizer.step(closure_of(optimizer, [p], lambda ps: ps[0].square().sum() / 2))
    np.testing.assert_allclose(p.data, np.array([3.0, 4.0]) * (1 - 0.5 / 7), rtol=1e-15)


def test_a_quadratic_function_takes_as_many_iterations_as_it_has_dimensions():
    a = np.diag([1.0, 10.0, 100.0])
    p = parameter([1.0, 1.0, 1.0])
    optimizer = LBFGS([p], max_iter=40, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer, [p], lambda ps: (ps[0] * (a @ ps[0])).sum()))
    assert np.abs(p.data).max() < 1e-6
    assert optimizer.iterations < 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_arrays_that_are_held_and_dtypes_stay_as_they_are(dtype, search):
    p = parameter([3.0, 4.0], dtype)
    held = p.data
    optimizer = LBFGS([p], lr=0.5, line_search_fn=search)
    optimizer.step(closure_of(optimizer, [p], lambda ps: ps[0].square().sum()))
    assert (held.tolist(), p.dtype) == ([3, 4], dtype)
    assert np.abs(p.data).max() < 3


def test_a_parameter_without_gradient_stays():
    p, other = parameter([3.0]), parameter([5.0])
    optimizer = LBFGS([p, other])
    optimizer.step(closure_of(optimizer, [p], lambda ps: ps[0].square().sum()))
    assert other.data.tolist() == [5.0]
    assert abs(p.item()) < 1


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_state_goes_on_to_the_bit(search):
    def trained(reload_at=None):
        params = start()
        optimizer = LBFGS(params, 0.01 if search is None else 1.0, 3, history_size=2, line_search_fn=search)
        for t in range(5):
            if t == reload_at:
                state = optimizer.state_dict()
                plain = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
                state.update(json.loads(json.dumps(plain)))
                optimizer = LBFGS(params)
                optimizer.load_state_dict(state)
                for name in ("move.0", "direction"):
                    if name in state:
                        state[name][...] = 0
            optimizer.step(closure_of(optimizer, params, rosenbrock))
        return [p.data for p in params]

    for reload_at in (0, 1, 3):
        np.testing.assert_array_equal(trained(), trained(reload_at))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iter": 0}, "max_iter=0 is out of range: it must be a whole number of at least 1"),
        ({"max_eval": 2.5}, r"max_eval=2\.5 is out of range"),
        ({"history_size": True}, "history_size=True is out of range"),
        ({"line_search_fn": "wolfe"}, "line_search_fn='wolfe' is none: write 'strong_wolfe', or None"),
        ({"tolerance_grad": -1}, "tolerance_grad=-1 is out of range"),
    ],
)
def test_settings_that_can_not_be_are_refused(options, message):
    with pytest.raises(DomainError, match=message):
        LBFGS([parameter([1.0])], **options)


def test_calls_that_can_not_be_are_refused():
    p = parameter([1.0])
    optimizer = LBFGS([p])
    with pytest.raises(
        ArgumentError, match=r"LBFGS\.step got None: pass a function that clears the gradients"
    ):
        optimizer.step()
    with pytest.raises(ArgumentError, match="LBFGS got groups of parameters: it moves all as one vector"):
        LBFGS([{"params": p}, {"params": parameter([1.0])}])
    with pytest.raises(ArgumentError, match="LBFGS moves all parameters as one vector"):
        optimizer.add_param_group({"params": parameter([1.0])})

    def wrong(g):
        def closure():
            p.grad = g
            return 1.0

        return closure

    with pytest.raises(ShapeError, match=r"a parameter of shape \(1,\) has a gradient of shape \(2,\)"):
        optimizer.step(wrong(np.ones(2)))
    with pytest.raises(GraphError, match=r"p\.grad is None or an array"):
        optimizer.step(wrong(1.0))
    with pytest.raises(
        DivergenceError, match=r"the loss is 1\.0 and the gradient not finite: take a smaller lr"
    ):
        optimizer.step(wrong(np.array([np.nan])))
    assert (p.item(), optimizer.iterations) == (1.0, 0)


def test_a_trainer_refuses_what_takes_a_closure():
    model = nn.Linear(2, 2, rng=0)
    with pytest.raises(
        ArgumentError, match="Trainer got LBFGS, which evaluates the loss several times a step"
    ):
        Trainer(model, LBFGS(model.parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("length"), "it lacks length"),
        (lambda s: s.pop("gradient"), r"missing: gradient"),
        (lambda s: s.pop("change.0"), r"missing: change\.0"),
        (lambda s: s.update({"move.0": np.zeros(3)}), r"different: move\.0"),
        (lambda s: s.update({"else": np.zeros(4)}), "unexpected: else"),
        (lambda s: s.update(iterations=-1), "iterations=-1 is out of range"),
        (lambda s: s.update(lr="1"), "lr='1' is out of range"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    params = start()
    optimizer = LBFGS(params, 0.001, 3)
    optimizer.step(closure_of(optimizer, params, rosenbrock))
    state, before = optimizer.state_dict(), optimizer.state_dict()
    change(state)
    with pytest.raises(StateError, match=f"(?s)this state does not fit LBFGS.*{message}"):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    with pytest.raises(StateError, match="expected what state_dict"):
        optimizer.load_state_dict([])


def test_the_loss_may_be_a_number():
    p = Tensor(np.array([2.0]), requires_grad=True)
    optimizer = LBFGS([p])

    def closure():
        p.grad = 2 * p.data
        return float(p.data[0] ** 2)

    assert optimizer.step(closure) == 4.0
    assert abs(p.item()) < 1e-6
