"""Gradient clipping by norm and by value."""

import math

import numpy as np
import pytest

from gradcore import Tensor
from gradcore.errors import DomainError
from gradcore.optim import clip_grad_norm, clip_grad_value


def params(*gradients, dtype=np.float64):
    made = []
    for g in gradients:
        p = Tensor(np.zeros(np.shape(g), dtype), requires_grad=True)
        p.grad = None if g is None else np.array(g, dtype)
        made.append(p)
    return made


def test_gradients_above_the_norm_are_scaled_together_and_the_norm_before_is_returned():
    a, b = params([3.0, 0.0], [[4.0]])
    assert clip_grad_norm([a, b], 1.0) == 5.0
    np.testing.assert_allclose(a.grad, [0.6, 0], rtol=1e-15)
    np.testing.assert_allclose(b.grad, [[0.8]], rtol=1e-15)


@pytest.mark.parametrize("max_norm", [5.0, 6.0])
def test_gradients_within_the_norm_are_left_alone(max_norm):
    a, b = params([3.0], [4.0])
    assert clip_grad_norm(iter([a, b]), max_norm) == 5.0
    assert (a.grad, b.grad) == (3, 4)


def test_a_norm_of_zero_may_be_asked_for():
    (a,) = params([3.0, 4.0])
    for norm in (5.0, 0.0):
        assert clip_grad_norm([a], 0.0) == norm
        assert a.grad.tolist() == [0, 0]


def test_parameters_without_gradient_are_passed_over():
    a, none = params([3.0, 4.0], None)
    assert clip_grad_norm([none, a], 1.0) == 5.0
    clip_grad_value([none, a], 0.5)
    assert none.grad is None
    assert clip_grad_norm([none], 1.0) == clip_grad_norm([], 1.0) == 0.0


def test_one_tensor_may_be_passed_by_itself():
    (a,) = params([3.0, 4.0])
    assert clip_grad_norm(a, 1.0) == 5.0
    np.testing.assert_allclose(a.grad, [0.6, 0.8])
    clip_grad_value(a, 0.7)
    np.testing.assert_allclose(a.grad, [0.6, 0.7])


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float16, 3e4), (np.float16, 1e-4), (np.float32, 1e30), (np.float64, 1e200)]
)
def test_squares_that_overflow_or_vanish_do_not_keep_gradients_from_being_clipped(dtype, size):
    a, b, zero, empty = params([-3 * size / 4, 0.0], [-size], [0.0], [], dtype=dtype)
    norm = clip_grad_norm([a, b, zero, empty], size / 4)
    assert math.isclose(norm, 1.25 * size, rel_tol=2e-3)
    np.testing.assert_allclose([a.grad[0], b.grad[0]], [-0.15 * size, -0.2 * size], rtol=3e-3)
    assert zero.grad == 0
    assert a.grad.dtype == dtype


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_is_scaled(bad):
    a, b = params([bad], [2.0])
    np.testing.assert_equal(clip_grad_norm([a, b], 1.0), bad)
    np.testing.assert_equal([a.grad[0], b.grad[0]], [bad, 2])


CLIPS = {"value": lambda p: clip_grad_value(p, 1.0), "norm": lambda p: clip_grad_norm(p, 1.0)}


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_clipping_is_in_place_unless_something_else_holds_the_gradient(clip):
    (a,) = params([-3.0, 0.0, 4.0])
    place = id(a.grad)
    clip([a])
    assert id(a.grad) == place
    before = abs(a.grad).max()
    assert before <= 1
    a.grad = a.grad * 10
    held, values = a.grad, a.grad.tolist()
    clip([a])
    assert held.tolist() == values
    assert abs(a.grad).max() <= 1
    assert a.grad.dtype == held.dtype


def test_clipping_by_value_bounds_every_entry():
    (a,) = params([-3.0, 0.5, 2.0])
    clip_grad_value([a], 1.0)
    assert a.grad.tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("bad", [-1.0, math.nan, "1"])
def test_an_impossible_bound_is_refused(bad):
    with pytest.raises(DomainError, match=r"max_norm=.* is out of range"):
        clip_grad_norm([], bad)
    with pytest.raises(DomainError, match=r"max_value=.* is out of range"):
        clip_grad_value([], bad)
