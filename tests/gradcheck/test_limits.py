"""Limits: of one call, which ends a loop, comes again where it was lost, and leaves what ends in time alone; of a search."""

import sys
import threading
import time

import pytest
from hypothesis import Phase
from hypothesis import strategies as st

from gradcheck.explore import limits
from gradcheck.explore.limits import TooLong, limited
from gradcheck.explore.running import Stop, run_examples


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


class LosesOne:
    def __del__(self):
        forever()


def loses_one_in_a_finalizer():
    LosesOne()
    forever()


class Raises:
    def __del__(self):
        raise ValueError


def test_a_limit_that_is_lost_in_a_finalizer_comes_again_and_is_not_printed(monkeypatch):
    monkeypatch.setattr(limits, "AGAIN", 0.05)
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: printed.append(lost.exc_type))
    before = sys.unraisablehook
    with pytest.raises(TooLong), limited(0.05), limited(30.0):
        loses_one_in_a_finalizer()
    assert printed == []
    assert sys.unraisablehook == before
    with limited(30.0):
        Raises()
    assert printed == [ValueError]


def ends_in_time():
    with limited(30.0):
        pass


def test_limits_in_several_threads_leave_the_hook_as_it_was():
    before = sys.unraisablehook
    threads = [threading.Thread(target=lambda: [ends_in_time() for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.unraisablehook == before


@pytest.mark.parametrize("error", [Stop, ValueError])
def test_a_search_that_has_stopped_does_not_judge_its_last_example_again(error):
    seen = []

    def visit(n):
        seen.append(n)
        if len(seen) == 3:  # once: where it is judged again it is fast, as what it compiles is cached
            raise error

    try:
        run_examples(st.integers(), visit, [Phase.generate], 20, 0)
    except ValueError:
        assert error is ValueError
    assert len(seen) == 3
