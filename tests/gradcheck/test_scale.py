"""Size, scale and rounding change no verdict: wrong entries are seen, right gradients are not doubted."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from programs import load

import gradcore
from gradcheck import Verdict, gradcheck, verify
from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.probes import cotangents, unit_direction


@pytest.fixture(scope="module")
def scale():
    return load("reports/scale")


@pytest.fixture(scope="module")
def alarms():
    return load("reports/false_alarms")


def cube_rule(factor, at):
    def rule(gy, y, x):
        gx = 3 * gy * x * x
        gx[at] *= factor
        return gx

    return rule


@pytest.mark.parametrize("factor", [1.001, 2.0, -1.0, 0.0])
@pytest.mark.parametrize("at", [0, 70, 199])
def test_the_wrong_entry_is_named_among_outputs_of_twelve_decades(factor, at):
    x = np.geomspace(1e-2, 1e2, 200)
    assert gradcheck(lambda x: x**3, (x,), vjp=cube_rule(1.0, at))
    report = gradcheck(lambda x: x**3, (x,), vjp=cube_rule(factor, at), raise_exception=False)
    assert report.faults[0].index == (at,)


def test_evened_cotangents_take_the_size_of_each_output():
    y = np.geomspace(1e-6, 1e6, 100)
    gy = cotangents(y, np.random.default_rng(0), even=True)[0]
    assert np.all((np.abs(gy * y) > 0.25) & (np.abs(gy * y) < 4))


def test_an_output_that_is_zero_by_chance_does_not_outweigh_the_others():
    y = np.append(np.random.default_rng(0).standard_normal(100), 1e-17)
    gy = np.abs(cotangents(y, np.random.default_rng(0), even=True)[0])
    assert gy[-1] < 2.0**14 * np.median(gy)


@pytest.mark.parametrize("odd", [0.0, np.inf, np.nan])
def test_an_output_without_a_size_has_a_typical_cotangent(odd):
    y = np.append(np.geomspace(1e-3, 1e3, 101), odd)
    gy = np.abs(cotangents(y, np.random.default_rng(0), even=True)[0])
    assert 0.5 <= gy[-1] < 4  # of outputs around 1


def test_an_even_step_stays_within_what_the_finest_one_can_undo():
    x = np.array([1e-30, 1.0, 1.0])
    v = np.abs(unit_direction(x, np.random.default_rng(0))[0])
    assert v[0] * 2.0**-38 < x[0]


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize(("kind", "most"), [(0, 1), *[(kind, 100) for kind in range(4)]])
def test_the_grid_shows_one_verdict_for_every_size_and_scale(scale, kind, most):
    rows = list(scale.grid(most, quick=False, only=scale.KINDS[kind].name))
    assert len(rows) == 2 * 9
    assert {cell for _, row, _ in rows for cell in row.values()} == {"....."}


def test_the_grid_shows_a_verdict_that_differs(scale):
    tanh = scale.KINDS[0]
    report, at = scale.check(tanh, 10, np.float64, 1.0, 1.0, "1e-3")
    right, _ = scale.check(tanh, 10, np.float64, 1.0, 1.0, "right")
    assert scale.letter(report, at, right=False) == "."
    assert scale.letter(report, at, right=True) == "F"
    assert scale.letter(report, at + 1, right=False) == "?"
    assert scale.letter(right, at, right=False) == "P"
    assert scale.letter(right, at, right=True) == "."


def test_every_step_is_taken_where_thorough_is_requested():
    quick, thorough = (derivative(np.sin, np.ones(1), np.ones(1), thorough=t) for t in (False, True))
    assert (quick.evaluations, thorough.evaluations) == (9, 24)
    assert abs(thorough.value[0] - np.cos(1.0)) <= thorough.bound[0] < 1e-9


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize("family", ["decades", "domain edges", "oscillating", "cancelling", "float32 inside"])
def test_right_gradients_are_not_doubted_where_steps_mislead(alarms, family):
    run = alarms.Run()
    alarms.check_pairs(run, 60, 1, family)
    alarming = [o for o in run.odd if o.verdict == "fail" and "layout" not in o.text]
    assert alarming == []
    assert run.total["inconclusive"] <= 3
    assert sum(run.total.values()) == 60


def test_the_count_of_alarms_has_a_wrong_gradient_in_it(alarms):
    run = alarms.Run()
    wrong = lambda: gradcheck(np.sin, (np.ones(3),), vjp=lambda gy, y, x: gy, raise_exception=False)  # noqa: E731
    run.count("planted", "sin", wrong)
    assert run.total["fail"] == 1
    assert "fail" in run.odd[0].verdict


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize("seed", range(12))
def test_a_logarithm_next_to_its_pole_passes(seed):
    rng = np.random.default_rng(seed)
    x = 10.0 ** rng.uniform(-6, 6, 12)
    assert gradcheck(np.log, (x,), vjp=lambda gy, y, x: gy / x, seed=seed)


def test_a_power_over_thirty_decades_is_no_noise():
    x = 10.0 ** np.random.default_rng(0).uniform(-30, 1, 40)
    assert gradcheck(lambda x: x**1.5, (x,), vjp=lambda gy, y, x: 1.5 * gy * np.sqrt(x))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def test_a_gradient_below_the_smallest_float16_may_be_zero():
    x = np.array([-19.3], np.float16)
    assert gradcheck(lambda x: np.logaddexp(x, 0), (x,), vjp=lambda gy, y, x: gy * sigmoid(x))


def test_a_gradient_above_the_largest_float16_may_be_infinite_and_a_nan_may_not():
    x = np.array([10.0, 2.0], np.float16)

    def steep(x):
        return x * 0.25 * x**4

    def rule(gy, y, x):
        with np.errstate(over="ignore"):
            return gy * 1.25 * x**4

    y = steep(x)
    assert np.isfinite(y).all()
    assert gradcheck(steep, (x,), vjp=rule, contracts=False)

    def lossy(gy, y, x):
        gx = rule(gy, y, x)
        return np.where(x.astype(np.float64) == 2, np.nan, gx) if x.dtype == np.float16 else gx

    report = gradcheck(steep, (x,), vjp=lossy, contracts=False, raise_exception=False)
    assert report.verdict is Verdict.FAIL


def log_softmax(x):
    z = x - x.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@pytest.mark.parametrize("seed", range(10))
def test_what_rounding_takes_from_a_rule_whose_digits_cancel_is_no_mistake(seed):
    x = np.random.default_rng(seed).uniform(-15, 15, (12, 3))
    report = gradcheck(
        log_softmax,
        (x,),
        vjp=lambda gy, y, x: gy - np.exp(y) * gy.sum(-1, keepdims=True),
        seed=seed,
        raise_exception=False,
    )
    assert report.verdict is not Verdict.FAIL, str(report)


@pytest.mark.parametrize("n", [10_000, 100_000])
def test_a_long_cumulative_sum_has_no_kink_by_chance_and_costs_what_a_short_one_does(n):
    x = np.random.default_rng([n, 1]).standard_normal(n)
    report = gradcheck(np.cumsum, (x,), vjp=lambda gy, y, x: np.cumsum(gy[::-1])[::-1].copy())
    assert report.verdict is Verdict.PASS
    assert report.evaluations <= 30


def max_rule(k):
    return lambda gy, y, x: k * gy[:, None] * (x == y[:, None])


@pytest.mark.parametrize("k", [2.0, -1.0, 1.001])
@pytest.mark.parametrize(
    "x", [np.random.default_rng(0).standard_normal((4, 3)), np.array([[1.0, 1.0, 0.0]] * 2)]
)
def test_a_mask_that_no_rounded_output_fits_does_not_pass_for_rounding(k, x):
    def row_max(x):
        return x.max(-1)

    assert (
        gradcheck(row_max, (x,), vjp=max_rule(k), raise_exception=False, contracts=False).verdict
        is Verdict.FAIL
    )


def test_a_mask_that_the_inputs_dtype_rounds_to_the_other_side_of_a_kink_is_no_mistake():
    inner = 2.63e5  # 0.5 * inner / inner is a little above or below 0.5 in single precision
    x = (np.linspace(-0.5, 0.5, 29) * inner).astype(np.float32)

    def clip(x):
        return np.clip(x / x.dtype.type(inner), -0.5, 0.5)

    def rule(gy, y, x):
        z = x / x.dtype.type(inner)
        return gy / x.dtype.type(inner) * ((z >= -0.5) & (z <= 0.5))

    assert gradcheck(clip, (x,), vjp=rule, raise_exception=False).verdict is not Verdict.FAIL


@pytest.mark.parametrize("seed", range(4))
def test_a_gradient_that_is_nothing_but_rounding_is_no_mistake(seed):
    def nothing(x):  # the logarithm of a sum of probabilities
        return gradcore.logsumexp(gradcore.log_softmax(x, axis=0), axis=0)

    report = gradcheck(
        nothing, (gradcore.Tensor(np.array([-1.0, 1.5])),), gy=np.array(1.0), seed=seed, raise_exception=False
    )
    assert report.verdict is not Verdict.FAIL


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(6))
def test_a_gradient_of_nothing_but_rounding_is_not_called_wrong(dtype, seed):
    def normalised(x):  # a constant, whose place does not matter, in units of 20
        gamma, beta = np.array([2.0], x.dtype), np.array([0.0], x.dtype)
        return gradcore.batch_norm(gradcore.broadcast_to(x, (2, 1, 2, 3)), gamma, beta, eps=0.01)

    gy = np.random.default_rng(seed).integers(-16, 17, (2, 1, 2, 3)).astype(dtype) / dtype(8)
    report = gradcheck(
        normalised, (gradcore.Tensor(np.array(-1.5, dtype)),), gy=(gy,), seed=seed, raise_exception=False
    )
    assert report.verdict is not Verdict.FAIL


@pytest.mark.parametrize(
    ("x", "shift", "seed"),
    [
        (np.float16(0.546875), 1000, 11),
        (np.float16(0.0043), 1000, 17),
        (np.float16(25.5), 1000, 113),
        (np.float32(-156.36517), 1e7, 92),
        (np.float32(75.79512), 1e7, 167),
        (np.float32(14.162814), 1e7, 545),
    ],
)
def test_a_point_of_few_digits_does_not_hide_that_others_are_rounded(x, shift, seed):
    def there_and_back(x):
        return (x + shift) - shift

    report = gradcheck(
        there_and_back, (np.array([x]),), vjp=lambda gy, y, x: gy, seed=seed, raise_exception=False
    )
    assert report.verdict is not Verdict.FAIL, str(report)


BESIDE = {
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sin": (np.sin, np.cos),
    "gauss": (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (2 + np.exp(x) + np.exp(-x))),
}


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("seed", range(3))
def test_a_bounded_function_is_judged_beside_a_large_term(name, seed):
    g, slope = BESIDE[name]
    rng = np.random.default_rng(seed)
    x, b = rng.standard_normal(3), rng.standard_normal(3)

    def f(x, b):
        return g(x) + b

    def rule(gy, y, x, b, factor=1.0):
        return factor * gy * slope(x), gy

    for size in (1.0, 1e7, 1e9, 1e12):
        report = gradcheck(f, (x, size * b), vjp=rule, seed=seed, raise_exception=False)
        assert report.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert verify(f, like=(x, b), vjp=rule, seed=seed, raise_exception=False).verdict is Verdict.PASS
    wrong = partial(rule, factor=1.01)
    assert gradcheck(f, (x, 1e7 * b), vjp=wrong, seed=seed, raise_exception=False).verdict is Verdict.FAIL
    assert verify(f, like=(x, b), vjp=wrong, seed=seed, raise_exception=False).verdict is Verdict.FAIL


def test_what_large_entries_lack_is_no_mistake_where_rounding_hides_it_and_is_one_where_it_would_show():
    def f(x, b):
        return np.sin(x) - b * b

    def rule(gy, y, x, b):
        return gy * np.cos(x), -2 * b * gy

    x, b = np.array([3.03e11, -2.97e11]), np.array([3.03e11, 2.5e11])
    for seed in range(5):
        assert gradcheck(f, (x, b), vjp=rule, seed=seed, raise_exception=False).verdict is not Verdict.FAIL

    def claims_what_is_not(gy, y, x, b):
        return gy * np.cos(x), gy

    smooth = gradcheck(lambda x, b: b + 0 * x, (x, b / 1e11), vjp=claims_what_is_not, raise_exception=False)
    assert smooth.verdict is Verdict.FAIL


def test_the_first_step_suits_the_entries_that_move_most_for_their_size():
    d = derivative(
        lambda x, b: np.sin(x) + b,
        (np.array([0.7]), np.array([-4.39e11])),
        (np.array([4.0]), np.array([2.0])),
    )
    assert np.abs(d.value - (4 * np.cos(0.7) + 2)) <= d.bound


def test_a_steep_slope_of_few_values_is_not_lost_in_the_rounding_of_a_large_term():
    d = derivative(lambda x: np.tanh(3000 * x) + 1e9, np.array([0.0]), np.array([1.0]), thorough=True)
    assert np.abs(d.value - 3000) <= d.bound


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("seed", range(4, 8))
def test_layer_norm_of_equal_values_is_judged_beside_a_large_bias(seed):
    def forward(x, b):
        m = x.mean(-1, keepdims=True)
        return (x - m) / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5) + b

    def rule(gy, y, x, b, missing=1.0):
        m = x.mean(-1, keepdims=True)
        s = 1 / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5)
        h = (x - m) * s
        return s * (gy - missing * gy.mean(-1, keepdims=True) - h * (gy * h).mean(-1, keepdims=True)), gy.sum(
            0
        )

    gy = np.zeros((4, 3))
    gy[1, 0] = 1
    inputs = (-np.ones((4, 3)), np.array([-1, -1e8, -1]))
    report = gradcheck(forward, inputs, vjp=rule, gy=gy, seed=seed, raise_exception=False)
    assert report.verdict is not Verdict.FAIL
    rng = np.random.default_rng(0)
    like = rng.standard_normal((4, 3)), rng.standard_normal(3)
    assert verify(forward, like=like, vjp=rule, seed=seed, raise_exception=False).verdict is Verdict.PASS
    wrong = partial(rule, missing=0.0)
    assert verify(forward, like=like, vjp=wrong, seed=seed, raise_exception=False).verdict is Verdict.FAIL
