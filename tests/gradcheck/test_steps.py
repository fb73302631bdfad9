"""Functions of steps (floor, round, a quantisation) have the derivative 0; values that are coarse for rounding have a slope."""

import numpy as np
import pytest

from gradcheck import CallError, Verdict, derivative, gradcheck, verify

SINGLE, HALF = np.float32, np.float16


def nothing(gy, y, x):
    return 0.0 * gy


def handed_on(gy, y, x):
    return 1.0 * gy


def quantised(step):
    return lambda x: np.round(x / step) * step


def one_hot(x):
    return np.eye(len(x))[np.argmax(x)]


STEPS = {
    "floor": (np.floor, [0.3]),
    "floor at 100.5": (np.floor, [100.5]),
    "floor at 1000.5": (np.floor, [1000.5]),
    "floor at 1e6 + 0.5": (np.floor, [1e6 + 0.5]),
    "floor at 1e9 + 0.5": (np.floor, [1e9 + 0.5]),
    "floor over four decades": (np.floor, [0.3, 100.5, 1000.5, 1e6 + 0.5]),
    "round to two digits": (lambda x: np.round(x, 2), [3.1234]),
    "quantisation by 4e-3": (quantised(4e-3), [1.2345, -2.3456, 0.1]),
    "quantisation by 1e-6": (quantised(1e-6), [1.23456789, -2.3456789]),
    "quantisation to 8 bits": (lambda x: np.clip(np.round(x / 0.0473), -128, 127) * 0.0473, [0.3, 3.0, -1.2]),
    "whole division": (lambda x: x // 0.01, [1.2345, 7.3333]),
    "sign": (np.sign, [0.5, -2.0]),
    "argmax as one-hot": (one_hot, [0.5, 2.0, 1.999]),
    "ranks": (lambda x: np.argsort(np.argsort(x)).astype(float), [0.3, 0.7, 0.01]),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", STEPS)
def test_between_its_jumps_a_function_of_steps_has_the_derivative_0(name, seed):
    f, x = STEPS[name]
    assert gradcheck(f, (np.array(x),), vjp=nothing, seed=seed).verdict is Verdict.PASS


@pytest.mark.parametrize("name", STEPS)
def test_and_no_other_one(name):
    f, x = STEPS[name]
    report = gradcheck(f, (np.array(x),), vjp=handed_on, raise_exception=False)
    assert report.verdict is Verdict.FAIL
    assert report.causes == ("straight-through",)


def test_the_numeric_derivative_alone_is_0_as_well():
    found = derivative(np.floor, np.array([1000.5, 0.3]), np.array([1000.5, 0.3]))
    assert np.all(found.value == 0.0)
    assert np.all(found.bound < 1e-10)


COARSE = {
    "a sine in float32": (
        lambda x: np.sin(x.astype(SINGLE)).astype(float),
        [0.3, 1000.5],
        lambda gy, y, x: gy * np.cos(x),
    ),
    "x + 1000 - 1000 in float32": (
        lambda x: (x.astype(SINGLE) + SINGLE(1000)).astype(float) - 1000,
        [0.3, 1.5],
        handed_on,
    ),
    "2 x in float16": (
        lambda x: (x.astype(HALF) * HALF(2)).astype(float),
        [0.3, 1.5],
        lambda gy, y, x: 2 * gy,
    ),
    "x + 1000 - 1000 in float16": (
        lambda x: ((x.astype(HALF) + HALF(1000)) - HALF(1000)).astype(float),
        [0.3],
        handed_on,
    ),
    "an exponential in float16": (
        lambda x: np.exp(x.astype(HALF)).astype(float),
        [0.3, 5.0],
        lambda gy, y, x: gy * np.exp(x),
    ),
    "a saturated tanh in float32": (
        lambda x: np.tanh(x.astype(SINGLE)).astype(float),
        [9.0],
        lambda gy, y, x: gy * (1 - np.tanh(x) ** 2),
    ),
    "a product of 100 entries of float32": (
        lambda x: x.astype(SINGLE).astype(float) @ np.linspace(-1, 1, 100),
        np.linspace(0.1, 1, 100),
        lambda gy, y, x: gy * np.linspace(-1, 1, 100),
    ),
    "1 - cos(1e-6)": (lambda x: 1 - np.cos(x), [1e-6, 3e-7], lambda gy, y, x: gy * np.sin(x)),
    "softplus(-30)": (
        lambda x: np.log(1 + np.exp(x)),
        [-30.0, -33.0],
        lambda gy, y, x: gy / (1 + np.exp(-x)),
    ),
    "x + 1e6 - 1e6": (lambda x: (x + 1e6) - 1e6, [0.3, 3.0], handed_on),
    "x + 1e9 - 1e9": (lambda x: (x + 1e9) - 1e9, [0.3, 3.0], handed_on),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", COARSE)
def test_values_that_rounding_made_coarse_are_not_taken_for_steps(name, seed):
    f, x, rule = COARSE[name]
    assert (
        gradcheck(f, (np.array(x),), vjp=rule, seed=seed, raise_exception=False).verdict is not Verdict.FAIL
    )


@pytest.mark.parametrize(
    "name", ["a sine in float32", "x + 1000 - 1000 in float32", "1 - cos(1e-6)", "x + 1e6 - 1e6"]
)
def test_and_a_rule_that_gives_0_for_them_fails(name):
    f, x, _ = COARSE[name]
    assert gradcheck(f, (np.array(x),), vjp=nothing, raise_exception=False).verdict is Verdict.FAIL


@pytest.mark.parametrize("x", [1e11 + 0.3, 4.160104441148027e12, 1e12 + 0.3])
def test_where_steps_look_like_the_last_digits_a_derivative_of_0_is_no_fail(x):
    assert (
        gradcheck(np.round, (np.array([x]),), vjp=nothing, raise_exception=False).verdict is not Verdict.FAIL
    )


def test_the_message_names_a_straight_through_estimator_and_how_to_declare_it():
    report = gradcheck(np.round, (np.array([1.3, 2.7]),), vjp=handed_on, raise_exception=False)
    assert "straight-through estimator" in str(report)
    assert "straight_through=lambda x: x" in str(report)
    other = gradcheck(np.round, (np.array([1.3, 2.7]),), vjp=lambda gy, y, x: 2 * gy, raise_exception=False)
    assert other.causes == ("straight-through",)
    assert "pass that one as straight_through=" in str(other)


def test_a_rule_for_a_constant_is_no_straight_through_one():
    report = gradcheck(lambda x: 0 * x, (np.array([1.3, 2.7]),), vjp=handed_on, raise_exception=False)
    assert report.verdict is Verdict.FAIL
    assert "straight-through" not in report.causes


def test_a_flat_part_without_a_jump_is_no_step():
    report = gradcheck(
        lambda x: np.maximum(x, 0), (np.array([-0.3, -2.0]),), vjp=handed_on, raise_exception=False
    )
    assert report.verdict is Verdict.FAIL
    assert "straight-through" not in report.causes


def clipped(x):
    return np.clip(x, -2.0, 2.0)


def clipped_rule(gy, y, x):
    return gy * ((x > -2) & (x < 2))


def test_a_declared_straight_through_rule_passes_and_the_report_says_against_what():
    x = np.array([1.3, 2.7, -0.2])
    report = gradcheck(
        lambda x: np.clip(np.round(x), -2, 2), (x,), vjp=clipped_rule, straight_through=clipped
    )
    assert report.verdict is Verdict.PASS
    assert "against the derivative of the function passed as straight_through" in str(report)


@pytest.mark.parametrize("rule", [handed_on, nothing, lambda gy, y, x: 1.01 * clipped_rule(gy, y, x)])
def test_a_declared_one_is_held_to_its_declaration(rule):
    x = np.array([1.3, 2.7, -0.2])
    report = gradcheck(
        lambda x: np.clip(np.round(x), -2, 2), (x,), vjp=rule, straight_through=clipped, raise_exception=False
    )
    assert report.verdict is Verdict.FAIL
    assert "straight_through=clipped" in report.snippet
    assert "y = clipped(x)" in report.snippet


def test_contracts_of_a_declared_rule_are_those_of_the_function_itself():
    def writes(x):
        y = np.round(x)
        x[...] = 0
        return y

    report = gradcheck(
        writes, (np.array([1.3, 2.7]),), vjp=handed_on, straight_through=lambda x: x, raise_exception=False
    )
    assert report.broken[:1] == ("forward_keeps_inputs",)


def test_verify_finds_a_straight_through_rule_and_takes_a_declared_one():
    like = (np.array([[1.3, 2.7, -1.2], [100.3, 0.1, 5.0]]),)
    assert not verify(np.round, like=like, vjp=handed_on, raise_exception=False)
    assert verify(np.round, like=like, vjp=handed_on, straight_through=lambda x: x, max_examples=30)
    assert verify(np.round, like=like, vjp=nothing, max_examples=30)


@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        (3, "straight_through= is the number 3: pass the smooth function"),
        (
            lambda x: x.sum(),
            r"straight_through= returns outputs of the shapes \[\(\)\], and round of \[\(2,\)\]",
        ),
    ],
)
def test_a_wrong_declaration_gets_a_sentence(surrogate, message):
    with pytest.raises(CallError, match=message):
        gradcheck(np.round, (np.array([1.3, 2.7]),), vjp=handed_on, straight_through=surrogate)


def test_a_second_order_of_a_declared_rule_is_refused():
    with pytest.raises(CallError, match="straight_through= has no second order"):
        gradcheck(np.round, (np.array([1.3]),), vjp=handed_on, straight_through=lambda x: x, order=2)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "x", [[2048.0, 1536.0, 1536.0], [0.0, 0.0, 0.0, 2243.8265086044357, -0.0], [1000.0, 0.5]]
)
def test_at_a_jump_next_to_large_entries_there_is_no_slope(x, seed):
    report = gradcheck(np.floor, (np.array(x),), vjp=nothing, seed=seed, raise_exception=False)
    assert report.verdict is not Verdict.FAIL
