"""A limit on one call: it ends a loop, comes again where it was lost, and leaves what ends in time alone."""

import time

import pytest

from gradcheck.explore import limits
from gradcheck.explore.limits import TooLong, limited


def forever():
    while True:
        pass


def loses_one():
    try:
        forever()
    except TooLong:  # as a finalizer does
        forever()


def test_a_loop_that_never_ends_is_stopped():
    with pytest.raises(TooLong), limited(0.05):
        forever()


def test_a_limit_that_was_lost_comes_again(monkeypatch):
    monkeypatch.setattr(limits, "AGAIN", 0.05)
    with pytest.raises(TooLong), limited(0.05):
        loses_one()


def test_what_ends_in_time_is_left_alone(monkeypatch):
    monkeypatch.setattr(limits, "AGAIN", 0.01)
    with limited(0.2):
        done = True
    time.sleep(0.3)
    assert done
