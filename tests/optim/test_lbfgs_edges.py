"""Where an L-BFGS step ends or goes on: tolerances that are just met, losses that are no numbers, several parameters."""

import math

import numpy as np
import pytest
from optimizers import closure_of, parameter

from gradcore import Tensor
from gradcore.errors import ArgumentError, DivergenceError, StateError
from gradcore.optim import LBFGS, lbfgs


def stepped(f, start=(0.0,), **options):
    """The parameter after one step of f on it, and the optimizer."""
    x = parameter(start)
    optimizer = LBFGS([x], **options)
    optimizer.step(closure_of(optimizer, x, f))
    return x.data.tolist(), optimizer


def test_a_gradient_just_at_the_tolerance_ends_the_step():
    assert stepped(lambda x: (x * x).sum(), tolerance_grad=0.0)[0] == [0.0]
    assert stepped(lambda x: x.sum(), tolerance_grad=1.0)[0] == [0.0]


def test_a_slope_just_at_the_tolerance_goes_on_and_a_move_just_at_it_ends():
    """The slope is -1, and so is the first move."""
    assert stepped(lambda x: x.sum(), tolerance_change=1.0)[0] == [-1.0]
    assert stepped(lambda x: x.sum(), tolerance_change=math.nextafter(1.0, 2))[0] == [0.0]


def test_a_change_of_the_loss_just_at_the_tolerance_goes_on():
    """Along x / 2 each iteration moves by 0.5, and the loss by 0.25."""
    assert stepped(lambda x: x.sum() / 2, tolerance_change=0.25, max_iter=3, max_eval=9)[0] == [-1.5]
    assert stepped(lambda x: x.sum() / 2, tolerance_change=0.26, max_iter=3, max_eval=9)[0] == [
        0.0
    ]  # the slope is -0.25


def test_a_pair_whose_curvature_is_just_the_least_is_left_out(monkeypatch):
    """From 4.0, x^2 / 2 moves by -1 and its gradient as well: their product is 1."""
    for least, kept in ((1.0, False), (math.nextafter(1.0, 0), True)):
        monkeypatch.setattr(lbfgs, "LEAST_CURVATURE", least)
        _, optimizer = stepped(lambda x: (x * x).sum() / 2, (4.0,), max_iter=3, max_eval=9)
        assert ("move.0" in optimizer.state_dict()) is kept


@pytest.mark.parametrize(("product", "kept"), [(0.9e-10, False), (1.1e-10, True)])
def test_the_least_curvature_is_pytorchs(product, kept):
    """Half a step towards the minimum of x^2 / 2: move and change are half of x each."""
    start = (2 * math.sqrt(product),)
    options = {"lr": 0.5, "max_iter": 3, "max_eval": 9, "tolerance_change": 0.0, "tolerance_grad": 0.0}
    _, optimizer = stepped(lambda x: (x * x).sum() / 2, start, **options)
    assert ("move.0" in optimizer.state_dict()) is kept


def test_iterations_are_counted_and_saved():
    _, optimizer = stepped(lambda x: x.sum(), max_iter=3, max_eval=9)
    assert optimizer.iterations == 3
    other = LBFGS([parameter([0.0])], max_iter=3)
    assert (other.state_dict()["iterations"], other.state_dict()["length"]) == (0, 0.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.iterations == 3


def test_a_state_is_a_copy():
    _, optimizer = stepped(lambda x: (x * x).sum() / 2, (4.0,), max_iter=3)
    state = optimizer.state_dict()
    for a in state.values():
        if isinstance(a, np.ndarray):
            a[...] = 7
    assert not any(np.any(a == 7) for a in optimizer.state_dict().values() if isinstance(a, np.ndarray))


def test_a_state_that_lacks_all_names_what_in_order():
    with pytest.raises(StateError, match=r"it lacks lr, .*, line_search_fn, iterations, length$"):
        LBFGS([parameter([0.0])]).load_state_dict({})
    state = LBFGS([parameter([0.0])]).state_dict()
    with pytest.raises(StateError, match=r"length=-1\.0 is out of range"):
        LBFGS([parameter([0.0])]).load_state_dict({**state, "length": -1.0})


def test_parameters_keep_their_shapes_and_dtypes_beside_others():
    parameters = [
        Tensor(np.full(shape, 2.0, dtype), requires_grad=True)
        for shape, dtype in (((2,), np.float32), ((1, 3), np.float64), ((), np.float32))
    ]
    optimizer = LBFGS(parameters, max_iter=5)

    def bowl(parameters):
        return sum((k * p.astype(np.float64) ** 2).sum() for k, p in enumerate(parameters, 1))

    optimizer.step(closure_of(optimizer, parameters, bowl))
    assert [(p.shape, p.dtype) for p in parameters] == [
        ((2,), np.float32),
        ((1, 3), np.float64),
        ((), np.float32),
    ]
    assert [np.ptp(p.data) for p in parameters] == [0, 0, 0]  # nothing of one came into another
    assert all(np.abs(p.data).max() < 1 for p in parameters)


def test_each_parameter_of_another_size_gets_its_own_values():
    ends = [np.array([1.0, 2.0]), np.array([[3.0], [4.0], [5.0]]), np.array(6.0), np.array([7.0, 8.0])]
    parameters = [parameter(np.zeros(end.shape)) for end in ends]
    optimizer = LBFGS(parameters, max_iter=20)

    def bowl(parameters):
        return sum(((p - end) ** 2).sum() for p, end in zip(parameters, ends, strict=True))

    optimizer.step(closure_of(optimizer, parameters, bowl))
    for p, end in zip(parameters, ends, strict=True):
        np.testing.assert_allclose(p.data, end, rtol=1e-7)


def test_a_float32_parameter_without_a_gradient_leaves_the_vector_in_float32():
    x, unused = parameter([1.0], np.float32), parameter([1.0], np.float32)
    optimizer = LBFGS([x, unused], max_iter=2)
    optimizer.step(closure_of(optimizer, x, lambda x: (x * x).sum()))
    assert optimizer.state_dict()["gradient"].dtype == np.float32
    assert unused.data.tolist() == [1.0]


def test_parameters_without_entries_leave_nothing_to_do():
    assert stepped(lambda x: x.sum() + 1.0, ())[0] == []


def test_a_history_may_be_a_number_of_numpys():
    assert LBFGS([parameter([1.0])], history_size=np.int64(3)).history_size == 3


def test_a_loss_of_exactly_zero_is_a_loss():
    assert stepped(lambda x: (x - 1.0).sum(), (1.0,), max_iter=1)[0] == [0.0]


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [(math.nan, [1.0, 1.0]), (math.inf, [1.0, 1.0]), (1.0, [1.0, math.nan]), (1.0, [math.inf, 1.0])],
)
def test_a_loss_or_one_entry_of_a_gradient_that_is_no_number_is_refused(loss, gradient):
    x = parameter([1.0, 2.0])
    optimizer = LBFGS([x])

    def closure():
        x.grad = np.array(gradient)
        return loss

    with pytest.raises(DivergenceError, match="LBFGS starts a step where the loss is"):
        optimizer.step(closure)
    assert x.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("closure", [None, 3.0, Tensor(1.0)])
def test_what_is_no_function_is_refused(closure):
    with pytest.raises(ArgumentError, match=r"LBFGS\.step got .*: pass a function that clears the gradients"):
        LBFGS([parameter([1.0])]).step(closure)
