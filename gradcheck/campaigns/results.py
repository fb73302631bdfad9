"""The file of results: a line of JSON for what the campaign is, then one for each result as it comes."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1

SYNCED = 0.2
"""Seconds between two times that the system is made to keep what was written; ten times as long as it takes, if that is more."""


class Results:
    """A file that results are appended to, or nothing where there is no path.

    Lines of the file (schema 1): first {campaign: 1, target, seed, examples, checks: their number, versions: object}; then for
    each check {check: its name, kind, verdict ("pass", "subgradient", "fail", "inconclusive", or without a verdict "crashed",
    "hung", "error"), text, examples, verdicts: object of counts, sensitivity or null, seed: its own, weak:
    sentences on what a pass leaves open, report: as of `Report.to_json` or `Verification.to_json`, or null, pictures: where they
    were requested, of each failure in it, output: what was printed before a crash, seconds, cpu: processor time, where there is a verdict, worker, tries}; and
    {started: list of names} where the death of a worker ends the whole job.

    found: results that were there, by name. started: how often a check without a result was started. dropped: how many
    characters of a torn last line were taken away.
    """

    def __init__(self, path: str | os.PathLike[str] | None, header: dict[str, Any], resume: bool) -> None:
        self.path = None if path is None else Path(path)
        self.header = {"campaign": SCHEMA, **header}
        self.found: dict[str, dict[str, Any]] = {}
        self.started: dict[str, int] = {}
        self.dropped = 0
        self._file = -1
        self._next_sync = 0.0
        if self.path is None:
            return
        try:
            self._file = os.open(
                self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644
            )
        except OSError as error:
            raise CallError(
                f"results can't be written to {self.path}: {error.strerror}: name a file in a folder that exists"
            ) from error
        try:
            self._open(resume)
        except BaseException:
            self.close()
            raise

    def append(self, results: Iterable[dict[str, Any]]) -> None:
        """Write them, each line whole; a killed process loses none. The system is made to keep them (fsync) every `SYNCED` seconds

        and at the end, as that takes longer than all else together. Raises `CallError` where they can't be written.
        """
        lines = [json.dumps(result, allow_nan=False) for result in results]
        if self._file < 0 or not lines:
            return
        data = "".join([f"{line}\n" for line in lines]).encode()
        try:
            written = os.write(self._file, data)
            if time.monotonic() >= self._next_sync:
                self._sync()
        except OSError as error:
            raise CallError(f"results can't be written to {self.path}: {error.strerror}") from error
        if written < len(data):
            raise CallError(f"results can't be written to {self.path}: {written} of {len(data)} bytes fitted")

    def close(self) -> None:
        """Have the system keep all, and close the file."""
        if self._file >= 0:
            with suppress(OSError):
                self._sync()
            os.close(self._file)
            self._file = -1

    def _sync(self) -> None:
        start = time.monotonic()
        os.fsync(self._file)
        end = time.monotonic()
        self._next_sync = end + max(SYNCED, 10.0 * (end - start))

    def _open(self, resume: bool) -> None:
        _alone(self._file, self.path)
        if self.path is None:
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if data and not resume:
            raise CallError(
                f"{self.path} holds results already: pass --resume (resume=True) to go on with them, or name another file"
            )
        lines = data[:whole].decode("utf-8", "replace").splitlines()
        records = [_record(line, number, self.path) for number, line in enumerate(lines, 1)]
        if records:
            self._compare(records[0])
        self.dropped = len(data) - whole
        if self.dropped:
            os.ftruncate(self._file, whole)
        if not records:
            self.append([self.header])
        for record in records[1:]:
            if "check" in record:
                self.found[record["check"]] = record
            for name in record.get("started", ()):
                self.started[name] = self.started.get(name, 0) + 1
        self.started = {name: n for name, n in self.started.items() if name not in self.found}

    def _compare(self, there: dict[str, Any]) -> None:
        """Raises `CallError` where the file is of another campaign."""
        if "campaign" not in there:
            raise CallError(f"{self.path} is no file of results: its first line has no campaign")
        was, now = _flat(there), _flat(self.header)
        differs = [
            f"{key} was {was.get(key)!r} and is {now.get(key)!r}"
            for key in sorted({*was, *now})
            if was.get(key) != now.get(key)
        ]
        if differs:
            raise CallError(
                f"{self.path} can't be resumed, as its results are of another campaign: {', '.join(differs)}. Name another file, "
                "or give the options as they were"
            )


def _flat(header: dict[str, Any]) -> dict[str, Any]:
    versions = {f"version of {name}": value for name, value in header.get("versions", {}).items()}
    return {k: v for k, v in header.items() if k != "versions"} | versions


def _record(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise CallError(
            f"{path}, line {number}, is no result: the file was changed by something else. Take the line away, or name another file"
        )
    return found


def _alone(file: int, path: Path | None) -> None:
    """Raises `CallError` where another process writes the same file; where the system has no locks nothing is known."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CallError(f"another campaign writes to {path}: name another file") from error
    except OSError:  # a file system without locks
        return
