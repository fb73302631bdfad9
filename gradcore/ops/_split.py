"""An op's blocks on several threads at once: NumPy lets go of Python's lock while it computes.

That gains where a call of NumPy's takes some 30 us or more. Each thread needs the lock between two calls, and where another
has it, to sleep and be woken takes as long.

Results do not depend on how many threads there are. The blocks are the same for any number, each is computed by one thread, in
which BLAS has one thread as well, and what is summed over blocks the caller sums in their order.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gradcore.threads import blas, cores, for_ops, ops_use, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Blocks that are few entries go to a thread several at a time, as it takes some 20 us to hand one over: no more than this many
# entries, and so that each thread gets some four times its turn, which evens out what they take.
_TASK, _SHARES = 1 << 19, 4
# Results for each thread that may be there before their turn, so that they need little memory; seconds that one who is too far
# ahead pauses.
_AHEAD, _PAUSE = 4, 1e-4

Block = TypeVar("Block")
Result = TypeVar("Result")


class _OneBlasThread:
    """In `with`, BLAS has one thread; True where that could be had. Whoever are inside at the same time share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._libraries: list[Any] = []
        self._settable: bool | None = None  # not known yet
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> bool:
        with self._lock:
            if self._settable is None:
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
        for library, number in zip(self._libraries, numbers, strict=True):
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

    def these(self, count: int) -> ThreadPoolExecutor:
        with self._lock:
            if count not in self._executors:
                self._executors[count] = ThreadPoolExecutor(count, "gradcore")
            return self._executors[count]

    def forked(self) -> None:
        """In a child process, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._executors = {}


_one_blas_thread, _workers = _OneBlasThread(), _Workers()


def _forked() -> None:
    _workers.forked()
    _one_blas_thread.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def mapped(function: Callable[[Block], Result], blocks: Sequence[Block], work: int) -> Iterator[Result]:
    """What the function gives for each block, in their order; raises what the first of them raises that does.

    On as many threads as `for_ops` says, the caller's among them, and no more than cores; on the caller's alone where BLAS
    can't be set to one thread, and in a block itself. The function writes to what belongs to its block alone, and sees the
    caller's context: grad mode, and what NumPy does about floating-point errors. work: of all blocks, in entries.
    """
    number = for_ops()
    if number is None:
        yield from map(function, blocks)
        return
    with _one_blas_thread as one:
        count = min(number, cores(), len(blocks)) if one else 1
        if count == 1:
            yield from map(function, blocks)
            return
        size = max(1, min(-(-len(blocks) // (_SHARES * count)), _TASK * len(blocks) // work))
        tasks = [blocks[first : first + size] for first in range(0, len(blocks), size)]
        shared = _Shared(function, tasks, _AHEAD * count)
        for found in shared.results(_workers.these(count - 1), count - 1):
            yield from found


class _Shared(Generic[Block, Result]):
    """Tasks of some blocks each, which the caller and its helpers take one after the other.

    most: results that may be there before their turn.
    """

    def __init__(
        self, function: Callable[[Block], Result], tasks: Sequence[Sequence[Block]], most: int
    ) -> None:
        self._function, self._count, self._most = function, len(tasks), most
        self._todo = deque(enumerate(tasks))
        self._done: dict[int, list[Result] | BaseException] = {}

    def results(self, helpers: ThreadPoolExecutor, count: int) -> Iterator[list[Result]]:
        """Of each task, in their order."""
        helping = [helpers.submit(copy_context().run, self._help) for _ in range(count)]
        try:
            for i in range(self._count):
                while i not in self._done:
                    if len(self._done) >= self._most:  # a helper has been at it for long
                        time.sleep(_PAUSE)
                    elif not self._take():
                        _end(helping)
                found = self._done.pop(i)
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            self._todo.clear()
            _end(helping)

    def _help(self) -> None:
        while self._take():
            while len(self._done) >= self._most and self._todo:
                time.sleep(_PAUSE)

    def _take(self) -> bool:
        """Do the next task; False where there is none."""
        try:
            i, blocks = self._todo.popleft()
        except IndexError:
            return False
        try:
            with ops_use(1):  # what has blocks itself goes through them here
                self._done[i] = [self._function(block) for block in blocks]
        except Exception as error:  # noqa: BLE001  (which the caller raises when it comes to this task)
            self._done[i] = error
        except BaseException as error:  # Ctrl-C, at once
            self._done[i] = error
            raise
        return True


def _end(helping: list[Future[None]]) -> None:
    """Wait for those that have begun; the others need not begin any more."""
    wait([future for future in helping if not future.cancel()])
