"""Requests to end: noted while a step or a file must be finished, and raised afterwards."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, NoReturn, Self

from gradcore.errors import Interrupted

if TYPE_CHECKING:
    from types import TracebackType

# SIGINT: Ctrl-C. SIGTERM: `kill`, job queues. SIGHUP: the terminal went away. SIGXCPU: the time of a job is nearly over.
SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
    if name in signal.Signals.__members__
)


class _Handling:
    """Handles `SIGNALS` until the context is left. One that is ignored, as after `nohup`, stays ignored."""

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # only there can signals be handled
            for number in SIGNALS:
                # None: the handler was not set from Python, and could not be put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        raise NotImplementedError


class AtOnce(_Handling):
    """Raises Interrupted as soon as a signal arrives."""

    def _handle(self, number: int, frame: Any) -> NoReturn:
        raise Interrupted(number)


class Deferred(_Handling):
    """Notes the first signal in `received`, and raises Interrupted when the context is left without an error, or `check` is called."""

    def __init__(self) -> None:
        self.received: int | None = None

    def _handle(self, number: int, frame: Any) -> None:
        if self.received is None:
            self.received = number

    def check(self) -> None:
        """Raise Interrupted where a signal has arrived."""
        if self.received is not None:
            raise Interrupted(self.received)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            self.check()
