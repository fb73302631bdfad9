"""anomaly: the first op, forward or backward, that makes NaN or infinity; and where ops were called from."""

import threading

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import ArgumentError, NonFiniteError
from gradcore.modes import Trace
from gradcore.spec import OpSpec, case, reals
from gradcore.tracing import Sources, source_of


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def forward_log(x):
    doubled = x * 2
    return gradcore.log(doubled)  # this line


def test_the_first_op_that_makes_nan_is_named_with_its_line_and_its_values():
    x = leaf([[1.0, 2.0], [-1.5, 3.0]])
    with gradcore.anomaly(), pytest.raises(NonFiniteError) as raised:
        (forward_log(x) + 1).sum()
    words = str(raised.value)
    assert words.startswith("log made nan at [1, 0] of its result: input 0 is -3.0 there (float64 (2, 2))")
    assert "in forward_log: return gradcore.log(doubled)  # this line" in words
    assert "keep its input within its domain" in words


def test_infinity_of_finite_values_is_named_and_one_that_was_given_passes():
    x = leaf([0.0, 1.0])
    with gradcore.anomaly():
        masked = gradcore.softmax(x + np.array([-np.inf, 0.0]))
        assert masked.data.tolist() == [0.0, 1.0]
        with pytest.raises(
            NonFiniteError, match=r"^div made inf at \[0\] of its result: input 0 is 1.0 there"
        ):
            1 / x


def test_nan_that_no_recorded_op_made_is_said_to_come_from_outside():
    with (
        gradcore.anomaly(),
        pytest.raises(NonFiniteError, match=r"input 1 is nan there .* no recorded op made that"),
    ):
        leaf([1.0, 2.0]) * np.array([1.0, np.nan])


@pytest.mark.parametrize("inside", [True, False], ids=["forward inside", "forward outside"])
def test_a_rule_that_makes_infinity_of_a_finite_cotangent_is_named(inside):
    x = leaf([4.0, 0.0])
    y = None if inside else x.sqrt()
    with gradcore.anomaly():
        y = x.sqrt() if inside else y
        loss = (y * 3).sum()
        with pytest.raises(NonFiniteError) as raised:
            loss.backward()
    words = str(raised.value)
    assert words.startswith("the rule of sqrt made inf at [1] of its cotangent: input 0 is 0.0 there")
    assert "gy is 3.0 there" in words
    assert ("y = x.sqrt() if inside" in words) == inside
    assert x.grad is None


def test_a_rule_of_a_pass_that_is_recorded_itself_is_looked_through_too():
    from gradcore.graph import backward_pass

    x = leaf([0.0])
    y = x.sqrt()
    with gradcore.anomaly(), pytest.raises(NonFiniteError, match=r"^div made inf"):
        backward_pass([(y, Tensor(np.ones(1)))], record=True)


def test_shapes_that_do_not_belong_together_have_their_range_named():
    with gradcore.anomaly(), pytest.raises(NonFiniteError) as raised:
        gradcore.matmul(leaf(np.full((2, 3), 1e200)), np.full((3, 4), 1e200))
    assert "input 0 is from 1e+200 to 1e+200 (float64 (2, 3))" in str(raised.value)


def test_outside_of_the_block_nothing_raises_and_nothing_is_kept():
    x = leaf([0.0])
    with gradcore.anomaly():
        inside = x * 2
    with np.errstate(all="ignore"):
        outside = x.log()
    assert np.isneginf(outside.data[0])
    assert source_of(outside) is None
    assert source_of(inside).text == "inside = x * 2"


def test_a_backward_pass_after_the_block_is_not_traced():
    class Pulled(Trace):
        count = 0

        def pulled(self, node, gy, index, gx):
            self.count += 1

    with Pulled() as trace:
        y = leaf([1.0]) * 2
    y.backward(np.ones(1))
    assert trace.count == 0
    with trace:
        (leaf([1.0]) * 2).sum().backward()
    assert trace.count == 2


def test_grad_modes_inside_hold_and_tracing_goes_on_after_them():
    x = leaf([1.0])
    with Sources():
        with gradcore.no_grad():
            quiet = x * 2
            with gradcore.enable_grad():
                assert source_of(x.exp()) is not None
        assert not quiet.requires_grad
        assert gradcore.is_grad_enabled()
        assert source_of(x.exp()) is not None
    with gradcore.no_grad(), Sources():
        assert not gradcore.is_grad_enabled()
        assert not (x * 2).requires_grad
    assert source_of(x.exp()) is None


def test_a_trace_in_one_thread_leaves_the_others_alone():
    x, found = leaf([0.0]), []

    def other():
        with np.errstate(all="ignore"):
            found.append(x.log())

    with gradcore.anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found[0].requires_grad


def test_without_parentheses_it_says_what_to_write():
    with pytest.raises(ArgumentError, match=r"write `with anomaly\(\):`"), gradcore.anomaly:
        pass


class Counted(Trace):
    def __init__(self):
        super().__init__()
        self.nodes = []

    def recorded(self, node):
        self.nodes.append(node)


def test_every_way_to_record_informs_the_trace_and_gives_what_it_gives_without():
    x, w = leaf([[1.0, 2.0]]), leaf([[3.0], [4.0]])

    def calls():
        return [
            x.sin(),
            x * x,
            2 - x,
            x * 3,
            x @ w,
            gradcore.sin(x),
            x.sum(axis=0),
            gradcore.concatenate([x, x]),
        ]

    plain = calls()
    with Counted() as trace:
        traced = calls()
    assert len(trace.nodes) == len(traced) == 8
    for a, b in zip(plain, traced, strict=True):
        assert any(b is node for node in trace.nodes)
        assert a._op is b._op
        assert np.array_equal(a.data, b.data)
        assert a._parents == b._parents
        assert all(p is q for p, q in zip(a._parents, b._parents, strict=True))


def test_the_line_is_that_of_the_users_code_that_called_a_layer():
    layer = gradcore.nn.Linear(2, 3)
    with Sources():
        y = layer(np.ones((1, 2), np.float32))
    assert source_of(y).text == "y = layer(np.ones((1, 2), np.float32))"


def test_anomaly_sees_a_rule_of_ones_own():
    def double(x, /):
        return x * 2

    own = gradcore.Op(double, lambda gy, y, x: gy / 0.0, OpSpec(case(reals("...")), reference=double))
    with gradcore.anomaly(), pytest.raises(NonFiniteError, match="the rule of double made inf"):
        own(leaf([1.0])).sum().backward()


def test_transforms_and_checkpoint_work_and_record_while_a_trace_is_on():
    x = leaf([1.0, 2.0])
    with Counted() as trace:
        y = gradcore.checkpoint(lambda z: (z * z * z).sum())(x)
        assert trace.nodes[-1] is y
        second = gradcore.grad(lambda z: gradcore.grad(lambda u: (u**3).sum())(z).sum())(x)
    np.testing.assert_allclose(second.data, 6 * x.data)
