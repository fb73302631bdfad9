"""Entries that steps of their own size do not show: exp at 1e-17, a term of 1e-17 beside a 1, one entry of nine decades."""

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck
from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.probes import wide_direction
from gradcheck.verification import CHANGES, broken
from gradcore import registry

X = np.random.default_rng(0).standard_normal((4, 5))
SMALL = X * 1e-17
MIXED = np.where(np.arange(20).reshape(4, 5) % 2, X, SMALL)


def checked(name, inputs, change=None, position=0, **params):
    op = registry.ops[name] if change is None else broken(registry.ops[name], position, CHANGES[change])
    return gradcheck(op, inputs, params=params, raise_exception=False)


CASES = {
    "exp at 1e-17": ("exp", (SMALL,), 0, {}),
    "exp at 1e-17 in float32": ("exp", (SMALL.astype(np.float32),), 0, {}),
    "exp at 1e-17 and 1": ("exp", (MIXED,), 0, {}),
    "softmax at 1e-14": ("softmax", (X * 1e-14,), 0, {"axis": 1}),
    "1e-17 beside 1": ("add", (X, SMALL[::-1]), 1, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_right_rule_passes_and_is_seen(name):
    op, inputs, position, params = CASES[name]
    report = checked(op, inputs, **params)
    assert report.verdict is Verdict.PASS
    assert not report.inputs[position].vacuous
    assert report.inputs[position].sensitivity < 0.01


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CASES)
def test_a_mistake_in_them_is_detected(name, change):
    op, inputs, position, params = CASES[name]
    report = checked(op, inputs, change, position, **params)
    assert report.verdict is Verdict.FAIL
    assert report.faults[0].input == f"inputs[{position}]"


@pytest.mark.parametrize("size", [1e-13, 1e-15, 1e-20])
def test_a_claim_of_what_rounding_leaves_is_a_vacuous_pass_where_nothing_is_seen(size):
    report = checked("cos", (X * size,))
    assert report.verdict is Verdict.PASS
    assert report.inputs[0].vacuous
    assert checked("tanh", (np.abs(X) + 20,)).inputs[0].vacuous


def test_a_derivative_that_wider_steps_show_is_not_vacuous():
    def zero(gy, y, x):
        return 1e-13 * gy

    report = gradcheck(np.exp, (SMALL,), vjp=zero, raise_exception=False)
    assert report.verdict is Verdict.FAIL
    assert checked("cos", (X * 1e-6,), "zero").verdict is Verdict.FAIL


@pytest.mark.parametrize("name", ["log", "sqrt", "relu", "abs"])
def test_small_entries_beside_a_pole_or_a_kink_keep_their_own_steps(name):
    assert checked(name, (np.abs(X) * 1e-12,)).verdict is Verdict.PASS


def test_a_kink_among_the_hidden_entries_is_no_mistake():
    def f(x):
        return np.maximum(x, 0) + 1.0

    report = gradcheck(f, (MIXED,), vjp=lambda gy, y, x: gy * (x > 0), raise_exception=False)
    assert report.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_jump_of_the_rule_in_gy_is_no_rounding(dtype):
    """The largest entry is another one for a moved gy, where several are equal."""
    assert checked("neg", (X.astype(dtype),)).verdict is Verdict.PASS
    assert checked("neg", (X.astype(dtype),), "one entry by 0.1 %").verdict is Verdict.FAIL


@pytest.mark.parametrize("seed", range(4))
def test_a_difference_of_equal_inputs_has_no_structure_finer_than_its_steps(seed):
    x = (0.4 + 1e-4 * np.random.default_rng(seed).standard_normal((4, 5))).astype(np.float32)
    assert checked("sub", (x, x.copy())).verdict is Verdict.PASS
    for change in CHANGES:
        report = checked("sub", (x, x.copy()), change)
        assert (change, report.verdict) == (change, Verdict.FAIL)


def test_no_entry_moves_by_more_than_its_size_or_one():
    x, gx = np.array([1e-17, 1e-17, 0.0, 8.0, 1e-17]), np.array([1.0, 1e6, 0.0, 1e-9, np.nan])
    (v,) = wide_direction(x, np.random.default_rng(0), gx=gx, target=1.0)
    size = 2.0 ** np.floor(np.log2(np.abs(v)))
    np.testing.assert_array_equal(size, [1.0, 2.0**-20, 1.0, 8.0, 1.0])
    assert wide_direction((x, x), np.random.default_rng(0), target=1.0, wrt=(True, False))[1] is None


def test_the_scale_of_the_steps_can_be_that_of_the_direction():
    x = np.full(3, 1e-17)
    own, given = derivative(np.exp, x, np.ones(3)), derivative(np.exp, x, np.ones(3), scale=1.0)
    assert np.all(own.bound > 1.0)
    assert np.all(given.bound < 1e-9)
    assert np.all(np.abs(given.value - 1.0) <= given.bound)
