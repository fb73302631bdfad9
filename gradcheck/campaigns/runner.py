"""The other side of `gradcheck.campaigns.child`: a process that judges, its limit, and what is known of its end."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO, Any

from gradcheck.campaigns.child import READY
from gradcheck.campaigns.interpreter import ending, interpreter

START = 300.0
"""Seconds that a new process may take to start."""

TAIL = 2_000
"""Most characters kept of what a process has printed before it ended."""

_FOREIGN = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_")
"""Variables by which MPI takes a process for a rank: a process that a rank starts is none."""


class EndedError(Exception):
    """The process ended before it had replied. printed: the end of what it wrote."""

    def __init__(self, words: str, printed: str) -> None:
        super().__init__(words)
        self.printed = printed


class HungError(EndedError):
    """It did not reply within its limit, and was ended."""


class Runner:
    """One process that answers one request after another."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        self.process = subprocess.Popen(  # noqa: S603 - this Python
            interpreter("from gradcheck.campaigns.child import main; main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            started = READY in self._reply(START)
        except EndedError:
            self.close()
            raise
        if not started:
            self.close()
            raise EndedError("the process that judges did not start as it should", "")

    @property
    def alive(self) -> bool:
        """Whether it can take a request."""
        return self.process.poll() is None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply. Raises `EndedError` or `HungError`, and is of no more use then."""
        self._errors.seek(0)
        self._errors.truncate()
        try:
            if self.process.stdin is not None:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
        except OSError:
            pass  # it has ended: the reply says how
        return self._reply(request["limit"])

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._errors.close()

    def _read(self) -> None:
        stream = self.process.stdout
        if stream is not None:
            with suppress(ValueError, OSError):  # closed
                for line in stream:
                    self._replies.put(line)
        self._replies.put(None)

    def _reply(self, limit: float) -> dict[str, Any]:
        start = time.monotonic()
        try:
            line = self._replies.get(timeout=limit)
        except queue.Empty:
            self._end()
            printed = self._printed()
            raise HungError(f"no end after its limit of {time.monotonic() - start:.0f} s", printed) from None
        if line is None or not line.endswith("\n"):
            code = self.process.wait()
            raise EndedError(
                f"the process ended before there was a verdict ({ending(code)})", self._printed()
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def _end(self) -> None:
        """End it, with a traceback of where it hangs among what it has printed."""
        if os.name == "posix":
            self.process.send_signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5.0)
        self.process.kill()
        self.process.wait()

    def _printed(self) -> str:
        """The end of what it has printed; of a crash, Python's own traceback is the first part of that."""
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace")
        crash, thread = text.rfind("Fatal Python error"), text.rfind("Current thread")
        if 0 <= crash < thread:
            trace = text[thread:].partition("\n\nExtension modules")[0]
            return f"{text[crash:].partition(chr(10))[0]}\n{trace}"[:TAIL]
        return text[-TAIL:]
