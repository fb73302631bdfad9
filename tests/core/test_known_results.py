"""Results that can be worked out by hand."""

import math

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, tensor
from gradcore.errors import ShapeError


def test_a_product_of_two_matrices():
    y = tensor([[1, 2], [3, 4]]) @ tensor([[2, 0], [1, 2]])
    assert y.tolist() == [[4, 4], [10, 8]]


def test_a_list_times_a_tensor_keeps_their_order():
    y = [[1, 2, 3]] @ tensor([[1, 0], [0, 1], [2, 3]])
    assert type(y) is Tensor
    assert y.tolist() == [[7, 11]]


def test_a_row_times_a_column_and_both_gradients():
    w = tensor([[1.0, 2.0]], requires_grad=True)
    x = tensor([[2.0], [3.0]], requires_grad=True)
    y = w @ x
    y.backward()
    assert y.tolist() == [[8]]
    assert x.grad.tolist() == [[1], [2]]
    assert w.grad.tolist() == [[2, 3]]


def test_a_bias_is_added_to_each_row():
    y = tensor([[1, 2], [3, 4]]) + tensor([[0.5, 0.25]])
    assert y.tolist() == [[1.5, 2.25], [3.5, 4.25]]


@pytest.mark.parametrize("exponent", [-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_power_to_one_whole_number_is_numpys_in_value_and_dtype(exponent, dtype):
    x = np.array([-1.5, 0.5, 2.0], np.float32)
    y = np.array(exponent, dtype)
    found, expected = gradcore.pow(x, y), np.power(x, y)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(expected.dtype).eps)


def test_by_its_exponent_a_power_of_zero_has_no_slope_not_even_at_exponent_zero():
    x, y = np.zeros(3), Tensor(np.array([0.0, 0.5, 2.0]), requires_grad=True)
    gradcore.pow(x, y).sum().backward()
    assert y.grad.tolist() == [0.0, 0.0, 0.0]


def test_by_its_base_a_power_with_a_narrow_exponent_is_as_exact_as_the_base():
    x, y = Tensor(np.array([1.7, 0.3]), requires_grad=True), np.array([0.1, 0.2], np.float32)
    gradcore.pow(x, y).sum().backward()
    wide = y.astype(np.float64)
    np.testing.assert_allclose(x.grad, wide * x.data ** (wide - 1), rtol=1e-15)


def test_a_power_of_numbers_is_a_number():
    assert gradcore.pow(2.0, 3.0) == 8.0
    assert gradcore.pow([2.0, 3.0], 2.0).tolist() == [4.0, 9.0]


def test_a_condition_may_be_a_list_or_a_truth_value():
    assert gradcore.where([True, False], np.ones(2), np.zeros(2)).tolist() == [1.0, 0.0]
    assert gradcore.where(True, 2.0, 3.0) == 2.0


def test_an_infinite_row_does_not_spoil_the_others():
    x = np.array([[np.inf, 0.0], [-np.inf, -np.inf], [1000.0, 1000.0], [0.0, 0.0]])
    expected = [np.inf, -np.inf, 1000.0 + np.log(2), np.log(2)]
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(gradcore.logsumexp(x, 1), expected, rtol=1e-15)
        np.testing.assert_allclose(gradcore.logsumexp(x[:2], 1), expected[:2])


@pytest.mark.parametrize("axes", [(0,), (1, 1), (0, -2), (0, 2, 1), ()])
def test_axes_that_are_no_permutation_are_refused_whatever_the_rank(axes):
    for x in (np.ones((2, 3)), np.float64(1.0)):
        if axes or x.ndim:
            with pytest.raises(ShapeError, match="is not a permutation of the"):
                gradcore.transpose(x, axes)


def test_shapes_and_axes_are_taken_as_numbers_as_a_tuple_and_as_a_list():
    x = tensor([[1, 2, 3], [4, 5, 6]])
    assert x.reshape(3, 2).tolist() == x.reshape((3, 2)).tolist() == x.reshape([3, 2]).tolist()
    assert x.transpose(1, 0).tolist() == x.transpose((1, 0)).tolist() == x.transpose([1, 0]).tolist()
    assert tensor([7]).reshape().tolist() == 7


def test_relu_zeroes_negatives_and_stops_their_gradient():
    x = tensor([-1.0, 0.0, 2.0], requires_grad=True)
    y = x.relu()
    y.sum().backward()
    assert y.tolist() == [0, 0, 2]
    assert x.grad.tolist() == [0, 0, 1]


def test_the_sigmoid_at_zero():
    x = tensor(0.0, requires_grad=True)
    y = x.sigmoid()
    y.backward()
    assert (y.item(), x.grad.item()) == (0.5, 0.25)


def test_a_two_layer_relu_network_by_hand():
    # x = (1, 2), W1 = [[1, -1, 2], [2, 1, -2]], b1 = (0, 0, 1), W2 = [[1], [3], [-2]], b2 = (0.5)
    # h  = x W1 + b1 = (1 + 4, -1 + 2, 2 - 4 + 1) = (5, 1, -1)
    # r  = relu(h)   = (5, 1, 0)
    # y  = r W2 + b2 = 5 + 3 + 0 + 0.5 = 8.5
    # L  = y^2 / 2, so dL/dy = y = 8.5
    # dL/db2 = 8.5;  dL/dW2 = r^T 8.5 = (42.5, 8.5, 0)
    # dL/dr  = 8.5 W2^T = (8.5, 25.5, -17);  dL/dh = (8.5, 25.5, 0), the third unit being off
    # dL/db1 = (8.5, 25.5, 0);  dL/dW1 = x^T dL/dh = [[8.5, 25.5, 0], [17, 51, 0]]
    # dL/dx  = dL/dh W1^T = (8.5 - 25.5, 17 + 25.5) = (-17, 42.5)
    x = tensor([[1.0, 2.0]], requires_grad=True)
    first, second = nn.Linear(2, 3), nn.Linear(3, 1)
    first.load_state_dict({"weight": np.float32([[1, -1, 2], [2, 1, -2]]), "bias": np.float32([[0, 0, 1]])})
    second.load_state_dict({"weight": np.float32([[1], [3], [-2]]), "bias": np.float32([[0.5]])})
    y = nn.Sequential(first, nn.ReLU(), second)(x)
    (y * y * 0.5).sum().backward()
    assert y.tolist() == [[8.5]]
    assert second.bias.grad.tolist() == [[8.5]]
    assert second.weight.grad.tolist() == [[42.5], [8.5], [0]]
    assert first.bias.grad.tolist() == [[8.5, 25.5, 0]]
    assert first.weight.grad.tolist() == [[8.5, 25.5, 0], [17, 51, 0]]
    assert x.grad.tolist() == [[-17, 42.5]]


def test_the_gradient_of_softmax_cross_entropy_is_probability_less_target():
    logits = Tensor(np.log(np.array([[1.0, 2.0, 5.0]])), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.array([1]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), np.log(4), rtol=1e-15)
    np.testing.assert_allclose(logits.grad, [[1 / 8, 2 / 8 - 1, 5 / 8]], rtol=1e-14)


@pytest.mark.parametrize(
    ("axis", "value"), [(None, 10), (0, [4, 6]), (1, [3, 7]), ((0, 1), 10), (-1, [3, 7])]
)
def test_sums_of_a_matrix(axis, value):
    assert tensor([[1, 2], [3, 4]]).sum(axis).tolist() == value


def test_a_maximum_that_ties_shares_its_gradient():
    x = tensor([3.0, 1.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]
    y, z = tensor([1.0], requires_grad=True), tensor([1.0], requires_grad=True)
    gradcore.maximum(y, z).backward()
    assert (y.grad.tolist(), z.grad.tolist()) == ([0.5], [0.5])


def test_powers_at_zero():
    x = tensor([0.0, 0.0], requires_grad=True)
    (x**0).sum().backward()
    assert x.grad.tolist() == [0, 0]
    x.zero_grad()
    (x**1 + x**2 + x**3).sum().backward()
    assert x.grad.tolist() == [1, 1]
    e = tensor(2.0, requires_grad=True)
    (0.0**e).backward()
    assert e.grad == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e8, 1e30])
def test_logsumexp_and_its_gradient_are_right_next_to_large_numbers(dtype, size):
    # Equal entries share the gradient evenly, however large: log sum e^x = x + log 2.
    x = Tensor(np.array([size, size], dtype), requires_grad=True)
    y = x.logsumexp()
    y.backward()
    np.testing.assert_allclose(y.data, np.asarray(size + np.log(2), dtype), rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(x.grad, [0.5, 0.5])


@pytest.mark.parametrize(("axis", "shape"), [(0, (1,)), (1, (3,)), (None, ())])
def test_logsumexp_drops_the_axes_it_is_over_and_no_other(axis, shape):
    assert gradcore.logsumexp(np.ones((3, 1)), axis=axis).shape == shape


def test_softmax_and_logsumexp_take_minus_infinity_for_what_is_ruled_out():
    x = Tensor(np.array([0.0, -np.inf, 0.0]), requires_grad=True)
    assert x.softmax().tolist() == [0.5, 0, 0.5]
    np.testing.assert_allclose(x.log_softmax().data, [-np.log(2), -np.inf, -np.log(2)])
    x.logsumexp().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]


def test_sigmoid_is_accurate_in_both_tails():
    x = Tensor(np.array([-745.0, -40.0, 40.0, 800.0]))
    np.testing.assert_allclose(x.sigmoid().data, [np.exp(-745.0), np.exp(-40.0), 1.0, 1.0], rtol=1e-15)


def test_the_power_of_a_wide_and_a_narrow_number_has_a_gradient_as_exact_as_the_wide_one():
    narrow, wide = np.float32(1.1), 0.9
    x = Tensor(np.array(wide), requires_grad=True)
    (x ** np.array(narrow)).backward()
    assert x.grad == pytest.approx(float(narrow) * wide ** (float(narrow) - 1), rel=1e-14)
    y = Tensor(np.array(wide), requires_grad=True)
    gradcore.pow(np.array(narrow), y).backward()
    assert y.grad == pytest.approx(float(narrow) ** wide * math.log(float(narrow)), rel=1e-14)
