"""Blocks on several threads: their order, errors, the caller's context, and the number of threads."""

import os
import threading
import time

import pytest

import gradcore
from gradcore.errors import DomainError
from gradcore.ops import _split
from gradcore.threads import VARIABLE, cores, for_ops, ops_use


def in_time(function):
    """What the function gives, or its error; TimeoutError where it waits for what does not happen."""
    found = []

    def call():
        try:
            found.append((function(), None))
        except BaseException as error:  # noqa: BLE001 (the test sees to it)
            found.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(20)
    if not found:
        raise TimeoutError
    ((result, error),) = found
    if error is not None:
        raise error
    return result


def helps():
    return threading.current_thread().name.startswith("gradcore")


def until(reached):
    """Wait for it; TimeoutError after 20 s."""
    for _ in range(4000):
        if reached():
            return
        time.sleep(0.005)
    raise TimeoutError


@pytest.mark.parametrize("late", [None, 5], ids=["a late caller", "a late helper"])
def test_results_come_in_the_order_of_the_blocks_and_only_some_at_a_time(small_blocks, late):
    begun, seen = [], []

    def work(i):
        begun.append(i)
        time.sleep(0.1 if i == late else 0.001 * (i % 3))
        return i

    with ops_use(3):
        for i in _split.mapped(work, range(60), 60 * _split._TASK):
            seen.append(i)
            if i == 0 and late is None:
                time.sleep(0.1)  # all might be done now
            assert len(begun) <= len(seen) + 3 * _split._AHEAD + 3  # one that each thread is at
    assert seen == list(range(60))


def test_a_helper_gets_as_far_ahead_as_it_may_and_no_further(small_blocks):
    begun = []
    with ops_use(2):
        found = _split.mapped(begun.append, range(60), 60 * _split._TASK)
        next(found)
        most = 1 + 2 * _split._AHEAD  # the one that was taken, and those that wait
        until(lambda: len(begun) >= most)
        time.sleep(0.05)
        assert len(begun) == most
        found.close()


def test_a_caller_gets_as_far_ahead_of_a_helper_as_it_may_and_no_further(small_blocks):
    begun, late, go_on, seen = [], [], threading.Event(), []

    def work(i):
        begun.append(i)
        if i and not late and helps():
            late.append(i)
            assert go_on.wait(20)
        return i

    def watch():
        until(lambda: late and len(begun) >= late[0] + 1 + 2 * _split._AHEAD)
        time.sleep(0.05)
        seen.append(len(begun) - late[0] - 1)
        go_on.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ops_use(2):
        assert list(_split.mapped(work, range(60), 60 * _split._TASK)) == list(range(60))
    watcher.join()
    assert seen == [2 * _split._AHEAD]


def test_small_blocks_are_handed_over_several_at_a_time(small_blocks, monkeypatch):
    tasks = []
    init = _split._Shared.__init__

    def noted(self, function, given, most):
        tasks.append([len(task) for task in given])
        init(self, function, given, most)

    monkeypatch.setattr(_split._Shared, "__init__", noted)
    with ops_use(2):
        for work in (100, 8 * _split._TASK, 100 * _split._TASK):
            assert list(_split.mapped(lambda i: i * i, range(20), work)) == [i * i for i in range(20)]
    assert tasks == [[3] * 6 + [2], [2] * 10, [1] * 20]


def test_the_error_of_the_first_block_that_fails_is_raised_and_nothing_runs_on(small_blocks):
    begun = []

    def fails(i):
        begun.append(i)
        if i == 2:
            time.sleep(0.02)
        if i in (2, 3):
            raise ZeroDivisionError(f"in block {i}")
        time.sleep(0.002)
        return i

    with ops_use(2):
        seen = []
        with pytest.raises(ZeroDivisionError, match="in block 2"):
            seen.extend(_split.mapped(fails, range(100), 100 * _split._TASK))
        after = len(begun)
        assert after < 20
        time.sleep(0.02)
        assert len(begun) == after
        assert list(_split.mapped(lambda i: i, range(5), 5)) == list(range(5))  # they work on


def test_an_interrupt_is_raised_at_once(small_blocks):
    begun = []

    def slow(i):
        begun.append(i)
        if helps():
            time.sleep(0.2)
        else:
            raise KeyboardInterrupt

    with ops_use(2), pytest.raises(KeyboardInterrupt):
        list(_split.mapped(slow, range(20), 20 * _split._TASK))
    assert len(begun) <= 4


def test_an_interrupt_in_a_helper_is_raised_by_the_caller(small_blocks):
    begun = threading.Event()

    def work(_):
        if helps():
            begun.set()
            raise KeyboardInterrupt
        begun.wait(20)

    def call():
        with ops_use(2):
            return list(_split.mapped(work, range(20), 20 * _split._TASK))

    with pytest.raises(KeyboardInterrupt):
        in_time(call)


def test_a_caller_that_stops_taking_waits_for_what_is_begun_and_no_more(small_blocks):
    begun, running, done = threading.Event(), [], []

    def late(i):
        if i and helps():
            running.append(i)
            begun.set()
            time.sleep(0.1)
            running.remove(i)
        done.append(i)

    def call():
        with ops_use(2):
            found = _split.mapped(late, range(50), 50 * _split._TASK)
            next(found)
            assert begun.wait(20)
            found.close()
        return list(running), len(done)

    assert in_time(call) == ([], len(done))
    assert len(done) < 20


def test_the_grad_mode_of_the_caller_holds_in_the_blocks(small_blocks):
    def modes():
        return set(_split.mapped(lambda _: gradcore.is_grad_enabled(), range(20), 20))

    with ops_use(3):
        assert modes() == {True}
        with gradcore.no_grad():
            assert modes() == {False}
        assert modes() == {True}


def test_a_block_that_has_blocks_itself_computes_them_where_it_is(small_blocks):
    def outer(_):
        here = threading.get_ident()
        inside = set(_split.mapped(lambda _: threading.get_ident(), range(10), 10 * _split._TASK))
        return for_ops(), inside == {here}

    def call():
        with ops_use(2):
            return set(_split.mapped(outer, range(20), 20 * _split._TASK))

    assert in_time(call) == {(1, True)}


# --- how many ---------------------------------------------------------------------------------------------------------


def test_the_number_is_the_blocks_own_or_the_environments(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert for_ops() is None
    monkeypatch.setenv(VARIABLE, "3")
    assert for_ops() == 3
    with ops_use(2) as use:
        assert for_ops() == 2
        with ops_use(None):
            assert for_ops() == 2
        use(1)
        assert for_ops() == 1
    assert for_ops() == 3
    monkeypatch.setenv(VARIABLE, "many")
    with pytest.raises(
        DomainError, match=f"{VARIABLE}=many: expected a whole number of threads from 1 to 1024"
    ):
        for_ops()


def test_cores_are_those_that_this_process_may_run_on():
    assert 1 <= cores() <= os.cpu_count()
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert cores() == 1
        finally:
            os.sched_setaffinity(0, before)


def test_another_thread_has_its_own_number(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    found = []
    with ops_use(2):
        other = threading.Thread(target=lambda: found.append(for_ops()))
        other.start()
        other.join()
    assert found == [None]
