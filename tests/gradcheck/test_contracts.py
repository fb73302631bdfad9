"""Each contract on its own; that each is broken alone by a planted mistake is in test_planted_mistakes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gradcore
from gradcheck import gradcheck, gradgradcheck, verify
from gradcheck.backends.core import as_tensors
from gradcheck.contracts import CONTRACTS
from gradcheck.contracts.effects import _Memory
from gradcheck.contracts.layouts import LAYOUTS

X = np.random.default_rng(0).standard_normal((4, 3))


def status(report):
    return {c.name: c.status for c in report.contracts}


def cosine(gy, y, x):
    return gy * np.cos(x)


def test_every_contract_states_in_one_line_what_must_hold():
    assert all(check.__doc__ and check.__doc__.splitlines()[0].endswith(".") for check in CONTRACTS.values())


def test_what_does_not_apply_is_left_out_with_a_reason():
    report = gradcheck(np.sin, (X,), vjp=cosine)
    reasons = {c.name: c.text for c in report.contracts if c.status == "skipped"}
    assert reasons == {
        "integers_get_none": "no integer or boolean input",
        "aliased_arguments": "no two inputs of one shape and dtype",
    }


def test_a_contract_that_follows_from_a_broken_one_is_not_reported_again():
    def forward(x):
        y = np.sin(x)
        x += 0.25
        return y

    report = gradcheck(forward, (X,), vjp=lambda gy, y, x: gy * np.cos(x - 0.25), raise_exception=False)
    assert report.broken == ("forward_keeps_inputs",)
    assert status(report)["read_only_arrays"] == "skipped"


def test_rules_that_return_gy_itself_or_views_of_it_are_fine():
    def rule(gy, y, a, b):
        return gy, gy

    assert gradcheck(np.add, (X, X + 1), vjp=rule)
    assert gradcheck(np.mean, (X,), vjp=lambda gy, y, x: np.broadcast_to(gy / x.size, x.shape))
    assert gradcheck(np.transpose, (X,), vjp=lambda gy, y, x: gy.T)


def test_gradients_that_a_framework_adds_to_in_place_may_not_be_one_array():
    def f(a, b):
        return gradcore.add(a, b)

    class Shared:
        """A run whose two gradients are one array, as an engine that hands out gy itself would leave them."""

        def __init__(self, run):
            self._run = run

        def __getattr__(self, name):
            return getattr(self._run, name)

        def accumulated(self, gys):
            first = self._run.accumulated(gys)[0]
            return [first, first]

    from gradcheck.backends.core import Core
    from gradcheck.check import check_subject

    class Sharing(Core):
        def run(self, arrays):
            return Shared(super().run(arrays))

    from gradcheck.backends import Call, as_subject

    plain = as_subject(Call(f, as_tensors((X, X + 1))))
    subject = Sharing(f, plain._template, plain.inputs, plain._places, {})
    report = check_subject(subject, Call(f, as_tensors((X, X + 1)), contracts={"no_shared_memory"}), 1)
    assert report.broken == ("no_shared_memory",)
    assert "the gradients of inputs[0] and inputs[1] are one array" in str(report)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_holds_the_same_values_in_another_way(name):
    for x in (X, X[0], np.array(2.0), np.zeros((0, 3)), np.ones((2, 3, 4))):
        y = LAYOUTS[name](x)
        assert np.array_equal(x, y)
        assert y.dtype == x.dtype
    assert not (LAYOUTS[name](X).flags.c_contiguous and LAYOUTS[name](X).base is None)


def test_the_layout_that_breaks_a_rule_is_named():
    def rule(gy, y, x):
        return gy * np.cos(x) if x.flags.c_contiguous or x.strides[-1] > 0 else gy

    report = gradcheck(np.sin, (X,), vjp=rule, raise_exception=False)
    assert report.broken == ("any_layout",)
    assert "on arrays with negative strides, the rule gives other values" in str(report)


def test_a_forward_that_refuses_a_layout_is_reported_with_its_error():
    def forward(x):
        if not x.flags.c_contiguous:
            raise TypeError("C order only")
        return np.sin(x)

    report = gradcheck(forward, (X,), vjp=cosine, raise_exception=False)
    assert "forward refuses arrays in Fortran order: it raises TypeError: C order only" in str(report)


def test_a_domain_that_constant_values_leave_sets_the_view_contracts_aside():
    def forward(x):
        return np.linalg.inv(x)

    def rule(gy, y, x):
        return -y.T @ gy @ y.T

    report = gradcheck(forward, (np.array([[2.0, 1.0], [0.5, 3.0]]),), vjp=rule)
    assert status(report)["broadcast_views"] == "skipped"
    assert report


def test_equal_values_outside_the_domain_set_the_aliasing_contract_aside():
    report = gradcheck(
        lambda a, b: 1 / (a - b),
        (X, X + 1),
        vjp=lambda gy, y, a, b: (-gy * y * y, gy * y * y),
    )
    assert status(report)["aliased_arguments"] == "skipped"


def test_promoted_inputs_may_have_cotangents_of_the_promoted_dtype():
    assert gradcheck(np.multiply, (X.astype(np.float32), X + 1), vjp=lambda gy, y, a, b: (gy * b, gy * a))


def test_a_real_input_may_not_have_a_complex_cotangent():
    report = gradcheck(
        lambda x: np.exp(1j * x), (X,), vjp=lambda gy, y, x: gy * np.conj(1j * y), raise_exception=False
    )
    assert report.broken == ("cotangent_dtype",)


def test_an_infinite_slope_may_give_nan_for_a_cotangent_of_zero():
    report = gradcheck(np.sqrt, (np.array([0.0, 1.0]),), vjp=lambda gy, y, x: gy / (2 * y))
    assert status(report)["zero_cotangent"] == "held"


def test_boolean_inputs_may_get_zeros():
    def rule(gy, y, mask, a):
        return np.zeros(mask.shape), gy * mask

    assert gradcheck(lambda mask, a: mask * a, (X > 0, X), vjp=rule)


def test_a_sum_that_cancels_may_be_rounded_otherwise_in_another_layout():
    rng = np.random.default_rng(0)
    large = 1e6 * rng.standard_normal(500)
    x = rng.permutation(np.concatenate([large, -large, 1e-9 * rng.standard_normal(24)])).reshape(32, 32)

    def forward(x):
        return x.sum() * np.ones(3)

    different = forward(x)[0] - forward(np.asfortranarray(x))[0]
    assert abs(different) > 1e-3 * abs(forward(x)[0])  # so that the test is one
    report = gradcheck(forward, (x,), vjp=lambda gy, y, x: np.full_like(x, gy.sum()))
    assert status(report)["any_layout"] == "held"


@pytest.mark.parametrize("seed", range(6))
def test_a_gradient_that_cancels_down_to_its_rounding_is_linear_all_the_same(seed):
    def centred(x):
        y = gradcore.broadcast_to(gradcore.cos(x), (3,))
        return y - gradcore.mean(y)  # zero, whatever x is

    report = gradcheck(centred, (gradcore.Tensor(np.array(1.5)),), seed=seed)
    assert status(report)["linear"] == "held"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(6))
def test_digits_that_a_pull_loses_in_the_same_way_for_all_values_close_by_are_no_want_of_linearity(
    dtype, seed
):
    def nearly_zero(a, x):
        gamma = (a + x)[:1, 0]  # of the first of two entries, which batch_norm makes nearly -1
        return gradcore.batch_norm(x, gamma, gamma, eps=1e-5)[0, 0]

    inputs = as_tensors((np.array([[1.5], [0.5]], dtype), np.array([[0.0], [2.0]], dtype)))
    report = gradcheck(nearly_zero, inputs, seed=seed, raise_exception=False)
    assert status(report)["linear"] == "held"


@pytest.mark.parametrize("power", [1.01, 0.99])
def test_a_small_want_of_linearity_is_one_where_no_digits_are_lost(power):
    def rule(gy, y, x):
        return np.sign(gy) * np.abs(gy) ** power * np.cos(x)

    report = gradcheck(np.sin, (np.array([0.5, 2.0]),), vjp=rule, raise_exception=False)
    assert status(report)["linear"] == "broken"


def test_a_rule_that_keeps_factors_and_not_sums_is_not_linear():
    def rule(gy, y, x):
        return np.cbrt(gy[0] ** 3 + gy[1] ** 3)

    report = gradcheck(lambda x: (x, 1.0 * x), (X,), vjp=rule, raise_exception=False)
    assert status(report)["linear"] == "broken"
    assert "the result for gy1 + gy2 is not the sum" in str(report)


def test_a_gradient_of_nothing_but_rounding_is_linear_all_the_same():
    def graph(x):
        return gradcore.cross_entropy(gradcore.broadcast_to(x, (1, 3)), np.array([2]))

    report = gradcheck(graph, (gradcore.Tensor(np.array(0.0707372016677029)),), gy=(np.array(-1.75),))
    assert status(report)["linear"] == "held"


@pytest.mark.parametrize("shape", [(3, 2), (3, 1), (9,), (), (0,)])
def test_a_cotangent_of_another_shape_is_reported_whichever_contracts_are_requested(shape):
    def rule(gy, y, a, b):
        return gy * np.ones_like(a), np.full(shape, gy)

    x = np.array([[0.5, -1.0, 2.0], [1.5, 3.0, -0.25], [1.0, 0.75, -2.0]])
    for inputs in ((x, x + 1), (np.ones((3, 3)), np.ones((3, 3)))):
        report = gradcheck(lambda a, b: a.sum() + b.sum(), inputs, vjp=rule, raise_exception=False)
        assert f"shape: the cotangent of inputs[1] has shape {shape}" in str(report)


@pytest.mark.parametrize("seed", range(3))
def test_a_dtype_that_changes_from_call_to_call_is_reported(seed):
    calls = itertools.count()

    def drifting(x):
        return np.sin(x).astype(np.float32 if next(calls) % 2 else np.float64)

    report = gradcheck(drifting, (X,), vjp=lambda gy, y, x: gy * np.cos(x), seed=seed, raise_exception=False)
    assert report.causes == ("stable_dtype",)
    found = verify(
        drifting, like=(X,), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=10, raise_exception=False
    )
    assert found.smallest.causes[0] == "stable_dtype"


@pytest.mark.parametrize("more", [0, 50])
def test_arrays_that_share_memory_are_found_among_many(more):
    base = np.zeros(100)
    arrays = [base[:10], base[:50], base[40:60], base[60:80:2], base[61:80:2], None, np.zeros(0)]
    arrays += [np.zeros(3) for _ in range(more)]
    memory = _Memory(arrays)
    assert sorted(memory.shared_with(base[5:15])) == [0, 1]
    assert sorted(memory.shared_with(base[45:65])) == [1, 2, 3, 4]
    assert sorted(memory.shared_with(base[60:80:2])) == [3]
    assert list(memory.shared_with(base[80:])) == list(memory.shared_with(None)) == []


@pytest.mark.parametrize("seed", range(5))
def test_partial_derivatives_that_cancel_leave_their_rounding(seed):
    """Those of the vector product of x with itself: their sum is 0 but for rounding."""
    inputs = as_tensors(tuple(np.random.default_rng(seed).normal(size=(2, 4, 3))))
    assert status(gradcheck(gradcore.cross, inputs))["aliased_arguments"] == "held"

    def another(x, y):
        return gradcore.cross(x, y * 1.0001 if x is y else y) + (x * 1e-9 if x is y else 0)

    report = gradcheck(another, inputs, raise_exception=False)
    assert status(report)["aliased_arguments"] == "broken"


def test_constant_values_at_the_edge_of_the_domain_say_nothing_of_layouts():
    a = np.array([[0.7388311874368623, 0.7842735213009465], [1.3080653645922895, -0.005129044907040281]])
    b = np.array([-71.5589669305746, -170.29071935067597])
    report = gradgradcheck(gradcore.solve, (a, b), wrt=(0, 1), seed=0)
    assert status(report)["broadcast_views"] == "skipped"
