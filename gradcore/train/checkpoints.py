"""A folder of checkpoints: each whole or not at all, with a checksum, the last good ones kept beside each other.

A checkpoint is one safetensors file, `checkpoint-STEPS.safetensors` in the middle of an epoch and
`checkpoint-STEPS-epoch-N.safetensors` at its end, with arrays by name and all else as JSON in the array `state`.
A file takes its name when it is on disk, and the one before it is removed only then, so a process may be killed at any
moment. What it leaves besides, temporary files, the next one removes.

A run goes on from a checkpoint bit for bit on the same kind of machine, with the same versions, the same number of ranks and the
same number of BLAS threads, which changes how sums are rounded. It holds the number, if the Trainer has set one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcore.errors import CheckpointError, ModelFileError, OutputError
from gradcore.io import load_tensors, parse_json, remove_temporaries, save_tensors

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from gradcore.io import Layout

BEST = "best.safetensors"
_NAME = re.compile(r"checkpoint-(\d{10,18})(-epoch-(\d{1,18}))?\.safetensors")
_KEY = "gradcore-checkpoint"
_VERSION = "1"
_STATE = "state"
_MOST_STATE = 32_000_000  # bytes of JSON


class Snapshot(NamedTuple):
    """All that a run needs to go on: arrays by name, and the rest as JSON's own types. metadata: strings kept beside them."""

    tensors: dict[str, NDArray[Any]]
    state: dict[str, Any]
    metadata: Mapping[str, str]


class Checkpoints:
    """The checkpoints in a folder.

    keep: how many of the last to keep (1 or more); that of the last finished epoch is kept besides.
    tell: is called with a sentence when a checkpoint can't be written or read.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int, tell: Callable[[str], object]) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self.tell = tell
        self.failure: OutputError | None = None
        """Why the last checkpoint could not be written; None where it was."""

    def paths(self) -> list[Path]:
        """The files that are named like checkpoints, the latest first."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError:
            return []
        found = [match for match in map(_NAME.fullmatch, names) if match is not None]
        found.sort(key=lambda match: (int(match[1]), match[3] is not None), reverse=True)
        return [self.folder / match[0] for match in found]

    def open(self) -> None:
        """Make the folder, and remove temporary files in it; raises OutputError where it can't be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: the folder for checkpoints can't be made: {error.strerror or error}"
            ) from error
        remove_temporaries(self.folder)

    def begin(self, snapshot: Snapshot, step: int, epoch: int) -> None:
        """Write the first checkpoint of a run; raises OutputError where that fails, as training has not begun."""
        write_checkpoint(self.folder / checkpoint_name(step, epoch), snapshot)
        self.failure = None
        self.remove_old()

    def save(self, snapshot: Snapshot, step: int, epoch: int | None) -> bool:
        """Write a checkpoint, and remove those before the last `keep`; whether that worked.

        epoch: the number of the epoch that has ended with this step, if one has. A first failure is told, and so is
        the first success after it.
        """
        try:
            write_checkpoint(self.folder / checkpoint_name(step, epoch), snapshot)
        except OutputError as error:
            self.failed(error)
            return False
        if self.failure is not None:
            self.failure = None
            remove_temporaries(self.folder)  # which could not be removed either
            self.tell(f"Checkpoints are written again to {self.folder}")
        self.remove_old()
        return True

    def failed(self, error: OutputError) -> None:
        """Note that a file could not be written; the first time it is told."""
        if self.failure is None:
            self.tell(
                f"A checkpoint could not be written: {error}. Training goes on, and each checkpoint tries it again"
            )
        self.failure = error

    def remove_old(self) -> None:
        """Remove the checkpoints before the last `keep`; one that stays is told."""
        paths = self.paths()
        ended = next((path for path in paths if "-epoch-" in path.name), None)
        for path in paths[self.keep :]:
            if path != ended:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    self.tell(f"{path}: an old checkpoint can't be removed: {error.strerror or error}")

    def load(self, check: Callable[[Mapping[str, Layout]], object] | None = None) -> Snapshot | None:
        """The latest checkpoint that is whole; None where there is none.

        A damaged one is set aside, told, and the one before it is used. check: see `read_checkpoint`.
        """
        for path in self.paths():
            try:
                return read_checkpoint(path, check)
            except (CheckpointError, ModelFileError) as error:
                self.set_aside(path, error)
        return None

    def set_aside(self, path: Path, reason: Exception) -> None:
        """Rename a damaged file, so that it is neither used nor lost."""
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except OSError as error:
            raise OutputError(
                f"{path} is damaged ({reason}), and can't be renamed: {error.strerror or error}"
            ) from error
        self.tell(f"{reason}. It is set aside as {aside.name}, and what was written before it is used")

    def rescue(self, snapshot: Snapshot, step: int, epoch: int | None) -> Path:
        """Write the checkpoint into a new folder among the system's temporary files; that folder.

        Raises OutputError where that fails as well.
        """
        import tempfile  # which loads a dozen modules that no other run needs

        try:
            folder = Path(tempfile.mkdtemp(prefix=f"gradcore-{self.folder.resolve().name}-"))
        except OSError as error:
            raise OutputError(
                f"no folder can be made among the system's temporary files either: {error.strerror or error}"
            ) from error
        write_checkpoint(folder / checkpoint_name(step, epoch), snapshot)
        return folder


def checkpoint_name(step: int, epoch: int | None) -> str:
    """The name of the checkpoint after so many steps, and after the end of an epoch where there is a number of it."""
    return f"checkpoint-{step:010d}{'' if epoch is None else f'-epoch-{epoch}'}.safetensors"


def is_checkpoint(name: str) -> bool:
    """Whether a file of this name is a checkpoint, the best model, or a damaged one of these."""
    name = name.removesuffix(".damaged")
    return name == BEST or _NAME.fullmatch(name) is not None


def write_checkpoint(path: Path, snapshot: Snapshot) -> None:
    """Write a checkpoint, whole or not at all; raises OutputError."""
    text = json.dumps(snapshot.state, separators=(",", ":"), allow_nan=False).encode()
    tensors = {**snapshot.tensors, _STATE: np.frombuffer(text, np.uint8)}
    save_tensors(path, tensors, {**snapshot.metadata, _KEY: _VERSION})


def read_checkpoint(path: Path, check: Callable[[Mapping[str, Layout]], object] | None = None) -> Snapshot:
    """Read a checkpoint.

    check: is called with the layouts of its arrays before any is allocated, and may raise.
    Raises ModelFileError or CheckpointError where the file is damaged, or is no checkpoint.
    """

    def inspect(layouts: dict[str, Layout], metadata: dict[str, str]) -> None:
        if metadata.get(_KEY) != _VERSION:
            raise CheckpointError(
                f"{path} is no checkpoint that this version reads: its metadata have {_KEY!r} = {metadata.get(_KEY)!r:.40}, "
                f"expected {_VERSION!r}"
            )
        state = layouts.get(_STATE)
        if state is None or state.dtype != np.uint8 or len(state.shape) != 1 or state.shape[0] > _MOST_STATE:
            raise CheckpointError(
                f"{path}: damaged: its array {_STATE!r} is to be uint8 of one axis, at most {_MOST_STATE} long"
            )
        if check is not None:
            check({name: layout for name, layout in layouts.items() if name != _STATE})

    tensors, metadata = load_tensors(path, check=inspect)
    try:
        state = parse_json(tensors.pop(_STATE).tobytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: its state is not JSON ({error})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: damaged: its state is not a JSON object")
    del metadata[_KEY]
    return Snapshot(tensors, state, metadata)
