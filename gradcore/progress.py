"""The display of a training run: a live bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress(Protocol):
    """What a Trainer reports while it runs."""

    def start(self, epochs: int, batches: int) -> AbstractContextManager[object]:
        """The run begins; what is returned is open until it ends."""

    def batch(self, epoch: int, batch: int, loss: float) -> None:
        """Batch number `batch` (from 1) of epoch `epoch` (from 1) is done."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is done; `record` is its entry in the history."""

    def message(self, text: str) -> None:
        """Something went wrong, and training goes on."""


def epoch_line(record: Mapping[str, Any]) -> str:
    """One epoch in one line: `Epoch 3: Loss = 0.1234, accuracy 96.1 %, test accuracy 95.3 %`."""
    line = f"Epoch {record['epoch']}: Loss = {record['train_loss']:.4f}"
    if "train_accuracy" in record:
        line += f", accuracy {record['train_accuracy']:.2%}"
    if "test_accuracy" in record:
        line += f", test accuracy {record['test_accuracy']:.2%}"
    elif "test_loss" in record:
        line += f", test loss {record['test_loss']:.4f}"
    return line


class Silent:
    """Shows nothing but trouble, on the standard error stream."""

    def start(self, epochs: int, batches: int) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def batch(self, epoch: int, batch: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)


class Lines(Silent):
    """One line an epoch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Print the epoch's line."""
        print(epoch_line(record), file=self.stream, flush=True)


class Bar:
    """A live bar with the running loss, by rich; each finished epoch leaves its line above it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._task: Any = None
        self._batches = 0

    def start(self, epochs: int, batches: int) -> AbstractContextManager[object]:
        """Show the bar until the context is left."""
        self._batches = batches
        self._task = self._bar.add_task("", total=batches, epoch="-", epochs=epochs, loss="")
        return self._bar

    def batch(self, epoch: int, batch: int, loss: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=batch, epoch=epoch, loss=f"loss {loss:.4f}")

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Leave the epoch's line above the bar."""
        self.message(epoch_line(record))

    def message(self, text: str) -> None:
        """Leave a line above the bar."""
        self._bar.console.print(text, highlight=False, soft_wrap=True, markup=False)


def automatic(stream: TextIO | None = None) -> Progress:
    """A bar where the stream is a terminal and rich is installed, plain lines where not, nothing where output is closed."""
    stream = stream or sys.stdout
    if stream is None:
        return Silent()
    if stream.isatty() and importlib.util.find_spec("rich") is not None:
        return Bar(stream)
    return Lines(stream)
