"""The safetensors format: named arrays behind a JSON header, with a checksum over all bytes in the files that we write.

Layout: the header's length as a little-endian uint64; the header, which gives for each name a dtype, a shape and the span of
its bytes, and under `__metadata__` strings by name; then the arrays without gaps, in C order, little-endian.
Source: https://github.com/huggingface/safetensors, "Format". The library itself is not needed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcore.errors import ModelFileError, require_file
from gradcore.io.atomic import write_atomically
from gradcore.io.jsontext import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Layout", "load_tensors", "save_tensors"]

_PathLike = str | os.PathLike[str]
_OURS = "gradcore-"  # what the names of our metadata begin with
_CHECKSUM = "gradcore-sha256"
_NO_CHECKSUM = "0" * 64
_LIMIT = 2 << 30
_MAX_HEADER = 4_000_000  # bytes; as JSON they take some 25 times as many in memory
_MAX_NDIM = 64
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
_BY_CODE = {code: np.dtype(name) for name, code in _DTYPES.items()}


class Layout(NamedTuple):
    """What a header says of one array, before anything of it is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class _Header(NamedTuple):
    text: bytes
    layouts: dict[str, Layout]  # in the order of their bytes
    metadata: dict[str, str]


def save_tensors(
    path: _PathLike,
    tensors: Mapping[str, npt.NDArray[Any] | np.generic[Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays and a few strings about them as one safetensors file, atomically and with a checksum.

    Any memory layout and byte order will do; equal arrays and strings give equal files. Raises ModelFileError for what
    the format can't hold, OutputError when the file can't be written.
    """
    for key, value in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)) or key == _CHECKSUM:
            raise ModelFileError(f"{path}: metadata holds strings by name, got {key!r}: {value!r}")
    if not tensors:
        raise ModelFileError(f"{path}: there are no tensors to save; expected at least one by name")
    plain: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ModelFileError(
                f"{path}: a tensor's name is a string other than '__metadata__', got {name!r}"
            )
        if not isinstance(tensor, np.ndarray | np.generic) or tensor.dtype.name not in _DTYPES:
            found = tensor.dtype if isinstance(tensor, np.ndarray | np.generic) else type(tensor).__name__
            raise ModelFileError(f"{path}: {name}: expected an array of {', '.join(_DTYPES)}, got {found}")
        plain[name] = np.asarray(tensor, dtype=tensor.dtype.newbyteorder("<"), order="C")
    # The widest first, as the format's library has it, so that every array stands at a multiple of its item's size.
    order = sorted(plain, key=lambda name: (-plain[name].dtype.itemsize, name))
    entries: dict[str, Any] = {
        "__metadata__": {**dict(sorted((metadata or {}).items())), _CHECKSUM: _NO_CHECKSUM}
    }
    position = 0
    for name in order:
        array = plain[name]
        span = [position, position + array.nbytes]
        entries[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": span,
        }
        position = span[1]
    try:
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelFileError(
            f"{path}: a name or a string has half a surrogate pair in it ({error})"
        ) from error
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise ModelFileError(
            f"{path}: the header of {len(plain)} tensors would take {len(text)} bytes, at most {_MAX_HEADER} are read again"
        )
    digest = hashlib.sha256(text)
    for name in order:
        digest.update(_bytes(plain[name]))
    text = _with_checksum(text, digest.hexdigest())

    def write(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            file.write(_bytes(plain[name]))

    write_atomically(path, write)


def load_tensors(
    path: _PathLike,
    *,
    check: Callable[[dict[str, Layout], dict[str, str]], object] | None = None,
    limit: int = _LIMIT,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata. Files of ours are compared with their checksum.

    The header is checked against the file's real size and against `limit` (in bytes) before anything is allocated.
    check: is called with the layouts and the metadata at that moment, and may raise.
    Raises ModelFileError when the file is missing, foreign, truncated, damaged or too large.
    """
    path = Path(path)
    try:
        require_file(path, "a model file", ModelFileError)
        with path.open("rb") as file:
            header = _read_header(path, file, limit)
            metadata = {key: value for key, value in header.metadata.items() if key != _CHECKSUM}
            if check is not None:
                check(header.layouts, metadata)
            return _read_arrays(path, file, header), metadata
    except OSError as error:
        raise ModelFileError(f"{path}: can't be read: {error.strerror or error}") from error


def _read_header(path: Path, file: BinaryIO, limit: int) -> _Header:
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
        header = parse_json(text)
    except ValueError as error:
        raise ModelFileError(f"{path}: not a safetensors file: its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: not a safetensors file: its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFileError(f"{path}: damaged: its metadata are not strings by name")
    if _CHECKSUM not in metadata and any(key.startswith(_OURS) for key in metadata):
        raise ModelFileError(f"{path}: damaged: a file of gradcore's without its checksum")
    layouts, end = _layouts(path, header)
    if 8 + length + end != size:
        kind = "truncated" if 8 + length + end > size else "damaged: trailing bytes"
        raise ModelFileError(
            f"{path}: {kind}: its header describes {8 + length + end} bytes, and the file has {size}"
        )
    if end > limit:
        raise ModelFileError(f"{path}: its arrays take {end} bytes, more than the limit of {limit}")
    return _Header(text, layouts, metadata)


def _layouts(path: Path, header: dict[str, Any]) -> tuple[dict[str, Layout], int]:
    """The arrays in the order of their bytes, and how many bytes there are."""
    spans: list[tuple[int, int, str]] = []
    found: dict[str, Layout] = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ModelFileError(
                f"{path}: damaged: {name:.80} is not described by dtype, shape and data_offsets"
            )
        code, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in _BY_CODE:
            raise ModelFileError(
                f"{path}: {name:.80}: dtype {code!s:.40}, expected one of {', '.join(_BY_CODE)}"
            )
        if not _are_sizes(shape) or len(shape) > _MAX_NDIM or not _are_sizes(span) or len(span) != 2:
            raise ModelFileError(
                f"{path}: damaged: {name:.80} has the shape {shape!s:.80} and the offsets {span!s:.80}; expected at most "
                f"{_MAX_NDIM} sizes and two offsets, whole numbers from 0"
            )
        dtype = _BY_CODE[code]
        # A size of 0 would hide the others from a plain product, but NumPy multiplies them all the same.
        if math.prod(max(size, 1) for size in shape) * dtype.itemsize >= 2**63:
            raise ModelFileError(
                f"{path}: damaged: {name:.80} has the shape {shape!s:.80}, more than fits any memory"
            )
        if math.prod(shape) * dtype.itemsize != span[1] - span[0]:
            raise ModelFileError(
                f"{path}: damaged: {name:.80} of {dtype} {tuple(shape)!s:.80} takes {math.prod(shape) * dtype.itemsize} "
                f"bytes, and its offsets {span} leave {span[1] - span[0]}"
            )
        spans.append((span[0], span[1], name))
        found[name] = Layout(dtype, tuple(shape))
    if not found:
        raise ModelFileError(f"{path}: damaged: its header describes no arrays")
    end = 0
    spans.sort()
    for start, stop, name in spans:
        if start != end:
            raise ModelFileError(
                f"{path}: damaged: {name:.80} starts at byte {start}, expected {end}: arrays overlap or leave a gap"
            )
        end = stop
    return {name: found[name] for _, _, name in spans}, end


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _read_arrays(path: Path, file: BinaryIO, header: _Header) -> dict[str, npt.NDArray[Any]]:
    expected = header.metadata.get(_CHECKSUM)
    text = header.text
    if expected is not None:
        text = text.replace(f'"{expected}"'.encode(), f'"{_NO_CHECKSUM}"'.encode(), 1)
    digest = hashlib.sha256(text)
    arrays = {}
    for name, (dtype, shape) in header.layouts.items():
        try:
            array = np.empty(shape, dtype.newbyteorder("<"))
        except MemoryError as error:
            raise ModelFileError(f"{path}: {name:.80} of {dtype} {shape} does not fit into memory") from error
        room = _bytes(array)
        if file.readinto(room) < len(room):  # type: ignore[attr-defined]
            raise ModelFileError(f"{path}: truncated while it was read, in {name:.80}")
        if expected is not None:
            digest.update(room)
        if dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
            raise ModelFileError(f"{path}: damaged: {name:.80} is boolean and holds bytes other than 0 and 1")
        arrays[name] = array.astype(dtype, copy=False)
    if expected is not None and digest.hexdigest() != expected:
        raise ModelFileError(
            f"{path}: damaged: its bytes do not agree with the checksum that was written with them; use a copy of the file"
        )
    return arrays


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    """The array's bytes, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _with_checksum(text: bytes, checksum: str) -> bytes:
    """The header with its checksum in place of zeros; of several such places, that of the metadata, which come first."""
    key = f'"{_CHECKSUM}":"{_NO_CHECKSUM}"'.encode()
    place = text.index(key)
    return text[:place] + key.replace(_NO_CHECKSUM.encode(), checksum.encode()) + text[place + len(key) :]
