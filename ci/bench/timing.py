"""Racing several implementations of the same work against each other on a machine that is never quiet."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

BATCH = (
    0.01  # seconds that one contender runs before the next has its turn: short against the machine's drift
)
# With one thread the processor's time, which leaves out the turns that other programs had in between.
clock = process_time if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else perf_counter


@dataclass
class Race:
    """What one round-robin gave: for every contender the seconds that one piece of work took, round by round.

    skipped: contenders that did not take part, with the reason. notes: what a reader of a contender's time should know.
    """

    seconds: dict[str, list[float]]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def time(self, name: str) -> float:
        """Median seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """How long `name` takes as a multiple of `to`: the ratio of each round on its own."""
        rounds = zip(self.seconds[name], self.seconds[to], strict=True)
        return spread([mine / theirs for mine, theirs in rounds])


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.low)}-{shown(self.high)})"


def shown(ratio: float) -> str:
    """A ratio to two places, and to three where it is small."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of some values."""
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else [*values] * 3
    return Spread(median, low, high)


def race(work: Mapping[str, Callable[[], object]], rounds: int) -> Race:
    """Run every contender for about `BATCH` seconds in turn, `rounds` times; the order turns by one each round."""
    calls = {name: _calls(run) for name, run in work.items()}
    names = list(work)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(timed(work[name], calls[name]))
    return Race(seconds)


def timed(run: Callable[[], object], calls: int) -> float:
    """Seconds of one call, as the mean of a few."""
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls


def _calls(run: Callable[[], object]) -> int:
    run()
    fastest = min(timed(run, 1) for _ in range(3))
    return max(1, math.ceil(BATCH / max(fastest, 1e-7)))
