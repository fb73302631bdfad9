"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gradcore.errors import OutputError

__all__ = ["ensure_writable", "remove_temporaries", "write_atomically", "write_jsonl"]

_PathLike = str | os.PathLike[str]
_TEMPORARY = re.compile(r"\.(.+\.)?[0-9a-f]{16}\.tmp", re.DOTALL)


def write_atomically(path: _PathLike, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file so that at every moment either the old one or the new one is there, whole.

    `content` is the bytes, or a function that writes them to the binary file it is given. They go to a temporary file
    in the same folder, which is flushed to disk and then takes the name. When anything fails, the function's own
    error included, the old file is untouched and the temporary one gone. A symbolic link keeps pointing where it did.

    Raises OutputError when the file can't be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(8).hex()}.tmp")
    try:
        file = temporary.open("xb")
    except OSError as error:
        raise OutputError(f"{target}: can't be written: {_reason(target, error)}") from error
    try:
        with file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: can't be written: {_reason(target, error)}") from error
    finally:
        _remove(temporary)
    _sync_folder(target.parent)


def ensure_writable(folder: _PathLike) -> Path:
    """Make the folder if it is missing, and check that files can be written in it, before a long run relies on it.

    Raises OutputError with the reason.
    """
    folder = Path(folder)
    probe = folder / f".{os.urandom(8).hex()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0")
        finally:
            _remove(probe)
    except OSError as error:
        raise OutputError(f"{folder}: no files can be written there: {_reason(folder, error)}") from error
    return folder


def remove_temporaries(folder: _PathLike) -> None:
    """Remove what processes that were killed in the middle of `write_atomically` left in a folder; as far as can be.

    Only where no other process writes there: its temporary file of this moment would go as well.
    """
    with suppress(OSError):
        for path in list(Path(folder).iterdir()):
            if _TEMPORARY.fullmatch(path.name) and not path.is_dir():
                _remove(path)


def write_jsonl(path: _PathLike, records: Iterable[Mapping[str, object]]) -> None:
    """Write records as JSON lines, atomically: one object a line, UTF-8.

    NumPy's numbers and arrays become JSON's; a number that is not finite becomes null, as JSON cannot represent
    it. Raises OutputError when the file can't be written, TypeError for a value that JSON can't hold.
    """
    lines = [json.dumps(_plain(record), ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    write_atomically(path, "".join(lines).encode())


def _plain(value: Any) -> Any:
    """`value` as JSON's own types."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _remove(path: Path) -> None:
    """Remove a file if that is possible: the error that led here says more than one of cleaning up would."""
    with suppress(OSError):
        path.unlink()


def _reason(path: Path, error: OSError) -> str:
    """The error in words; for a path through something that is not a folder, that thing's name."""
    for parent in path.parents:
        if os.path.lexists(parent):
            if not parent.is_dir():
                return f"{parent} is not a folder"
            break
    if isinstance(error, FileExistsError):
        return "it exists and is not a folder"
    if isinstance(error, FileNotFoundError):
        return f"the folder {path.parent} does not exist"
    return error.strerror or str(error)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last through a power cut, where the system can."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: can't be flushed to disk: {error.strerror}") from error
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise OutputError(f"{folder}: can't be flushed to disk: {error.strerror}") from error
    finally:
        os.close(descriptor)
