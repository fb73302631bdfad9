"""The IDX format: an array behind a short header, plain or gzipped, as MNIST and its kin are published.

Layout: two zero bytes, a byte for the dtype, a byte for the number of dimensions, each dimension as a big-endian
uint32, then the elements in C order, big-endian. Source: the format's description on the MNIST database's page
(Y. LeCun, C. Cortes, C. Burges).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from gradcore.errors import DataError, DtypeError, ShapeError, require_file

__all__ = ["DEFAULT_LIMIT", "encode_idx", "read_idx"]

DEFAULT_LIMIT = 2 << 30

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_CODE_LIST = ", ".join(f"0x{code:02x} {dtype.newbyteorder('=').name}" for code, dtype in _DTYPES.items())

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_MAX_RATIO = 1032
_MAX_NDIM = 64
_CHUNK = 1 << 20


def read_idx(
    path: str | os.PathLike[str], *, rows: int | None = None, limit: int = DEFAULT_LIMIT
) -> npt.NDArray[Any]:
    """Read one IDX file, gzipped or plain (detected by content, not by name).

    rows: read only so many entries of the first axis, if there are more; the rest of a gzipped file is then not looked at.

    Returns a writable C-ordered array in native byte order. The header is checked against the file's real size, and
    against `limit` (in bytes), before anything is allocated: a lying header or a gzip bomb costs no memory.

    Raises DataError when the file is missing, is not IDX, is truncated, damaged, too large or has trailing bytes.
    """
    path = Path(path)
    try:
        require_file(path, "an IDX file", DataError)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            gzipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not gzipped:
                return _decode(path, file, size, exact=True, rows=rows, limit=limit)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _decode(path, cast(BinaryIO, unzipped), size, exact=False, rows=rows, limit=limit)
    except EOFError as error:
        raise DataError(f"{path}: the gzip stream is truncated; copy or download the file again") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip stream is damaged ({error}); copy or download it again") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def encode_idx(array: npt.ArrayLike, *, compress: bool = False) -> bytes:
    """Encode an array as the bytes of an IDX file, gzipped on request; the same array gives the same bytes.

    Raises DtypeError for a dtype that IDX has no code for, ShapeError for what its header can't hold.

    >>> encode_idx(np.array([7, 2], dtype=np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 02 07 02'
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise DtypeError(f"IDX has no code for {array.dtype}; it holds {_CODE_LIST}")
    if any(dim >= 1 << 32 for dim in array.shape):
        raise ShapeError(f"IDX holds dimensions below 2**32, got shape {array.shape}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    data = header + array.astype(_DTYPES[code]).tobytes()
    return gzip.compress(data, compresslevel=9, mtime=0) if compress else data


def _decode(
    path: Path, stream: BinaryIO, size: int, *, exact: bool, rows: int | None, limit: int
) -> npt.NDArray[Any]:
    """Decode `stream`; `size` is the file's size on disk, which is `exact` when the file is not compressed."""
    dtype, shape = _read_header(path, stream)
    what = f"{dtype.newbyteorder('=').name} {shape}"
    wanted = shape if rows is None or not shape else (min(rows, shape[0]), *shape[1:])
    # A zero dimension would hide the others from a plain product, but NumPy multiplies them all the same.
    if math.prod(max(dim, 1) for dim in wanted) * dtype.itemsize > limit:
        raise DataError(f"{path}: the header declares {what}, more than the limit of {limit} bytes")
    header, payload = 4 + 4 * len(shape), math.prod(shape) * dtype.itemsize
    if exact:
        _check_size(path, what, header + payload, size)
    elif header + payload > size * _DEFLATE_MAX_RATIO:
        raise DataError(
            f"{path}: the header declares {what}, {header + payload} bytes, but {size} gzipped bytes hold at most "
            f"{size * _DEFLATE_MAX_RATIO}; the file is damaged or was not made by gzip"
        )
    try:
        array = np.empty(wanted, dtype=dtype)
    except MemoryError as error:
        raise DataError(f"{path}: the header declares {what}, which does not fit into memory") from error
    received = _fill(stream, array)
    beyond = len(stream.read(1)) if not exact and wanted == shape else 0
    _check_size(path, what, header + array.nbytes, header + received + beyond)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(path: Path, stream: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise DataError(f"{path}: truncated: {len(magic)} bytes, an IDX file starts with a magic number of 4")
    if magic[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file: it starts with {magic!r}, expected two zero bytes")
    if magic[2] not in _DTYPES:
        raise DataError(f"{path}: unknown IDX dtype code 0x{magic[2]:02x}; known are {_CODE_LIST}")
    ndim = magic[3]
    if ndim > _MAX_NDIM:
        raise DataError(f"{path}: the header declares {ndim} dimensions, NumPy holds at most {_MAX_NDIM}")
    dims = stream.read(4 * ndim)
    if len(dims) < 4 * ndim:
        raise DataError(
            f"{path}: truncated in the header: {ndim} dimensions need {4 * ndim} bytes, {len(dims)} left"
        )
    return _DTYPES[magic[2]], struct.unpack(f">{ndim}I", dims)


def _fill(stream: BinaryIO, array: npt.NDArray[Any]) -> int:
    """Fill `array` from `stream` as far as it goes; the number of bytes received."""
    buffer = array.reshape(-1).view(np.uint8)
    position = 0
    while position < buffer.size:
        chunk = stream.read(min(_CHUNK, buffer.size - position))
        if not chunk:
            break
        buffer[position : position + len(chunk)] = np.frombuffer(chunk, np.uint8)
        position += len(chunk)
    return position


def _check_size(path: Path, what: str, expected: int, found: int) -> None:
    if found < expected:
        raise DataError(
            f"{path}: truncated: {what} with its header takes {expected} bytes, found {found}, "
            f"{expected - found} missing; copy or download the file again"
        )
    if found > expected:
        raise DataError(
            f"{path}: trailing bytes: {what} with its header takes {expected} bytes, the file goes on"
        )
