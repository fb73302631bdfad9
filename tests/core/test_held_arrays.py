"""What a graph holds keeps its values: steps, loading and clipping leave alone an array that something else holds."""

import operator

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, optim
from gradcore.errors import DtypeError, GraphError, ShapeError
from gradcore.holding import assign, is_grad_held, is_held


def leaf(*values):
    return Tensor(np.array(values, np.float32), requires_grad=True)


@pytest.mark.parametrize("make", [optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW])
def test_a_step_between_two_backward_passes_leaves_the_second_graph_right(make):
    x = leaf(1.0, 2.0)
    first, second = (x * x).sum(), (x**3).sum()
    optimizer = make([x], lr=0.1)
    first.backward()
    optimizer.step()
    x.grad = None
    second.backward()
    assert x.grad.tolist() == [3.0, 12.0]
    assert (x.data < [1.0, 2.0]).all()  # and the step was taken


def test_a_step_after_backward_is_in_place_and_one_before_it_is_not():
    x = leaf(1.0)
    optimizer = optim.SGD([x], lr=0.5)
    (x * x).sum().backward()
    place = id(x.data)
    optimizer.step()
    assert id(x.data) == place
    graph = (x * x).sum()
    optimizer.step()
    assert id(x.data) != place
    assert graph.item() == 0.0
    assert x.tolist() == [-1.0]


@pytest.mark.parametrize(
    "view", [lambda x: x.reshape(2), lambda x: x.T, lambda x: x[::-1], lambda x: x.broadcast_to((3, 2))]
)
def test_a_view_in_a_graph_holds_the_array_too(view):
    x = leaf(1.0, 2.0)
    y = view(x)
    copies, loss = y.size // 2, (y * y).sum()
    del y
    x.grad = np.ones(2, np.float32)
    optim.SGD([x], lr=1.0).step()
    x.grad = None
    loss.backward()
    assert x.grad.tolist() == [2.0 * copies, 4.0 * copies]


def test_loading_a_state_leaves_a_recorded_graph_right():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2)).eval()
    x = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    loss = model(x).sum()
    scale = 1 / np.sqrt(model[1].running_var + 1e-5)
    expected = (np.ones((3, 2), np.float32) * scale) @ model[0].weight.data.T
    model.load_state_dict({name: array * 0 + 7 for name, array in model.state_dict().items()})
    loss.backward()
    np.testing.assert_allclose(x.grad, expected, rtol=1e-5)
    assert model[0].weight.tolist() == [[7, 7], [7, 7]]
    assert model[1].running_mean.tolist() == [7, 7]


def test_an_array_is_held_by_a_variable_a_view_and_a_graph_and_not_by_its_tensor():
    x = leaf(1.0)
    assert not is_held(x)
    array = x.data
    assert is_held(x)
    del array
    assert not is_held(x)
    part = x.data[:]
    assert is_held(x)
    del part
    y = x * x
    assert is_held(x)
    y.backward()
    assert not is_held(x)


def test_a_view_or_a_read_only_array_counts_as_held():
    assert is_held(Tensor(np.zeros(4)[:2]))
    frozen = Tensor(np.zeros(2))
    frozen.data.flags.writeable = False
    assert is_held(frozen)
    x = leaf(1.0)
    x.grad = np.zeros(1)
    assert not is_grad_held(x)
    x.grad.flags.writeable = False
    assert is_grad_held(x)
    x.grad = np.zeros(2)[:1]
    assert is_grad_held(x)


def test_assigning_writes_in_place_or_into_a_new_array_of_the_same_dtype():
    x = leaf(1.0, 2.0)
    place = id(x.data)
    assign(x, np.array([3.0, 4.0]))
    assert (id(x.data), x.tolist(), x.dtype) == (place, [3, 4], np.float32)
    held = x.data
    assign(x, np.array([5.0, 6.0]))
    assert (held.tolist(), x.tolist(), x.dtype) == ([3, 4], [5, 6], np.float32)


def test_a_gradient_in_a_graph_keeps_its_values_when_another_is_added():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    loss = (x * x.grad).sum()
    (x * 100.0).sum().backward()
    x.grad = None
    loss.backward()
    assert x.grad.tolist() == [2.0, 4.0]


# --- errors in the middle leave no half of a gradient -----------------------------------------------------------------


def test_an_unfit_grad_of_one_leaf_leaves_those_of_the_others_as_they_were():
    for unfit in (np.zeros(3, np.float32), 0.0, Tensor([1.0, 2.0])):
        a, b, c = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
        a.grad, c.grad = np.ones(2, np.float32), None
        b.grad = unfit
        with pytest.raises(
            GraphError,
            match=r"a tensor of shape \(2,\) has as grad .*x\.grad is None or an array of x's shape",
        ):
            (a * b * c).sum().backward()
        assert a.grad.tolist() == [1, 1]
        assert b.grad is unfit
        assert c.grad is None


def test_an_error_of_a_rule_leaves_no_gradient():
    def broken(gy, y, x):
        raise ZeroDivisionError

    x, z = leaf(1.0), leaf(2.0)
    y = z * 3.0 + x.exp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradcore.exp, "rules", (broken,))
        with pytest.raises(ZeroDivisionError):
            y.backward()
    assert x.grad is None
    assert z.grad is None


def test_a_step_refuses_a_gradient_that_is_no_array():
    x = leaf(1.0)
    x.grad = Tensor([1.0])
    with pytest.raises(
        GraphError,
        match=r"a parameter of shape \(1,\) has Tensor.* as its gradient: p\.grad is None or an array",
    ):
        optim.SGD([x]).step()


STEPS = {
    "+": operator.iadd,
    "-": operator.isub,
    "*": operator.imul,
    "/": operator.itruediv,
    "**": operator.ipow,
}


@pytest.mark.parametrize("symbol", STEPS)
def test_a_step_by_hand_changes_the_parameter_under_every_name_that_it_has(symbol):
    model = nn.Linear(2, 1, rng=0)
    before = model.weight.data.copy()
    with gradcore.no_grad():
        for p in model.parameters():
            p_before = p
            p = STEPS[symbol](p, 2.0)
            assert p is p_before
    assert np.array_equal(model.weight.data, STEPS[symbol](before, np.float32(2.0)))
    assert model.weight.requires_grad


def test_a_matrix_is_multiplied_in_place():
    x = Tensor(np.eye(2))
    y = x
    y @= np.full((2, 2), 3.0)
    assert x.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_a_step_by_hand_between_two_backward_passes_leaves_the_second_graph_right():
    x = leaf(1.0, 2.0)
    first, second = (x * x).sum(), (x**3).sum()
    first.backward()
    with gradcore.no_grad():
        x -= 0.1 * x.grad
    x.grad = None
    second.backward()
    assert x.grad.tolist() == [3.0, 12.0]
    assert np.allclose(x.data, [0.8, 1.6])


def test_a_change_in_place_of_what_requires_a_gradient_is_refused_while_recording():
    x = leaf(1.0)
    with pytest.raises(GraphError, match=r"x \+= \.\.\. on a tensor that requires a gradient.*no_grad"):
        x += 1.0
    assert x.tolist() == [1.0]


def test_results_and_sums_of_losses_get_new_tensors():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    first = y
    y += 1.0
    assert first.tolist() == [3.0, 6.0]
    total = gradcore.tensor(0.0)
    for _ in range(2):
        total += y.sum()
    total.backward()
    assert x.grad.tolist() == [6.0, 6.0]


@pytest.mark.parametrize(
    "change",
    [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.imatmul],
)
def test_each_change_in_place_of_a_result_computes_what_it_computes_on_arrays(change):
    x, other = np.array([[1.5, 2.0], [0.5, 3.0]]), np.array([[2.0, 0.5], [1.0, 3.0]])
    y = change(Tensor(x, requires_grad=True) * 1.0, other)
    assert y.requires_grad
    np.testing.assert_array_equal(y.data, change(x.copy(), other))


def test_a_change_in_place_that_needs_another_shape_or_dtype_is_refused():
    x = Tensor(np.ones(3, np.float32))
    with pytest.raises(ShapeError, match=r"shape \(3,\) into one of shape \(2, 3\): write x = x \+ y"):
        x += np.ones((2, 3), np.float32)
    whole = Tensor(np.arange(3))
    with pytest.raises(DtypeError, match=r"int64 into one of float64: write x = x \* y"):
        whole *= 0.5
    x *= np.full(3, 2.0)  # float64 is of the same kind, as for NumPy
    assert x.dtype == np.float32
    assert x.tolist() == [2.0, 2.0, 2.0]
