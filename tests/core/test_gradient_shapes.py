"""Gradients have their inputs' dtype and shape, however inputs mix and broadcast."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.graph import unbroadcast


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# --- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_gradient_has_its_inputs_dtype(dtype):
    x, w = leaf([[1.0, 2.0]], dtype), leaf([[0.5], [0.25]], dtype)
    y = gradcore.sigmoid((x @ w) * 2 + 1).mean()
    assert y.dtype == dtype
    y.backward()
    assert x.grad.dtype == w.grad.dtype == dtype


MIXED = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "maximum": gradcore.maximum,
    "where": lambda x, y: gradcore.where(np.array([True, False]), x, y),
    "matmul": lambda x, y: x @ y,
    "concatenate": lambda x, y: gradcore.concatenate([x, y]),
    "linear": lambda x, y: gradcore.linear(x, y.reshape(2, 1)),
    "through float64 and back": lambda x, y: (x * y).astype(np.float32) * x,
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize(
    "dtypes", [(np.float32, np.float64), (np.float64, np.float32), (np.float16, np.float64)]
)
def test_inputs_of_different_dtypes_each_get_a_gradient_of_their_own(name, dtypes):
    x, y = leaf([1.0, 2.0], dtypes[0]), leaf([1.5, 1.5], dtypes[1])
    out = MIXED[name](x, y)
    out.sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == dtypes
    # The values are those of the same computation in float64 throughout.
    x64, y64 = leaf([1.0, 2.0]), leaf([1.5, 1.5])
    MIXED[name](x64, y64).sum().backward()
    np.testing.assert_allclose(x.grad, x64.grad, rtol=2e-3)
    np.testing.assert_allclose(y.grad, y64.grad, rtol=2e-3)


def test_whole_number_inputs_take_part_and_get_no_gradient():
    x = leaf([1.0, 2.0], np.float32)
    n = Tensor(np.array([3, 4]))
    (x * n).sum().backward()
    assert x.grad.tolist() == [3, 4]
    assert x.grad.dtype == np.float32
    assert n.grad is None


def test_rounding_to_whole_numbers_ends_the_derivative():
    y = leaf([1.5]).astype(np.int64)
    assert y.dtype == np.int64
    assert not y.requires_grad
    assert y.is_leaf


def test_astype_hands_the_gradient_back_in_the_inputs_dtype():
    x = leaf([1.5], np.float32)
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    y.backward(np.array([2.0]))
    assert x.grad.dtype == np.float32


# --- broadcasting, 0-d and size 0 -------------------------------------------------------------------------------------

SHAPES = [((2, 3), (3,)), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((2, 3), ()), ((2, 1), (1, 3)), ((4, 1, 3), (2, 1)), ((0, 3), (1, 3)), ((0,), ())]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES + [(b, a) for a, b in SHAPES])
def test_a_broadcast_input_gets_the_sum_over_what_it_was_stretched_to(shapes):
    rng = np.random.default_rng(0)
    x, y = (leaf(rng.normal(size=s)) for s in shapes)
    out = x * y
    gy = rng.normal(size=out.shape)
    out.backward(gy)
    for me, other in ((x, y), (y, x)):
        expected = np.zeros(me.shape)
        full = gy * np.broadcast_to(other.data, out.shape)
        places = np.broadcast_to(np.arange(me.size).reshape(me.shape), out.shape)
        np.add.at(expected.reshape(-1), places, full)
        np.testing.assert_allclose(me.grad, expected, atol=1e-14)
        assert me.grad.shape == me.shape


def test_unbroadcast_sums_added_and_stretched_axes():
    g = np.arange(24.0).reshape(4, 2, 3)
    np.testing.assert_array_equal(unbroadcast(g, (2, 1)), g.sum((0, 2)).reshape(2, 1))
    np.testing.assert_array_equal(unbroadcast(g, ()), g.sum())
    assert type(unbroadcast(g, ())) is np.ndarray
    assert unbroadcast(np.ones((0, 3)), (1, 3)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_tensors_of_no_entries_have_gradients_of_no_entries(shape):
    x = leaf(np.zeros(shape))
    (x.exp() * x + x.relu()).sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize(
    "name", ["exp", "tanh", "sigmoid", "relu", "sqrt", "log", "neg", "abs", "sum", "max", "mean", "logsumexp"]
)
def test_0d_tensors_stay_arrays_all_the_way(name):
    x = leaf(0.5)
    y = getattr(x, name)()
    assert type(y.data) is np.ndarray
    (y * y).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, -1])
def test_0d_tensors_can_be_reduced_over_the_axis_that_numpy_allows_them(name, axis):
    x = leaf(0.5)
    getattr(gradcore, name)(x, axis=axis).backward()
    assert x.grad == (0 if "softmax" in name else 1)
