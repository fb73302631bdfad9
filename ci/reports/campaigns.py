"""Runs `gradcheck gradcore` with a worker killed in the middle, on Dask workers and on MPI ranks: is the report complete?

    python ci/reports/campaigns.py [--every 1] [--examples 2] [--jobs 2] [--on dask mpi] [--mpiexec "mpiexec --oversubscribe"]

First all checks run on processes of this machine. Then on each executor, where the worker that gave a result in the middle gets
SIGKILL. Every check has to have one result, with the verdict, the counts and the sensitivity that it had before.
every: of the checks, each so manieth. Exits with 1 where a result is missing, twice there or another.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import at_least_one

from gradcheck.campaigns.campaign import Campaign, campaign
from gradcheck.campaigns.plan import Plan, collect

COMPARED = ("verdict", "text", "examples", "verdicts", "sensitivity", "seed", "report")
PACKAGES = {"dask": "distributed", "mpi": "mpi4py"}


class Killer:
    """Kills the worker that wrote the result in the middle of a file of results, once it is there."""

    def __init__(self, path: Path, middle: int) -> None:
        self.path, self.middle, self.killed = path, middle, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def watching(self) -> Any:
        """Until the context is left."""
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            lines = self.path.read_bytes().splitlines()[1:] if self.path.exists() else []
            found = [line for line in lines if line.startswith(b'{"check"') and line.endswith(b"}")]
            if len(found) >= self.middle:
                self.killed = int(json.loads(found[-1])["worker"].rpartition(":")[2])
                os.kill(self.killed, signal.SIGKILL)
                return


def wrong(plan: Plan, reference: Campaign, path: Path) -> list[str]:
    """What is not as it should be in a file of results."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        record = json.loads(line)
        if "check" in record:
            found.setdefault(record["check"], []).append(record)
    words = []
    expected = {r["check"]: r for r in reference.results}
    for check in plan.checks:
        results = found.pop(check.id, [])
        if len(results) != 1:
            words.append(f"{check.id}: {len(results)} results")
            continue
        differs = [key for key in COMPARED if results[0][key] != expected[check.id][key]]
        if differs:
            before, now = expected[check.id][differs[0]], results[0][differs[0]]
            words.append(f"{check.id}: {differs[0]} was {before!r} and is {now!r}")
    return [*words, *[f"{name}: nobody asked for it" for name in found]]


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=at_least_one, default=1)
    parser.add_argument("--examples", type=at_least_one, default=2)
    parser.add_argument("--jobs", type=at_least_one, default=2)
    parser.add_argument("--on", nargs="+", choices=sorted(PACKAGES), default=sorted(PACKAGES))
    parser.add_argument("--mpiexec", default="mpiexec --oversubscribe")
    options = parser.parse_args()
    whole = collect("gradcore", examples=options.examples)
    kept = {check.id for check in whole.checks[:: options.every]}
    plan = whole.only(lambda check: check.id in kept)
    start = time.perf_counter()
    reference = campaign(plan, jobs=options.jobs)
    seconds = time.perf_counter() - start
    print(
        f"processes: {len(reference.results)} of {len(plan.checks)} results in {seconds:.0f} s: {reference.verdict}"
    )
    bad = reference.verdict != "pass" or len(reference.results) != len(plan.checks)
    for name in options.on:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            print(f"{name}: {PACKAGES[name]} is not installed, so nothing was run")
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.jsonl"
            killer = Killer(path, len(plan.checks) // 2)
            said: list[str] = []
            start = time.perf_counter()
            with killer.watching():
                found = campaign(
                    plan,
                    executor=name,
                    jobs=options.jobs,
                    results=path,
                    mpiexec=options.mpiexec,
                    message=said.append,
                )
            seconds = time.perf_counter() - start
            words = wrong(plan, reference, path)
            retried = sum(r["tries"] > 1 for r in found.results)
            killed = f"{killer.killed} killed" if killer.killed else "none was killed"
            print(
                f"{name}: {len(found.results)} of {len(plan.checks)} results in {seconds:.0f} s, {options.jobs} workers, {killed}, "
                f"{retried} checks tried twice, {len(words)} results missing, twice there or another"
            )
            for text in [*said, *words[:10]]:
                print(f"  {text}")
            bad |= bool(words) or not killer.killed or found.verdict != reference.verdict
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
