"""Learning-rate schedules: factors of lr over the run."""

import math

import pytest

from gradcore.errors import DomainError
from gradcore.optim.schedules import (
    constant,
    cosine,
    every,
    exponential,
    joined,
    linear,
    points,
    polynomial,
    restarts,
    steps,
    warmup,
)


def test_constant_keeps_lr():
    assert [constant(done) for done in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_linear_goes_down_to_zero_in_a_straight_line():
    assert [linear(done) for done in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]


def test_cosine_is_half_way_in_the_middle_and_flat_at_both_ends():
    assert [cosine(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert 1 - cosine(0.01) < 0.001
    assert cosine(0.99) < 0.001


def test_warmup_rises_to_lr_and_hands_the_rest_of_the_run_to_the_next_schedule():
    schedule = warmup(0.2, linear)
    assert [schedule(done) for done in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    assert warmup(0.5, lambda done: done + 2)(0.5) == 2


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_warmup_of_nothing_or_of_the_whole_run_is_refused(fraction):
    with pytest.raises(DomainError, match="between 0 and 1"):
        warmup(fraction)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: exponential(0.25), [1.0, 0.5, 0.25]),
        (lambda: steps((0.5, 1.0), 0.5), [1.0, 0.5, 0.25]),
        (lambda: every(0.5, 0.5), [1.0, 0.5, 0.25]),
        (lambda: polynomial(2), [1.0, 0.25, 0.0]),
        (lambda: points((0.25, 2.0), (0.75, 1.0)), [2.0, 1.5, 1.0]),
        (lambda: restarts(0.5, shape=linear), [1.0, 1.0, 1.0]),
        (lambda: restarts(0.75, 2, linear), [1.0, pytest.approx(1 / 3), pytest.approx(5 / 6)]),
        (lambda: joined(linear, (0.5, lambda done: done + 3)), [1.0, 3.0, 3.5]),
    ],
)
def test_at_the_start_the_middle_and_the_end(make, expected):
    schedule = make()
    assert [schedule(done) for done in (0.0, 0.5, 1.0)] == expected


def test_a_shape_that_is_not_its_own_mirror_image_starts_high():
    schedule = points((0, 1.0), (1, 0.0), shape=polynomial(2))
    assert [schedule(done) for done in (-1, 0, 0.5, 1, 2)] == [1, 1, 0.25, 0, 0]


def test_restarts_of_one_length_are_where_the_remainder_is():
    # Subtracting 0.1 again and again gives other bits than the remainder does.
    schedule = restarts(0.1, shape=lambda done: done)
    for done in (0.3, 0.7, 2.35, 1234.56):
        assert schedule(done) == done % 0.1 / 0.1


def test_restarts_grow_by_any_number_from_one_on():
    schedule = restarts(2, 1.5, shape=linear)
    assert [schedule(done) for done in (0, 1, 2, 3.5, 5, 7.25, 9.5)] == [1, 0.5, 1, 0.5, 1, 0.5, 1]
    assert restarts(0.5, True, linear)(0.75) == 0.5


def test_what_is_allowed_at_the_edge():
    assert steps((0, 1), 0.5)(0) == 0.5
    assert steps((), 0.5)(3) == 1
    assert polynomial(0)(0.5) == 1
    assert every(1, 2)(3.5) == 8
    assert exponential(3)(2) == 9
    assert points((0, 2.0))(5) == 2
    assert joined(linear, (0.5, constant), (0.75, linear))(1.0) == 0.75


@pytest.mark.parametrize("bad", ["a", None, 0, -1, math.inf, math.nan])
def test_a_factor_or_a_size_that_is_no_number_above_0_is_refused(bad):
    for name, call in (
        ("exponential", lambda: exponential(bad)),
        ("steps", lambda: steps((1,), bad)),
        ("every", lambda: every(1, bad)),
    ):
        with pytest.raises(DomainError) as found:
            call()
        assert (
            str(found.value) == f"{name} got gamma={bad!r}: it is a number above 0, by which lr is multiplied"
        )
    for name, what, call in (("every", "size", every), ("restarts", "first", restarts)):
        with pytest.raises(DomainError) as found:
            call(bad)
        assert str(found.value) == f"{name} got {what}={bad!r}: it is a number above 0"


@pytest.mark.parametrize("bad", ["a", None, -1, math.nan])
def test_a_milestone_that_is_no_number_of_at_least_0_is_refused(bad):
    for milestones in ((bad,), (1, bad), (bad, 1)):
        with pytest.raises(DomainError, match=r"steps got milestones=.*: they are numbers of at least 0"):
            steps(milestones)


@pytest.mark.parametrize("bad", ["a", None, -1, -0.5, math.inf, math.nan])
def test_a_power_that_is_no_number_of_at_least_0_is_refused(bad):
    with pytest.raises(DomainError, match=f"polynomial got power={bad!r}: it is a number of at least 0"):
        polynomial(bad)


@pytest.mark.parametrize("bad", ["a", None, 0, 0.5, 0.99, math.inf, math.nan])
def test_a_growth_that_is_no_number_of_at_least_1_is_refused(bad):
    with pytest.raises(DomainError, match=f"restarts got growth={bad!r}: it is a number of at least 1"):
        restarts(1, bad)


@pytest.mark.parametrize("places", [(1, 1, 2), (1, 2, 2), (2, 1, 3), (1, 3, 2)])
def test_places_in_another_order_are_refused_wherever_they_are(places):
    with pytest.raises(DomainError, match=r"points got .*: pass pairs \(done, factor\), each further on"):
        points(*[(place, 1.0) for place in places])
    with pytest.raises(DomainError, match=r"joined got the places .*: they are above 0 and each further on"):
        joined(linear, *[(place, linear) for place in places])


@pytest.mark.parametrize("first", [0, -1])
def test_another_schedule_takes_over_after_the_start(first):
    with pytest.raises(DomainError, match="they are above 0"):
        joined(linear, (first, linear), (1, linear))
