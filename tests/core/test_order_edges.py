"""Sorting, running and taking along an axis: ties, axes that are not there, numbers out of range, nothing at all."""

import math

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError, ShapeError


def gradient(f, x):
    leaf = Tensor(np.array(x, np.float64), requires_grad=True)
    y = f(leaf)
    y.backward(np.arange(y.size, dtype=np.float64).reshape(y.shape))
    return leaf.grad


@pytest.mark.parametrize("values", [1, 3])
def test_entries_that_tie_keep_their_order(values):
    """Two hundred of them: an order that is not stable shows from some number on."""
    ties = np.random.default_rng(0).integers(0, values, (200, 2)).astype(float)
    gy = np.arange(400.0).reshape(200, 2)

    def expected(x, axis):
        found = np.empty(x.shape)
        np.put_along_axis(found, np.argsort(x, axis, kind="stable"), gy.reshape(x.shape), axis)
        return found

    np.testing.assert_array_equal(gradient(lambda x: gradcore.sort(x, 0), ties), expected(ties, 0))
    np.testing.assert_array_equal(
        gradient(lambda x: gradcore.sort(x, None), ties).ravel(), expected(ties.ravel(), 0)
    )
    for sign in (1, -1):
        np.testing.assert_array_equal(
            gradient(lambda x, sign=sign: gradcore.topk(x, 200, 0, largest=sign < 0), ties),
            expected(sign * ties, 0),
        )


@pytest.mark.parametrize("name", ["cummax", "cummin", "diff"])
def test_an_axis_that_is_not_there_is_named_with_the_shape(name):
    f = getattr(gradcore, name)
    for x in (np.zeros((2, 3)), Tensor(np.zeros((2, 3)))):
        with pytest.raises(ShapeError, match=rf"{name} got axis 2.*shape \(2, 3\)"):
            f(x, axis=2)


def test_what_is_out_of_range_is_refused():
    x = np.zeros((2, 3))
    with pytest.raises(DomainError, match="diff got n=-1: how often to take differences is 0 or more"):
        gradcore.diff(x, -1)
    with pytest.raises(DomainError, match=r"topk got k=4: axis 1 of shape \(2, 3\) has 3 entries"):
        gradcore.topk(x, 4, 1)
    with pytest.raises(ShapeError, match=r"topk got axis 5.*shape \(2, 3\)"):
        gradcore.topk(x, 1, 5)
    with pytest.raises(
        ShapeError, match=r"take_along_axis got x of shape \(2, 3\) and indices of shape \(2,\)"
    ):
        gradcore.take_along_axis(x, np.zeros(2, int), 1)
    with pytest.raises(DomainError, match="polygamma got n=-1: the order is 0"):
        gradcore.polygamma(x, -1)


def test_indices_may_be_lists_and_tensors():
    x = np.arange(6.0).reshape(2, 3)
    for indices in ([[2], [0]], np.array([[2], [0]]), Tensor(np.array([[2], [0]]))):
        np.testing.assert_array_equal(np.asarray(gradcore.take_along_axis(x, indices, 1)), [[2.0], [3.0]])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("edge_order", [1, 2])
def test_differences_along_any_of_three_axes_are_numpys(axis, edge_order):
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    expected = np.gradient(x, 0.5, axis=axis, edge_order=edge_order)
    np.testing.assert_allclose(
        gradcore.gradient(x, 0.5, axis=axis, edge_order=edge_order), expected, rtol=1e-12
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3)])
def test_a_product_of_no_entries_is_one_and_has_a_gradient_of_none(shape):
    for axis in (0, 1, None):
        x = Tensor(np.zeros(shape), requires_grad=True)
        y = gradcore.prod(x, axis)
        np.testing.assert_array_equal(y.data, np.prod(np.zeros(shape), axis))
        y.backward(np.ones(y.shape))
        assert x.grad.shape == shape


ZETA = {5: 1.0369277551433699263, 9: 1.0020083928260822144, 21: 1.0000004769329867878}


@pytest.mark.parametrize("n", [4, 8, 20])
def test_a_polygamma_of_a_high_order_is_that_of_the_zeta_function(n):
    """(-1)^(n+1) n! zeta(n+1) at 1, and (2^(n+1) - 1) times that at 1/2: Abramowitz and Stegun 1964, 6.4.2 and 6.4.4."""
    at_one = (-1) ** (n + 1) * math.factorial(n) * ZETA[n + 1]
    found = gradcore.polygamma(np.array([1.0, 0.5]), n)
    np.testing.assert_allclose(found, [at_one, (2 ** (n + 1) - 1) * at_one], rtol=4e-15)


@pytest.mark.parametrize("f", [gradcore.digamma, lambda x: gradcore.polygamma(x, 2)])
def test_a_polygamma_is_nan_from_zero_down_and_float32_is_rounded_once(f):
    assert np.isnan(f(np.array([0.0, -0.5, -3.0]))).all()
    x = np.linspace(0.3, 9, 50).astype(np.float32)
    np.testing.assert_array_equal(f(x), f(x.astype(np.float64)).astype(np.float32))
