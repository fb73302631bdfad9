"""Chains of 1e2 to 1e6 ops: what one op costs, forward and backward and freed, and what memory is left behind.

Every library runs in an interpreter of its own (`python depth.py NAME SIZES ROUNDS`), so that nobody's garbage
collector has to look through another library's objects.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import CONTENDERS
from contest import Contender
from timing import clock

OPS_A_TURN = 20_000  # short chains are run repeatedly, so that every turn is long enough to be timed


@dataclass(frozen=True)
class Depth:
    """Median seconds an op by the chain's length, and megabytes: at the start, at the peak of passes 1, 2, ...

    slopes: for each length the median over the rounds of its cost an op divided by the shortest chain's. uncollected: seconds an
    op of the longest while Python's garbage collector is off, which it is in nobody's program.
    """

    seconds: dict[int, float]
    slopes: dict[int, float]
    uncollected: float
    start: float
    peaks: list[float]

    @property
    def flatness(self) -> float:
        """The dearest length's cost an op divided by the cheapest's."""
        return max(self.slopes.values()) / min(self.slopes.values())


def bench(name: str, sizes: Sequence[int], rounds: int) -> Depth | str:
    """Measure one library in a fresh interpreter; a string says why that failed."""
    command = [sys.executable, __file__, name, ",".join(map(str, sizes)), str(rounds)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    if run.returncode:
        lines = run.stderr.strip().splitlines()
        return lines[-1][:100] if lines else f"ended by signal {-run.returncode}"
    found = json.loads(run.stdout)
    return Depth(
        {int(k): v for k, v in found["seconds"].items()},
        {int(k): v for k, v in found["slopes"].items()},
        found["uncollected"],
        found["start"],
        found["peaks"],
    )


def measure(name: str, sizes: Sequence[int], rounds: int) -> Depth:
    """All lengths in turn, `rounds` times; then the longest on its own for its memory."""
    chains: dict[int, Contender] = {ops: CONTENDERS[name](ops) for ops in sizes}
    start = peak()
    longest = chains[max(sizes)]
    peaks = []
    for _ in range(4):
        longest.run()
        peaks.append(peak())
    seconds: dict[int, list[float]] = {ops: [] for ops in sizes}
    uncollected = []
    for _ in range(rounds):
        for ops, run in chains.items():
            seconds[ops].append(_an_op(run, ops))
        gc.disable()
        uncollected.append(_an_op(longest, max(sizes)))
        gc.enable()
    shortest = seconds[min(sizes)]
    return Depth(
        {ops: statistics.median(s) for ops, s in seconds.items()},
        {
            ops: statistics.median(mine / base for mine, base in zip(s, shortest, strict=True))
            for ops, s in seconds.items()
        },
        statistics.median(uncollected),
        start,
        peaks,
    )


def _an_op(run: Contender, ops: int) -> float:
    """Seconds an op."""
    turns = max(1, OPS_A_TURN // ops)
    before = clock()
    for _ in range(turns):
        run.run()
    return (clock() - before) / turns / ops


def peak() -> float:
    """The most memory this process has ever held, in megabytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    # Not ru_maxrss: on Linux a child process inherits its parent's.
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    depth = measure(sys.argv[1], [int(n) for n in sys.argv[2].split(",")], int(sys.argv[3]))
    print(json.dumps({**vars(depth)}))
