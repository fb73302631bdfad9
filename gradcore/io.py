"""Files that survive: written whole or not at all, checked when read. Models are in the safetensors format."""

from __future__ import annotations

import errno
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gradcore.errors import ModelFileError, OutputError
from gradcore.extras import load_extra

__all__ = [
    "ensure_writable",
    "load_tensors",
    "save_tensors",
    "write_atomically",
    "write_jsonl",
]

_PathLike = str | os.PathLike[str]
_MAX_HEADER = 100_000_000
_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
}


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
        temporary.unlink(missing_ok=True)
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
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: no files can be written there: {_reason(folder, error)}") from error
    return folder


def write_jsonl(path: _PathLike, records: Iterable[Mapping[str, object]]) -> None:
    """Write records as JSON lines, atomically: one object a line, UTF-8.

    NumPy's numbers and arrays become JSON's; a number that is not finite becomes null, as JSON cannot represent
    it. Raises OutputError when the file can't be written, TypeError for a value that JSON can't hold.
    """
    lines = [json.dumps(_plain(record), ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    write_atomically(path, "".join(lines).encode())


def save_tensors(
    path: _PathLike,
    tensors: Mapping[str, npt.NDArray[Any] | np.generic[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays and a few strings about them as one safetensors file, atomically.

    Any memory layout and byte order will do. Raises ModelFileError for what the format can't hold, OutputError when
    the file can't be written.
    """
    numpy_api = load_extra("safetensors.numpy", "writing a model file")
    for key, value in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise ModelFileError(f"{path}: metadata holds strings by name, got {key!r}: {value!r}")
    if not tensors:  # the library would write a broken header
        raise ModelFileError(f"{path}: there are no tensors to save; expected at least one by name")
    native = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ModelFileError(
                f"{path}: a tensor's name is a string other than '__metadata__', got {name!r}"
            )
        if not isinstance(tensor, np.ndarray | np.generic) or tensor.dtype.name not in _DTYPES:
            found = tensor.dtype if isinstance(tensor, np.ndarray | np.generic) else type(tensor).__name__
            raise ModelFileError(f"{path}: {name}: expected an array of {', '.join(_DTYPES)}, got {found}")
        # The library writes the raw memory of what it is given: a transposed weight would come out scrambled.
        native[name] = np.asarray(tensor, dtype=tensor.dtype.newbyteorder("="), order="C")
    write_atomically(path, numpy_api.save(native, metadata=dict(metadata or {})))


def load_tensors(path: _PathLike) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata.

    Raises ModelFileError when the file is missing, foreign, truncated or damaged.
    """
    library = load_extra("safetensors", "reading a model file")
    path = Path(path)
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise ModelFileError(f"{path}: expected a model file, found {found} there")
        _check_header(path)
        with library.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except OSError as error:
        raise ModelFileError(f"{path}: can't be read: {error.strerror or error}") from error
    except library.SafetensorError as error:
        raise ModelFileError(f"{path}: truncated or damaged: {error}") from error
    return tensors, metadata


def _check_header(path: Path) -> None:
    """Refuse a file whose header's length, form or dtypes are not those of a safetensors file for NumPy."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ModelFileError(
                f"{path}: truncated: a safetensors file starts with 8 bytes for its header's length, got {len(prefix)}"
            )
        (length,) = struct.unpack("<Q", prefix)
        if length > min(size - 8, _MAX_HEADER):
            raise ModelFileError(
                f"{path}: truncated or not a safetensors file: its first 8 bytes announce a header of {length} bytes, "
                f"expected at most {min(size - 8, _MAX_HEADER)}"
            )
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a safetensors file: its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: not a safetensors file: its header is not a JSON object")
    for name, entry in header.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) and name != "__metadata__" else None
        if isinstance(dtype, str) and dtype not in _DTYPES.values():
            raise ModelFileError(
                f"{path}: {name}: dtype {dtype}, expected one of {', '.join(_DTYPES.values())}"
            )


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
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise OutputError(f"{folder}: can't be flushed to disk: {error.strerror}") from error
    finally:
        os.close(descriptor)
