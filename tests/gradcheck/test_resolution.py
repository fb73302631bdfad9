"""What the steps can't show is no mistake, and what they can is."""

from functools import partial

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck


def verdict(f, inputs, rule):
    return gradcheck(f, inputs, vjp=rule, raise_exception=False).verdict


def coarse_tanh(x):
    return np.tanh(x.astype(np.float32)).astype(x.dtype)


def tanh_rule(gy, y, x):
    return gy * (1 - np.tanh(x) ** 2)


@pytest.mark.parametrize("x", [8.5, 9.0, 10.0, 10.037717710213943])
def test_values_that_a_coarse_dtype_inside_keeps_constant_are_no_mistake(x):
    assert verdict(coarse_tanh, (np.array([x]),), tanh_rule) is not Verdict.FAIL
    assert verdict(coarse_tanh, (np.array([x, 0.5]),), tanh_rule) is not Verdict.FAIL


def test_values_that_a_subtraction_inside_keeps_constant_are_no_mistake():
    def log_cosh(x):
        return np.logaddexp(x, -x) - float(np.log(2))

    found = verdict(log_cosh, (np.array([-1.2e-12]),), lambda gy, y, x: gy * np.tanh(x))
    assert found is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("x", [[-1.0], [-1.0, 2.0], [-3.0, -0.1, -7.0]])
def test_a_rule_with_another_gradient_than_zero_fails_where_the_function_is_really_constant(x):
    def relu(x):
        return np.maximum(x, 0)

    assert verdict(relu, (np.array(x),), lambda gy, y, x: gy) is Verdict.FAIL
    assert verdict(relu, (np.array(x),), lambda gy, y, x: gy * 1e-3) is Verdict.FAIL


def test_a_wrong_entry_beside_one_that_stands_still_is_a_mistake_all_the_same():
    x = np.array([9.0, 0.5])

    def wrong(gy, y, x):
        return tanh_rule(gy, y, x) * np.where(x < 1, 1.5, 1)

    assert verdict(coarse_tanh, (x,), wrong) is Verdict.FAIL


@pytest.mark.parametrize(
    ("f", "inputs", "rule"),
    [
        (np.sin, (np.array([1e17, 0.0, 0.0]),), lambda gy, y, x: gy * np.cos(x)),
        (np.floor, (np.array([1e12 + 0.3]),), lambda gy, y, x: gy * 0),
        (np.sin, (np.array([1e12]),), lambda gy, y, x: gy * np.cos(x)),
    ],
    ids=["waves around a zero next to 1e17", "a million steps within the least", "waves at 1e12"],
)
def test_what_is_finer_than_the_steps_is_no_mistake(f, inputs, rule):
    assert verdict(f, inputs, rule) is not Verdict.FAIL


def test_a_gradient_of_zero_for_a_coarse_dtype_inside_is_a_mistake():
    assert verdict(coarse_tanh, (np.array([0.5, 0.7]),), lambda gy, y, x: gy * 0) is Verdict.FAIL


def test_a_slope_that_grows_without_limit_is_not_measured():
    def entropy(x):
        return np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0.0)

    report = gradcheck(
        entropy, (np.array([0.0]),), vjp=lambda gy, y, x: gy * (np.log(x) + 1), raise_exception=False
    )
    assert report.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edge", [1e-1, 1e-4, 1e-9, 1e-14, 1e-20])
def test_zero_within_a_plateau_around_zero_is_no_mistake_however_narrow_it_is(edge, seed):
    def shrunk(x, b):
        return np.sign(x) * np.maximum(np.abs(x) - b, 0)

    def rule(gy, y, x, b, factor=1.0):
        out = np.abs(x) > b
        return factor * gy * out, -gy * np.sign(x) * out

    for x in ([0.0], [0.0, 1.0, 2.0]):
        inputs = np.array(x), np.full(len(x), edge)
        assert (
            gradcheck(shrunk, inputs, vjp=rule, seed=seed, raise_exception=False).verdict is not Verdict.FAIL
        )
    assert (
        verdict(shrunk, (np.array([1.0, 2.0]), np.full(2, edge)), partial(rule, factor=1.01)) is Verdict.FAIL
    )


@pytest.mark.parametrize(
    "f", [np.expm1, lambda x: np.exp(x) - 1, lambda x: (x + 1) - 1], ids=["expm1", "exp - 1", "+ 1 - 1"]
)
def test_zero_where_only_the_value_is_zero_is_a_mistake(f):
    def rule(gy, y, x):
        return gy * (y != 0)

    assert verdict(f, (np.array([0.0]),), rule) is Verdict.FAIL


@pytest.mark.parametrize("tiny", [1e-12, 1e-30, 1e-80])
@pytest.mark.parametrize("more", [[], [1.0]])
def test_a_zero_beside_a_tiny_entry_of_another_input_is_no_mistake(tiny, more):
    def harmonic(p, t):
        return 2 * p * t / (p + t)

    def rule(gy, y, p, t):
        return gy * 2 * t * t / (p + t) ** 2, gy * 2 * p * p / (p + t) ** 2

    assert verdict(harmonic, (np.array([0.0, *more]), np.array([tiny, *more])), rule) is not Verdict.FAIL
