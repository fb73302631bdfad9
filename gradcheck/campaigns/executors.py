"""Where tasks run: threads that drive processes of their own, Dask workers, MPI ranks, or an executor of the caller's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from gradcheck.campaigns.task import Runners
from gradcheck.errors import CallError

T = TypeVar("T")

Opened: TypeAlias = "AbstractContextManager[tuple[Executor, int]]"


@dataclass(frozen=True, slots=True)
class Place:
    """A way to get an executor, again where it broke.

    open: gives the executor and how many tasks it runs at a time. again: whether it may be called more than once. fatal:
    whether the death of a worker ends this process as well.
    """

    open: Callable[[], Opened]
    again: bool = True
    fatal: bool = False


def place_of(executor: Any, jobs: int, scheduler: str | None) -> Place:
    """The place for executor=: None for local processes, "dask", an executor, or a function that returns one."""
    if scheduler is not None and executor != "dask":
        raise CallError(
            'scheduler= (--scheduler) is the address of a Dask scheduler: pass executor="dask" as well'
        )
    if executor is None:
        return Place(lambda: _local(jobs))
    if executor == "dask":
        return Place(lambda: _dask(jobs, scheduler))
    if isinstance(executor, str):
        raise CallError(
            f'executor={executor!r}: pass "dask", "mpi", an executor, or a function that returns one'
        )
    if _is_executor(executor):
        return Place(lambda: _given(executor, jobs), again=False)
    if callable(executor):
        return Place(lambda: _made(executor, jobs))
    raise CallError(
        f"executor= is a {type(executor).__name__}: pass a concurrent.futures.Executor, or a function that returns one"
    )


def is_broken(error: BaseException) -> bool:
    """Whether an error of a future says that its executor came to an end."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in (
        "CancelledError",
        "FutureCancelledError",
    )


def is_killed(error: BaseException) -> bool:
    """Whether it says that workers died with this task, and that the executor goes on: Dask's `KilledWorker`."""
    return type(error).__name__ == "KilledWorker"


def _is_executor(value: Any) -> bool:
    return isinstance(value, Executor) or (hasattr(value, "submit") and not isinstance(value, type))


class Processes(ThreadPoolExecutor):
    """Threads that wait for processes of their own."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.runners = Runners()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As for any executor; the function gets the processes."""
        return super().submit(fn, *args, **kwargs, runners=self.runners)

    def end(self) -> None:
        """Let nothing go on."""
        self.shutdown(wait=False, cancel_futures=True)
        self.runners.close()


@contextmanager
def _local(jobs: int) -> Iterator[tuple[Executor, int]]:
    executor = Processes(jobs)
    try:
        yield executor, jobs
    finally:
        executor.end()


@contextmanager
def _given(executor: Any, jobs: int) -> Iterator[tuple[Executor, int]]:
    yield executor, _workers(executor, jobs)


@contextmanager
def _made(make: Callable[[], Any], jobs: int) -> Iterator[tuple[Executor, int]]:
    executor = make()
    if not _is_executor(executor):
        raise CallError(
            f"the function for executor= returned a {type(executor).__name__}: it has to return a concurrent.futures.Executor"
        )
    try:
        yield executor, _workers(executor, jobs)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _dask(jobs: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """The workers of a scheduler, or of a cluster on this machine."""
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise CallError("Dask is not installed: pip install 'gradcore[dask]'") from error
    cluster = None
    if scheduler is None:
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=":0")
    try:
        client = Client(cluster or scheduler, timeout=30)
    except (OSError, ValueError) as error:
        raise CallError(
            f"no Dask scheduler answers at {scheduler!r} ({type(error).__name__}): start one by `dask scheduler`, and pass the "
            "address that it prints, such as tcp://127.0.0.1:8786"
        ) from error
    try:
        yield client.get_executor(pure=False), sum(client.nthreads().values()) or jobs
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _workers(executor: Any, jobs: int) -> int:
    """How many tasks an executor runs at a time, as far as it says."""
    for name in ("num_workers", "_max_workers"):
        found = getattr(executor, name, None)
        if isinstance(found, int) and found > 0:
            return found
    return jobs


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
