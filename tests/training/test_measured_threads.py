"""The number of threads that measuring steps chooses, by a clock of the tests' own, and when it measures again."""

import pytest
from timed_blas import Library

from gradcore.train.threads import Measured


def measuring(library, number=None):
    """A measurement that sets the library's number, the numbers it chose and its lines."""
    chosen, told = [], []
    most = library.number
    measured = Measured(most, number, lambda n: library.limit(limits=n), chosen.append, told.append)

    def steps(n):
        for _ in range(n):
            begun = library.now
            library.step()
            measured.add(library.now - begun)

    return steps, chosen, told


@pytest.mark.parametrize(("seconds", "best"), [(0.004, 4), (0.0095, 1), (0.25, 1)])
def test_the_number_with_the_shorter_steps_is_chosen_and_told_in_one_line(seconds, best):
    library = Library()
    library.seconds[4] = seconds
    steps, chosen, told = measuring(library)
    steps(11)
    assert library.used == [1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1]
    assert chosen == []
    steps(1)
    assert (chosen, library.number) == ([best], best)
    assert told == [
        f"BLAS threads: {best} (a step takes 10 ms with 1, {seconds * 1e3:.3g} ms with 4)",
    ]
    steps(50)
    assert set(library.used[12:]) == {best}
    assert len(told) == 1


def test_the_first_step_with_each_number_and_single_slow_ones_do_not_count():
    library = Library()
    steps, chosen, _ = measuring(library)
    library.seconds = {1: 0.001, 4: 5.0}  # as where threads are started
    steps(2)
    library.seconds = {1: 0.01, 4: 0.004}
    steps(4)
    library.seconds[4] = 5.0
    steps(4)
    library.seconds[4] = 0.004
    steps(2)
    assert chosen == [4]


def test_slow_steps_are_measured_again_and_the_other_number_is_taken():
    library = Library()
    steps, chosen, told = measuring(library)
    steps(12 + 9)
    library.seconds[4] = 0.25  # another process takes a core
    steps(9 + 12)
    assert (chosen, library.number) == ([4, 1], 1)
    assert told[1:] == [
        "BLAS threads: 1, as steps had slowed down from 4 ms to 250 ms (a step takes 10 ms with 1, 250 ms with 4)"
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [(0.004, 0.0079), (0.0001, 0.0009)],
    ids=["less than twice as slow", "tiny steps"],
)
def test_what_is_not_worth_measuring_again(before, after):
    library = Library()
    library.seconds[4] = before
    steps, chosen, told = measuring(library)
    steps(12 + 9)
    library.seconds[4] = after
    steps(90)
    assert (chosen, len(told)) == ([4], 1)


def test_a_few_slow_steps_among_others_start_no_measurement():
    library = Library()
    steps, chosen, _ = measuring(library)
    steps(12)
    for _ in range(10):
        library.seconds[4] = 0.25
        steps(4)
        library.seconds[4] = 0.004
        steps(5)
    assert chosen == [4]


def test_what_is_usual_follows_steps_that_become_faster():
    library = Library()
    library.seconds = {1: 0.1, 4: 0.2}
    steps, chosen, told = measuring(library)
    steps(12)
    library.seconds[1] = 0.01
    steps(9)
    library.seconds[1] = 0.05  # half of what it was at first, and 5 times what it has come to
    steps(9 + 12)
    assert chosen == [1, 1]
    assert "from 10 ms to 50 ms" in told[1]


def test_measuring_in_vain_becomes_rare():
    library = Library()
    library.seconds = {1: 0.01, 4: 0.5}
    steps, chosen, _ = measuring(library)
    steps(12)
    for wait in (1, 2, 4, 8):
        library.seconds[1] = 0.01
        steps(9)
        library.seconds[1] = 0.05  # all that another number would make worse
        before = len(chosen)
        steps(9 * wait)
        assert len(chosen) == before
        steps(12)
        assert len(chosen) == before + 1
    assert set(chosen) == {1}
    before = len(chosen)
    for _ in range(16):  # never 16 in a row
        library.seconds[1] = 0.01
        steps(9)
        library.seconds[1] = 0.05
        steps(9)
    assert len(chosen) == before
    library.seconds = {1: 0.01, 4: 0.5}
    steps(9)
    library.seconds = {1: 0.5, 4: 0.01}
    steps(9 * 16 + 12)
    assert chosen[-1] == 4
    library.seconds = {1: 0.01, 4: 0.5}
    steps(9 + 12)  # a change makes it quick again
    assert chosen[-1] == 1


def test_steps_that_become_ever_slower_are_measured_ever_more_rarely():
    library = Library()
    library.seconds = {1: 0.01, 4: 1000.0}
    steps, chosen, _ = measuring(library)
    steps(12)
    for wait in (1, 2, 4):
        library.seconds[1] *= 3
        before = len(chosen)
        steps(9 * wait)
        assert set(library.used[-9 * wait :]) == {1}
        steps(12)
        assert len(chosen) == before + 1


def test_a_number_to_begin_with_is_kept_until_steps_slow_down():
    library = Library()
    steps, chosen, told = measuring(library, number=4)
    steps(40)
    assert (chosen, told) == ([4], [])
    library.seconds[4] = 0.25
    steps(18 + 12)
    assert chosen == [4, 1]


def test_one_thread_at_most_leaves_nothing_to_measure():
    library = Library(1)
    library.seconds[1] = 0.01
    steps, chosen, told = measuring(library)
    steps(20)
    library.seconds[1] = 1.0
    steps(40)
    assert (chosen, told) == ([1], [])
