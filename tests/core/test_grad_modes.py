"""no_grad and enable_grad, and graphs in several threads."""

import asyncio
import threading

import numpy as np
import pytest

import gradcore
from gradcore import Tensor


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# --- grad modes -------------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_enable_grad_records_again():
    x = leaf([1.0])
    with gradcore.no_grad():
        assert not gradcore.is_grad_enabled()
        assert not (x * 2).requires_grad
        assert not x.exp().requires_grad
        assert not gradcore.matmul(x, x).requires_grad
        with gradcore.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert gradcore.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_ends_with_its_block_also_when_an_error_leaves_it():
    with pytest.raises(ZeroDivisionError), gradcore.no_grad():
        1 / 0
    assert gradcore.is_grad_enabled()


def test_no_grad_and_enable_grad_decorate_functions():
    x = leaf([1.0])

    @gradcore.no_grad()
    def quiet(depth):
        inner = quiet(depth - 1) if depth else loud()
        assert inner.requires_grad == (not depth)
        return x * 2

    @gradcore.enable_grad()
    def loud():
        return x * 2

    assert not quiet(3).requires_grad
    assert gradcore.is_grad_enabled()


def test_no_grad_in_one_thread_leaves_the_others_alone():
    x = leaf([1.0])
    inside, done = threading.Event(), threading.Event()
    seen = []

    def other():
        inside.wait(10)
        seen.append((x * 2).requires_grad)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with gradcore.no_grad():
        inside.set()
        assert done.wait(10)
    thread.join()
    assert seen == [True]


def test_one_decorated_function_in_two_threads_keeps_their_modes_apart():
    entered = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]
    seen = []

    @gradcore.no_grad()
    def held(k):
        entered[k].set()
        assert leave[k].wait(10)

    def first():
        held(0)
        seen.append(gradcore.is_grad_enabled())

    def second():
        with gradcore.no_grad():
            held(1)

    # The second comes last and stays longer: had both one stack, the first would leave with the second's mode, off.
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread, event in zip(threads, entered, strict=True):
        thread.start()
        assert event.wait(10)
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join()
    assert seen == [True]


def test_graphs_of_different_threads_do_not_mix():
    results = {}

    def work(k):
        x = leaf(np.full(4, float(k)))
        y = x
        for _ in range(200):
            y = y * 1.0 + x
        y.sum().backward()
        results[k] = x.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert results[k].tolist() == [201] * 4


def test_decorated_generators_and_coroutines_get_all_their_arguments():
    @gradcore.no_grad()
    def numbers(start, *, stop):
        yield from range(start, stop)

    @gradcore.no_grad()
    async def last(start, *, stop):
        return [*range(start, stop)][-1]

    assert list(numbers(1, stop=4)) == [1, 2, 3]
    assert asyncio.run(last(1, stop=4)) == 3
