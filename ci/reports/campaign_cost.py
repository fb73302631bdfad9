"""What a campaign of a million checks costs, and where more workers stop to help: measured constants, arithmetic, a simulation.

    python ci/reports/campaign_cost.py [--measure [--every 12]] [--checks 1000000] [--page]

measure: measure the constants on this machine, and keep them in campaign_cost.json beside this file; by default they are taken
from there. page: put what is printed into gradcheck/guide/campaigns.md.

All constants are processor time, which a busy machine changes less than time by the clock. The simulation has one process that
hands out, in which all results are taken in and all tasks handed out one after another, and workers that have two tasks at a
time, of which they run one. Times of checks are drawn from the measured ones.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
from common import at_least_one

HERE = Path(__file__).resolve()
CONSTANTS = HERE.with_suffix(".json")
PAGE = HERE.parents[2] / "gradcheck" / "guide" / "campaigns.md"
WORKERS = (10, 100, 300, 1000, 3000)
BATCHES = (1, 10, 100)
AHEAD = 2
TASKS = 1000
FLYING = 64
"""Tasks in flight while handing out is measured: what goes on beside it is shared by many."""
MARKED = """
import numpy as np
from gradcheck import checked
x, y = np.array([[0.5, 2.0, 1.5]]), np.array([[1.5], [-1.0]])
checked(like=(x,), vjp=lambda gy, y, x: gy * np.cos(x))(np.sin)
checked(like=(x,), vjp=lambda gy, y, x: gy * y)(np.exp)
checked(like=(x,), vjp=lambda gy, y, x: gy * (1 - y * y))(np.tanh)
"""


# --- constants --------------------------------------------------------------------------------------------------------


def used(children: bool = False) -> float:
    """Processor time of this process, or of its processes that have ended."""
    u = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def cost(run: Callable[[], Any], times: int, children: bool = False) -> float:
    """The least of a few runs."""
    found = []
    for _ in range(times):
        before = used(children)
        run()
        found.append(used(children) - before)
    return min(found)


def measured(every: int, before: dict[str, Any]) -> dict[str, Any]:
    """The constants of this machine, in seconds and bytes; every 0: those of checks as they were before."""
    from gradcheck.campaigns.runner import Runner

    call = [sys.executable, "-c", "import gradcheck.campaigns.task"]
    found: dict[str, Any] = {
        "worker": cost(lambda: subprocess.run(call, check=True), 3, children=True),
        "judge": cost(lambda: Runner().close(), 3, children=True),
        "task": {"processes": _dispatch(None), "dask": _dispatch("dask"), "mpi": _mpi_dispatch()},
        "checks": before.get("checks"),
        "line": before.get("line"),
    }
    if before.get("checks") is None or every:
        times, lines = _checks(every or 12)
        found["checks"] = {
            kind: {
                "mean": float(np.mean(t)),
                "quantiles": np.quantile(t, np.linspace(0, 1, 21)).round(4).tolist(),
            }
            for kind, t in times.items()
        }
        found["line"] = float(np.mean([len(line) for line in lines]))
    found["written"], found["sync"] = _written()
    found["machine"] = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, NumPy {np.__version__}"
    return found


def nothing(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A task of a campaign's size, whose checks take no time."""
    return [RESULT | {"check": r["id"]} for r in requests]


REQUEST: dict[str, Any] = {
    "check": {
        "kind": "op",
        "module": "gradcore.ops.activations",
        "name": "relu",
        "what": "value",
        "file": "",
        "examples": 0,
    },
    "id": "gradcore.ops.activations:relu value",
    "seed": 0,
    "limit": 300.0,
    "drawn": False,
    "root": "/home/someone/project",
}
RESULT: dict[str, Any] = {
    "kind": "op",
    "seed": 155174799,
    "verdict": "pass",
    "text": "",
    "examples": 20,
    "verdicts": {"pass": 20},
    "sensitivity": 2.0914613315083508e-13,
    "report": None,
    "output": "",
    "cpu": 0.2416,
    "seconds": 0.2511,
    "worker": "host-0001:12345",
}


def through(executor: Any) -> float:
    """Processor time of this process for a task whose checks take no time."""
    flying = {executor.submit(nothing, [REQUEST])}
    wait(flying)
    before, left = used(), TASKS
    while left or flying:
        while left and len(flying) < FLYING:
            left -= 1
            flying.add(executor.submit(nothing, [REQUEST]))
        _, flying = wait(flying, None, FIRST_COMPLETED)
    return (used() - before) / TASKS


def _dispatch(name: str | None) -> float | None:
    from gradcheck.campaigns.executors import place_of

    if name == "dask" and importlib.util.find_spec("distributed") is None:
        return None
    if name is None:
        with ThreadPoolExecutor(2) as threads:  # each waits for a process
            return through(threads)
    with place_of(name, 2, None).open() as (executor, _):
        return through(executor)


def _mpi_dispatch() -> float | None:
    if importlib.util.find_spec("mpi4py") is None:
        return None
    call = ["mpiexec", "--oversubscribe", "-n", "3", sys.executable, str(HERE), "--as-rank"]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def _as_rank() -> int:
    from gradcheck.campaigns.ranks import pool

    with pool() as executor:
        if executor is not None:
            print(through(executor))
    return 0


def _checks(every: int) -> tuple[dict[str, list[float]], list[str]]:
    """Processor time of checks by kind, and their lines."""
    from gradcheck.campaigns.campaign import campaign
    from gradcheck.campaigns.plan import collect

    whole = collect("gradcore")
    kept = {c.id for kind in ("op", "layer", "loss", "optimizer") for c in _each(whole.checks, kind, every)}
    with tempfile.TemporaryDirectory() as folder:
        marked, path = Path(folder) / "marked.py", Path(folder) / "results.jsonl"
        marked.write_text(MARKED)
        found = [
            *campaign(whole.only(lambda c: c.id in kept), results=path).results,
            *campaign(str(marked)).results,
        ]
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    times: dict[str, list[float]] = {}
    for result in found:
        times.setdefault(result["kind"], []).append(result["cpu"])
    return times, lines


def _each(checks: Sequence[Any], kind: str, every: int) -> Sequence[Any]:
    of_kind = [c for c in checks if c.kind == kind]
    return of_kind[:: min(every, max(1, len(of_kind) // 8))]


def _written() -> tuple[float, float]:
    """Processor time to write a result, and time by the clock to sync the file."""
    from gradcheck.campaigns.results import Results

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.jsonl"
        file = Results(path, {}, False)
        before = used()
        for number in range(TASKS):
            file.append([RESULT | {"check": f"check {number}"}])
        written = (used() - before) / TASKS
        file.close()
        times = []
        with path.open("ab") as again:
            for _ in range(9):
                os.write(again.fileno(), b"{}\n" * 300)
                start = time.perf_counter()
                os.fsync(again.fileno())
                times.append(time.perf_counter() - start)
    return written, float(np.median(times))


# --- arithmetic and simulation ----------------------------------------------------------------------------------------


def arithmetic(constants: dict[str, Any], checks: int) -> Iterator[str]:
    """What follows from the constants without a simulation."""
    c = constants
    yield f"measured on {c['machine']}; processor time"
    yield f"{'a worker starts (import of the part that hands on)':58} {c['worker']:9.2f} s"
    yield f"{'its process that judges starts':58} {c['judge']:9.2f} s"
    for kind, t in c["checks"].items():
        spread = f"(half below {t['quantiles'][10]:.2f}, the longest {t['quantiles'][-1]:.1f})"
        yield f"{f'a check, {kind}':58} {t['mean']:9.2f} s {spread}"
    for name, t in c["task"].items():
        if t is not None:
            yield f"{f'a task handed out and taken in, {name}':58} {1e3 * t:9.2f} ms"
    yield f"{'a result written':58} {1e3 * c['written']:9.3f} ms"
    yield f"{'the file synced, by the clock':58} {1e3 * c['sync']:9.1f} ms, {synced(c):.0%} of the time"
    yield f"{'a result':58} {c['line']:9.0f} bytes"
    mean = mean_check(c)
    yield f"{'a check, mean of the mix of `gradcheck gradcore`':58} {mean:9.2f} s"
    yield ""
    yield f"{checks:,} checks: {mean * checks / 3600:,.0f} hours of processors, {c['line'] * checks / 1e9:.2f} GB of results"
    for name in ("dask", "mpi"):
        for batch in BATCHES:
            if c["task"][name] is not None:
                yield (
                    f"one process hands out for {bend(c, name, batch):7,.0f} workers at most: {name}, batch {batch}"
                )


def mean_check(constants: dict[str, Any]) -> float:
    """Seconds of a check in the mix of gradcore's."""
    return float(np.mean(times_of(constants, 100_000)))


def per_task(constants: dict[str, Any], name: str, batch: int) -> float:
    """Seconds that the process which hands out is busy with a task."""
    return float((constants["task"][name] + batch * constants["written"]) / (1.0 - synced(constants)))


def synced(constants: dict[str, Any]) -> float:
    """The share of its time in which it waits for the disk."""
    from gradcheck.campaigns.results import SYNCED

    sync = constants["sync"]
    return float(sync / (sync + max(SYNCED, 10.0 * sync)))


def bend(constants: dict[str, Any], name: str, batch: int) -> float:
    """The number of workers that keep the process which hands out busy."""
    return batch * mean_check(constants) / per_task(constants, name, batch)


MIX = {"op": 600, "layer": 174, "loss": 36, "optimizer": 16}
"""About so many checks of each kind has gradcore."""


def times_of(constants: dict[str, Any], count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Times of checks, drawn from the measured ones by kind."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in MIX if kind in constants["checks"]]
    weights = np.array([MIX[kind] for kind in kinds], float)
    which = rng.choice(len(kinds), count, p=weights / weights.sum())
    at = rng.random(count)
    drawn = np.empty(count)
    for i, kind in enumerate(kinds):
        quantiles = constants["checks"][kind]["quantiles"]
        of_kind = which == i
        drawn[of_kind] = np.interp(at[of_kind], np.linspace(0, 1, len(quantiles)), quantiles)
    return drawn


def simulated(
    times: np.ndarray[Any, Any], workers: int, batch: int, per: float, start: float
) -> tuple[float, float]:
    """Seconds until all is done, and the share of them that the process which hands out is busy.

    per: its seconds for a task, half of them to hand it out. start: when the workers are there.
    """
    edges = np.arange(0, len(times), batch)
    tasks = np.add.reduceat(times, edges).tolist()
    busy_until = [start] * workers
    events: list[tuple[float, int]] = []
    clock, given, total = 0.0, 0, len(tasks)
    half = per / 2
    for slot in range(min(AHEAD * workers, total)):
        clock += half
        w = slot % workers
        busy_until[w] = max(clock, busy_until[w]) + tasks[given]
        given += 1
        heapq.heappush(events, (busy_until[w], w))
    while events:
        end, w = events[0]
        clock = max(clock, end) + half
        if given < total:
            clock += half
            busy_until[w] = max(clock, busy_until[w]) + tasks[given]
            given += 1
            heapq.heapreplace(events, (busy_until[w], w))
        else:
            heapq.heappop(events)
    return clock, per * total / clock


def simulation(constants: dict[str, Any], checks: int) -> Iterator[str]:
    """A line for each executor, size of a task and number of workers."""
    times = times_of(constants, checks)
    start = constants["worker"] + constants["judge"]
    yield f"{'executor':9} {'batch':>5} {'workers':>7} {'minutes':>9} {'of ideal':>8} {'hands out':>9}"
    for name in ("dask", "mpi"):
        if constants["task"][name] is None:
            continue
        for batch in BATCHES:
            for workers in WORKERS:
                seconds, busy = simulated(times, workers, batch, per_task(constants, name, batch), start)
                ideal = float(times.sum()) / workers + start
                yield f"{name:9} {batch:5} {workers:7,} {seconds / 60:9,.1f} {ideal / seconds:8.0%} {busy:9.0%}"


def main() -> int:
    """Measure, compute, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true")
    parser.add_argument(
        "--every", type=int, default=0, help="measure the checks too, of gradcore's each so manieth"
    )
    parser.add_argument("--checks", type=at_least_one, default=1_000_000)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--as-rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_rank:
        return _as_rank()
    if options.measure:
        before = json.loads(CONSTANTS.read_text()) if CONSTANTS.exists() else {}
        CONSTANTS.write_text(json.dumps(measured(options.every, before), indent=1) + "\n")
    constants = json.loads(CONSTANTS.read_text())
    parts = {
        "constants": "\n".join(arithmetic(constants, options.checks)),
        "simulation": "\n".join(simulation(constants, options.checks)),
    }
    print("\n\n".join(parts.values()))
    if options.page:
        text = PAGE.read_text(encoding="utf-8")
        for name, part in parts.items():
            block = f"<!-- {name} -->\n```\n{part}\n```"
            text = re.sub(rf"<!-- {name} -->\n```\n.*?```", lambda _, b=block: b, text, flags=re.DOTALL)
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
