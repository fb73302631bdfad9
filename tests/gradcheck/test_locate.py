"""The wrong entry is named, with both values and the bound, in a number of evaluations that grows like log n."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck import gradcheck

X = np.random.default_rng(0).standard_normal((6, 5))


def wrong_at(*places):
    def rule(gy, y, x):
        gx = gy * np.cos(x)
        for place in places:
            gx[place] += 0.25
        return gx

    return rule


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (5, 4)])
def test_the_only_wrong_entry_is_found_with_both_values_and_the_bound(place):
    fault = gradcheck(np.sin, (X,), vjp=wrong_at(place), raise_exception=False).faults[0]
    assert (fault.input, fault.index) == ("inputs[0]", place)
    assert fault.analytic == pytest.approx(fault.numeric + 0.25)
    assert abs(fault.analytic - fault.numeric) > 1e6 * fault.bound
    assert "the rest of this input's gradient is right" in fault.text


def test_of_several_wrong_entries_one_is_named_and_it_is_not_called_the_only_one():
    places = [(0, 1), (3, 2), (5, 0)]
    fault = gradcheck(np.sin, (X,), vjp=wrong_at(*places), raise_exception=False).faults[0]
    assert fault.index in places
    assert "the rest" not in fault.text


def test_every_wrong_input_is_named_and_no_right_one():
    def rule(gy, y, a, b, c):
        return gy * b * c, -gy * a * c, 3 * gy * a * b

    report = gradcheck(lambda a, b, c: a * b * c, (X, X + 1, X - 1), vjp=rule, raise_exception=False)
    assert [f.input for f in report.faults] == ["inputs[1]", "inputs[2]"]
    assert [i.verdict.value for i in report.inputs] == ["pass", "fail", "fail"]


def test_one_of_many_inputs_is_found():
    arrays = tuple(np.random.default_rng(i).standard_normal(3) for i in range(40))

    def rule(gy, y, *xs):
        gxs = [gy * np.cos(x) for x in xs]
        gxs[23][1] *= -1
        return tuple(gxs)

    fault = gradcheck(lambda *xs: sum(np.sin(x) for x in xs), arrays, vjp=rule, raise_exception=False).faults[
        0
    ]
    assert (fault.input, fault.index) == ("inputs[23]", (1,))


def test_locating_takes_logarithmically_many_evaluations():
    spent = []
    for n in (2**6, 2**10, 2**14):
        x = np.random.default_rng(n).standard_normal(n)
        report = gradcheck(np.sin, (x,), vjp=wrong_at(n // 3), raise_exception=False)
        assert report.faults[0].index == (n // 3,)
        spent.append(report.evaluations)
    assert spent[1] - spent[0] <= 4 * 24  # at most 24 evaluations for each of the four halvings
    assert spent[2] - spent[1] <= 4 * 24


def test_a_zero_dimensional_input_is_named_without_an_index():
    fault = gradcheck(np.sin, (np.array(0.5),), vjp=lambda gy, y, x: gy, raise_exception=False).faults[0]
    assert fault.index == ()
    assert "at inputs[0] the rule gives" in fault.text


def test_a_complex_entry_is_reported_with_both_parts():
    z = X + 1j * X[::-1]
    fault = gradcheck(np.square, (z,), vjp=lambda gy, y, z: 2 * gy * z, raise_exception=False).faults[0]
    assert isinstance(fault.numeric, complex)
    assert abs(fault.numeric - fault.analytic) > fault.bound
