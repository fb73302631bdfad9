"""Learning-rate schedules: factors of lr over the run."""

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
