"""What a check costs: calls, evaluations; and the short cuts that it takes, beside what they stand for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gradcheck import gradcheck
from gradcheck.contracts.base import CONTRACTS, close
from gradcheck.contracts.effects import _bounds
from gradcheck.numeric.derivative import LADDER, derivative
from gradcheck.numeric.ladder import _scheme, select
from gradcheck.numeric.line import eps_of, magnitudes, positive
from gradcheck.verdict.coverage import _seen
from gradcheck.verdict.evidence import constant_along, constant_copy, equal, infinite_in

NAN, INF = np.nan, np.inf


def calls_of(run):
    """How many functions, of Python's and of C's but for ufuncs, one run calls."""
    count = 0

    def hook(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def test_a_check_of_20_entries_takes_few_calls():
    x = np.random.default_rng(0).standard_normal((4, 5))

    def check():
        return gradcheck(np.tanh, (x,), vjp=lambda gy, y, x: gy * (1 - y * y))

    report = check()
    assert (report.evaluations, report.pulls) == (21, 15)
    assert calls_of(check) < 2800


def test_a_check_of_more_entries_takes_no_more_calls():
    def calls(n):
        x = np.random.default_rng(1).uniform(0.5, 2.0, n)

        def check():
            return gradcheck(np.exp, (x,), vjp=lambda gy, y, x: gy * y)

        assert check()
        return calls_of(check)

    assert calls(5000) < 1.1 * calls(50)


def test_a_contract_that_held_is_the_same_result_in_every_report():
    def held():
        report = gradcheck(np.exp, (np.ones(3),), vjp=lambda gy, y, x: gy * y)
        return [c for c in report.contracts if c.status == "held"]

    first, second = held(), held()
    assert len(first) > 10
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert {c.name for c in first} <= set(CONTRACTS)
    assert all((c.text, c.because) == ("", "") for c in first)


PAIRS = [
    ([1.0, 2.0], [1.0, 2.0], True),
    ([1.0, 2.0], [1.0, 2.5], False),
    ([1.0, NAN], [1.0, NAN], True),
    ([1.0, NAN], [1.0, 2.0], False),
    ([NAN, 1.0], [1.0, NAN], False),
    ([INF, -INF], [INF, -INF], True),
    ([INF, -INF], [INF, INF], False),
    ([1.0], [1.0, 1.0], False),
    ([], [], True),
    ([complex(1, NAN)], [complex(2, NAN)], True),
    ([1], [1], True),
    ([1], [2], False),
]


@pytest.mark.parametrize(("x", "y", "alike"), PAIRS)
def test_arrays_are_equal_where_numpy_calls_them_so(x, y, alike):
    x, y = np.array(x), np.array(y)
    assert equal(x, y) is alike
    assert equal(x, y) == np.array_equal(x, y, equal_nan=True)


def test_single_numbers_are_equal_or_not():
    assert equal(np.array(NAN), np.array(NAN)) is True
    assert equal(np.array(1.0), np.array(2.0)) is False


@pytest.mark.parametrize(
    ("x", "y", "near"),
    [
        ([1.0, 1e-9], [1.0, 1e-9 + 1e-14], True),
        ([1.0, 1e-9], [1.0, 1e-9 + 1e-12], False),
        ([1.0, INF], [1.0 + 1e-15, INF], True),
        ([1.0, INF], [1.0 + 1e-15, 2.0], False),
        ([1.0, 2.0], [1.0 + 1e-15, NAN], False),
        ([1.0, NAN], [1.0 + 1e-15, 2.0], False),
        ([0.0, INF], [1e-300, INF], False),
    ],
)
def test_arrays_are_close_by_their_largest_finite_entry(x, y, near):
    with np.errstate(all="ignore"):
        assert close([np.array(x)], [np.array(y)]) is near


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 3), (2, 3, 2), (0, 3), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_that_is_constant_along_an_axis_has_the_values_of_the_view(shape, order):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), order=order)
    view, copy = constant_along(x), constant_copy(x)
    np.testing.assert_array_equal(view, copy)
    assert copy.flags.c_contiguous
    assert copy.flags.writeable
    assert not np.shares_memory(copy, x)
    assert not np.shares_memory(view, x)
    if any(n > 1 for n in shape) and x.size:
        assert 0 in view.strides


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 2.0, NAN, INF], [0.0], [NAN], []])
def test_usable_sizes_are_those_between_zero_and_infinity(values):
    sizes = np.array(values)
    found = positive(sizes)
    assert found.tolist() == [v for v in values if 0 < v < INF]
    assert (found is sizes) == (found.size == sizes.size)


def test_entries_without_a_size_of_their_own_have_a_typical_one():
    assert magnitudes(np.array([-3.0, 0.0, 1.0, INF, 2.0])).tolist() == [3.0, 2.0, 1.0, 2.0, 2.0]
    assert magnitudes(np.array([0.0, NAN])).tolist() == [1.0, 1.0]


def test_infinite_entries_are_marked_where_there_are_some():
    assert infinite_in(np.array([1.0, 2.0])) is None
    assert infinite_in(np.array([1.0, INF, NAN])).tolist() == [False, True, True]
    assert infinite_in(np.array(NAN)).tolist() is True


def test_entries_count_as_seen_that_some_cotangent_counts():
    a, b = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0])
    assert (_seen([a]), _seen([a, b]), _seen([a, b, np.ones(3)]), _seen([])) == (1, 2, 3, 0)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(5),
        np.zeros((3, 4))[:, 1],
        np.zeros((3, 4)).T,
        np.zeros(9)[::-2],
        np.zeros((2, 3), np.float32),
    ],
)
def test_the_place_of_an_array_in_memory_is_that_of_its_entries(x):
    assert _bounds(x) == np.lib.array_utils.byte_bounds(x)


def test_the_epsilon_of_a_dtype_is_numpys():
    for name in ("float16", "float32", "float64", "complex64", "complex128"):
        assert eps_of(np.dtype(name)) == np.finfo(name).eps


def test_a_function_takes_the_only_array_at_any_place():
    def scale(n, x):
        return n * x

    for static in (3, "3"):
        report = gradcheck(
            lambda n, x: scale(int(n), x), (static, np.ones(3)), vjp=lambda gy, y, n, x: int(n) * gy
        )
        assert [i.path for i in report.inputs] == ["inputs[1]"]


def test_an_entry_whose_gradient_is_zero_costs_no_further_evaluation():
    x = np.array([0.01, 0.02, 0.03])  # smaller than the wider steps, which would be tried
    for weights in (np.array([3.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0])):
        report = gradcheck(lambda x, w: x * w, (x, weights), wrt=0, vjp=lambda gy, y, x, w: (gy * w, None))
        assert report.evaluations == 21


def test_the_outputs_that_no_step_moves_are_not_extrapolated(monkeypatch):
    sizes = []

    def counted(samples):
        sizes.append(samples.center.size)
        return select(samples)

    monkeypatch.setattr(sys.modules["gradcheck.numeric.derivative"], "select", counted)
    x, v = np.arange(1.0, 101.0), np.zeros(100)
    v[[3, 50]] = 1.0
    found = derivative(np.sin, x, v)
    assert sizes[0] == 2
    np.testing.assert_array_equal(np.flatnonzero(found.value), [3, 50])


@pytest.mark.parametrize("steps", [2, 4, 7, 11])
@pytest.mark.parametrize("width", [1, 3])
def test_the_weights_of_the_scheme_are_those_of_lagrange(steps, width):
    h, squares, rounds = _scheme(LADDER[:steps], width)
    assert h.shape == squares.shape == (steps, width)
    for count, (coarse, fine, gap, gain, unit) in enumerate(rounds, 2):
        for row in range(steps - count + 1):
            s = squares[row : row + count, 0]
            weights = [np.prod([t / (t - one) for t in s if t != one]) for one in s]
            differences = [np.prod([1 / (one - t) for t in s if t != one]) for one in s]
            ways = 1 / h[row : row + count, 0]
            np.testing.assert_allclose(gain[row], np.abs(weights) @ ways, rtol=1e-9)
            np.testing.assert_allclose(np.abs(unit[row]), np.abs(differences @ ways), rtol=1e-6)
            assert (coarse[row] - fine[row] == gap[row]).all()
            assert (coarse[row] == s[0]).all()
            assert (fine[row] == s[-1]).all()
