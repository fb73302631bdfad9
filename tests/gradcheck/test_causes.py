"""A cause explains everything that was measured, or is not reported."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck

X = np.random.default_rng(0).standard_normal((4, 3))
V = np.random.default_rng(1).standard_normal(6)


def fails(f, inputs, rule, **more):
    report = gradcheck(f, inputs, vjp=rule, raise_exception=False, **more)
    assert report.verdict is Verdict.FAIL, str(report)
    return report


# --- the cotangent ----------------------------------------------------------------------------------------------------


def scattered_product(x, i):
    y = np.ones(3)
    np.multiply.at(y, i, x)
    return y


def through_the_product(
    gy, y, x, i
):  # zero for the factors of a zero, so wrong in those that are zero themselves
    return gy[i] * np.divide(y[i], x, out=np.zeros_like(x), where=x != 0), None


def test_a_rule_that_gives_two_results_for_two_cotangents_does_not_ignore_them():
    i = np.array([0, 1, 1, 2, 2, 2])
    x = np.array([2.0, 0.0, 3.0, 1.5, 0.0, 0.5])
    for seed in range(40):
        report = fails(scattered_product, (x, i), through_the_product, seed=seed)
        assert report.causes[0] == "missing", str(report)


def test_a_scalar_output_whose_cotangent_is_near_one_is_not_called_ignored():
    def rule(gy, y, x):  # right for one entry of two
        return np.array([gy, 0.0])

    for seed in range(40):
        report = fails(lambda x: x[0] + 1e-3 * x[1], (np.array([1.0, 2.0]),), rule, seed=seed)
        assert report.causes[0] == "missing", str(report)


def test_an_ignored_cotangent_is_still_called_that():
    for rule in (lambda gy, y, x: np.cos(x), lambda gy, y, x: np.abs(gy) ** 0 * 3 * np.cos(x)):
        assert fails(np.sin, (X,), rule).causes[0] == "cotangent ignored"


# --- NaN and infinity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (3, 2)])
def test_nonfinite_names_an_entry_that_is_not_finite(bad, place):
    def rule(gy, y, x):
        gx = gy * np.cos(x)
        gx[0, 2] *= 1.5
        gx[place] = bad  # the same for a cotangent of zeros
        return gx

    fault = fails(np.sin, (X,), rule).faults[0]
    assert (fault.cause, fault.index) == ("nonfinite", place)
    assert not math.isfinite(fault.analytic)
    assert math.isfinite(fault.numeric)


def test_infinity_for_some_cotangents_only_is_called_nonfinite_where_it_is_shown():
    def rule(gy, y, x):
        return np.where((gy > 0) & (x > 0.5), np.nan, 1.25 * gy * np.cos(x))

    for seed in range(20):
        fault = fails(np.sin, (X,), rule, seed=seed).faults[0]
        assert (fault.cause == "nonfinite") == (not math.isfinite(fault.analytic)), fault.text


# --- precision --------------------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_rule(gy, y, x):
    return y * (gy - (gy * y).sum(-1, keepdims=True))


def mixed(x):
    return np.cumsum(1e-5 * np.sin(x)) + np.exp(x)


def mixed_rule(gy, y, x):
    return 1e-5 * np.cumsum(gy[::-1])[::-1] * np.cos(x) + gy * np.exp(x)


COARSE = {
    "softmax": (softmax, softmax_rule),
    "exp": (np.exp, lambda gy, y, x: gy * y),
    "tanh": (np.tanh, lambda gy, y, x: gy * (1 - np.tanh(x) ** 2)),
    "sum of squares": (lambda x: (x * x).sum(), lambda gy, y, x: 2 * gy * x),
    "mixed": (mixed, mixed_rule),
}


def rounded(rule, dtype):
    def coarse(gy, y, x):
        narrow = [np.asarray(a).astype(dtype) for a in (gy, y, x)]
        return np.asarray(rule(*narrow)).astype(np.float64)

    return coarse


@pytest.mark.nightly(each_time=8)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("name", COARSE)
def test_a_loss_of_precision_is_no_factor_and_no_diagonal(name, size, dtype):
    if (name, size) == ("softmax", 1):
        pytest.skip("its derivative is zero")
    f, rule = COARSE[name]
    for seed in range(4):
        x = np.random.default_rng([seed, size]).uniform(0.3, 1.2, size)
        report = fails(f, (x,), rounded(rule, dtype), seed=seed)
        assert report.causes[0] in ("precision", "value"), str(report)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_difference_quotient_is_no_constant_factor_unless_it_is_everywhere(size):
    def rule(gy, y, x, h=1e-4):
        return gy * (np.tanh(x + h) - np.tanh(x)) / h

    for seed in range(5):
        x = np.random.default_rng([seed, size]).uniform(0.3, 1.2, size)
        fault = fails(np.tanh, (x,), rule, seed=seed).faults[0]
        assert fault.cause == "precision"
        assert fault.text.endswith("by a difference quotient?")


@pytest.mark.parametrize("size", [2, 5])
def test_errors_next_to_the_bound_are_no_factor(size):
    for seed in range(8):
        x = np.random.default_rng([seed, size]).uniform(0.3, 1.2, size)
        for off in (4e-12, 1e-11):
            noise = off * np.random.default_rng(seed).uniform(0.8, 1.2, size)
            report = gradcheck(
                np.exp, (x,), vjp=lambda gy, y, x: gy * y * (1 + noise), raise_exception=False, seed=seed
            )
            assert "factor" not in report.causes, str(report)


def test_a_small_factor_that_holds_everywhere_is_a_factor():
    for size in (1, 5):
        report = fails(np.exp, (V[:size],), lambda gy, y, x: gy * y * (1 + 1e-6))
        assert report.causes[0] == "factor"
        assert "ultiplied by 0.999999 every entry is right" in report.faults[0].text


def test_only_the_diagonal_of_a_mixing_function_is_called_that():
    for seed in range(5):
        report = fails(softmax, (X,), lambda gy, y, x: gy * y * (1 - y), seed=seed)
        assert report.causes[0] == "diagonal only"


def test_one_term_by_chance_is_not_called_the_diagonal():
    def rule(gy, y, x):  # right for the last entry, elsewhere half of the sum is missing
        gx = np.cumsum(gy[::-1])[::-1].copy()
        gx[0] = gy[0]
        gx[1] *= 0.5
        return gx

    for seed in range(10):
        assert fails(np.cumsum, (V,), rule, seed=seed).causes[0] != "diagonal only"


# --- axes -------------------------------------------------------------------------------------------------------------


def test_a_cotangent_in_reverse_order_is_called_reversed():
    weights = np.arange(1.0, 7.0)
    report = fails(lambda x: x[::-1] * weights, (V,), lambda gy, y, x: gy * weights)
    assert report.causes == ("reversed",)
    for x in (V, V[:2], V[:1]):
        report = fails(np.cumsum, (x,), lambda gy, y, x: 3 * np.cumsum(gy))
        assert "wrong axis" not in report.causes


# --- kinks ------------------------------------------------------------------------------------------------------------


def test_an_error_at_a_smooth_entry_next_to_a_kink_is_no_kink():
    x = np.array([0.0, 1.0, -2.0, 0.0, 3.0])

    def rule(gy, y, x):
        gx = gy * np.sign(x)
        gx[1] *= 1.01
        return gx

    for f, wrong in (
        (np.abs, rule),
        (lambda x: np.abs(x).sum(), lambda gy, y, x: rule(gy * np.ones(5), y, x)),
    ):
        for seed in range(10):
            report = gradcheck(f, (x,), vjp=wrong, raise_exception=False, seed=seed)
            if report.verdict is Verdict.FAIL:
                fault = report.faults[0]
                assert (fault.cause, fault.index) == ("value", (1,)), fault.text
                assert "kink" not in fault.text


def test_a_sign_at_smooth_entries_next_to_kinks_is_a_sign():
    x = np.array([0.0, 1.0, -2.0, 0.0, 3.0])
    report = fails(np.abs, (x,), lambda gy, y, x: -gy * np.sign(x))
    assert report.causes[0] == "sign"


# --- a sign lost inside -----------------------------------------------------------------------------------------------


def test_a_sign_lost_inside_a_derivative_is_called_mirrored():
    def softplus(x):
        return np.log1p(np.exp(x))

    cases = [
        (softplus, lambda gy, y, x: gy / (1 + np.exp(x))),
        (lambda x: np.exp(-x) - x, lambda gy, y, x: gy * (-np.exp(x) - 1)),
        (lambda x: x * np.exp(x), lambda gy, y, x: gy * (np.exp(-x) + y)),  # right at -x with the y of x
        (lambda x: np.exp(x) + x, lambda gy, y, x: gy * (1 / (y - x) + 1)),  # right at -x with the y of -x
        (lambda x: x * softplus(x), lambda gy, y, x: gy * (np.log1p(np.exp(-x)) - x / (1 + np.exp(x)))),
    ]
    for f, rule in cases:
        report = fails(f, (X,), rule)
        assert report.causes[0] == "mirrored", str(report)
        assert "a sign is lost inside" in report.faults[0].text

    report = fails(
        lambda a, b: b * softplus(a),
        (X, X + 2),
        lambda gy, y, a, b: (gy * b / (1 + np.exp(a)), gy * softplus(-a)),
    )
    assert report.causes == ("mirrored", "mirrored")
    assert "-inputs[0] in place of inputs[0]" in report.faults[0].text


def test_a_rule_that_is_wrong_at_the_mirrored_inputs_too_is_not_called_mirrored():
    for rule in (lambda gy, y, x: gy * np.sin(x), lambda gy, y, x: gy * np.cos(x) * (x > 0)):
        assert "mirrored" not in fails(np.sin, (X,), rule).causes


# --- symmetric matrices -----------------------------------------------------------------------------------------------

S = X @ X.T + 4 * np.eye(4)


def cholesky_rule(gy, y, x):
    half = np.tril(y.T @ gy)
    half[np.diag_indices_from(half)] /= 2
    inverse = np.linalg.inv(y)
    g = inverse.T @ half @ inverse
    return (g + g.T) / 2


def folded(gx):
    return np.tril(gx + gx.T) - np.diag(np.diag(gx))


@pytest.mark.parametrize(
    ("f", "rule"),
    [
        (np.linalg.cholesky, cholesky_rule),
        (np.linalg.cholesky, lambda gy, y, x: folded(cholesky_rule(gy, y, x)).T),
        (
            lambda x: np.linalg.eigvalsh(x),
            lambda gy, y, x: np.linalg.eigh(x)[1] * gy @ np.linalg.eigh(x)[1].T,
        ),
        (lambda x: np.log(np.linalg.det(x)), lambda gy, y, x: gy * folded(np.linalg.inv(x))),
    ],
    ids=[
        "cholesky, symmetric",
        "cholesky, the other triangle",
        "eigenvalues",
        "a triangle of the determinant",
    ],
)
def test_another_convention_for_symmetric_matrices_is_called_that(f, rule):
    report = fails(f, (S,), rule)
    assert report.causes == ("symmetric",), str(report)
    text = report.faults[0].text
    assert "(gx + gx.T) / 2" in text
    assert "triangle" in text
    assert "(x + x.T) / 2" in text
    assert (
        fails(f, (np.stack([S]),), lambda gy, y, x: rule(gy[0], y[0], x[0])[None]).causes == ("symmetric",)
        or f(S).ndim == 0
    )


@pytest.mark.parametrize("rule", [cholesky_rule, lambda gy, y, x: folded(cholesky_rule(gy, y, x))])
def test_both_conventions_are_right_with_the_symmetric_part_in_front(rule):
    def f(x):
        return np.linalg.cholesky((x + x.T) / 2)

    def whole(gy, y, x):
        gx = rule(gy, y, x)
        return (gx + gx.T) / 2

    assert gradcheck(f, (S,), vjp=whole)


def test_a_wrong_gradient_of_a_symmetric_matrix_is_not_called_a_convention():
    report = fails(np.linalg.cholesky, (S,), lambda gy, y, x: 1.5 * cholesky_rule(gy, y, x))
    assert "symmetric" not in report.causes
    weights = np.arange(1.0, 5.0) / 8
    report = fails(
        lambda x: np.tanh(x * weights), (S,), lambda gy, y, x: (gy * (1 - y * y) * weights).T
    )  # right along symmetric directions, and no convention
    assert report.causes == ("transposed",)


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_cause_that_is_reported_is_in_the_table():
    import ast
    from pathlib import Path

    import gradcheck.diagnosis as room
    from gradcheck.contracts import CONTRACTS
    from gradcheck.diagnosis.causes import CAUSES

    words = set()
    for path in Path(room.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).rpartition(".")[2] in ("Cause", "Fault")
                and isinstance(node.args[0], ast.Constant)
            ):
                words.add(node.args[0].value)
    assert words
    assert words <= set(CAUSES) | set(CONTRACTS)


def test_a_kink_between_two_slopes_is_no_step_of_a_function_that_jumps():
    report = gradcheck(
        np.abs,
        (np.array([[0.0]]),),
        vjp=lambda gy, y, x: gy * np.where(x == 0, 2, np.sign(x)),
        raise_exception=False,
    )
    assert report.causes == ("kink",)


def test_an_input_without_a_cotangent_is_to_get_one_or_to_be_left_out():
    x = np.array([0.5, 2.0])
    report = gradcheck(np.multiply, (x, x + 1), vjp=lambda gy, y, a, b: (gy * b, None), raise_exception=False)
    assert report.causes == ("missing",)
    assert report.faults[0].text.endswith("return its cotangent, or name the others alone by wrt=.")
    assert gradcheck(np.multiply, (x, x + 1), vjp=lambda gy, y, a, b: (gy * b, None), wrt=0)
