"""Rules that break the contract, higher derivatives, and looking at the graph."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn
from gradcore.errors import GraphError
from gradcore.graph import backward_pass, walk


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


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


def both(one):
    """A pair of rules as the one function of an op of two arrays: the engine reads its cotangents elsewhere."""
    return lambda gy, y, a, b: (one(gy, y, a), gy * 1.0)


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize(
    ("vjp", "message"),
    [
        (lambda gy, y, x: None, "gave None for input 0"),
        (lambda gy, y, x: 0.0, "gave 0.0 for input 0"),
        (lambda gy, y, x: gy[:1], r"cotangent of shape \(1,\) for input 0, whose shape is \(3,\)"),
        (lambda gy, y, x: gy.astype(np.float64), "gave a float64 cotangent for input 0, which is float32"),
    ],
)
def test_one_rule_for_all_inputs_and_a_recorded_pass_name_the_wrong_thing_too(vjp, message, record):
    x, gy = leaf([1.0, 2.0, 3.0], np.float32), np.ones(3, np.float32)
    y = made_op(both(vjp), lambda a, b, /: a + b)(x, x)
    with pytest.raises(GraphError, match=message):
        backward_pass([(y, Tensor(gy) if record else gy)], record=record)


@pytest.mark.parametrize(
    ("shape", "given"), [((1, 3), (3,)), ((2, 3), (1, 3)), ((3,), (2,)), ((2, 3), (4, 2, 2))]
)
def test_a_cotangent_that_broadcasting_can_not_have_made_is_refused_where_the_op_broadcasts_too(shape, given):
    x = leaf(np.ones(shape))
    vjp = (lambda gy, y, a, b: np.ones(given), lambda gy, y, a, b: gy)
    y = made_op(vjp, lambda a, b, /: a + b, broadcasts=True)(x, leaf(np.ones((4, 2, 3))))
    with pytest.raises(GraphError, match="the rule of planted gave"):
        y.backward(np.ones((4, 2, 3)))


@pytest.mark.parametrize("record", [False, True])
def test_broadcasting_and_promotion_are_undone_for_one_rule_of_all_inputs_too(record):
    sums = made_op(lambda gy, y, a, b: (gy * 2, gy * 3), lambda a, b, /: a * 2 + b * 3, broadcasts=True)
    x, z = leaf(np.ones((3, 1)), np.float32), leaf(np.ones(2))
    y = sums(x, z)
    gy = np.arange(6.0).reshape(3, 2)
    found = dict(backward_pass([(y, Tensor(gy) if record else gy)], record=record))
    assert (found[x].tolist(), found[z].tolist()) == ([[2], [10], [18]], [18, 27])
    assert (found[x].dtype, found[z].dtype) == (np.float32, np.float64)


# --- what a pass gives, keeps and leaves alone ------------------------------------------------------------------------


def test_a_pass_gives_arrays_and_frees_the_graph_unless_it_is_told_otherwise():
    x = leaf([1.0, 2.0])
    y = x * x
    ((_, gx),) = backward_pass([(y, np.ones(2))])
    assert type(gx) is np.ndarray
    with pytest.raises(GraphError, match="freed"):
        backward_pass([(y, np.ones(2))])


@pytest.mark.parametrize("retain_graph", [False, True])
def test_a_recorded_pass_keeps_the_graph_and_gives_tensors_on_that_pass(retain_graph):
    x = leaf([1.0, 2.0])
    y = x.exp() * x
    for _ in range(2):
        ((_, gx),) = backward_pass([(y, Tensor(np.ones(2)))], retain_graph=retain_graph, record=True)
        assert gx.requires_grad


def test_roots_may_be_given_more_than_once_and_their_cotangents_are_left_as_they_are():
    x = leaf([1.0, 2.0])
    y, gys = x * 3, [np.array([1.0, 10.0]), np.array([2.0, 20.0]), np.array([4.0, 40.0])]
    ((_, gx),) = backward_pass([(y, gy) for gy in gys])
    assert gx.tolist() == [21, 210]
    assert [gy.tolist() for gy in gys] == [[1, 10], [2, 20], [4, 40]]


def test_a_recorded_pass_adds_up_arrays_and_tensors():
    # Zeros that a rule makes by itself are an array; they come first here, as what was made last is visited first.
    flat = made_op(lambda gy, y, x: np.zeros(2), np.floor)
    x = leaf([1.5, 2.5])
    y = x * x + flat(x) + flat(x)
    one = np.ones(2)
    ((_, gx),) = backward_pass([(y, one), (y, one), (y, Tensor(one))], record=True)
    assert gx.tolist() == [9, 15]
    assert gx.requires_grad


def test_an_input_used_again_and_again_by_ops_of_one_rule_gets_every_part():
    x = leaf([1.0, 2.0])
    parts = [gradcore.concatenate([x, x * k]) * k for k in (1.0, 10.0, 100.0)]
    (parts[0] + parts[1] + parts[2]).backward(np.array([1.0, 2.0, 3.0, 4.0]))
    assert x.grad.tolist() == [111 + 3 * 10101, 222 + 4 * 10101]


def test_an_input_of_no_axes_used_again_and_again_gets_every_part():
    x = leaf(3.0)
    (x * 1 + x * 10 + x * 100 + x * 1000).backward()
    assert x.grad == 1111


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


def test_a_leaf_and_a_freed_result_have_no_recorded_inputs():
    x = leaf([1.0, 2.0])
    y = x * x
    assert (x._arrays, x._parents) == (None, ())
    assert len(y._arrays) == 2
    assert [parent is x for parent in y._parents] == [True, True]
    y.sum().backward()
    assert (y._arrays, y._parents) == (None, ())


def test_walk_lists_what_a_result_was_computed_from_in_creation_order():
    x = leaf([1.0])
    a = x * 2
    b = a.exp()
    c = a + b
    assert (
        walk(c) == [x, a, b, c] or [t is u for t, u in zip(walk(c), [x, a, b, c], strict=True)] == [True] * 4
    )


def test_walk_visits_each_tensor_once_however_many_ways_lead_to_it():
    y = x = leaf(1.0)
    for _ in range(60):  # 2^60 ways
        y = y + y
    assert len(walk(y)) == 61
    assert walk(y)[0] is x


def test_training_a_step_leaves_no_graph_behind():
    model = nn.mlp((4, 3, 2), rng=0)
    loss = gradcore.cross_entropy(model(Tensor(np.ones((5, 4), np.float32))), np.zeros(5, int))
    loss.backward()
    assert [id(t) for t in walk(loss)] == [id(loss)]


# --- while the pass goes on --------------------------------------------------------------------------------------------


def with_ready(roots, **more):
    """What `ready` was called with, and what the pass returned, by leaf."""
    told = []
    leaves = backward_pass(roots, ready=lambda leaf, gx: told.append((leaf, gx.copy())), **more)
    return told, {id(leaf): gx for leaf, gx in leaves}


def test_each_leaf_is_ready_once_with_its_whole_cotangent():
    x, w, b, unused = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([0.5, 0.5]), leaf([1.0])
    y = (x * w + b) * x + w * w + b
    told, leaves = with_ready([(y, np.ones(2))])
    assert {id(p) for p, _ in told} == set(leaves) == {id(x), id(w), id(b)}
    assert len(told) == 3
    for p, gx in told:
        np.testing.assert_array_equal(gx, leaves[id(p)])
    assert id(unused) not in leaves


def test_a_leaf_is_ready_before_the_pass_comes_to_what_lies_behind():
    events = []
    passed = made_op(lambda gy, y, x: (events.append("rule"), gy)[1])
    w1, w2, w3 = (leaf([float(i)]) for i in (1, 2, 3))
    y = passed(passed(passed(w1 * 2.0) * w2) * w3)
    names = {id(w1): "w1", id(w2): "w2", id(w3): "w3"}
    backward_pass([(y, np.ones(1))], ready=lambda p, _: events.append(names[id(p)]))
    assert events == ["rule", "w3", "rule", "w2", "rule", "w1"]


def test_a_leaf_that_is_a_root_and_several_roots_are_ready_too():
    x, w = leaf([2.0]), leaf([5.0])
    y = x * w
    told, leaves = with_ready([(y, np.ones(1)), (x, np.array([10.0])), (w, np.array([1.0]))])
    assert sorted((p.item(), gx.item()) for p, gx in told) == [(2.0, 15.0), (5.0, 3.0)]
    assert all(np.array_equal(gx, leaves[id(p)]) for p, gx in told)
    told, _ = with_ready([(x, np.array([7.0]))])
    assert [(p, gx.item()) for p, gx in told] == [(x, 7.0)]


def test_a_graph_that_is_recorded_is_ready_as_well():
    x = leaf([3.0])
    y = x * x * x
    seen = []
    found = backward_pass([(y, Tensor(np.ones(1)))], record=True, ready=lambda p, gx: seen.append(gx))
    assert seen[0] is found[0][1]
    assert seen[0].item() == 27.0
