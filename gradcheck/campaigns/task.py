"""What an executor's worker does with a task: a few checks, each by a process that judges."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import cache
from typing import Any

from gradcheck.campaigns.judge import no_verdict
from gradcheck.campaigns.runner import EndedError, HungError, Runner


class Runners:
    """The processes that judge for one worker: those with nothing to do are kept, as starting one takes as long as many a check."""

    def __init__(self) -> None:
        self._idle: list[Runner] = []
        self._busy: set[Runner] = set()
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply of one of them. Raises `EndedError`, `HungError`."""
        runner = self._taken()
        try:
            return runner.ask(request)
        finally:
            with self._lock:
                self._busy.discard(runner)
                kept = runner.alive and not self._closed
                if kept:
                    self._idle.append(runner)
            if not kept:
                runner.close()

    def close(self) -> None:
        """End all of them: one that is busy leaves its request without a verdict."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for runner in self._busy:
                runner.process.kill()
        for runner in idle:
            runner.close()

    def _taken(self) -> Runner:
        with self._lock:
            runner = self._idle.pop() if self._idle else None
        if runner is not None and not runner.alive:
            runner.close()
            runner = None
        runner = runner or Runner()
        with self._lock:
            self._busy.add(runner)
            if self._closed:
                runner.process.kill()
        return runner


@cache
def _of_this_process() -> Runners:
    return Runners()


def run(requests: list[dict[str, Any]], runners: Runners | None = None) -> list[dict[str, Any]]:
    """A result for each request, in their order; called in a worker of the executor."""
    return [_result(request, runners or _of_this_process()) for request in requests]


def _result(request: dict[str, Any], runners: Runners) -> dict[str, Any]:
    start = time.perf_counter()
    result = {"check": request["id"], "kind": request["check"]["kind"], "seed": None}
    try:
        result |= runners.ask(request)
    except HungError as error:
        result |= no_verdict("hung", f"{request['id']}: {error}", error.printed)
    except EndedError as error:
        result |= no_verdict("crashed", f"{request['id']}: {error}", error.printed)
    result["seconds"] = round(time.perf_counter() - start, 4)
    result["worker"] = f"{socket.gethostname()}:{os.getpid()}"
    return result
