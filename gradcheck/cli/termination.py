"""A request to end, as `kill` and job queues send it, as an exception: so that results are kept and processes ended."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """Raise `Terminated` in the main thread where SIGTERM comes."""

    def terminated(*_: object) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def status_of(error: KeyboardInterrupt, interrupted: int) -> int:
    """The exit status after SIGTERM, or `interrupted` after Ctrl-C."""
    return 128 + signal.SIGTERM if isinstance(error, Terminated) else interrupted
