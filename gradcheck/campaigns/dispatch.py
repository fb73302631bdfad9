"""Hands out checks and takes in results: a few tasks for each worker at a time, and what becomes of those whose worker died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from gradcheck.campaigns.executors import Place, is_broken, is_killed
from gradcheck.campaigns.interruption import held_back
from gradcheck.campaigns.judge import no_verdict
from gradcheck.campaigns.task import run
from gradcheck.errors import CallError

AHEAD = 2
"""Tasks handed out for each worker: one that runs, and one that waits for it."""

BREAKS = 3
"""An executor that broke so often in a row, without a result in between, is given up."""

START = 300.0
"""Seconds beyond their limits in which some task has to end; a worker may have to start first."""

MOMENT = 0.25
"""Seconds after which a signal that was held back ends the campaign."""

Request = dict[str, Any]


class Dispatcher:
    """Runs requests (see `gradcheck.campaigns.task`) on an executor.

    A check whose process crashes is tried once more. Where a worker of the executor dies, any check that it may have had is a
    suspect: those are run one at a time, and one during which a worker dies again is reported as crashed.

    started: called with the names of a task before it is handed out. done: called with results as they come. suspects: names
    to run one at a time from the beginning.
    """

    def __init__(
        self,
        place: Place,
        requests: Sequence[Request],
        done: Callable[[list[dict[str, Any]]], None],
        *,
        batch: int = 1,
        started: Callable[[list[str]], None] = lambda _: None,
        suspects: Sequence[str] = (),
        start: float = START,
    ) -> None:
        self._place, self._done, self._started, self._batch = place, done, started, batch
        self._start = start
        alone = set(suspects)
        self._waiting = deque([r for r in requests if r["id"] not in alone])
        self._suspects = deque([r for r in requests if r["id"] in alone])
        self._again: deque[Request] = deque()
        self._tries: dict[str, int] = dict.fromkeys(alone, 1)
        self._flying: dict[Future[Any], list[Request]] = {}
        self._breaks = 0

    def run(self) -> None:
        """Until every request has a result. Raises `CallError` where no executor can run them."""
        with held_back() as interrupted:
            self._run(interrupted)

    def _run(self, interrupted: Callable[[], None]) -> None:
        while self._left:
            with self._place.open() as (executor, workers):
                broken = self._until_broken(executor, AHEAD * workers, interrupted)
            if broken is None:
                return
            self._breaks += 1
            words = f"{type(broken).__name__}: {broken}"
            if not self._place.again:
                raise CallError(
                    f"the executor broke ({words}), and only a function that makes a new one could go on: pass executor=make"
                )
            if self._breaks >= BREAKS:
                raise CallError(f"the executor broke {BREAKS} times in a row without a result: {words}")

    @property
    def _left(self) -> bool:
        return bool(self._waiting or self._suspects or self._again or self._flying)

    def _until_broken(
        self, executor: Any, most: int, interrupted: Callable[[], None]
    ) -> BaseException | None:
        """The error that broke the executor; None where all is done."""
        while self._left:
            try:
                self._hand_out(executor, most)
            except Exception as error:  # noqa: BLE001 - each library has its own for an executor that takes nothing more
                return self._lost_all(error)
            ready = self._ended(interrupted)
            if not ready:
                return self._lost_all(TimeoutError("no worker has answered for too long"))
            broken = self._take_in(ready)
            if broken is not None:
                return self._lost_all(broken)
        return None

    def _ended(self, interrupted: Callable[[], None]) -> set[Future[Any]]:
        """Tasks that have ended; none where no worker answers for too long."""
        limit = max([r["limit"] for task in self._flying.values() for r in task])
        end = time.monotonic() + AHEAD * self._batch * limit + self._start
        ready: set[Future[Any]] = set()
        while not ready and (left := end - time.monotonic()) > 0:
            interrupted()
            ready, _ = wait(self._flying, min(left, MOMENT), FIRST_COMPLETED)
        return ready

    def _hand_out(self, executor: Any, most: int) -> None:
        if self._suspects:
            if not self._flying:
                self._submit(executor, [self._suspects[0]])
                self._suspects.popleft()
            return
        while len(self._flying) < most and (self._again or self._waiting):
            source, count = (self._again, 1) if self._again else (self._waiting, self._batch)
            task = [source[i] for i in range(min(count, len(source)))]
            self._submit(executor, task)
            for _ in task:
                source.popleft()

    def _submit(self, executor: Any, task: list[Request]) -> None:
        self._started([r["id"] for r in task])
        self._flying[executor.submit(run, task)] = task

    def _take_in(self, ready: set[Future[Any]]) -> BaseException | None:
        """Pass on the results of tasks that are done; the error that broke the executor, if one did."""
        results: list[dict[str, Any]] = []
        broken: BaseException | None = None
        for future in ready:
            try:
                found = future.result()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
                if is_broken(error):
                    broken = error
                    continue
                if is_killed(error):
                    self._lost(self._flying.pop(future))
                    continue
                words = f"{type(error).__name__}: {error}"
                found = [
                    _unjudged(r, "error", f"the worker could not run it: {words}")
                    for r in self._flying[future]
                ]
            task = self._flying.pop(future)
            for request, result in zip(task, found, strict=True):
                tries = self._tries[request["id"]] = self._tries.get(request["id"], 0) + 1
                if result["verdict"] == "crashed" and tries == 1:
                    self._again.append(request)
                else:
                    results.append({**result, "tries": tries})
        if results:
            self._breaks = 0
            self._done(results)
        return broken

    def _lost_all(self, error: BaseException) -> BaseException:
        flying = [r for task in self._flying.values() for r in task]
        self._flying.clear()
        self._lost(flying)
        return error

    def _lost(self, requests: list[Request]) -> None:
        """Workers have died with these: one by itself for the second time did it, any other is a suspect."""
        guilty = []
        for request in requests:
            tries = self._tries[request["id"]] = self._tries.get(request["id"], 0) + 1
            if len(requests) == 1 and tries > 1:
                words = "a worker of the executor died while it had it, twice"
                guilty.append({**_unjudged(request, "crashed", words), "tries": tries})
            else:
                self._suspects.append(request)
        if guilty:
            self._breaks = 0
            self._done(guilty)


def _unjudged(request: Request, verdict: str, words: str) -> dict[str, Any]:
    """A result without a verdict, for a check that came back without one."""
    return {
        "check": request["id"],
        "kind": request["check"]["kind"],
        "seed": None,
        **no_verdict(verdict, f"{request['id']}: {words}"),
        "seconds": 0.0,
        "worker": "",
    }
