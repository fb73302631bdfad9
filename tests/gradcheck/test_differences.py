"""The numeric derivative: its bound holds, it stays cheap, and it reports what it measured."""

import numpy as np
import pytest
from programs import load

from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.line import Line
from gradcheck.numeric.probes import direction
from gradcheck.numeric.result import Diagnosis
from gradcore.errors import DtypeError, ShapeError

ONE = np.ones(1)


@pytest.fixture(scope="module")
def battery():
    return load("battery/run")


def test_the_bound_holds_on_a_slice_of_the_truth_battery(battery):
    chosen = battery.cases(0)[::12]
    outcomes = [battery.measure(case) for case in chosen]
    assert len(outcomes) > 100
    assert [o.case.name for o in outcomes if not o.covered] == []
    assert battery.misses(outcomes) == []


def test_the_bound_holds_where_functions_lose_digits(battery):
    chosen = [case for case in battery.cases(0) if case.family == "cancelling"]
    assert len(chosen) > 100
    assert [case.name for case in chosen if not battery.measure(case).covered] == []


def test_the_battery_reports_a_bound_that_is_too_small(battery):
    right = battery.measure(battery.cases(0)[0])
    wrong = battery.Outcome(right.case, 2 * right.bound, right.bound, right.truth, right.evaluations)
    assert not wrong.covered
    assert "covers 50.00%" in battery.misses([right, wrong])[0]


@pytest.mark.parametrize(
    "f", [np.sin, np.exp, np.square, lambda x: 3 * x - 1, lambda x: 1 / (1 + np.exp(-x))]
)
@pytest.mark.parametrize("n", [1, 50, 3000])
def test_a_smooth_function_takes_few_evaluations_whatever_its_size(f, n):
    rng = np.random.default_rng(n)
    x = rng.uniform(-1, 1, n)
    found = derivative(f, x, direction(x, rng), gy=np.ones(n))
    assert found.evaluations <= 14
    assert np.all(found.bound <= 1e-7 * np.max(np.abs(found.value)))


@pytest.mark.parametrize("inner", [1e-12, 1e-8, 1.0, 1e8, 1e12])
@pytest.mark.parametrize("outer", [1e-200, 1e-8, 1.0, 1e8, 1e200])
def test_the_relative_bound_does_not_depend_on_the_scale_of_argument_or_value(inner, outer):
    found = derivative(lambda x: outer * np.sin(x / inner), np.array([0.7 * inner]), ONE)
    truth = outer / inner * np.cos(0.7)
    assert abs(found.value[0] - truth) <= found.bound[0] < 1e-10 * abs(truth)


def test_the_length_of_the_direction_only_scales_the_result():
    short, long = (derivative(np.sin, np.array([0.7]), np.array([v])) for v in (2.0**-60, 2.0**60))
    assert short.value * 2.0**120 == long.value
    assert short.bound * 2.0**120 == long.bound


def test_values_rounded_to_float32_inside_widen_the_bound_instead_of_breaking_it():
    for x in np.linspace(0.5, 2.5, 40):
        found = derivative(lambda x: np.sin(x.astype(np.float32)).astype(float), np.array([x]), ONE)
        assert abs(found.value[0] - np.cos(x)) <= found.bound[0] < 1e-2


def test_a_wave_in_step_with_powers_of_two_is_not_taken_for_its_trend():
    for power in range(3, 9):
        w = 2.0**power * np.pi
        found = derivative(lambda x, w=w: x + np.sin(w * x), ONE, ONE)
        assert abs(found.value[0] - (1 + w)) <= found.bound[0] < 1e-3


@pytest.mark.parametrize("away", [1e-1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_nearby_is_stepped_under(away, side):
    found = derivative(np.abs, 1.0 + np.array([side * away]) - 1.0, ONE)
    shifted = derivative(lambda x: np.abs(x - 1), np.array([1 + side * away]), ONE)
    for d in (found, shifted):
        assert abs(d.value[0] - side) <= d.bound[0] < 1e-3


def test_every_output_has_its_own_step_among_a_million_kinks():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(200_000)
    v = direction(x, rng)[0] * rng.choice([1, 64], x.size)
    found = derivative(lambda x: np.maximum(x, 0), x, v)
    assert np.all(np.abs(found.value - (x > 0) * v) <= found.bound)
    assert np.max(found.bound / np.abs(v)) < 1e-6 * np.max(np.abs(x))


def test_at_a_kink_the_slopes_of_both_sides_are_reported():
    found = derivative(lambda x: np.abs(x) + 2 * x, np.array([0.0, 1.0]), np.array([3.0, 1.0]))
    assert list(found.diagnosis) == [Diagnosis.KINK, Diagnosis.SMOOTH]
    assert abs(found.left[0] - 3) <= found.left_bound[0] < 1e-6
    assert abs(found.right[0] - 9) <= found.right_bound[0] < 1e-6
    assert found.value[0] - found.bound[0] <= 3
    assert found.value[0] + found.bound[0] >= 9
    assert found.left[1] == found.right[1] == found.value[1]
    assert found.worst is Diagnosis.KINK


def test_max_at_a_tie_is_smooth_along_the_tie():
    found = derivative(lambda a, b: np.maximum(a, b), (ONE, ONE), (ONE, ONE))
    assert found.worst is Diagnosis.SMOOTH
    assert abs(found.value[0] - 1) <= found.bound[0] < 1e-9


def test_steps_shrink_until_they_fit_the_domain():
    for away in (1e-2, 1e-5, 1e-7):
        found = derivative(lambda x: np.log(x - 1), np.array([1 + away]), ONE)
        exact = 1 / ((1 + away) - 1)
        assert abs(found.value[0] - exact) <= found.bound[0] < 1e-2 * exact


def test_an_exception_outside_the_domain_counts_as_its_edge():
    def strict_root(x):
        if np.any(x < 0):
            raise ValueError("negative")
        return np.sqrt(x)

    found = derivative(strict_root, np.array([1.0, 1e-6]), np.array([1.0, 1.0]))
    exact = 0.5 / np.sqrt([1.0, 1e-6])
    assert np.all(np.abs(found.value - exact) <= found.bound)
    assert np.all(found.bound < 1e-3 * exact)


def test_at_the_very_edge_the_slope_of_the_inner_side_is_given():
    found = derivative(lambda x: x**1.5 + 2 * x, np.array([0.0]), ONE)
    assert found.worst is Diagnosis.EDGE
    assert abs(found.value[0] - 2) <= found.bound[0] < 1e-3


def test_an_exception_everywhere_else_is_passed_on():
    calls = []

    def once(x):
        calls.append(x)
        if len(calls) > 1:
            raise ValueError("I work only once")
        return x

    with pytest.raises(ValueError, match="only once"):
        derivative(once, ONE, ONE)


def test_an_exception_at_the_point_itself_is_passed_on():
    def broken(x):
        raise KeyError("weights")

    with pytest.raises(KeyError, match="weights"):
        derivative(broken, ONE, ONE)


@pytest.mark.parametrize("f", [lambda x: np.where(x >= 0, 1.0, 0.0), np.sqrt, lambda x: np.sqrt(np.abs(x))])
def test_a_jump_or_an_infinite_slope_is_unresolved(f):
    found = derivative(f, np.array([0.0]), ONE)
    assert found.worst is Diagnosis.UNRESOLVED
    assert found.bound[0] == np.inf
    assert not found.usable[0]


def test_a_value_that_is_not_finite_leaves_the_other_outputs_alone():
    found = derivative(lambda x: 1 / x, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert list(found.diagnosis) == [Diagnosis.NONFINITE, Diagnosis.SMOOTH]
    assert list(found.usable) == [False, True]
    assert abs(found.value[1] + 1) <= found.bound[1] < 1e-9


def test_a_function_that_draws_random_numbers_is_stochastic():
    rng = np.random.default_rng(0)
    found = derivative(lambda x: x * (rng.random(x.shape) < 0.5), np.arange(1.0, 50.0), np.ones(49))
    assert found.worst is Diagnosis.STOCHASTIC
    assert not found.usable[found.diagnosis == Diagnosis.STOCHASTIC].any()


def test_a_function_that_overwrites_its_input_does_not_disturb_the_point():
    def rude(x, w):
        result = x * w
        x[...] = np.nan
        w[...] = np.nan
        return result

    x, w = np.array([2.0]), np.array([5.0])
    found = derivative(rude, (x, w), (ONE, None))
    assert (x[0], w[0]) == (2.0, 5.0)
    assert abs(found.value[0] - 5) <= found.bound[0] < 1e-9


def test_outputs_keep_their_structure_and_shapes():
    x = np.arange(1.0, 7.0).reshape(2, 3)
    value, bound = (
        getattr(derivative(lambda x: (x.sum(), x.T, x[:0]), x, np.ones((2, 3))), name)
        for name in ("value", "bound")
    )
    assert [part.shape for part in value] == [part.shape for part in bound] == [(), (3, 2), (0, 3)]
    assert abs(value[0] - 6) <= bound[0]
    single = derivative(np.sum, x, np.ones((2, 3)))
    assert single.value.shape == single.diagnosis.shape == ()


def test_inputs_without_a_direction_may_be_of_any_dtype():
    found = derivative(
        lambda x, i: x[i], (np.array([1.0, 2.0]), np.array([1, 1])), (np.array([3.0, 4.0]), None)
    )
    assert np.all(np.abs(found.value - 4) <= found.bound)


def test_a_direction_of_zeros_and_an_empty_array_cost_one_evaluation():
    still = derivative(np.sin, ONE, np.zeros(1))
    empty = derivative(np.sin, np.zeros((0, 3)), np.zeros((0, 3)))
    assert (still.value[0], still.bound[0], still.evaluations) == (0.0, 0.0, 1)
    assert (empty.value.shape, empty.evaluations) == ((0, 3), 1)


def test_complex_numbers_move_in_their_plane():
    z, dz = np.array([1 + 2j]), np.array([0.5 - 1j])
    square = derivative(np.square, z, dz)
    assert abs(square.value[0] - 2 * z[0] * dz[0]) <= square.bound[0] < 1e-9
    modulus = derivative(np.abs, z, dz)
    assert abs(modulus.value[0] - (np.conj(z[0]) * dz[0]).real / abs(z[0])) <= modulus.bound[0] < 1e-9
    from_real = derivative(lambda x: np.exp(1j * x), ONE, ONE)
    assert abs(from_real.value[0] - 1j * np.exp(1j)) <= from_real.bound[0] < 1e-9
    assert from_real.diagnosis.shape == (1,)


def test_float32_inputs_are_widened_unless_requested_otherwise():
    seen = []

    def f(x):
        seen.append(x.dtype)
        return np.sin(x)

    x = np.array([0.7], dtype=np.float32)
    wide = derivative(f, x, ONE)
    assert set(seen) == {np.dtype(np.float64)}
    seen.clear()
    narrow = derivative(f, x, ONE, widen=False)
    assert set(seen) == {np.dtype(np.float32)}
    exact = np.cos(np.float64(x[0]))
    assert abs(wide.value[0] - exact) <= wide.bound[0] < 1e-10
    assert abs(narrow.value[0] - exact) <= narrow.bound[0] < 1e-2


def test_a_step_lost_to_rounding_is_charged_to_the_bound():
    x, v = np.array([1e12, 1e-3]), np.array([1.0, 1.0])
    assert Line(np.sum, x, v).slip(2.0**-20) == 1.0
    found = derivative(lambda x: x[0] - 1e12 + x[1] + x[2], np.array([1e12, 1e-3, 1e-3]), np.ones(3))
    assert abs(found.value - 3) <= found.bound


def test_directions_of_few_bits_move_without_rounding():
    rng = np.random.default_rng(3)
    x = rng.uniform(1.0, 1.5, 500) * 2.0 ** rng.integers(-20, 20, 500)
    line = Line(np.sum, x, direction(x, rng))
    assert max(line.slip(round(2.0**46 * 2.0**-e) / 2.0**46) for e in (5.69, 10.17, 26.11, 38.31)) == 0.0


def points_of(x, v, step=0.125):
    """What f gets on both sides, and the slip."""
    seen = []
    line = Line(lambda *arrays: seen.append([a.copy() for a in arrays]) or np.zeros(1), x, v)
    line.center()
    slip = line.sides(step)[2]
    return seen[1:], slip


@pytest.mark.parametrize("shape", [(6000,), (75, 80), (300, 4, 5)])
@pytest.mark.parametrize("rows", [(0, 1), (7, 9), (20, 75), (74, 75), (0, 75)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_a_direction_that_moves_some_rows_moves_them_as_any_other_does(shape, rows, dtype):
    rng = np.random.default_rng(len(shape))
    x = (rng.standard_normal(shape) + (1j if dtype is np.complex128 else 0)).astype(dtype)
    x[3] = 0.0
    v = np.zeros(shape, np.result_type(dtype, np.float64))
    v[rows[0] : rows[1]] = 0.1 * x[rows[0] : rows[1]]
    (above, below), slip = points_of((x, np.arange(3)), (v, None))
    wide = x.astype(v.dtype)
    np.testing.assert_array_equal(above[0], wide + 0.125 * v)
    np.testing.assert_array_equal(below[0], wide - 0.125 * v)
    for side in (above, below):
        np.testing.assert_array_equal(side[1], np.arange(3))
    lost = [
        np.abs(part(above[0] - below[0]) / 0.25 - part(v))[part(v) != 0] / np.abs(part(v)[part(v) != 0])
        for part in (np.real, np.imag)
    ]
    assert slip == max(np.max(one, initial=0.0) for one in lost)
    assert (slip > 0) == (dtype is not np.float32)  # of 24 bits, none is lost in 53


def test_no_entry_of_a_part_is_left_where_it_is():
    x = np.random.default_rng(0).standard_normal(5000)
    for first, last in ((0, 0), (0, 4999), (4999, 4999), (17, 17), (17, 4000)):
        v = np.zeros(5000)
        v[[first, last]] = 1.0
        (above, below), _ = points_of(x, v)
        assert set(np.flatnonzero(above[0] != x)) == set(np.flatnonzero(below[0] != x)) == {first, last}


def test_known_values_save_an_evaluation():
    x = np.array([0.3])
    assert derivative(np.sin, x, ONE).evaluations == derivative(np.sin, x, ONE, y=np.sin(x)).evaluations + 1


def test_outputs_without_weight_cost_nothing():
    x = np.array([1.0, 0.0])
    both = derivative(np.abs, x, np.ones(2))
    first = derivative(np.abs, x, np.ones(2), gy=np.array([1.0, 0.0]))
    assert first.evaluations == 9 < both.evaluations


@pytest.mark.parametrize("most", [9, 10, 13, 20])
def test_the_evaluations_stay_within_their_limit(most):
    counted = []

    def f(x):
        counted.append(x)
        return np.sin(1e6 * x)

    assert derivative(f, ONE, ONE, max_evaluations=most).evaluations == len(counted) <= most


def test_too_small_a_limit_is_refused():
    with pytest.raises(ValueError, match="max_evaluations is 3; the first ladder alone takes 9"):
        derivative(np.sin, ONE, ONE, max_evaluations=3)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.argsort(x), "f returned int64, which has no derivative"),
        (lambda x: x > 0, "f returned bool, which has no derivative"),
        (lambda x: (x, x > 0), "output 1 of f is bool"),
        (lambda x: None, "f returned a NoneType, not an array"),
        (lambda x: {"a": x}, "f returned a dict, not an array"),
        (lambda x: "text", "f returned a str, not an array"),
    ],
)
def test_an_output_without_a_derivative_is_refused_with_its_kind(f, message):
    with pytest.raises(DtypeError, match=message):
        derivative(f, np.array([1.0, 2.0]), np.ones(2))


def test_an_output_that_changes_its_shape_is_refused_with_both_shapes():
    with pytest.raises(ShapeError, match=r"\[\(1,\)\] at x and \[\(2,\)\] at a neighbouring point"):
        derivative(lambda x: x[x > 1.0 - 1e-300], np.array([1.0, 5.0]), np.ones(2))


def test_a_direction_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"x\[0\] has shape \(1,\) and v\[0\] has \(2,\)"):
        derivative(np.sin, ONE, np.ones(2))
    with pytest.raises(ShapeError, match="x has 2 arrays and v has 1"):
        derivative(np.add, (ONE, ONE), (ONE,))
    with pytest.raises(DtypeError, match=r"x\[0\] is int64 and cannot move"):
        derivative(np.sin, np.array([1]), ONE)
    with pytest.raises(DtypeError, match="a real array moves along a real direction"):
        derivative(np.sin, ONE, np.array([1j]))
    with pytest.raises(ShapeError, match="gy has shapes"):
        derivative(np.sin, ONE, ONE, gy=np.ones(2))


def test_outputs_that_do_not_move_have_the_bound_that_extrapolation_gives_them():
    def f(x):
        return np.array([x[0] ** 2, 1e6, 3.0, 0.0])

    found = derivative(f, np.array([2.0, 5.0]), np.array([1.0, 0.0]))
    assert np.array_equal(found.value[1:], np.zeros(3))
    assert found.bound[3] == 0.0
    assert found.bound[1] / 1e6 == pytest.approx(found.bound[2] / 3)
    assert 4 * 2.0**-52 * 3 < found.bound[2] < 1e-13
    assert abs(found.value[0] - 4) <= found.bound[0] < 1e-10
