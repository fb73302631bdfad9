"""What threads of blocks leave as it was: the number of BLAS's own threads, processes that fork, an interpreter that ends."""

import os
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

from gradcore.ops import _split, softmax
from gradcore.threads import VARIABLE, cores, ops_use


def blas_now():
    return max(
        library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"
    )


@pytest.fixture
def blas_of_two():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert blas_now() == 2, "this machine's BLAS can't be set, and the test shows nothing"
        yield


@pytest.mark.parametrize(("number", "inside"), [(None, 2), (1, 1), (2, 1), (3, 1)])
def test_blas_has_one_thread_in_blocks_once_a_number_is_asked_for(small_blocks, blas_of_two, number, inside):
    with ops_use(number):
        assert set(_split.mapped(lambda _: blas_now(), range(4), 4)) == {inside}
    assert blas_now() == 2


@pytest.mark.parametrize("number", [1, 2])
def test_blas_has_its_number_again_after_an_error(small_blocks, blas_of_two, number):
    def fails(_):
        raise ValueError

    with ops_use(number), pytest.raises(ValueError):
        list(_split.mapped(fails, range(4), 4))
    assert blas_now() == 2


def test_blas_has_its_number_again_when_the_last_caller_leaves(small_blocks, blas_of_two):
    with ops_use(1):
        first, second = (_split.mapped(lambda _: blas_now(), range(2), 2) for _ in range(2))
        assert next(first) == next(second) == 1
        assert list(first) == [1]
        assert blas_now() == 1
        assert list(second) == [1]
    assert blas_now() == 2


@pytest.mark.parametrize(("preset", "taken"), [(None, []), (2, []), (1, [2])])
def test_where_blas_can_not_be_set_the_environment_must_have_given_it_one(
    small_blocks, counts, monkeypatch, preset, taken
):
    monkeypatch.setattr(_split, "blas", lambda: None)
    monkeypatch.setattr(_split, "preset", lambda: preset)
    monkeypatch.setattr(_split, "_one_blas_thread", _split._OneBlasThread())
    with ops_use(2):
        softmax(np.ones((40, 6)))
    assert counts == taken


# --- processes that fork ------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, threadpoolctl, time, warnings
import numpy as np
from gradcore.ops import softmax, _split
from gradcore.threads import ops_use
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads in the parent, which the child has to do without
_split.cores = lambda: 4

def blas():
    return max(l["num_threads"] for l in threadpoolctl.threadpool_info() if l["user_api"] == "blas")

def child(function):
    pid = os.fork()
    if pid == 0:
        import signal
        signal.alarm(20)  # ends a child that waits for threads that are not there
        try:
            os._exit(0 if function() else 3)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(4)
    return os.waitpid(pid, 0)[1]

x = np.random.default_rng(0).standard_normal((4400, 500), dtype=np.float32)
with threadpoolctl.threadpool_limits(2, user_api="blas"), ops_use(2):
    y = softmax(x)
    same = lambda: softmax(x).tobytes() == y.tobytes() and blas() == 2
    print(child(same))

    def slow(i):
        time.sleep(0.005)
        return threading.get_ident()

    print(child(lambda: len(set(_split.mapped(slow, range(20), 20 * _split._TASK))) == 2))
    with _split._workers._lock, _split._one_blas_thread._lock:  # as another thread may have them
        print(child(same))
    found = []
    for i in _split.mapped(lambda i: i, range(20), 20):
        if i == 3:
            found.append(child(lambda: blas() == 2 and same()))  # a fork while blocks are computed
    print(*found, blas(), same())

    def leave():  # the child goes on where the parent was
        for i in _split.mapped(lambda i: i, range(4), 4):
            if i == 1:
                found.append(os.fork())
                if not found[-1]:
                    break
    leave()
    if not found[-1]:
        os._exit(0 if same() and set(_split.mapped(lambda _: blas(), range(4), 4)) == {1} else 5)
    print(os.waitpid(found[-1], 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_forked_process_makes_threads_of_its_own_and_has_blas_as_it_was():
    done = subprocess.run(
        [sys.executable, "-c", FORK], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["0", "0", "0", "0 2 True", "0"]


class Library:
    """One of BLAS, as threadpoolctl gives it."""

    def __init__(self, num_threads):
        self.num_threads = num_threads

    def set_num_threads(self, number):
        self.num_threads = number


def test_what_a_fork_leaves_behind_is_made_anew():
    workers = _split._Workers()
    before = workers.these(1)
    with workers._lock:  # as another thread of the parent may have it
        workers.forked()
        assert workers.these(1) is not before
    one, library = _split._OneBlasThread(), Library(3)
    one._libraries, one._settable = [library], True
    one.forked()
    assert library.num_threads == 3
    with one:
        assert library.num_threads == 1
        with one._lock:  # as another thread of the parent may have it
            one.forked()
            assert not one._lock.locked()
            assert library.num_threads == 3
        with one:
            assert library.num_threads == 1
        assert library.num_threads == 3
    library.num_threads = 2
    one.forked()  # nobody was inside
    assert library.num_threads == 2


def test_both_are_told_of_a_fork(monkeypatch):
    seen = []
    monkeypatch.setattr(_split._workers, "forked", lambda: seen.append("workers"))
    monkeypatch.setattr(_split._one_blas_thread, "forked", lambda: seen.append("BLAS"))
    _split._forked()
    assert sorted(seen) == ["BLAS", "workers"]


def test_the_threads_do_not_keep_an_interpreter_from_ending():
    code = (
        "import threading, numpy as np, gradcore\n"
        "gradcore.softmax(np.ones((4400, 500)))\n"
        "print(threading.active_count() > 1)"
    )
    env = {**os.environ, VARIABLE: "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env, timeout=60
    )
    assert done.stdout == f"{cores() > 1}\n"
