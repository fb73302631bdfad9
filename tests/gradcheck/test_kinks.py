"""At kinks: what is a right answer, and what is none in any convention."""

import numpy as np
import pytest

from gradcheck import Verdict, gradcheck


def check(f, x, rule):
    inputs = x if isinstance(x, tuple) else (x,)
    return gradcheck(f, inputs, vjp=rule, raise_exception=False)


def sort_rule(kind):
    def rule(gy, y, x):
        gx = np.empty_like(x)
        gx[np.argsort(x, kind="stable") if kind == "first" else np.lexsort((-np.arange(len(x)), x))] = gy
        return gx

    return rule


TIED = np.full(4, -2.5)
PARTLY = np.array([1.0, 3.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("kind", ["first", "last"])
@pytest.mark.parametrize("x", [TIED, PARTLY], ids=["all equal", "two pairs"])
def test_ties_of_a_sort_may_go_to_either_entry(kind, x):
    assert check(np.sort, x, sort_rule(kind)).verdict in (Verdict.PASS, Verdict.SUBGRADIENT)


def test_ties_of_a_sort_may_be_shared():
    def shared(gy, y, x):
        same = x[:, None] == y
        return (same * gy / same.sum(0)).sum(1)

    assert check(np.sort, PARTLY, shared).verdict is Verdict.SUBGRADIENT


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_a_factor_on_a_sort_is_wrong_at_ties_too(factor):
    rule = sort_rule("first")
    assert check(np.sort, PARTLY, lambda gy, y, x: factor * rule(gy, y, x)).verdict is Verdict.FAIL


def test_a_small_mistake_at_an_entry_without_a_tie_does_not_hide_behind_ties():
    rule = sort_rule("first")

    def wrong(gy, y, x):
        return rule(gy * np.where(y == 2.0, 1.01, 1.0), y, x)

    assert check(np.sort, PARTLY, wrong).verdict is Verdict.FAIL


def test_the_median_of_ties_may_go_to_one_of_them():
    def rule(gy, y, x):
        gx = np.zeros_like(x)
        gx[np.argsort(x, kind="stable")[len(x) // 2]] = gy
        return gx

    x = np.array([0.5, 2.0, 0.5, 0.5, -1.0])
    assert check(np.median, x, rule).verdict in (Verdict.PASS, Verdict.SUBGRADIENT)
    assert check(np.median, x, lambda gy, y, x: 2 * rule(gy, y, x)).verdict is Verdict.FAIL


@pytest.mark.parametrize("share", [(1.0, 1.0), (0.0, 0.0)], ids=["both get all", "neither gets any"])
def test_two_that_tie_for_the_larger_share_exactly_one(share):
    def rule(gy, y, a, b):
        return tuple([gy * np.where(a == b, s, mine) for s, mine in zip(share, (a > b, a < b), strict=True)])

    a = np.array([1.0, 2.0, -3.0])
    assert check(np.maximum, (a, a.copy()), rule).verdict is Verdict.FAIL


def test_zero_for_two_relus_that_meet_at_a_kink_is_what_the_chain_rule_gives_close_by():
    first, second = np.array([1.0, 0.5]), np.array([-3.0, 1.0])

    def f(x):
        return np.maximum(first @ x, 0) - np.maximum(second @ x, 0)

    def rule(gy, y, x):
        return gy * (first * (first @ x > 0) - second * (second @ x > 0))

    for seed in range(5):
        report = gradcheck(f, (np.zeros(2),), vjp=rule, seed=seed, raise_exception=False)
        assert report.verdict is not Verdict.FAIL


def test_zero_where_two_kinks_cancel_to_a_slope_of_one_is_wrong():
    def f(x):
        return np.maximum(x, 0) - np.maximum(-x, 0)

    report = check(f, np.zeros(2), lambda gy, y, x: gy * ((x > 0) + 1.0 * (x < 0)))
    assert report.verdict is Verdict.FAIL


def clip(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def clip_rule(gy, y, x, low, high):
    above = np.maximum(x, low) > high
    below = (x < low) & ~above
    return gy * ~(below | above), gy * below, gy * above


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("far", [-5.0, 9.9e5, 9.9e10])
def test_the_sides_of_a_kink_are_detected_next_to_an_entry_of_any_size(far, seed):
    inputs = (np.array([-3.5, -1.5]), np.array([far, -1.5]), np.array([-2.5, -1.5]))
    assert gradcheck(clip, inputs, vjp=clip_rule, seed=seed).verdict is Verdict.SUBGRADIENT

    def paid_twice(gy, y, x, low, high):
        return gy * ((x >= low) & (x <= high)), gy * (x <= low), gy * (x >= high)

    report = gradcheck(clip, inputs, vjp=paid_twice, seed=seed, raise_exception=False)
    assert report.verdict is Verdict.FAIL


def test_nan_is_reported_for_the_entry_that_has_it():
    report = check(np.abs, np.array([-1.0, 2.0, 0.0]), lambda gy, y, x: gy * x / np.abs(x))
    assert report.faults[0].cause == "nonfinite"
    assert report.faults[0].index == (2,)
