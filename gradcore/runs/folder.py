"""The folder of a run: one run's files and no other's, with the configuration that it takes to go on."""

from __future__ import annotations

import errno
import json
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcore.errors import CheckpointError, DomainError, OutputError
from gradcore.io import ensure_writable, read_json, remove_temporaries, write_atomically
from gradcore.model_file import MODEL
from gradcore.runs.settings import Settings, from_json
from gradcore.train.checkpoints import is_checkpoint
from gradcore.train.threads import check_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = "config.json"
RESULTS = HISTORY, CURVES, MISTAKES, _ = ("history.jsonl", "curves.png", "mistakes.png", MODEL)
_KEY = "gradcore-run"
_VERSION = 1
_MOST_CONFIG = 16_000_000


def next_folder(parent: Path) -> Path:
    """Make the folder with the next number in `parent`, from 0001 on; raises OutputError."""
    ensure_writable(parent)
    while True:
        try:
            numbers = [int(path.name) for path in parent.iterdir() if re.fullmatch(r"\d{4,9}", path.name)]
            folder = parent / f"{max(numbers, default=0) + 1:04d}"
            folder.mkdir()
        except FileExistsError:
            continue  # another run took the number at this moment
        except OSError as error:
            raise OutputError(f"{parent}: no folder can be made there: {error.strerror or error}") from error
        return folder


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputError where a folder can't take a new run: it holds one, or a folder stands in the place of a file."""
    if taken := [name for name in (*RESULTS, CONFIG) if (folder / name).is_dir()]:
        raise OutputError(
            f"{folder / taken[0]} is a folder, and a file of that name is to be written: choose another --out"
        )
    if holds_run(folder) and not overwrite:
        raise OutputError(
            f"{folder} holds a run: continue it with --resume {folder}, replace it with --overwrite, or choose another --out"
        )


def named_folder(folder: Path, *, overwrite: bool) -> Path | None:
    """Make a folder for a new run; with `overwrite`, a run that it holds is moved aside, and where to is returned.

    Raises OutputError where the folder can't be used, or holds a run.
    """
    check_free(folder, overwrite=overwrite)
    if not holds_run(folder):
        ensure_writable(folder)
        return None
    real = Path(os.path.realpath(folder))
    number = 1
    while os.path.lexists(aside := real.with_name(f"{real.name}.previous-{number}")):
        number += 1
    try:
        with locked(real):
            real.rename(aside)  # at once, so that no moment sees a mixture of two runs
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{folder}: the run in it can't be moved aside: {error.strerror or error}"
        ) from error
    ensure_writable(real)
    return aside


def holds_run(folder: Path) -> bool:
    """Whether there is any file of a run in the folder."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return False
    return any(name == CONFIG or name in RESULTS or is_checkpoint(name) for name in names)


def remove_run(folder: Path) -> None:
    """Remove the files of a run, the configuration last, and the folder if nothing else is in it; as far as can be."""
    with suppress(OSError):
        paths = [path for path in folder.iterdir() if path.name in RESULTS or is_checkpoint(path.name)]
        for path in [*paths, folder / CONFIG]:
            path.unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the same run; raises OutputError where one does. Killed processes leave no lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: can't be opened: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutputError(
                    f"{folder}: another process writes this run at this moment: wait for it, or end it"
                ) from error
            # some network file systems have no locks
        remove_temporaries(folder)
        yield
    finally:
        os.close(descriptor)


def write_config(folder: Path, settings: Settings, about: dict[str, Any]) -> None:
    """Write config.json: the settings, and what else there is to know about the run. Raises OutputError."""
    content = {_KEY: _VERSION, "settings": vars(settings), **about}
    write_atomically(folder / CONFIG, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_config(folder: Path) -> tuple[Settings, dict[str, Any]]:
    """The settings of the run in a folder, and the rest of its config.json.

    Raises CheckpointError where there is no run, or its configuration is damaged.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise CheckpointError(f"{folder}: expected the folder of a run, found {found} there")
    if not (folder / CONFIG).exists():
        with suppress(OSError):
            if runs := sorted(path.name for path in folder.iterdir() if (path / CONFIG).is_file()):
                raise CheckpointError(
                    f"{folder} is not the folder of one run, but holds {', '.join(runs[-10:])}: name one"
                )
        raise CheckpointError(f"{folder}: expected the folder of a run, found no {CONFIG} in it")
    try:
        content = _content(folder)
        return from_json(content.get("settings")), content
    except (ValueError, DomainError) as error:
        raise CheckpointError(f"{folder / CONFIG}: damaged, or of another version: {error}") from error


def _content(folder: Path) -> dict[str, Any]:
    """What config.json holds, its version and its data looked at. Raises ValueError, or DomainError where it is no JSON."""
    content = read_json(folder / CONFIG, _MOST_CONFIG)
    if not isinstance(content, dict) or content.get(_KEY) != _VERSION or type(content[_KEY]) is not int:
        raise ValueError(f"{_KEY!r} is not {_VERSION}")
    data = content.get("data")
    if not isinstance(data, dict) or not all(
        isinstance(data.get(key), str) for key in ("name", "fingerprint")
    ):
        raise ValueError("its 'data' has no name and fingerprint")
    check_threads(content.get("threads"), "its threads")
    return content
