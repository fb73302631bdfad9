"""How far a campaign is: a bar on a terminal where rich is installed, a line for each tenth elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

BAD = ("fail", "crashed", "hung", "error")


class Progress(Protocol):
    """What shows results as they come."""

    def shown(self, total: int, done: int) -> Any:
        """A context in which it is shown. total: checks; done: those whose results were there."""

    def step(self, result: dict[str, Any]) -> None:
        """One more result."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def shown(self, total: int, done: int) -> Iterator[None]:
        """Nothing."""
        yield

    def step(self, result: dict[str, Any]) -> None:
        """Nothing."""


class Lines:
    """A line for each tenth of the checks, and for each that is bad."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total = self._done = self._bad = 0

    @contextmanager
    def shown(self, total: int, done: int) -> Iterator[None]:
        """Count from here."""
        self._total, self._done = total, done
        yield

    def step(self, result: dict[str, Any]) -> None:
        """Count one more."""
        before = 10 * self._done // self._total
        self._done += 1
        if result["verdict"] in BAD:
            self._bad += 1
            self._print(f"{result['verdict']}: {result['check']}")
        if 10 * self._done // self._total > before:
            self._print(f"{self._done:,} of {self._total:,} checks, {self._bad:,} bad")

    def _print(self, text: str) -> None:
        print(f"gradcheck: {text}", file=self._stream, flush=True)


class Bar:
    """A bar, and a line above it for each check that is bad."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("gradcheck"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[bad]} bad"),
            TimeRemainingColumn(),
            console=Console(file=stream or sys.stderr),
            transient=True,
        )
        self._task: Any = None
        self._bad = 0

    @contextmanager
    def shown(self, total: int, done: int) -> Iterator[None]:
        """Show the bar."""
        self._task = self._bar.add_task("", total=total, completed=done, bad=0)
        with self._bar:
            yield

    def step(self, result: dict[str, Any]) -> None:
        """Move the bar."""
        if result["verdict"] in BAD:
            self._bad += 1
            text = f"{result['verdict']}: {result['check']}"
            self._bar.console.print(text, highlight=False, soft_wrap=True, markup=False)
        self._bar.update(self._task, advance=1, bad=self._bad)


def automatic(stream: TextIO | None = None) -> Progress:
    """A bar where the stream is a terminal and rich is installed, else lines."""
    stream = stream or sys.stderr
    if stream.isatty() and importlib.util.find_spec("rich") is not None:
        return Bar(stream)
    return Lines(stream)
