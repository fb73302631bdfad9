"""NPZ files, NumPy's archives of arrays: checked as a whole before anything is allocated, and never unpickled."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gradcore.data.dataset import Dataset
from gradcore.data.idx import DEFAULT_LIMIT
from gradcore.errors import DataError, require_file

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence

__all__ = ["load_npz", "read_npz"]

_DEFLATE_MAX_RATIO = 1032
_MAX_CLASSES = 1000
_KINDS = "biufcSU"


def load_npz(
    path: str | os.PathLike[str],
    images: str = "images",
    labels: str = "labels",
    classes: Sequence[str] | None = None,
) -> Dataset:
    """A data set from two arrays of an NPZ file, such as "x_train" and "y_train" of Keras's MNIST.

    Bytes are divided by 255; examples `(n, height, width)` become pictures of one channel. Labels are whole numbers, called 0,
    1, ... where `classes` does not name them.
    Raises DataError as `read_npz` does, and where the two are no examples and labels.
    """
    found = read_npz(path, (images, labels))
    x, y = found[images], found[labels]
    if x.dtype.kind not in "uif" or x.ndim < 2:
        raise DataError(
            f"{path}: {images} is {x.dtype} {x.shape}, expected numbers of shape (n, ...), examples one by one"
        )
    y = y.reshape(-1) if y.shape[1:] == (1,) else y
    if y.dtype.kind not in "ui" or y.shape != x.shape[:1]:
        raise DataError(
            f"{path}: {labels} is {y.dtype} {y.shape}, expected whole numbers of shape ({len(x)},), one for each of {images}"
        )
    if not x.size:
        raise DataError(f"{path}: the data set is empty: {images} has shape {x.shape}")
    least, top = int(y.min()), int(y.max())
    known = max(len(y), _MAX_CLASSES) if classes is None else len(classes)
    if least < 0 or top >= known:
        raise DataError(f"{path}: {labels} go from {least} to {top}, expected 0 to {known - 1} at most")
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    pictures = x[:, None] if x.ndim == 3 else x
    with np.errstate(over="ignore"):
        scaled = np.divide(pictures, scale, dtype=np.float32, casting="unsafe")
    if not np.isfinite(scaled).all():
        raise DataError(f"{path}: {images} holds values that are not finite, or too large for float32")
    names = tuple(map(str, range(top + 1))) if classes is None else tuple(classes)
    return Dataset(scaled, y.astype(np.int64), str(path), names, scale)


def read_npz(
    path: str | os.PathLike[str], names: Sequence[str] | None = None, *, limit: int = DEFAULT_LIMIT
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an NPZ file by name: all, or those of `names`.

    Every header is checked against the archive's own sizes, these against the file's, and all together against `limit` (in
    bytes), before anything is allocated: a lying header or a bomb costs no memory. Arrays of objects are refused.
    Raises DataError where the file is missing, damaged, no such archive or too large, or lacks a name.
    """
    import zipfile  # with what it needs, longer to load than all of gradcore.data

    path = Path(path)
    require_file(path, "an NPZ file", DataError)
    try:
        with zipfile.ZipFile(path) as archive:
            return _arrays(path, archive, names, limit)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: the archive is damaged ({error}); copy or make it again") from error
    except MemoryError as error:
        raise DataError(f"{path}: its arrays do not fit into memory") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _arrays(
    path: Path, archive: zipfile.ZipFile, names: Sequence[str] | None, limit: int
) -> dict[str, npt.NDArray[Any]]:
    members = _members(path, archive)
    for name in names or ():
        if name not in members:
            raise DataError(f"{path}: there is no array {name!r}, it holds {', '.join(members) or 'none'}")
    wanted = {name: members[name] for name in (members if names is None else names)}
    total = sum([_check(path, archive, name, info) for name, info in wanted.items()])
    if total > limit:
        raise DataError(f"{path}: its arrays take {total} bytes, more than the limit of {limit} bytes")
    return {name: _read(archive, info) for name, info in wanted.items()}


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    found = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(found) < len(infos):
        raise DataError(f"{path}: two of its arrays have one name")
    if other := [info.filename for info in infos if not info.filename.endswith(".npy")]:
        raise DataError(f"{path}: no NPZ file: it holds {other[0]!r:.80}, expected names that end in .npy")
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise DataError(f"{path}: its arrays overlap, as in no archive that NumPy writes")
    return found


def _check(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> int:
    """The bytes that an array takes, DataError where its header, its size and its dtype do not fit together."""
    with archive.open(info) as stream:
        dtype, shape, start = _header(path, name, stream)
    what = f"{dtype} {shape}"
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise DataError(
            f"{path}: {name} is an array of {dtype}, which is not read: expected numbers or texts, saved with allow_pickle=False"
        )
    if any(dim < 0 for dim in shape):
        raise DataError(f"{path}: {name} declares the shape {shape}")
    size = math.prod(shape) * dtype.itemsize
    most = info.compress_size * (_DEFLATE_MAX_RATIO if info.compress_type else 1)
    if start + size != info.file_size or info.file_size > most:
        raise DataError(
            f"{path}: {name} declares {what}, {size} bytes, and the archive {info.file_size - start} of {info.compress_size} "
            "stored; the file is damaged"
        )
    # A zero dimension would hide the others from a plain product, but NumPy multiplies them all the same.
    return math.prod(max(dim, 1) for dim in shape) * max(dtype.itemsize, 1)


def _header(path: Path, name: str, stream: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    from tokenize import TokenError  # which NumPy's second attempt at a header raises

    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise DataError(f"{path}: {name} is of the format {version}, expected (1, 0) or (2, 0)")
    try:
        shape, _, dtype = readers[version](stream)
    except (TokenError, SyntaxError) as error:
        raise DataError(f"{path}: the header of {name} is damaged ({error.args[0]!s:.80})") from error
    return dtype, shape, int(stream.tell())


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(info) as opened:
        stream: BinaryIO | Any = opened
        found: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # at the end the archive compares its checksum
    return np.ascontiguousarray(found, found.dtype.newbyteorder("=")).reshape(found.shape)
