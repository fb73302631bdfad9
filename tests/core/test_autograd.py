"""The recorded graph: what backward gives, accumulates, frees, refuses."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, optim
from gradcore.errors import GraphError, ShapeError
from gradcore.graph import walk


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# --- graphs of every shape --------------------------------------------------------------------------------------------


def test_one_tensor_used_many_times_gets_the_sum_of_all_its_uses():
    x = leaf([2.0, 3.0])
    (x * x + x * 4 - x / 2 + x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data + 4 - 0.5 + 1)


def test_both_sides_of_one_operation_may_be_the_same_tensor():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    (x @ x).sum().backward()
    ones = np.ones((2, 2))
    np.testing.assert_array_equal(x.grad, ones @ x.data.T + x.data.T @ ones)


def test_a_diamond_adds_up_where_its_branches_part():
    # a = 3x, then y = a^2 + 5a: dy/dx = (2a + 5) 3 = (2 * 6 + 5) 3 = 51 at x = 2
    x = leaf(2.0)
    a = x * 3
    y = a * a + a * 5
    y.backward()
    assert x.grad == 51


def test_a_diamond_with_arms_of_different_length():
    # y = x + tanh(tanh(x)): the long arm's inputs are visited after the short arm has reported.
    x = leaf(0.5)
    t = np.tanh(0.5)
    (x + x.tanh().tanh()).backward()
    np.testing.assert_allclose(x.grad, 1 + (1 - np.tanh(t) ** 2) * (1 - t**2), rtol=1e-15)


def test_diamonds_upon_diamonds_cost_one_visit_a_node():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2^60 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad == 1


def test_a_branch_that_does_not_lead_to_the_result_gets_nothing():
    x, z = leaf(1.0), leaf(1.0)
    unused = (x * z).exp()
    (x * 2).backward()
    assert x.grad == 2
    assert z.grad is None
    assert unused.grad is None


def test_inputs_that_require_no_gradient_get_none():
    x, c = leaf([1.0]), Tensor([2.0])
    y = (x * c + [3.0]).sum()
    y.backward()
    assert c.grad is None
    assert y.grad is None


def test_a_result_of_inputs_without_gradient_is_not_recorded():
    y = Tensor([1.0]) * Tensor([2.0])
    assert y.is_leaf
    assert not y.requires_grad


def test_a_tensor_made_later_than_its_consumer_changes_nothing():
    # The order of the pass is that of creation: x is made after the product that y depends on.
    first = leaf(2.0)
    product = first * first
    x = leaf(3.0)
    (product * x).backward()
    assert (first.grad, x.grad) == (12, 4)


# --- accumulation -----------------------------------------------------------------------------------------------------


def test_gradients_add_up_over_passes_until_they_are_forgotten():
    x = leaf([1.0, 2.0])
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 5]
    x.zero_grad()
    assert x.grad is None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_gradients_add_up_into_a_new_array():
    x = leaf([1.0])
    (x * 2).sum().backward()
    held = x.grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [4]
    assert held.tolist() == [2]


def test_a_leaf_may_be_the_root():
    x = leaf([1.0, 2.0])
    x.backward(np.array([3.0, 4.0]))
    x.backward([1, 1])
    assert x.grad.tolist() == [4, 5]


ALIASES = {
    "x + y": lambda x, y: x + y,
    "x - (-y)": lambda x, y: x - (-y),
    "x + y + x": lambda x, y: x + y + x,
    "concatenate": lambda x, y: gradcore.concatenate([x, y]),
    "a reshaped sum": lambda x, y: x.reshape(3, 1) + y.reshape(3, 1),
    "linear": lambda x, y: gradcore.linear(x.reshape(1, 3), Tensor(np.eye(3)), y),
    "where": lambda x, y: gradcore.where(np.array([True, False, True]), x, y),
    "maximum": lambda x, y: gradcore.maximum(x, y),
}


@pytest.mark.parametrize("name", ALIASES)
def test_gradients_share_no_memory_with_each_other_the_data_or_the_cotangent(name):
    x, y = leaf([1.0, 2.0, 3.0]), leaf([1.0, 3.0, 2.0])
    out = ALIASES[name](x, y)
    gy = np.full(out.shape, 2.0)
    out.backward(gy, retain_graph=True)
    arrays = [x.grad, y.grad, x.data, y.data, out.data, gy]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            if not (a is x.data and b is out.data) and not (a is y.data and b is out.data):
                assert not np.shares_memory(a, b)
    # So changing one in place, as gradient clipping does, changes no other.
    before = y.grad.copy()
    x.grad *= 100
    np.testing.assert_array_equal(y.grad, before)
    np.testing.assert_array_equal(gy, 2.0)


def test_the_gradients_of_a_sum_accumulate_apart():
    x, y = leaf([1.0]), leaf([1.0])
    (x + y).backward(np.ones(1))
    (x * 10).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([11], [1])


def test_clipping_scales_the_gradients_of_a_sum_once():
    x, y = leaf([1.0]), leaf([1.0])
    (x + y).backward(np.array([3.0]))
    optim.clip_grad_norm([x, y], max_norm=3 / np.sqrt(2))
    np.testing.assert_allclose([x.grad, y.grad], [[1.5], [1.5]], rtol=1e-15)


def test_gradients_can_be_written_to_even_where_they_come_from_a_broadcast():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    x.grad[0] = 7
    assert x.grad.tolist() == [7, 1]


# --- what backward takes and refuses ----------------------------------------------------------------------------------


def test_a_single_entry_needs_no_cotangent_whatever_its_shape():
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        np.testing.assert_array_equal(x.grad, np.full(shape, 6.0))


@pytest.mark.parametrize("shape", [(3,), (0,), (2, 2)])
def test_backward_from_several_entries_without_a_cotangent_is_refused_and_says_what_to_do(shape):
    y = leaf(np.ones(shape)) * 2
    with pytest.raises(GraphError, match=r"needs a cotangent.*y\.sum\(\)\.backward\(\)\) or pass gy"):
        y.backward()


@pytest.mark.parametrize("shape", [(4,), (1, 3), (), (3, 1)])
def test_a_cotangent_of_another_shape_is_refused_even_if_it_would_broadcast(shape):
    x = leaf(np.ones(3))
    with pytest.raises(ShapeError, match=r"gy has shape .* and this tensor \(3,\): they must agree"):
        (x * 2).backward(np.ones(shape))
    assert x.grad is None


def test_a_cotangent_may_be_a_list_a_tensor_or_of_another_dtype():
    for gy in ([1, 2], Tensor([1.0, 2.0]), np.array([1, 2]), leaf([1, 2])):
        x = leaf([5.0, 6.0], np.float32)
        (x * 2).backward(gy)
        assert x.grad.tolist() == [2, 4]
        assert x.grad.dtype == np.float32


def test_backward_where_nothing_was_recorded_is_refused_and_says_why():
    with pytest.raises(GraphError, match=r"none of its inputs requires a gradient.*requires_grad=True"):
        (Tensor([1.0]) * 2).backward()


def test_a_second_backward_says_that_the_graph_was_freed_and_what_to_do():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphError, match=r"freed by an earlier backward pass \(at mul\).*retain_graph=True"):
        y.backward()
    assert x.grad == 4


def test_a_graph_that_shares_a_freed_part_is_refused_and_adds_nothing():
    x, z = leaf(2.0), leaf(3.0)
    shared = x * x
    first, second = shared * 2, shared * z
    first.backward()
    x.zero_grad()
    with pytest.raises(GraphError, match="freed"):
        second.backward()
    assert x.grad is None
    assert z.grad is None


def test_retain_graph_allows_any_number_of_passes():
    x = leaf(2.0)
    y = x * x
    for times in (1, 2, 3):
        y.backward(retain_graph=True)
        assert x.grad == 4 * times
    y.backward()
    with pytest.raises(GraphError, match="freed"):
        y.backward()


def test_a_freed_graph_lets_go_of_its_inputs():
    x = leaf(np.ones(3))
    y = x.exp()
    z = y * 2
    z.backward(np.ones(3))
    assert [id(t) for t in walk(z)] == [id(z)]


def test_results_stay_readable_after_the_graph_is_freed():
    y = leaf(3.0) * 2
    y.backward()
    assert y.item() == 6
    assert y.requires_grad
