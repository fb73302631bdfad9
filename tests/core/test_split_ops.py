"""Blocks of ops on several threads: the bits of one thread, errors, the caller's context, BLAS, and processes that fork."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError
from gradcore.ops import (
    _rows,
    _split,
    _windows,
    avg_pool2d,
    batch_norm,
    conv2d,
    conv_transpose2d,
    erfc,
    gelu,
    layer_norm,
    log_softmax,
    max_pool2d,
    max_pool2d_pick,
    normalize,
    pool,
    softmax,
)
from gradcore.ops.normalize import channel_moments
from gradcore.threads import VARIABLE, cores, for_ops, ops_use

RNG = np.random.default_rng(0)


def draw(*shape):
    """Numbers of many sizes, so that a sum depends on its order."""
    return RNG.standard_normal(shape) * 10.0 ** RNG.uniform(-2, 2, shape)


def innermost(x):
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


ROWS, VECTOR, OTHER = draw(40, 6), draw(6), draw(6)
IMAGES, KERNEL, BIAS = draw(9, 3, 16, 14), draw(4, 3, 3, 3), draw(4)
MIXED = RNG.permutation(np.linspace(-4, 4, 240)).reshape(40, 6)

OPS = {
    "softmax": (softmax, (ROWS,)),
    "log softmax": (log_softmax, (ROWS,)),
    "layer norm": (layer_norm, (ROWS, VECTOR, OTHER)),
    "gelu": (lambda x: gelu(x, "tanh"), (MIXED,)),
    "exact gelu": (gelu, (MIXED,)),
    "erfc": (erfc, (MIXED,)),
    "batch norm": (batch_norm, (IMAGES, draw(3), draw(3))),
    "batch norm, batch innermost": (batch_norm, (innermost(IMAGES), draw(3), draw(3))),
    "conv": (lambda x, w, b: conv2d(x, w, b, padding=1), (IMAGES, KERNEL, BIAS)),
    "conv, batch innermost": (lambda x, w, b: conv2d(x, w, b, padding=1), (innermost(IMAGES), KERNEL, BIAS)),
    "conv, strided": (lambda x, w, b: conv2d(x, w, b, stride=2), (IMAGES, KERNEL, BIAS)),
    "conv, many out": (lambda x, w: conv2d(x, w, padding=1), (IMAGES, draw(12, 3, 3, 3))),
    "transposed conv": (lambda x, w, b: conv_transpose2d(x, w, b, stride=2), (IMAGES, draw(3, 4, 3, 3), BIAS)),
    "max pool": (max_pool2d, (IMAGES,)),
    "max pool, overlapping": (lambda x: max_pool2d(x, 3, 1, 1), (IMAGES,)),
    "max pool, linearised": (lambda v: max_pool2d_pick(v, IMAGES.astype(v.dtype)), (draw(*IMAGES.shape),)),
    "mean pool": (lambda x: avg_pool2d(x, 3, 2, 1), (IMAGES,)),
}  # fmt: skip
IN_ONE_PIECE = {("exact gelu", "float64"), ("erfc", "float64")}  # Python's own erfc, entry by entry
ANY_DTYPE = {name for name in OPS if "conv" in name or "pool" in name} | {"erfc", "exact gelu"}


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few entries, on as many threads as are asked for, whatever the machine has."""
    monkeypatch.setattr(_rows, "_ENTRIES", 24)
    monkeypatch.setattr(_rows, "LARGE", 1)
    monkeypatch.setattr(_windows, "_COLUMNS", 16)
    monkeypatch.setattr(_windows, "_POSITIONS", 1)
    monkeypatch.setattr(_windows, "_CHANNELS", 1)
    monkeypatch.setattr(_split, "cores", lambda: 8)


@pytest.fixture
def counts(monkeypatch):
    """The numbers of threads that were taken."""
    found = []
    these = _split._Workers.these
    monkeypatch.setattr(
        _split._Workers, "these", lambda self, count: (found.append(count), these(self, count))[1]
    )
    return found


def run(function, arrays, dtype):
    """The value and every gradient."""
    tensors = [Tensor(a.astype(dtype), True) for a in arrays]
    y = function(*tensors)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape).astype(dtype))
    return [y.data, *[t.grad for t in tensors]]


def same_bits(found, expected):
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(found, expected, strict=True)
    )


# --- the bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", OPS)
def test_any_number_of_threads_gives_the_bits_of_one(small_blocks, counts, name, dtype):
    function, arrays = OPS[name]
    alone = run(function, arrays, dtype)
    assert counts == []  # nobody has asked for threads
    for number in (1, 2, 3):
        with ops_use(number):
            assert same_bits(run(function, arrays, dtype), alone)
        splits = (
            number > 1 and (name, dtype) not in IN_ONE_PIECE and (dtype != "float16" or name in ANY_DTYPE)
        )
        assert bool(counts) == splits
        assert set(counts) <= {number}
        counts.clear()


@pytest.mark.parametrize("name", ["softmax", "layer norm", "conv", "erfc", "batch norm"])
def test_arrays_of_the_usual_size_are_split(name, counts, monkeypatch):
    monkeypatch.setattr(_split, "cores", lambda: 3)
    function = OPS[name][0]
    images = (draw(48, 16, 20, 20), draw(16), draw(16))
    arrays = {
        "layer norm": (draw(600, 500), draw(500), draw(500)), "conv": (images[0], draw(8, 16, 3, 3), draw(8)), "batch norm": images,
    }.get(name, (draw(600, 500),))  # fmt: skip
    with ops_use(1):
        alone = run(function, arrays, np.float32)
    for number in (2, 3):
        with ops_use(number):
            assert same_bits(run(function, arrays, np.float32), alone)
    assert set(counts) == {2, 3}


@pytest.mark.parametrize("name", ["layer norm", "conv", "batch norm"])
def test_a_sum_in_an_order_that_depends_on_the_number_would_be_seen(small_blocks, name, monkeypatch):
    function, arrays = OPS[name]
    alone = run(function, arrays, np.float32)
    in_order = _split._on_threads

    def turned(workers, most, function, tasks):
        found = list(in_order(workers, most, function, tasks))
        return reversed(found) if most == 6 else iter(found)

    monkeypatch.setattr(_split, "_on_threads", turned)
    for number, same in ((2, True), (3, False)):
        with ops_use(number):
            assert same_bits(run(function, arrays, np.float32), alone) is same


def test_channel_moments_and_a_captured_step_have_the_bits_of_one_thread(small_blocks, counts):
    images = IMAGES.astype(np.float32)
    weight = gradcore.Tensor(KERNEL.astype(np.float32), True)

    def step(x):
        weight.zero_grad()
        y = softmax(conv2d(x, weight)).sum((0, 1, 2))
        y.backward(VECTOR.astype(np.float32).repeat(2))
        return y

    def all_of_it():
        captured = gradcore.capture(step)
        return [*channel_moments(images), *[captured(images).data for _ in range(4)], weight.grad]

    alone = all_of_it()
    with ops_use(3):
        assert same_bits(all_of_it(), alone)
    assert 3 in counts


def test_results_come_in_the_order_of_the_blocks_and_only_some_at_a_time(small_blocks):
    begun, seen = [], []

    def late(i):
        begun.append(i)
        time.sleep(0.001 * (i % 3))
        return i

    with ops_use(3):
        for i in _split.mapped(late, range(40), 40 * _split._TASK):
            seen.append(i)
            if i == 0:
                time.sleep(0.1)  # the others might all be done now
            assert len(begun) <= len(seen) + 6  # two for each thread
    assert seen == list(range(40))


def test_small_blocks_are_handed_over_several_at_a_time(small_blocks, monkeypatch):
    tasks = []
    in_order = _split._on_threads
    monkeypatch.setattr(
        _split,
        "_on_threads",
        lambda w, m, f, given: (tasks.append([len(t) for t in given]), in_order(w, m, f, given))[1],
    )
    with ops_use(2):
        for work in (100, 8 * _split._TASK, 100 * _split._TASK):
            assert list(_split.mapped(lambda i: i * i, range(20), work)) == [i * i for i in range(20)]
    assert tasks == [[3] * 6 + [2], [2] * 10, [1] * 20]


@pytest.mark.parametrize(
    ("function", "fewest"),
    [
        (lambda n: softmax(np.ones((n // 1024, 1024))), 1 << 18),
        (lambda n: erfc(np.ones(n, np.float32)), 1 << 16),
    ],
    ids=["softmax", "erfc, which takes longer with each entry"],
)
def test_work_is_split_from_where_that_was_measured_to_gain(counts, monkeypatch, function, fewest):
    monkeypatch.setattr(_split, "cores", lambda: 2)
    with ops_use(2):
        function(fewest - 1024)
        assert counts == []
        function(fewest)
        assert counts == [2]


def test_the_work_of_blocks_is_the_entries_that_they_go_through():
    at = _windows.windows("conv2d", (6, 7), (3, 2), 1, 1)
    assert at.out == (6, 8)
    assert _windows.blocks(at, 5, 24).work == 6 * 8 * 5 * 24
    assert _rows.row_blocks(10, 30).work == 10 * 30
    assert normalize._blocks(np.empty((3, 4, 5))).work == normalize._blocks(np.empty((1, 12, 5))).work == 60
    assert pool._blocks(np.empty((3, 4, 5, 2))).work == 120


# --- how many -----------------------------------------------------------------------------------------------------------


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


def test_the_environment_alone_is_enough(small_blocks, counts, monkeypatch):
    monkeypatch.setenv(VARIABLE, "2")
    softmax(ROWS)
    assert counts == [2]


@pytest.mark.parametrize(("asked", "there", "taken"), [(8, 3, [3]), (2, 8, [2]), (8, 1, []), (8, 8, [7])])
def test_there_are_no_more_threads_than_cores_nor_blocks(
    small_blocks, counts, monkeypatch, asked, there, taken
):
    monkeypatch.setattr(_split, "cores", lambda: there)
    with ops_use(asked):
        softmax(ROWS[:28])  # 7 blocks
    assert counts == taken


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


def test_nothing_is_loaded_or_started_for_small_arrays():
    code = (
        "import sys, threading, numpy as np, gradcore\n"
        "gradcore.softmax(np.ones((50, 500))); gradcore.erfc(np.ones(5000, np.float32))\n"
        "print(any(name in sys.modules for name in ('gradcore.ops._split', 'concurrent.futures', 'threadpoolctl')))\n"
        "gradcore.softmax(np.ones((900, 500)))\n"
        "print('gradcore.ops._split' in sys.modules, threading.active_count())\n"
    )
    env = {**os.environ, VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert done.stdout.split() == ["False", "True", "1"]


# --- errors and context -------------------------------------------------------------------------------------------------


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


def test_a_caller_that_stops_taking_waits_for_what_is_begun(small_blocks):
    running, most = [0], []

    def late(i):
        running[0] += 1
        time.sleep(0.005)
        running[0] -= 1
        return i

    with ops_use(2):
        found = _split.mapped(late, range(50), 50 * _split._TASK)
        next(found)
        found.close()
        most.append(running[0])
    assert most == [0]


@pytest.mark.parametrize("number", [1, 3])
def test_what_the_caller_does_about_floating_point_errors_holds_in_the_blocks(small_blocks, counts, number):
    x = np.zeros((40, 6), np.float32)
    x[30, 0] = 200.0  # e^-200 is no float32
    with ops_use(number):
        with np.errstate(all="ignore"):
            quiet = softmax(x)
        with np.errstate(under="raise"), pytest.raises(FloatingPointError, match="underflow"):
            softmax(x)
        with np.errstate(under="warn"), pytest.warns(RuntimeWarning, match="underflow"):
            assert same_bits([softmax(x)], [quiet])
        with np.errstate(all="raise", under="ignore"):
            gelu(np.full((40, 6), -60.0, np.float32), "tanh")  # e^120 overflows, which it is prepared for
        calls = []
        with np.errstate(under="call", call=lambda *error: calls.append(error)):
            softmax(x)
        assert len(calls) == 1
    assert bool(counts) == (number == 3)


def test_the_grad_mode_of_the_caller_holds_in_the_blocks(small_blocks):
    def modes():
        return set(_split.mapped(lambda _: gradcore.is_grad_enabled(), range(20), 20))

    with ops_use(3):
        assert modes() == {True}
        with gradcore.no_grad():
            assert modes() == {False}
        assert modes() == {True}


NESTED = """
import threading
from gradcore.ops import _split
from gradcore.threads import ops_use
_split.cores = lambda: 2

def outer(i):
    here = threading.get_ident()
    inner = list(_split.mapped(lambda j: (threading.get_ident(), i * j), range(4), 4))
    assert {thread for thread, _ in inner} == {here}
    return [value for _, value in inner]

with ops_use(2):
    found = list(_split.mapped(outer, range(30), 30))
assert found == [[i * j for j in range(4)] for i in range(30)]
"""


def test_a_block_that_has_blocks_itself_computes_them_where_it_is():
    # In a process that can be ended: workers that wait for each other do so for ever.
    done = subprocess.run(
        [sys.executable, "-c", NESTED], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_callers_in_several_threads_share_the_workers(small_blocks):
    function, arrays = OPS["layer norm"]
    alone = run(function, arrays, np.float32)
    right = []

    def work():
        with ops_use(2):
            right.extend(same_bits(run(function, arrays, np.float32), alone) for _ in range(10))

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert right == [True] * 40


# --- BLAS ---------------------------------------------------------------------------------------------------------------


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
        softmax(ROWS)
    assert counts == taken


# --- processes that fork ------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threadpoolctl, warnings
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

x = np.random.default_rng(0).standard_normal((900, 500), dtype=np.float32)
with threadpoolctl.threadpool_limits(2, user_api="blas"), ops_use(2):
    y = softmax(x)
    same = lambda: softmax(x).tobytes() == y.tobytes() and blas() == 2
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
    assert done.stdout.splitlines() == ["0", "0 2 True", "0"]


def test_the_threads_do_not_keep_an_interpreter_from_ending():
    code = (
        "import threading, numpy as np, gradcore\n"
        "gradcore.softmax(np.ones((900, 500)))\n"
        "print(threading.active_count() > 1)"
    )
    env = {**os.environ, VARIABLE: "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env, timeout=60
    )
    assert done.stdout == f"{cores() > 1}\n"
