"""Where a strong Wolfe search has two ways: equal losses, conditions that are just met, trials at an end of the bracket."""

import math

import pytest

from gradcore.optim import line_search
from gradcore.optim.line_search import CURVATURE, DECREASE, Trial, _cubic, strong_wolfe

START = Trial(0.0, 0.0, None, -10.0)


def searched(trials, t=1.0, most=20, size=1.0, tolerance=1e-9, start=START, cubics=(), monkeypatch=None):
    """The search over losses and slopes that are written out, one pair for each trial: (lengths tried, length taken)."""
    tried, left, brackets = [], iter(trials), []

    def at(t):
        tried.append(t)
        loss, slope = next(left)
        return Trial(t, loss, None, slope)

    if monkeypatch is not None:
        found = iter(cubics)

        def cubic(a, b, _low, _high):
            brackets.append((a.t, b.t))
            return next(found)

        monkeypatch.setattr(line_search, "_cubic", cubic)
    taken, count = strong_wolfe(at, start, t, most, size, tolerance)
    assert count == len(tried)
    return tried, taken.t, brackets


FLAT = (-5.0, 0.0)  # low enough, and level: it ends a search


def test_a_slope_that_is_just_flat_enough_ends_the_search():
    assert searched([(-5.0, CURVATURE * START.slope)])[:2] == ([1.0], 1.0)


def test_a_loss_that_is_just_low_enough_is():
    assert searched([(DECREASE * 1.0 * START.slope, 0.0)])[:2] == ([1.0], 1.0)


def test_a_loss_as_high_as_the_trial_before_closes_the_bracket(monkeypatch):
    """-1.0 twice is a decrease still: the minimum lies between both."""
    trials = [(-1.0, -9.5), (-1.0, -9.5), (-2.0, -9.5), FLAT]
    found = searched(trials, cubics=[4.0, 2.0, 3.0], monkeypatch=monkeypatch)
    assert found == ([1.0, 4.0, 2.0, 3.0], 3.0, [(0.0, 1.0), (1.0, 4.0), (2.0, 4.0)])


def test_of_two_ends_with_one_loss_the_first_is_the_lower():
    parabola = (0.0, 10.0)  # as high as the start
    assert searched([parabola], most=0)[1] == 0.0
    assert searched([parabola], most=1, tolerance=2.0)[1] == 0.0


def test_a_bracket_just_as_wide_as_the_tolerance_is_searched(monkeypatch):
    trials = [(1.0, 10.0), FLAT]
    assert searched(trials, tolerance=1.0, cubics=[0.5], monkeypatch=monkeypatch)[:2] == ([1.0, 0.5], 0.5)
    assert searched(trials, tolerance=math.nextafter(1.0, 2), cubics=[0.5], monkeypatch=monkeypatch)[0] == [
        1.0
    ]


def test_a_trial_just_a_margin_inside_is_not_near_an_end(monkeypatch):
    """A tenth of the bracket is its margin; what is nearer twice in a row is moved inwards."""
    bad = (1.0, 10.0)
    for first, second in ((0.1, 0.005), (0.09, 0.009)):
        found = searched([bad, bad, FLAT], cubics=[first, 0.005], monkeypatch=monkeypatch)
        assert found[0] == pytest.approx([1.0, first, second], rel=1e-12)


@pytest.mark.parametrize(("end", "moved"), [(0.0, 0.1), (1.0, 0.9), (-1.0, 0.1), (2.0, 0.9)])
def test_a_trial_at_an_end_or_beyond_is_moved_inwards_at_once(end, moved, monkeypatch):
    found = searched([(1.0, 10.0), FLAT], cubics=[end], monkeypatch=monkeypatch)
    assert found[:2] == ([1.0, moved], moved)


@pytest.mark.parametrize(
    ("loss", "bracket"),
    [
        (1e-3, (0.0, 0.5)),  # above the low end: it is the new high end
        (0.0, (0.0, 0.5)),  # as high as the low end: the same
        (
            -1e-5,
            (0.5, 0.0),
        ),  # below it, and no decrease yet: it is the low end, and the one from before the high
    ],
)
def test_a_trial_without_enough_decrease_narrows_the_bracket(loss, bracket, monkeypatch):
    found = searched([(1.0, 10.0), (loss, -9.9), FLAT], cubics=[0.5, 0.25], monkeypatch=monkeypatch)
    assert found[2] == [(0.0, 1.0), bracket]


@pytest.mark.parametrize("slope", [-9.9, 9.9])
def test_a_trial_as_high_as_the_low_end_is_the_high_end(slope, monkeypatch):
    """The first trial closes the bracket with -2.0 at 0.5 as its low end."""
    trials = [(-2.0, -9.9), (1.0, 10.0), (-2.0, slope), FLAT]
    found = searched(trials, t=0.5, cubics=[1.0, 0.75, 0.6], monkeypatch=monkeypatch)
    assert found[2][1:] == [(0.5, 1.0), (0.5, 0.75)]


@pytest.mark.parametrize(("slope", "bracket"), [(-9.9, (0.5, 1.0)), (9.9, (0.5, 0.0))])
def test_a_lower_trial_is_the_low_end_and_its_slope_says_which_is_the_other(slope, bracket, monkeypatch):
    found = searched([(1.0, 10.0), (-3.0, slope), FLAT], cubics=[0.5, 0.6], monkeypatch=monkeypatch)
    assert found[2] == [(0.0, 1.0), bracket]


def test_a_cubic_that_has_no_least_place_gives_the_middle():
    a = Trial(1.0, 0.0, None, -1.0)
    assert _cubic(a, a, 0.0, 3.0) == 1.5
    assert _cubic(Trial(0.0, 0.0, None, -1.0), Trial(1.0, 1e200, None, 1.0), 0.0, 3.0) == 1.5  # overflows
    assert _cubic(Trial(0.0, 0.0, None, -1.0), Trial(1.0, -1.0, None, -1.0), 0.0, 3.0) == 1.5  # a line


def test_a_cubic_with_one_level_place_ends_at_a_bound():
    """Slopes of -1 and -4, and a loss lower by 7 over 3: the discriminant is 0."""
    ends = Trial(0.0, 7.0, None, -1.0), Trial(3.0, 0.0, None, -4.0)
    assert _cubic(*ends, -5.0, 30.0) == _cubic(*ends[::-1], -5.0, 30.0) == -3.0
