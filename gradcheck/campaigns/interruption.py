"""Ctrl-C and SIGTERM where nothing is half done: raised within a lock of the standard library, they leave it locked for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold back the first of these signals in the main thread: until the function that it gives is called, or to the end.

    A second one is carried out at once, as its sender does not want to wait.
    """
    came: list[int] = []
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def carried_out() -> None:
        if came:
            before[came[0]](came.pop(), None)

    def hold(number: int, _: object) -> None:
        came.append(number)
        if len(came) > 1:
            came.clear()
            before[number](number, None)

    if threading.current_thread() is threading.main_thread():  # only there can signals be handled
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        # without a handler, the system ends the process or ignores the signal
        before |= {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in before:
        signal.signal(number, hold)
    try:
        yield carried_out
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        carried_out()
