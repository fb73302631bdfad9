"""explain: the one wrong op of a computation is named, and no other; and where between right ops a derivative is lost."""

import numpy as np
import pytest

import gradcore
from gradcheck import CallError, Explanation, Verdict, explain, gradcheck
from gradcheck.verification import CHANGES, broken
from gradcore import Tensor, registry


def leaf(*shape, dtype=np.float64, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype), requires_grad=True)


def wrong(name, change="sign", position=0):
    return broken(registry.ops[name], position, CHANGES[change])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("change", list(CHANGES))
def test_the_wrong_op_is_named_and_not_those_downstream_of_it(change, dtype):
    x, w = leaf(3, 4, dtype=dtype), leaf(4, 4, dtype=dtype, seed=1)
    y = wrong("tanh", change)(x @ w)
    found = explain(((y.exp() @ w).sin() * y).sum())
    assert [(b.kind, b.op, b.place) for b in found.blamed] == [("rule", "tanh", 2)]
    assert found.verdict is Verdict.FAIL
    assert not found
    assert (found.ops, found.verified) == (7, 6)


def test_the_words_hold_the_line_the_shapes_both_numbers_and_the_cause():
    x = leaf(2)

    def f(x):
        y = wrong("exp")(x)  # the wrong one
        return (y * 2).sum()

    found = explain(f, (x,))
    words = str(found)
    assert words.startswith("FAIL  f: the rule of exp is wrong (call 1 of 3)\n  sign: at inputs[0][")
    assert "the rule gives " in words
    assert "and the derivative is " in words
    assert "Every entry has the wrong sign." in words
    assert 'in f: y = wrong("exp")(x)  # the wrong one' in words
    assert "float64 (2,) -> float64 (2,)" in words
    assert "2 of 3 ops were verified at the values that they saw" in words
    assert "to reproduce:" in words
    assert found.blamed[0].report.causes == ("sign",)


def test_a_loss_recorded_under_anomaly_knows_its_lines():
    with gradcore.anomaly():
        loss = wrong("sin")(leaf(3)).sum()
    assert 'loss = wrong("sin")(leaf(3)).sum()' in explain(loss).blamed[0].source
    assert explain(wrong("sin")(leaf(3)).sum()).blamed[0].source == ""


def test_two_wrong_ops_are_both_named():
    y = wrong("sin")(leaf(3))
    found = explain(wrong("tanh", "zero")(y).sum())
    assert [b.op for b in found.blamed] == ["sin", "tanh"]


def test_a_rule_that_raises_or_has_another_shape_is_named():
    def rule(gy, y, x):
        raise ZeroDivisionError("no")

    def shape(gy, y, x):
        return np.concatenate([gy, gy])

    sine = registry.ops["sin"]
    for vjp, cause in ((rule, "raises"), (shape, "cotangent_shape")):
        found = explain((_op(vjp, sine)(leaf(3)) * 2).sum())
        assert [(b.op, b.cause) for b in found.blamed] == [("own", cause)]


def _op(vjp, like):
    def own(x, /):
        return np.sin(x)

    return gradcore.Op(own, vjp, like.spec)


def test_a_rule_that_writes_into_its_input_is_named():
    def rule(gy, y, x):
        x *= 1.0
        x += 1.0
        return gy * np.cos(x - 1.0)

    found = explain(_op(rule, registry.ops["sin"])(leaf(3).tanh()).sum())
    assert "vjp_keeps_inputs" in [b.cause for b in found.blamed]


def test_right_graphs_pass_with_constants_optional_arrays_kinks_and_several_uses():
    x, index = leaf(4, 3), np.array([0, 2, 2])
    y = gradcore.linear(x, leaf(3, 3, seed=1)) + 2.0
    z = gradcore.concatenate([y.relu(), abs(y - y), y[index]])
    found = explain((gradcore.where(z.data > 0, z, z * 0) * z).sum(axis=0))
    assert found, str(found)
    assert found.verified == found.ops
    assert str(found).startswith("PASS  the graph behind sum: no op is at fault")


def test_nothing_is_left_behind_and_backward_still_works():
    x = leaf(3)
    loss = (x.sin() * x).sum()
    explain(loss)
    assert x.grad is None
    loss.backward()
    np.testing.assert_allclose(x.grad, np.sin(x.data) + x.data * np.cos(x.data))


# --- changed in place -------------------------------------------------------------------------------------------------


def test_a_leaf_changed_after_the_forward_is_named_with_the_op_that_works_with_it():
    x = leaf(3)
    loss = (x.sin() + 1).sum()
    x.data[0] = 5.0
    found = explain(loss)
    assert [(b.kind, b.op, b.cause) for b in found.blamed] == [("changed", "sin", "changed in place")]
    assert "input 0 was changed in place after it" in found.blamed[0].text


def test_a_result_changed_after_the_forward_is_named_at_the_op_that_made_it():
    y = leaf(3).sin()
    z = y.exp() * y
    y.data *= 2
    found = explain(z.sum())
    assert [(b.kind, b.op) for b in found.blamed] == [("changed", "sin")]
    assert "what sin returned was changed in place afterwards" in found.blamed[0].text


def test_a_number_that_two_ops_took_is_not_what_was_changed():
    y = leaf(3) * 2.0
    z = y * 2.0
    y.data *= 3
    found = explain((z * y).sum())
    assert [(b.kind, b.op) for b in found.blamed] == [("changed", "mul")]
    assert "what mul returned was changed in place afterwards" in found.blamed[0].text


def test_a_change_that_no_rule_reads_is_none():
    x = leaf(3)
    loss = (x + 1).sum()
    x.data[0] = 5.0
    assert explain(loss)


# --- lost between ops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "between"),
    [
        (lambda x: (x.sin() * x.exp().detach()).sum(), "between exp and mul"),
        (lambda x: (x.sin() + x.exp().data).sum(), "between exp and add"),
        (lambda x: (x.sin() * (x.exp().data + 1)).sum(), "between an unrecorded value and mul"),
        (lambda x: (x.sin() * x.detach()).sum(), "between an input and mul"),
    ],
    ids=["detach", "data", "NumPy", "of an input"],
)
def test_where_the_derivative_is_lost_is_named(f, between):
    found = explain(f, (leaf(3),))
    assert [(b.kind, b.op) for b in found.blamed] == [("lost", between)]
    assert str(found).startswith(f"FAIL  f: the derivative is lost {between}")
    assert "lambda x: (x.sin()" in found.blamed[0].source


def test_a_lost_sum_of_equal_values_is_named_whatever_the_seed():
    for seed in range(3):
        x = Tensor(np.ones((2, 3)), requires_grad=True)
        found = explain(lambda x: (x.sin() * x.detach().sum()).sum(), (x,), seed=seed)
        assert [b.kind for b in found.blamed] == ["lost"], str(found)


def test_a_result_for_which_nothing_was_recorded_is_lost():
    found = explain(lambda x: ((x * 2).sum(), x.exp().detach()), (leaf(3),))
    assert [b.op for b in found.blamed] == ["between exp and the result"]


def test_what_is_detached_and_does_not_matter_is_not_lost():
    def logsumexp(x):
        top = x.data.max()
        return (x - top).exp().sum().log() + top

    def with_one_lost(x):
        return logsumexp(x) * x.detach().sum()

    assert explain(logsumexp, (leaf(3),))
    assert [b.op for b in explain(with_one_lost, (leaf(3),)).blamed] == [
        "between an unrecorded value and mul"
    ]


def test_a_module_is_explained_by_its_parameters():
    class Wrong(gradcore.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = gradcore.nn.Linear(3, 4, rng=0)

        def forward(self, x):
            return wrong("tanh")(self.first(x))

    class Lost(Wrong):
        def forward(self, x):
            return self.first(x) * self.first.weight.detach().sum()

    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    assert [b.op for b in explain(Wrong(), (x,)).blamed] == ["tanh"]
    assert [b.kind for b in explain(Lost(), (x,)).blamed] == ["lost"]
    assert explain(gradcore.nn.Sequential(gradcore.nn.Linear(3, 4, rng=0), gradcore.nn.Tanh()), (x,))


# --- pairs, and calls that cannot be explained ----------------------------------------------------------------------------


def test_the_rule_of_a_pair_is_the_only_op():
    found = explain(np.sin, (np.ones(2),), vjp=lambda gy, y, x: -gy * np.cos(x))
    assert [(b.op, b.cause) for b in found.blamed] == [("np.sin", "sign")]
    assert explain(np.sin, (np.ones(2),), vjp=lambda gy, y, x: gy * np.cos(x))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: explain(leaf(3)), "nothing was recorded behind this tensor"),
        (lambda: explain(np.ones(3)), "explain got a float64 array of shape (3,) alone: pass a Tensor"),
        (lambda: explain(np.sin, (np.ones(3),)), "came with plain arrays and without vjp="),
    ],
)
def test_calls_that_cannot_be_explained_say_what_to_pass(call, words):
    with pytest.raises(CallError) as raised:
        call()
    assert words in str(raised.value)


def test_a_freed_graph_says_so():
    loss = (leaf(3).sin() * 2).sum()
    loss.backward()
    with pytest.raises(CallError, match="freed by its backward pass: call explain before"):
        explain(loss)


def test_an_op_without_a_verdict_makes_the_explanation_inconclusive():
    def noise(x, /):
        return x + np.random.default_rng().standard_normal(x.shape)

    own = gradcore.Op(noise, lambda gy, y, x: gy, registry.ops["sin"].spec)
    found = explain(own(Tensor(np.full(3, 1e-300), requires_grad=True)).sum())
    assert found.verdict is not Verdict.PASS
    assert isinstance(found, Explanation)


def test_a_checkpointed_function_is_left_without_a_verdict():
    found = explain(lambda x: (gradcore.checkpoint(lambda z: z.sin().exp())(x) * x).sum(), (leaf(3),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "explain the function without gradcore.checkpoint" in str(found)
    assert found.whole_right


DECADES = np.geomspace(1e-9, 0.5, 20).reshape(4, 5)

OUTWEIGHED = {
    "neg": (np.random.default_rng(0).standard_normal((4, 5)),),
    "tanh": (np.linspace(3.9, 6.6, 20).reshape(4, 5),),
    "exp": (np.random.default_rng(0).standard_normal((4, 5)) * 1e-17,),
    "mul": (DECADES, DECADES),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OUTWEIGHED)
def test_an_error_in_one_entry_is_named_where_others_outweigh_it(name, dtype):
    inputs = [Tensor(x.astype(dtype), requires_grad=True) for x in OUTWEIGHED[name]]
    assert explain(registry.ops[name](*inputs).sum()).verified == 2
    found = explain(wrong(name, "one entry by 0.1 %")(*inputs).sum())
    assert [(b.kind, b.op, b.place) for b in found.blamed] == [("rule", name, 1)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_cotangent_of_a_term_that_is_nothing_beside_the_other_is_named(change):
    x, y = leaf(4, 5), Tensor(np.random.default_rng(1).standard_normal((4, 5)) * 1e-17, requires_grad=True)
    found = explain((wrong("add", change, 1)(x, y) * x).sum())
    assert [(b.kind, b.op, b.place) for b in found.blamed] == [("rule", "add", 1)]


def test_a_check_of_a_whole_function_says_how_to_find_the_op_and_one_of_an_op_does_not():
    halved = gradcore.Op(lambda x, /: x * x, lambda gy, y, x: gy * x, gradcore.sin.spec, name="square")
    x = Tensor([0.5, 2.0])
    advice = "to find the op, run print(gradcheck.explain(f, inputs)): it checks each by itself"
    assert gradcheck(lambda x: halved(x).exp(), (x,), raise_exception=False).note.endswith(advice)
    report = gradcheck(halved, (x,), raise_exception=False)
    assert (report.verdict, "explain" in report.note) == (Verdict.FAIL, False)
