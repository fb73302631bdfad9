"""Graphs far deeper than Python's stack: a chain of a million ops runs, is freed, and leaves no memory behind.

Each check runs in an interpreter of its own: a stack that overflows there is a failed check, not the end of the run, and
memory is counted on its own.
"""

import subprocess
import sys

import pytest

CHAIN = """
import sys, threading, tracemalloc
import numpy as np
import gradcore
from gradcore.graph import walk

x = gradcore.Tensor(np.ones(2, np.float32), requires_grad=True)
w = gradcore.Tensor(np.full(2, 0.5, np.float32), requires_grad=True)

def chain(ops):
    y = x
    for _ in range(ops // 4):
        y = gradcore.tanh(-(y * w + 1.0))
    return y
"""


def outcome(code: str) -> str:
    """What `code`, after the chain's definition, prints in an interpreter of its own."""
    run = subprocess.run([sys.executable, "-c", CHAIN + code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"ended with {run.returncode}: {run.stderr[-2000:]}"
    return run.stdout.strip()


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("ops", [200_000, 1_000_000])
def test_a_chain_far_deeper_than_the_stack_runs_forward_and_backward(ops):
    code = f"""
y = chain({ops})
y.backward(np.ones(2, np.float32))
print(x.grad.shape, bool(np.isfinite(w.grad).all()), float(abs(w.grad).max()) > 0)
"""
    assert outcome(code) == "(2,) True True"


@pytest.mark.parametrize(
    "ending",
    [
        "del y",
        "del y; gradcore.tanh(x)",
        "y.backward(np.ones(2, np.float32), retain_graph=True); del y",
        "y = y.detach()",
    ],
    ids=["dropped", "dropped, and another made", "dropped after a pass that kept it", "detached"],
)
def test_a_deep_chain_is_freed_without_recursion(ending):
    code = f"""
y = chain(200_000)
{ending}
print("freed")
"""
    assert outcome(code) == "freed"


def test_a_deep_chain_is_freed_in_a_thread_with_a_stack_of_one_megabyte():
    code = """
threading.stack_size(1024 * 1024)  # a list of objects linked as deep crashes Python 3.13.0 itself in a quarter of that
def work():
    y = chain(200_000)
    del y
    chain(200_000).backward(np.ones(2, np.float32))
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("freed")
"""
    assert outcome(code) == "freed"


def test_a_deep_graph_is_walked_without_recursion():
    assert outcome("print(len(walk(chain(200_000))))") == "200002"


def test_a_deep_chain_is_differentiated_through_a_recorded_pass():
    code = """
from gradcore.graph import backward_pass
y = chain(20_000)
one = gradcore.Tensor(np.ones(2, np.float32))
leaves = backward_pass([(y, one)], record=True)
print(sorted(type(g).__name__ for _, g in leaves))
"""
    assert outcome(code) == "['Tensor', 'Tensor']"


@pytest.mark.parametrize("backward", [True, False], ids=["with a backward pass", "dropped"])
def test_no_memory_is_left_behind_from_one_pass_to_the_next(backward):
    # No collection by the cyclic collector is needed either: reference counting alone frees the graph.
    code = f"""
import gc
gc.disable()
tracemalloc.start()
def once():
    x.grad = w.grad = None
    y = chain(8_000)
    if {backward}:
        y.backward(np.ones(2, np.float32))
once()
held = []
for _ in range(4):
    once()
    held.append(tracemalloc.get_traced_memory()[0])
print(max(held) - min(held))
"""
    # A node is some 250 bytes, so one chain kept would be 5 MB.
    assert int(outcome(code)) < 10_000


def test_a_backward_pass_frees_the_graph_though_its_end_is_still_held():
    code = """
import gc
gc.disable()
chain(400).backward(np.ones(2, np.float32))
tracemalloc.start()
y = chain(40_000)
graph = tracemalloc.get_traced_memory()[0]
y.backward(np.ones(2, np.float32))
print(tracemalloc.get_traced_memory()[0] / graph, y._op.name)
"""
    left, name = outcome(code).split()
    assert name == "tanh"
    assert float(left) < 0.05  # Python keeps some freed tuples and numbers for later use


def test_an_op_is_one_object_to_the_garbage_collector_and_few_bytes():
    # The collector goes through all of a growing graph again and again: that is what makes an op dearer in a long chain.
    code = """
import gc
gc.disable()
chain(400).backward(np.ones(2, np.float32))
before = len(gc.get_objects())
tracemalloc.start()
y = chain(40_000)
print((len(gc.get_objects()) - before) / 40_000, tracemalloc.get_traced_memory()[0] / 40_000)
"""
    objects, size = map(float, outcome(code).split())
    assert objects < 1.01
    assert size < 280
