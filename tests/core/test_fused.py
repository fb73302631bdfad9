"""Fused ops: `linear` and `batch_norm`, in their shapes, their dtypes, and each gradient by itself."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import ShapeError
from gradcore.ops import batch_norm, linear

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2))


@pytest.mark.parametrize("wide", range(3))
def test_linear_gives_the_wider_of_its_dtypes_and_the_value_in_it(wide):
    arrays = (X, W, np.array([0.1, -0.2]))
    arrays = [a if i == wide else a.astype(np.float32) for i, a in enumerate(arrays)]
    y = linear(*arrays)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, arrays[0] @ arrays[1] + arrays[2])


def test_linear_of_one_row_and_a_bias_of_one_row_is_one_row():
    bias = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(linear(X[0], W, bias), X[:1] @ W + bias)
    x, b = Tensor(X[0], requires_grad=True), Tensor(bias, requires_grad=True)
    linear(x, W, b).sum().backward()
    assert (x.grad.shape, b.grad.tolist()) == ((3,), [[1.0, 1.0]])


@pytest.mark.parametrize("shape", [(2, 2), (4, 2), (1,), (3,), (2, 1), ()])
def test_linear_refuses_a_bias_that_is_no_row_of_its_outputs(shape):
    with pytest.raises(ShapeError, match=r"a weight of shape \(3, 2\): \(1, 2\) or \(2,\) would fit"):
        linear(X, W, np.zeros(shape))


def test_a_bias_that_is_none_gets_none():
    assert linear.vjp(X @ W, X @ W, X, W, None)[2] is None


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_batch_norm_gives_each_gradient_with_or_without_the_others(shape, needed):
    arrays = [RNG.standard_normal(s) for s in (shape, (3,), (3,))]
    gy = RNG.standard_normal(shape)

    def gradients(wanted):
        tensors = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)]
        batch_norm(*tensors).backward(gy)
        return [t.grad for t in tensors]

    every, some = gradients((0, 1, 2)), gradients(needed)
    for i in range(3):
        assert some[i] is None if i not in needed else np.array_equal(some[i], every[i])


@pytest.mark.parametrize("needed", [(0,), (1,), (0, 1)])
def test_concatenate_gives_each_gradient_with_or_without_the_other(needed):
    tensors = [Tensor(np.ones((n, 2)), requires_grad=i in needed) for i, n in enumerate((1, 3))]
    gradcore.concatenate(tensors).backward(np.arange(8.0).reshape(4, 2))
    expected = ([[0.0, 1.0]], [[2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    assert [None if t.grad is None else t.grad.tolist() for t in tensors] == [
        expected[i] if i in needed else None for i in range(2)
    ]
