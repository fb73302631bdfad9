"""Averages with and without weights, running sums and norms: NumPy's values, and gradients."""

import numpy as np
import pytest

import gradcore
from gradcheck import gradcheck
from gradcore import Tensor
from gradcore.errors import ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
CALLS = [
    {},
    {"axis": 0},
    {"axis": (0, 1)},
    {"axis": 1, "keepdims": True},
    {"weights": RNG.uniform(0.5, 2.0, (3, 4))},
    {"axis": -1, "weights": RNG.uniform(0.5, 2.0, 4)},
    {"axis": 0, "weights": RNG.uniform(0.5, 2.0, 3)},
    {"axis": 1, "weights": RNG.uniform(0.5, 2.0, (3, 4)), "keepdims": True},
]


@pytest.mark.parametrize("options", CALLS, ids=lambda options: ", ".join(options) or "all")
def test_an_average_is_numpys_with_a_gradient(options):
    x = Tensor(X, requires_grad=True)
    for y in (gradcore.average(x, **options), np.average(x, **options)):
        expected = np.average(X, **options)
        assert y.shape == np.shape(expected)
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)
    gradcheck(lambda v: gradcore.average(v, **options), (x,))


def test_weights_get_a_gradient_too():
    weights = Tensor(RNG.uniform(0.5, 2.0, 4), requires_grad=True)
    gradcheck(lambda x, w: gradcore.average(x, 1, w), (Tensor(X, requires_grad=True), weights))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("order", [0.5, 1, 2, 2.5, 3, 5])
def test_a_norm_of_any_order_is_the_same_to_the_bit_on_arrays_and_on_tensors(order, dtype):
    x = X.astype(dtype)
    for axis in (0, 1, None):
        on_arrays, on_tensors = (
            gradcore.vector_norm(x, order, axis),
            gradcore.vector_norm(Tensor(x), order, axis),
        )
        assert on_arrays.dtype == on_tensors.dtype == dtype
        np.testing.assert_array_equal(on_arrays, on_tensors.data)


def test_cumulative_sums_need_an_axis_where_there_are_several():
    x = Tensor(X, requires_grad=True)
    np.testing.assert_allclose(gradcore.cumulative_sum(x, axis=1).data, np.cumsum(X, 1))
    np.testing.assert_allclose(gradcore.cumulative_sum(x[0]).data, np.cumsum(X[0]))
    with pytest.raises(ShapeError, match=r"cumulative_sum got shape \(3, 4\) and no axis: say along which"):
        gradcore.cumulative_sum(x)


def test_nan_becomes_a_number_and_gets_no_gradient():
    x = Tensor(np.array([1.0, np.nan, np.inf]), requires_grad=True)
    y = np.nan_to_num(x, nan=2.0)
    assert y.tolist() == [1.0, 2.0, np.inf]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 1.0]
