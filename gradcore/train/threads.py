"""How many threads BLAS uses for the products of matrices, and ops for their blocks: set for a while, and chosen by measuring.

OpenBLAS's threads wait for each other by spinning. Where another process wants a core, each product may last as long as that
process keeps it: tens of milliseconds in place of tenths of one. A second thread gains little where products are small.

The number changes how sums are rounded, so a number chosen by the clock costs the promise of the same bits from the same seed.
That is why only `threads="auto"` measures, and a checkpoint holds the number that was in force.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from gradcore.errors import DomainError, MissingExtraError
from gradcore.threads import BLAS_VARIABLES, MOST, asked, blas, ops_use, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gradcore.train.state import Position

    F = TypeVar("F", bound=Callable[..., Any])

AUTO = "auto"
_TIMED = 5  # steps with each number, after one that is not counted
_GAIN = 0.9  # more threads than 1 have to take less than this part of its time
_RECENT = 9  # steps whose median is compared
_SLOWER = 2.0  # times as long as before, so that both are measured again
_TINY = 1e-3  # seconds: steps below are not worth it


def check_threads(threads: Any, name: str = "threads") -> None:
    """Raise DomainError unless this is a number of threads, "auto" or None."""
    if threads is None or threads == AUTO:
        return
    if type(threads) is not int or not 1 <= threads <= MOST:
        raise DomainError(f"{name} {threads!r:.80}: expected a whole number from 1 to {MOST}, or auto")


@contextmanager
def held(threads: int | str | None) -> Iterator[None]:
    """BLAS and gradcore's ops have this number of threads in the block, and their own afterwards. None and "auto" leave them alone.

    BLAS's is the process's: blocks that Python's threads are in at the same time share it.

    Raises MissingExtraError where it can't be set, unless the environment gave it that number already.
    """
    if threads is None or threads == AUTO:
        yield
        return
    controller = blas()
    if controller is None:
        if preset() != threads:
            raise _cannot_set(f"{threads} BLAS threads")
        with ops_use(int(threads)):
            yield
        return
    with controller.limit(limits=threads), ops_use(int(threads)):
        yield


def _cannot_set(what: str) -> MissingExtraError:
    return MissingExtraError(
        f'{what} need threadpoolctl, and a BLAS that it knows: pip install "gradcore[threads]", or set '
        f"{', '.join(BLAS_VARIABLES)} before Python starts"
    )


class Threads:
    """The threads of a Trainer's `fit`. threads: a number, "auto", or None: what GRADCORE_NUM_THREADS says, or as it is."""

    def __init__(self, threads: int | str | None, ranks: int, tell: Callable[[str], None]) -> None:
        check_threads(threads, "Trainer got threads")
        if threads is None or threads == AUTO:
            threads = asked() or threads
        if threads == AUTO and ranks > 1:
            threads = 1  # each rank has a core, and no more
        self._threads, self._tell = threads, tell
        self._measured: Measured | None = None

    @contextmanager
    def running(self, position: Position) -> Iterator[None]:
        """The steps of a `fit`. `position.threads` is kept up to date, and with "auto" begun with where it has a number."""
        if self._threads != AUTO:
            number = None if self._threads is None else int(self._threads)
            position.threads = number
            with held(number):
                yield
            return
        controller = blas()
        if controller is None:
            raise _cannot_set('Threads that are measured (threads="auto")')
        most = max(library["num_threads"] for library in controller.info())

        def choose(number: int) -> None:
            position.threads = number

        with controller.limit(limits=most), ops_use(most) as set_for_ops:  # which restore them in the end

            def use(number: int) -> None:
                controller.limit(limits=number)
                set_for_ops(number)

            self._measured = Measured(most, position.threads, use, choose, self._tell)
            try:
                yield
            finally:
                self._measured = None

    def timing(self, function: F) -> F | Callable[..., Any]:
        """The function, whose calls are the steps that are measured."""
        measured = self._measured
        if measured is None:
            return function

        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            result = function(*arguments)
            measured.add(time.perf_counter() - begun)
            return result

        return timed


class Measured:
    """Chooses between 1 thread and the most: by the first steps, and again when steps have become much slower.

    number: the one to begin with, unmeasured; None to measure. use: sets a number. choose: is called with the chosen one.
    """

    def __init__(
        self,
        most: int,
        number: int | None,
        use: Callable[[int], object],
        choose: Callable[[int], object],
        tell: Callable[[str], None],
    ) -> None:
        self._most, self._use, self._choose, self._tell = most, use, choose, tell
        self._usual: float | None = None
        """The median seconds of a step since the choice, where it was lowest."""
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._trial: dict[int, list[float]] | None = None
        self._why = ""
        self._number = number
        self._slow, self._patience = 0, 1
        """How many medians in a row were slow, and how many it takes: twice as many each time that nothing came of it."""
        if most == 1 or number is not None:
            self._settle(number or 1)
        else:
            self._try_out()

    def add(self, seconds: float) -> None:
        """Note how long a step took with the number that was set."""
        if self._trial is not None:
            self._add_trial(self._trial, seconds)
            return
        self._recent.append(seconds)
        if self._most == 1 or len(self._recent) < _RECENT:
            return
        now = median(self._recent)
        self._recent.clear()
        if self._usual is not None and now > _SLOWER * self._usual and now > _TINY:
            self._slow += 1
            if self._slow < self._patience:
                return
            self._why = f", as steps had slowed down from {_ms(self._usual)} to {_ms(now)}"
            self._try_out()
        else:
            self._slow = 0
            self._usual = now if self._usual is None else min(now, self._usual)

    def _try_out(self) -> None:
        self._trial = {1: [], self._most: []}
        self._use(1)

    def _add_trial(self, trial: dict[int, list[float]], seconds: float) -> None:
        """They take turns, so that what slows the machine down for a while slows both."""
        one, many = trial[1], trial[self._most]
        if len(one) == len(many):
            one.append(seconds)
            self._use(self._most)
            return
        many.append(seconds)
        if len(many) <= _TIMED:
            self._use(1)
            return
        times = {1: median(one[1:]), self._most: median(many[1:])}
        number = self._most if times[self._most] < _GAIN * times[1] else 1
        self._tell(
            f"BLAS threads: {number}{self._why} (a step takes {_ms(times[1])} with 1, {_ms(times[self._most])} with "
            f"{self._most})"
        )
        self._patience = 2 * self._patience if number == self._number else 1
        self._settle(number)
        self._usual = times[number]

    def _settle(self, number: int) -> None:
        self._trial, self._number, self._slow = None, number, 0
        self._use(number)
        self._choose(number)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
