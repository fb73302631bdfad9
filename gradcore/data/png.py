"""PNG pictures, by Pillow: one, or a folder for each class, their sizes known before anything is allocated."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcore.data.dataset import Dataset
from gradcore.data.idx import DEFAULT_LIMIT
from gradcore.errors import DataError, DomainError, require_file
from gradcore.extras import load_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_pictures", "pictures_in", "read_png"]

_MOST_BYTES = 64_000_000  # of a PNG file
_MOST_PIXELS = 16_000_000
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B")


def load_pictures(
    folder: str | os.PathLike[str],
    channels: int | None = None,
    *,
    rows: int | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Dataset:
    """A data set from a folder with a folder of PNG pictures for each class, by the extra `images`.

    Pictures of one size become float32 `(n, channels, h, w)` with values from 0 to 1. Classes are the folders' names in the
    order of the alphabet; their pictures follow by name, those with numbers in the numbers' order. Names that start with a dot
    are passed over.
    channels: 1 grey, 3 colours, 4 colours and opacity; otherwise 1 where every picture is grey, else 3. rows: only so many.
    The sizes of all are read first, so that what is allocated is known before, and `limit` (in bytes) holds.
    Raises DataError where a file is damaged, no PNG picture or of another size, where a class has none, and where there is no
    class; MissingExtraError without Pillow.
    """
    if channels is not None and channels not in _MODES:
        raise DomainError(f"load_pictures got channels={channels!r}: it is 1, 3, 4 or None")
    folder = Path(folder)
    classes, paths, labels = _classes_in(folder)
    paths, labels = paths[:rows], labels[:rows]
    heads = [_head(path) for path in paths]
    size = heads[0][:2]
    for path, head in zip(paths, heads, strict=True):
        if head[:2] != size:
            raise DataError(
                f"{path} is {head[0]} pixels high and {head[1]} wide, and {paths[0]} {size[0]} x {size[1]}: expected one size for "
                "all, resize them"
            )
    if channels is None:
        channels = 1 if all(grey for _, _, grey in heads) else 3
    shape = (len(paths), channels, *size)
    needed = 4 * int(np.prod(shape, dtype=object))
    if needed > limit:
        raise DataError(
            f"{folder}: its pictures {shape} take {needed} bytes as float32, more than the limit of {limit} bytes"
        )
    images = np.empty(shape, np.float32)
    for image, path in zip(images, paths, strict=True):
        image[...] = read_png(path, shape[1:])
    return Dataset(images, np.array(labels, np.int64), str(folder), classes, scale=255.0)


def _classes_in(folder: Path) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """The classes of a folder, the pictures of all of them, and the number of each one's class."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: expected a folder with a folder for each class, found {found} there")
    if loose := pictures_in(folder):
        raise DataError(
            f"{loose[0]} is in no class: expected a folder of pictures for each class in {folder}"
        )
    held = [path for path in _listed(folder) if path.is_dir()]
    if not held:
        raise DataError(
            f"{folder}: there are no classes: expected a folder of PNG pictures for each, found no folder"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, each in enumerate(held):
        pictures = pictures_in(each)
        if other := sorted(set(_listed(each)) - set(pictures)):
            raise DataError(
                f"{other[0]}: expected PNG pictures alone in the folder of a class, whose names end in .png"
            )
        if not pictures:
            raise DataError(f"{each}: the class has no pictures: expected files whose names end in .png")
        paths += pictures
        labels += [label] * len(pictures)
    return tuple(path.name for path in held), paths, labels


def pictures_in(folder: Path) -> list[Path]:
    """The PNG files of a folder, those with numbers in their names in the numbers' order. Raises DataError."""
    found = [path for path in _listed(folder) if path.suffix.lower() == ".png" and path.is_file()]
    return sorted(
        found,
        key=lambda path: [
            (0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"([0-9]{1,18})", path.name)
            if part
        ],
    )


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: can't be listed: {error.strerror or error}") from error


def read_png(path: str | os.PathLike[str], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A PNG picture with values from 0 to 1, in the shape of an example: (channels, h, w), (h, w) or a square's (h * w,).

    Grey levels are expected as in the data that a model was trained on: in digits and MNIST ink is bright.
    Raises DataError where the file is damaged or of another size, MissingExtraError without Pillow.
    """
    path = Path(path)
    channels, height, width = _picture_shape(shape)
    with _opened(path) as picture:
        if picture.size != (width, height):
            raise DataError(
                f"{path} is {picture.height} pixels high and {picture.width} wide, expected {height} x {width}: resize it"
            )
        wide = picture.mode.startswith("I")  # 16 bits of grey, which Pillow would clip to 8 for colours
        raw = np.asarray(picture if wide else picture.convert(_MODES[channels]))
    values = np.divide(raw, np.float32(65535 if wide else 255), dtype=np.float32)
    if wide:
        planes = np.ones((channels, height, width), np.float32)
        planes[:3] = values
    else:
        planes = np.moveaxis(values, -1, 0) if channels > 1 else values
    return np.ascontiguousarray(planes).reshape(shape)


def _head(path: Path) -> tuple[int, int, bool]:
    """Height and width of a picture, and whether it is grey; its pixels are not read."""
    with _opened(path) as picture:
        return picture.height, picture.width, picture.mode in _GREY


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A picture of Pillow's, whose pixels are not read yet. Raises DataError for what Pillow can't read, also in the body."""
    image = load_extra("PIL.Image", "reading pictures", "images")
    require_file(path, "a PNG picture", DataError)
    try:
        _at_most(path, path.stat().st_size, _MOST_BYTES, "bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures that may be too large, and of odd chunks
            with image.open(path, formats=["PNG"]) as picture:
                _at_most(path, picture.width * picture.height, _MOST_PIXELS, "pixels")
                yield picture
    except DataError:
        raise
    except (
        OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, EOFError, MemoryError,
        struct.error, zlib.error, image.DecompressionBombError,
    ) as error:  # fmt: skip
        # What Pillow raises for a damaged file.
        reason = str(error).replace(str(path), "it")
        raise DataError(
            f"{path}: can't be read as a PNG picture ({type(error).__name__}: {reason:.200})"
        ) from error


def _at_most(path: Path, count: int, most: int, what: str) -> None:
    if count > most:
        raise DataError(f"{path}: a picture of {count} {what}, more than the limit of {most}")


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of an example of this shape."""
    if len(shape) == 3 and shape[0] in _MODES:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    side = round(float(np.prod(shape)) ** 0.5)
    if len(shape) == 1 and side * side == shape[0]:
        return 1, side, side
    raise DataError(f"the model takes examples of shape {shape}, and these are no pictures")
