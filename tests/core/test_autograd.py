"""The recorded graph: what backward gives, accumulates, frees, refuses."""

import threading
import warnings

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, optim
from gradcore.errors import GraphError, ShapeError
from gradcore.graph import backward_pass, first_nonfinite, unbroadcast, walk


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


def test_gradients_add_up_into_the_same_array():
    x = leaf([1.0])
    (x * 2).sum().backward()
    held = x.grad
    (x * 2).sum().backward()
    assert x.grad is held
    assert held.tolist() == [4]


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


# --- grad modes -------------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_enable_grad_records_again():
    x = leaf([1.0])
    with gradcore.no_grad():
        assert not gradcore.is_grad_enabled()
        assert not (x * 2).requires_grad
        assert not x.exp().requires_grad
        assert not gradcore.matmul(x, x).requires_grad
        with gradcore.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert gradcore.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_ends_with_its_block_also_when_an_error_leaves_it():
    with pytest.raises(ZeroDivisionError), gradcore.no_grad():
        1 / 0
    assert gradcore.is_grad_enabled()


def test_no_grad_and_enable_grad_decorate_functions():
    x = leaf([1.0])

    @gradcore.no_grad()
    def quiet(depth):
        inner = quiet(depth - 1) if depth else loud()
        assert inner.requires_grad == (not depth)
        return x * 2

    @gradcore.enable_grad()
    def loud():
        return x * 2

    assert not quiet(3).requires_grad
    assert gradcore.is_grad_enabled()


def test_no_grad_in_one_thread_leaves_the_others_alone():
    x = leaf([1.0])
    inside, done = threading.Event(), threading.Event()
    seen = []

    def other():
        inside.wait(10)
        seen.append((x * 2).requires_grad)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with gradcore.no_grad():
        inside.set()
        assert done.wait(10)
    thread.join()
    assert seen == [True]


def test_one_decorated_function_in_two_threads_keeps_their_modes_apart():
    entered = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]
    seen = []

    @gradcore.no_grad()
    def held(k):
        entered[k].set()
        assert leave[k].wait(10)

    def first():
        held(0)
        seen.append(gradcore.is_grad_enabled())

    def second():
        with gradcore.no_grad():
            held(1)

    # The second comes last and stays longer: had both one stack, the first would leave with the second's mode, off.
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread, event in zip(threads, entered, strict=True):
        thread.start()
        assert event.wait(10)
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join()
    assert seen == [True]


def test_graphs_of_different_threads_do_not_mix():
    results = {}

    def work(k):
        x = leaf(np.full(4, float(k)))
        y = x
        for _ in range(200):
            y = y * 1.0 + x
        y.sum().backward()
        results[k] = x.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert results[k].tolist() == [201] * 4


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


# --- rules that break the contract ------------------------------------------------------------------------------------


def made_op(vjp, forward=lambda x, /: x * 1.0, **more):
    from gradcore.spec import OpSpec, case, reals

    return gradcore.Op(forward, vjp, OpSpec(case(reals()), reference=forward), name="planted", **more)


@pytest.mark.parametrize(
    ("vjp", "message"),
    [
        (
            lambda gy, y, x: None,
            "gave None for input 0, which requires a gradient: return an array, of zeros",
        ),
        (lambda gy, y, x: 0.0, "gave 0.0 for input 0"),
        (lambda gy, y, x: gy[:1], r"cotangent of shape \(1,\) for input 0, whose shape is \(3,\)"),
        (lambda gy, y, x: gy[None], r"cotangent of shape \(1, 3\)"),
        (lambda gy, y, x: gy.astype(np.float64), "gave a float64 cotangent for input 0, which is float32"),
    ],
)
def test_a_rule_that_returns_the_wrong_thing_is_named_with_what_it_returned(vjp, message):
    x = leaf([1.0, 2.0, 3.0], np.float32)
    with pytest.raises(GraphError, match="the rule of planted gave .*" + message.removeprefix("gave ")):
        made_op(vjp)(x).backward(np.ones(3))
    assert x.grad is None


@pytest.mark.parametrize(
    ("vjp", "message"),
    [
        (lambda gy, y, a, b: (gy,), "gave 1 cotangents for 2 inputs"),
        (lambda gy, y, a, b: (gy, None), "gave None for input 1"),
        ((lambda gy, y, a, b: gy, lambda gy, y, a, b: None), "gave None for input 1"),
    ],
)
def test_a_rule_for_two_inputs_that_gives_too_little_is_named(vjp, message):
    x, y = leaf([1.0]), leaf([2.0])
    with pytest.raises(GraphError, match=message):
        made_op(vjp, lambda a, b, /: a + b)(x, y).backward()


def test_none_is_fine_for_an_input_that_requires_no_gradient():
    x = leaf([1.0])
    made_op(lambda gy, y, a, b: (gy, None), lambda a, b, /: a + b)(x, Tensor(np.ones(1))).backward()
    assert x.grad.tolist() == [1]


# --- higher derivatives -----------------------------------------------------------------------------------------------


def derivative(f, times):
    """The derivative of f, a function of one 0-d Tensor, taken `times` times by recording each backward pass."""

    def at(point):
        x = leaf(point)
        y = f(x)
        for _ in range(times):
            ((_, y),) = backward_pass([(y, Tensor(np.ones(())))], record=True)
        return y.item()

    return at


@pytest.mark.parametrize(
    ("f", "third"),
    [
        (lambda x: x.exp(), np.exp),
        (lambda x: x**5, lambda v: 60 * v**2),
        (lambda x: x.log(), lambda v: 2 / v**3),
        (lambda x: 1 / x, lambda v: -6 / v**4),
        (lambda x: x.sqrt(), lambda v: 3 / 8 * v**-2.5),
        (lambda x: x.tanh(), lambda v: (6 * np.tanh(v) ** 2 - 2) * (1 - np.tanh(v) ** 2)),
        (lambda x: 2**x, lambda v: np.log(2) ** 3 * 2**v),
        (lambda x: (x * x).relu() * x, lambda v: 6.0),
        (lambda x: np.concatenate([x.reshape(1), (x * x).reshape(1)])[1] * x, lambda v: 6.0),
    ],
)
@pytest.mark.parametrize("point", [0.7, 1.9])
def test_three_recorded_passes_give_the_third_derivative(f, third, point):
    np.testing.assert_allclose(derivative(f, 3)(point), third(point), rtol=1e-12)


def test_the_gradient_of_a_gradients_norm_reaches_every_parameter():
    # f = sum (x w)^2 over rows, g = df/dx = 2 (x w) w^T, and d|g|^2/dw by differences of the recorded gradient.
    rng = np.random.default_rng(0)
    x, w = leaf(rng.normal(size=(3, 2))), leaf(rng.normal(size=(2, 2)))

    def penalty():
        x.grad = w.grad = None
        y = x @ w
        found = dict(backward_pass([((y * y).sum(), Tensor(np.ones(())))], record=True))
        return (found[x] * found[x]).sum()

    penalty().backward()
    analytic = w.grad
    for index in np.ndindex(2, 2):
        before = w.data[index]
        w.data[index] = before + 1e-6
        above = penalty().item()
        w.data[index] = before - 1e-6
        below = penalty().item()
        w.data[index] = before
        np.testing.assert_allclose(analytic[index], (above - below) / 2e-6, rtol=1e-7)


# --- looking at the graph ---------------------------------------------------------------------------------------------


def test_walk_lists_what_a_result_was_computed_from_in_creation_order():
    x = leaf([1.0])
    a = x * 2
    b = a.exp()
    c = a + b
    assert (
        walk(c) == [x, a, b, c] or [t is u for t, u in zip(walk(c), [x, a, b, c], strict=True)] == [True] * 4
    )


def test_the_first_value_that_is_not_finite_is_found():
    x = leaf([1.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad = x.log()
        worse = bad * 2 + 1
    assert first_nonfinite(worse) is bad
    assert first_nonfinite(x * 2) is None


def test_training_a_step_leaves_no_graph_behind():
    model = nn.mlp((4, 3, 2), rng=0)
    loss = gradcore.cross_entropy(model(Tensor(np.ones((5, 4), np.float32))), np.zeros(5, int))
    loss.backward()
    assert [id(t) for t in walk(loss)] == [id(loss)]
