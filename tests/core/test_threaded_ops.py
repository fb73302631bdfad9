"""Ops whose blocks are split over threads: the bits of one thread, from which size on, and on how many threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.ops import (
    _rows,
    _split,
    _windows,
    avg_pool2d,
    batch_norm,
    conv,
    conv2d,
    conv2d_input,
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
from gradcore.threads import VARIABLE, ops_use

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
    images = (draw(330, 16, 20, 20), draw(16), draw(16))
    arrays = {
        "layer norm": (draw(4200, 500), draw(500), draw(500)), "conv": (images[0], draw(8, 16, 3, 3), draw(8)), "batch norm": images,
    }.get(name, (draw(4200, 500),))  # fmt: skip
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
    in_order = _split._Shared.results

    def turned(self, workers, helpers):
        found = list(in_order(self, workers, helpers))
        return reversed(found) if helpers == 2 else iter(found)

    monkeypatch.setattr(_split._Shared, "results", turned)
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


@pytest.mark.parametrize(
    ("function", "fewest"),
    [
        (lambda n: softmax(np.ones((n // 1024, 1024))), 1 << 21),
        (lambda n: erfc(np.ones(n, np.float32)), 1 << 19),
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


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 3}])
def test_blocks_whose_windows_overlap_go_one_after_the_other(small_blocks, monkeypatch, options):
    """What each adds to the same images is added by one thread, in order."""
    seen = []

    def each_block(function, blocks):
        seen.append(list(blocks))
        _rows.each_block(function, blocks)

    monkeypatch.setattr(conv, "each_block", each_block)
    gy = conv2d(IMAGES, KERNEL, **options)
    seen.clear()
    conv2d_input(gy, KERNEL, size=IMAGES.shape[2:], **options)
    (groups,) = seen
    images = [{block[1].start for block in group} for group in groups]
    assert [len(one) for one in images] == [1] * len(groups)
    assert len(set.union(*images)) == len(groups) > 1
    assert max(map(len, groups)) > 1
    assert all([b[0].start for b in group] == sorted({b[0].start for b in group}) for group in groups)


def test_the_work_of_blocks_is_the_entries_that_they_go_through():
    at = _windows.windows("conv2d", (6, 7), (3, 2), 1, 1)
    assert at.out == (6, 8)
    assert _windows.blocks(at, 5, 24).work == 6 * 8 * 5 * 24
    assert _rows.row_blocks(10, 30).work == 10 * 30
    assert normalize._blocks(np.empty((3, 4, 5))).work == normalize._blocks(np.empty((1, 12, 5))).work == 60
    assert pool._blocks(np.empty((3, 4, 5, 2))).work == 120


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


def test_nothing_is_loaded_or_started_for_small_arrays():
    code = (
        "import sys, threading, numpy as np, gradcore\n"
        "gradcore.softmax(np.ones((50, 500))); gradcore.erfc(np.ones(5000, np.float32))\n"
        "print(any(name in sys.modules for name in ('gradcore.ops._split', 'concurrent.futures', 'threadpoolctl')))\n"
        "gradcore.softmax(np.ones((4400, 500)))\n"
        "print('gradcore.ops._split' in sys.modules, threading.active_count())\n"
    )
    env = {**os.environ, VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    assert done.stdout.split() == ["False", "True", "1"]
