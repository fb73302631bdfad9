"""Ranks that agree: sums, what rank 0 says to all, and errors that are raised on all ranks or end all of them."""

from __future__ import annotations

import json
import sys
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from gradcore import errors
from gradcore.errors import GradcoreError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from gradcore.distributed.communicator import Communicator, Request

    T = TypeVar("T")

_SPINS = 20
_LONGEST_PAUSE = 5e-4
# Seconds after a signal. When a rank has died, Open MPI sends the others SIGTERM and, a quarter of a second later, SIGKILL.
_PATIENCE = 0.04


class Sum:
    """A sum over all ranks that has begun. values: what it is, once `Group.finish` has returned them."""

    def __init__(self, communicator: Communicator, values: NDArray[Any]) -> None:
        self._sent = values  # MPI reads from it until the sum has arrived
        self.values = np.empty_like(values)
        self.request: Request | None = communicator.Iallreduce(values, self.values)

    def arrived(self) -> bool:
        """Whether it is complete; lets it go on."""
        if self.request is not None and self.request.Test():
            self.request = None
        return self.request is None


class Group:
    """The ranks of a communicator. Every method but `fail` and `abort` is called by all ranks, in the same order.

    advice: a sentence on how to go on after the job has ended. received: whether this process was sent a signal.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.communicator = communicator
        # Two, so that gradients need not keep an order with the other sums.
        self._control, self._gradients = communicator.Dup(), communicator.Dup()
        self.advice = ""
        self.received: Callable[[], bool] = lambda: False
        self._agreed: BaseException | None = None
        self._warned = False

    def close(self) -> None:
        """Give back the communicators that were made."""
        self._control.Free()
        self._gradients.Free()

    # --- sums ---------------------------------------------------------------------------------------------------------

    def start(self, values: NDArray[Any], *, gradients: bool = False) -> Sum:
        """Begin a sum of contiguous arrays; they must not change until it has arrived."""
        return Sum(self._gradients if gradients else self._control, values)

    def finish(self, running: Sum) -> NDArray[Any]:
        """Wait for a sum. Signals are handled meanwhile, which they are not within a call of MPI that waits."""
        tries, pause, signalled = 0, 1e-5, 0.0
        while not running.arrived():
            tries += 1
            if tries < _SPINS:
                continue
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if not self._warned and self.received():
                signalled = signalled or time.monotonic()
                if time.monotonic() - signalled > _PATIENCE * (1 + (self.rank > 0)):
                    self._warn()
        return running.values

    def _warn(self) -> None:
        self._warned = True
        if self.rank < 2:  # the second, as it may be the first that has died
            _print(
                f"rank {self.rank} was asked to end and waits for another rank, which may have died. {self.advice}"
            )

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum over all ranks of arrays of one shape and dtype."""
        wide = values.astype(np.float32) if values.dtype == np.float16 else values  # which MPI can't add
        found = self.finish(self.start(np.ascontiguousarray(wide)))
        return found.reshape(values.shape).astype(values.dtype, copy=False)

    # --- what one rank says to the others -------------------------------------------------------------------------------

    def texts(self, text: str) -> list[str]:
        """The texts of all ranks, by rank."""
        own = text.encode()
        lengths = np.zeros(self.size, np.int64)
        lengths[self.rank] = len(own)
        ends = np.cumsum(self.sum(lengths))
        if not ends[-1]:
            return [""] * self.size
        content = np.zeros(ends[-1], np.uint8)
        content[ends[self.rank] - len(own) : ends[self.rank]] = np.frombuffer(own, np.uint8)
        joined = self.sum(content).tobytes()
        return [joined[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, of JSON's types; those of the others are not looked at."""
        return json.loads(self.texts(json.dumps(value) if self.rank == 0 else "")[0])

    def broadcast_arrays(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The arrays of rank 0 by name."""
        about = self.broadcast([(name, a.dtype.str, a.shape) for name, a in arrays.items()])
        found = {}
        for name, dtype, shape in about:
            if self.rank == 0:
                content = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8)
            else:
                content = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize, np.uint8)
            found[name] = self.finish(self.start(content)).view(dtype).reshape(shape)
        return found

    def first(self, function: Callable[[], Any]) -> Any:
        """What `function()` gives on rank 0, which alone calls it: JSON's types. What it raises is raised on all."""
        own: Exception | Interrupted | None = None
        answer: Any = None
        if self.rank == 0:
            try:
                answer = [function(), None]
            except (GradcoreError, Interrupted) as error:
                own, answer = error, [None, _described(error)]
        value, failure = self.broadcast(answer)
        if failure is not None:
            self.fail(own or _rebuilt(failure))
        return value

    def together(self, function: Callable[[], T]) -> T:
        """What `function()` gives on this rank. Where it raises a GradcoreError on any rank, one is raised on all."""
        try:
            value = function()
        except GradcoreError as error:
            self.texts(json.dumps(_described(error)))
            self.fail(error)
        for rank, text in enumerate(self.texts("")):
            if text:
                name, message, signal = json.loads(text)
                self.fail(_rebuilt([name, f"rank {rank}: {message}", signal]))
        return value

    # --- errors ---------------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> NoReturn:
        """Raise an error that all ranks raise at this place."""
        self._agreed = error
        raise error

    def is_agreed(self, error: BaseException) -> bool:
        """Whether all ranks raise this error."""
        return error is self._agreed

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """End all ranks where an error leaves the context on this one alone, as the others would wait for it for ever."""
        try:
            yield
        except BaseException as error:
            if not self.is_agreed(error):
                self.abort(error)
            raise

    def abort(self, error: BaseException) -> None:
        """Print what happened, and end all ranks: with 128 + n after signal n, else with 1."""
        if not isinstance(error, GradcoreError | KeyboardInterrupt):
            traceback.print_exception(error)
        text = str(error) or type(error).__name__
        _print(f"rank {self.rank}: {text.rstrip('.')}. All ranks end. {self.advice}")
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
        self.communicator.Abort(128 + error.signal if isinstance(error, Interrupted) else status)


def _print(text: str) -> None:
    try:
        sys.stdout.flush()
        print(text.rstrip(), file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # nobody reads it
        return


def _described(error: BaseException) -> list[Any]:
    return [type(error).__name__, str(error), getattr(error, "signal", None)]


def _rebuilt(described: list[Any]) -> BaseException:
    name, message, signal = described
    if signal is not None:
        return Interrupted(signal, message)
    kind = getattr(errors, name, None)
    return (
        kind(message)
        if isinstance(kind, type) and issubclass(kind, GradcoreError)
        else GradcoreError(message)
    )
