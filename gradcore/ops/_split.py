"""An op's blocks on several threads at once: NumPy lets go of Python's lock while it computes.

Results do not depend on how many threads there are. The blocks are the same for any number, each is computed by one thread, in
which BLAS has one thread as well, and what is summed over blocks the caller sums in their order.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from gradcore.threads import blas, cores, for_ops, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Blocks that are few entries go to a thread several at a time, as it takes some 20 us to hand one over: no more than this many
# entries, and so that each thread gets some four times its turn, which evens out what they take.
_TASK, _SHARES = 1 << 19, 4

Block = TypeVar("Block")
Result = TypeVar("Result")


class _OneBlasThread:
    """In `with`, BLAS has one thread; True where that could be had. Whoever are inside at the same time share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._libraries: list[Any] | None = None
        self._settable = False
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> bool:
        with self._lock:
            if self._libraries is None:
                controller = blas()
                self._libraries = [] if controller is None else controller.lib_controllers
                self._settable = controller is not None or preset() == 1
            if self._inside == 0:
                self._before = [library.num_threads for library in self._libraries]
                self._set([1] * len(self._before))
            self._inside += 1
            return self._settable

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside = max(0, self._inside - 1)  # it may have been forked while this one was inside
            if self._inside == 0:
                self._set(self._before)

    def _set(self, numbers: list[int]) -> None:
        for library, number in zip(self._libraries or (), numbers, strict=True):
            if library.num_threads != number:
                library.set_num_threads(number)

    def forked(self) -> None:
        """In a child process, in which nobody is inside any more."""
        self._lock = threading.Lock()
        if self._inside:
            self._inside = 0
            self._set(self._before)


class _Workers:
    """Threads, made when they are first needed; for each number of them others, as what uses two must not meet a third."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executors: dict[int, ThreadPoolExecutor] = {}
        self._here = threading.local()

    def these(self, count: int) -> ThreadPoolExecutor:
        with self._lock:
            if count not in self._executors:
                self._executors[count] = ThreadPoolExecutor(count, "gradcore", self._begin)
            return self._executors[count]

    def _begin(self) -> None:
        self._here.begun = True

    def includes_me(self) -> bool:
        """Whether this is called by one of them, which must not wait for the others."""
        return getattr(self._here, "begun", False)

    def forked(self) -> None:
        """In a child process, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._executors = {}
        self._here = threading.local()


_one_blas_thread, _workers = _OneBlasThread(), _Workers()


def _forked() -> None:
    _workers.forked()
    _one_blas_thread.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def mapped(function: Callable[[Block], Result], blocks: Sequence[Block], work: int) -> Iterator[Result]:
    """What the function gives for each block, in their order; raises what the first of them raises that does.

    On as many threads as `for_ops` says, and no more than cores; on the caller's where BLAS can't be set to one thread. The
    function writes to what belongs to its block alone, and sees the caller's context: grad mode, and what NumPy does about
    floating-point errors. work: of all blocks, in entries.
    """
    number = for_ops()
    if number is None or _workers.includes_me():
        yield from map(function, blocks)
        return
    with _one_blas_thread as one:
        count = min(number, cores(), len(blocks)) if one else 1
        if count == 1:
            yield from map(function, blocks)
            return

        def each(some: Sequence[Block]) -> list[Result]:
            return [function(block) for block in some]

        size = max(1, min(-(-len(blocks) // (_SHARES * count)), _TASK * len(blocks) // work))
        tasks = [blocks[first : first + size] for first in range(0, len(blocks), size)]
        for found in _on_threads(_workers.these(count), 2 * count, each, tasks):
            yield from found


def _on_threads(
    workers: ThreadPoolExecutor, most: int, function: Callable[[Block], Result], tasks: Sequence[Block]
) -> Iterator[Result]:
    """No more than `most` tasks are begun and not yet taken, so that their results need little memory."""
    todo = iter(tasks)
    begun: deque[Future[Result]] = deque()
    try:
        for task in itertools.islice(todo, most):
            begun.append(workers.submit(copy_context().run, function, task))
        while begun:
            result = begun[0].result()
            begun.popleft()
            for task in itertools.islice(todo, 1):
                begun.append(workers.submit(copy_context().run, function, task))
            yield result
    finally:
        wait([future for future in begun if not future.cancel()])
