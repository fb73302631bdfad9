"""The verdict: right gradients pass, wrong ones fail, whatever the size, the scale and the dtype."""

import numpy as np
import pytest

from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.probes import cotangents, direction, unit_direction
from gradcheck.verdict.compare import Comparison, Verdict, compare, inner_products, merge
from gradcore.errors import ShapeError

ONE = np.ones(1)


def judged(f, slope, x, seed=0, spoil=None, eps=None):
    """Verdict on the elementwise gradient gy·slope(x), spoiled at one entry."""
    rng = np.random.default_rng([seed, x.size])
    gy = cotangents(f(x), rng)[0]
    gx = gy * slope(x)
    if spoil is not None:
        gx = gx.copy()
        entry = int(np.argsort(np.abs(gx.ravel()))[x.size // 2])
        gx.ravel()[entry] = spoil(gx.ravel()[entry])
    v = direction(x, rng, gx=gx)
    return compare(derivative(f, x, v, gy=gy), gx, v, gy, eps=eps)


def tanh_slope(x):
    return 1 - np.tanh(x) ** 2


MISTAKES = {
    "sign": lambda g: -g,
    "factor 2": lambda g: 2 * g,
    "zero": lambda g: 0 * g,
    "1e-3": lambda g: 1.001 * g,
}


@pytest.mark.nightly(each_time=7)
@pytest.mark.parametrize("n", [1, 2, 100, 10_000, 300_000])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_wrong_entry_is_detected_in_an_array_of_any_size(n, mistake):
    x = np.random.default_rng(n).standard_normal(n)
    assert judged(np.tanh, tanh_slope, x).verdict is Verdict.PASS
    assert judged(np.tanh, tanh_slope, x, spoil=MISTAKES[mistake]).verdict is Verdict.FAIL


@pytest.mark.parametrize("inner", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("outer", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_verdict_does_not_depend_on_the_scale(inner, outer, mistake):
    x = inner * np.random.default_rng(7).standard_normal(50)

    def f(x):
        return outer * np.tanh(x / inner)

    def slope(x):
        return outer / inner * tanh_slope(x / inner)

    assert judged(f, slope, x).verdict is Verdict.PASS
    assert judged(f, slope, x, spoil=MISTAKES[mistake]).verdict is Verdict.FAIL


def test_a_wrong_entry_cannot_hide_behind_larger_ones():
    rng = np.random.default_rng(5)
    x = rng.uniform(1, 2, 1000)
    c = 10.0 ** rng.uniform(-6, 6, 1000)

    def f(x):
        return np.sum(c * x * x)

    small = int(np.argmin(np.abs(c)))
    gx = 2 * c * x
    wrong = gx.copy()
    wrong[small] *= 2

    def verdict(claimed):
        v = direction(x, np.random.default_rng(1), gx=claimed)
        return compare(derivative(f, x, v), claimed, v, np.array(1.0)).verdict

    assert verdict(gx) is Verdict.PASS
    c_before = np.abs(gx[small]) / np.max(np.abs(gx))
    assert c_before < 1e-10
    huge = gx.copy()
    huge[np.argmax(c)] *= 1.01
    assert verdict(huge) is Verdict.FAIL


def test_no_right_gradient_fails_in_many_draws():
    kinds = [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
        (lambda x: 1 / x, lambda x: -1 / x**2),
        (lambda x: np.sin(40 * x), lambda x: 40 * np.cos(40 * x)),
        (lambda x: np.log(np.abs(x)), lambda x: 1 / x),
    ]
    for seed in range(25):
        rng = np.random.default_rng(seed)
        for f, slope in kinds:
            x = rng.standard_normal(int(rng.integers(1, 40)))
            found = judged(f, slope, x, seed)
            assert found.verdict is Verdict.PASS, (seed, found)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("n", [1, 1000, 100_000])
def test_rounding_of_a_narrow_gradient_is_within_the_tolerance_and_a_factor_2_is_not(dtype, n):
    x = np.random.default_rng(n).uniform(-2, 2, n).astype(dtype)
    rng = np.random.default_rng(1)
    gy = np.where(rng.random(n) < 0.5, -1, 1).astype(dtype)
    gx = gy * np.cos(x)
    assert gx.dtype == dtype
    v = direction(x, rng)
    numeric = derivative(np.sin, x, v, gy=gy)
    assert compare(numeric, gx, v, gy).verdict is Verdict.PASS
    entry = int(np.argmax(np.abs(gx * v[0])))
    if dtype is np.float32:
        wrong = gx.copy()
        wrong[entry] *= 2
        assert compare(numeric, wrong, v, gy).verdict is Verdict.FAIL
    assert compare(numeric, -gx, v, gy).verdict is Verdict.FAIL


def test_rounding_of_the_gradient_is_within_the_tolerance_also_where_the_values_are_zero():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, 100)
    v, gy = direction(x, rng), np.where(rng.random(100) < 0.5, -1, 1)
    numeric = derivative(lambda z: 3.3 * (z - x), x, v)
    gx = np.float32(3.3) * gy.astype(np.float32)
    assert compare(numeric, gx, v, gy).verdict is Verdict.PASS
    assert compare(numeric, gx, v, gy, eps=2.0**-52).verdict is Verdict.FAIL


def test_at_a_kink_what_lies_between_the_slopes_is_a_subgradient_and_what_does_not_fails():
    numeric = derivative(np.abs, np.zeros(1), ONE)
    for claimed in (-1.0, -0.3, 0.0, 1.0):
        assert compare(numeric, np.array([claimed]), ONE, ONE).verdict is Verdict.SUBGRADIENT
    outside = compare(numeric, np.array([1.5]), ONE, ONE)
    assert (outside.verdict, outside.reason) == (Verdict.FAIL, "kink")


def test_along_a_tie_both_or_neither_is_wrong_and_any_split_is_right():
    v = (ONE, ONE)
    numeric = derivative(lambda a, b: np.maximum(a, b), (2 * ONE, 2 * ONE), v)
    for claimed in ((1.0, 1.0), (0.0, 0.0)):
        assert compare(numeric, tuple(c * ONE for c in claimed), v, ONE).verdict is Verdict.FAIL
    for claimed in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)):
        assert compare(numeric, tuple(c * ONE for c in claimed), v, ONE).verdict is Verdict.PASS


def test_many_ties_accept_one_convention_for_all():
    rng = np.random.default_rng(0)
    x = np.zeros(1000)
    gy, v = cotangents(np.ones(1000), rng)[0], direction(x, rng)
    numeric = derivative(lambda x: np.maximum(x, 0), x, v)
    for convention in (0.0, 0.5, 1.0):
        assert compare(numeric, convention * gy, v, gy).verdict is Verdict.SUBGRADIENT
    assert compare(numeric, 10.0 * np.sign(v[0]), v, gy).verdict is Verdict.FAIL
    alone = np.where(np.arange(1000) == 400, gy, 0.0)
    assert compare(numeric, alone, v, alone).verdict is Verdict.SUBGRADIENT
    assert compare(numeric, 1.5 * alone, v, alone).verdict is Verdict.FAIL


def test_a_gradient_of_zero_is_vacuous_where_the_truth_is_zero_and_fails_where_it_is_not():
    flat = compare(derivative(lambda x: 0 * x + 3.0, ONE, ONE), np.zeros(1), ONE, ONE)
    assert (flat.verdict, flat.vacuous, flat.sensitivity) == (Verdict.PASS, True, np.inf)
    for claimed in (np.zeros(1), None):
        assert compare(derivative(np.sin, ONE, ONE), (claimed,), ONE, ONE).verdict is Verdict.FAIL
    assert not compare(derivative(np.sin, ONE, ONE), np.cos(ONE), ONE, ONE).vacuous


def test_a_gradient_that_is_not_finite_fails_where_the_truth_is():
    found = compare(derivative(np.sin, ONE, ONE), np.array([np.nan]), ONE, ONE)
    assert (found.verdict, found.reason) == (Verdict.FAIL, "nonfinite")


@pytest.mark.parametrize(
    ("f", "x", "reason"),
    [
        (lambda x: 1 / x, 0.0, "nonfinite"),
        (np.sqrt, 0.0, "unresolved"),
        (lambda x, rng=np.random.default_rng(0): x * rng.random(), 1.0, "stochastic"),
        (lambda x: 1e16 + 0 * x + 1e-3 * x, 1.0, "noise"),
    ],
)
def test_what_cannot_be_measured_is_inconclusive_with_a_reason(f, x, reason):
    found = compare(derivative(f, np.array([x]), ONE), np.array([1e-3]), ONE, ONE)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, reason)


def test_outputs_of_weight_zero_do_not_spoil_the_verdict():
    x = np.array([0.0, 2.0])
    numeric = derivative(lambda x: 1 / x, x, np.ones(2))
    gy = np.where(numeric.usable, 1.0, 0.0)
    assert compare(numeric, np.array([0.0, -0.25]), np.ones(2), gy).verdict is Verdict.PASS


@pytest.mark.parametrize("n", [1, 30, 1000])
def test_an_error_of_the_size_of_the_sensitivity_is_detected(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(0.5, 2, n)
    gy = cotangents(x, rng)[0]
    gx = gy * np.cos(x)
    v = direction(x, rng)
    numeric = derivative(np.sin, x, v)
    right = compare(numeric, gx, v, gy)
    terms = np.abs(gx * v[0])
    entry = int(np.argsort(terms)[(n - 1) // 2])
    detected, missed = gx.copy(), gx.copy()
    detected[entry] *= 1 + 1.1 * right.sensitivity * np.median(terms) / terms[entry]
    missed[entry] *= 1 + 0.01 * right.sensitivity
    assert compare(numeric, detected, v, gy).verdict is Verdict.FAIL
    assert compare(numeric, missed, v, gy).verdict is Verdict.PASS
    assert right.sensitivity < 1e-6


def test_fixed_signs_are_summed_one_by_one():
    x = np.full(10_000, 0.5)
    numeric = derivative(np.sin, x, np.ones(x.size))
    gx, gy = np.cos(x), np.ones(x.size)
    fixed = compare(numeric, gx, np.ones(x.size), gy, random_signs=False)
    drawn = compare(numeric, gx, np.ones(x.size), gy)
    assert fixed.verdict is Verdict.PASS
    assert fixed.bound > 10 * drawn.bound


def test_complex_gradients_follow_the_real_inner_product():
    rng = np.random.default_rng(0)
    z = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    gy, v = cotangents(z, rng)[0], direction(z, rng)
    numeric = derivative(lambda z: z * z, z, v)
    assert compare(numeric, gy * np.conj(2 * z), v, gy).verdict is Verdict.PASS
    assert compare(numeric, gy * 2 * z, v, gy).verdict is Verdict.FAIL


def test_shapes_that_do_not_fit_are_refused():
    numeric = derivative(np.sin, ONE, ONE)
    with pytest.raises(ShapeError, match=r"gx\[0\] has shape \(2,\) and v\[0\] has \(1,\)"):
        compare(numeric, np.ones(2), ONE, ONE)
    with pytest.raises(ShapeError, match="gx has 2 arrays and v has 1"):
        compare(numeric, (ONE, ONE), ONE, ONE)
    with pytest.raises(ShapeError, match=r"gy has shapes \[\(2,\)\] and f's output has \[\(1,\)\]"):
        compare(numeric, ONE, ONE, np.ones(2))


def comparison(verdict, sensitivity=1e-3, vacuous=False, numeric=1.0):
    return Comparison(verdict, "", numeric, 1.0, 0.1, sensitivity, vacuous)


def test_a_fail_decides_over_all_others_and_the_clearest_fail_is_reported():
    near, far = comparison(Verdict.FAIL, numeric=2.0), comparison(Verdict.FAIL, numeric=9.0)
    assert merge([comparison(Verdict.PASS), near, far, comparison(Verdict.INCONCLUSIVE)]) is far


def test_an_inconclusive_direction_yields_to_a_pass_and_a_pass_to_a_subgradient():
    blind, seen, kink = (comparison(v) for v in (Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.SUBGRADIENT))
    assert merge([blind, seen]) is seen
    assert merge([seen, kink, blind]) is kink
    assert merge([blind]) is blind
    sharp, empty = comparison(Verdict.PASS, 1e-9), comparison(Verdict.PASS, 0.0, vacuous=True)
    assert merge([empty, seen, sharp]) is sharp
    with pytest.raises(ValueError, match="no comparison to merge"):
        merge([])


def test_directions_leave_integers_and_unwanted_inputs_alone():
    x = (np.ones((2, 3)), np.arange(3), np.array(2.0, dtype=np.float32))
    moved = direction(x, np.random.default_rng(0), wrt=(True, True, False))
    assert moved[0].shape == (2, 3)
    assert moved[1] is moved[2] is None
    assert unit_direction(x, np.random.default_rng(0), wrt=(False, True, True))[0] is None


def test_directions_take_the_size_of_each_entry_and_both_signs():
    x = np.array([1e-9, -3.0, 1e7, 0.0] * 50)
    v = direction(x, np.random.default_rng(0))[0]
    ratio = np.abs(v[x != 0] / x[x != 0])
    assert ratio.min() > 0.4
    assert ratio.max() < 2
    assert np.abs(v[x == 0]).min() > 0
    assert 0.3 < np.mean(v > 0) < 0.7
    unit = unit_direction(x, np.random.default_rng(0))[0]
    assert np.abs(unit).max() < 2 * np.abs(unit).min()


def test_cotangents_are_scaled_for_each_output_and_masked():
    y = (np.full(40, 1e-9), np.full(3, 1e20, dtype=np.float32))
    usable = (np.arange(40) != 7, np.ones(3, dtype=bool))
    gy = cotangents(y, np.random.default_rng(0), usable=usable)
    assert gy[0][7] == 0
    assert [g.dtype for g in gy] == [np.float64, np.float32]
    for g, output in zip(gy, y, strict=True):
        share = np.abs(g * output)[g != 0]
        assert share.min() > 0.4
        assert share.max() < 4


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_inner_products_are_those_that_a_comparison_rests_on(dtype):
    rng = np.random.default_rng(4)
    x = (
        rng.standard_normal((3, 7)) + (1j * rng.standard_normal((3, 7)) if dtype is np.complex128 else 0)
    ).astype(dtype)
    v, gy = direction(x, rng), cotangents(x, rng)
    gy[0][1] = 0
    numeric = derivative(lambda x: x * x, x, v, gy=gy)
    gx = (gy[0] * np.conj(2 * x) * 1.5,)
    for claimed in (gx, (None,)):
        c = compare(numeric, claimed, v, gy)
        assert inner_products(numeric, claimed, v, gy) == (c.numeric, c.analytic)
    with pytest.raises(ShapeError, match="gy has shapes"):
        inner_products(numeric, gx, v, gy[0][0])
