"""Limits on time: of one call that may not end, and of a whole verification; and a bar that shows how far it is."""

from __future__ import annotations

import _thread
import ctypes
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TooLong(BaseException):
    """A call took longer than its limit. Not an `Exception`: code under check may catch all of these."""


AGAIN = 5.0
"""Seconds after which it is raised again: it is lost where it arrives in a finalizer, whose errors Python only prints."""


class _Unprinted:
    """While calls are limited, Python prints no `TooLong` that is lost: that says nothing, as it comes again."""

    def __init__(self) -> None:
        self._lock, self._limits = threading.Lock(), 0
        self._before = sys.unraisablehook

    def __enter__(self) -> None:
        with self._lock:
            self._limits += 1
            if self._limits == 1:
                self._before, sys.unraisablehook = sys.unraisablehook, self._hook

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._limits -= 1
            if self._limits == 0 and sys.unraisablehook == self._hook:
                sys.unraisablehook = self._before

    def _hook(self, lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, TooLong):
            self._before(lost)


_UNPRINTED = _Unprinted()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in this thread where the body takes longer than so many seconds.

    It arrives between two steps of Python, in any thread and on any system: a loop that never ends is stopped, a single
    long call into a library returns first.
    """
    thread, lock, ended = threading.get_ident(), threading.Lock(), threading.Lock()
    running = True

    def watch() -> None:
        wait = min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        while not ended.acquire(timeout=wait):
            with lock:
                if running:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread), ctypes.py_object(TooLong)
                    )
            wait = AGAIN

    ended.acquire()
    # threading.Timer waits until its thread runs, which takes longer than many a body
    _thread.start_new_thread(watch, ())
    try:
        with _UNPRINTED:
            yield
    finally:
        ended.release()  # first: whatever arrives on the next lines, no more is sent
        with lock:
            running = False


class Clock:
    """The time that a verification has, and a progress bar on a terminal for one that takes longer than a moment."""

    MOMENT = 2.0
    """Seconds after which the bar is shown."""

    def __init__(self, seconds: float, total: int) -> None:
        self.seconds, self.total, self.done = seconds, total, 0
        self._start = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    @property
    def left(self) -> float:
        """Seconds left, 0 where none are."""
        return max(0.0, self.seconds - (time.monotonic() - self._start))

    def step(self) -> None:
        """One more example is done."""
        self.done += 1
        if self._bar is None and self.seconds - self.left > self.MOMENT and sys.stderr.isatty():
            self._show()
        if self._bar is not None:
            self._bar.update(self._task, completed=min(self.done, self.total))

    def _show(self) -> None:
        try:
            from rich.console import Console
            from rich.progress import Progress
        except ImportError:
            return
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("gradcheck verify", total=self.total)
        self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
