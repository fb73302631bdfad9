"""What `gradcore predict` is given: a data set, a file of images, a picture or a folder of these; no more than is asked for."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcore.data import load, load_test_part, names, read_idx
from gradcore.errors import DataError
from gradcore.extras import load_extra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gradcore.data import Dataset

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 64_000_000  # of a PNG file
_MOST_PIXELS = 16_000_000
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class Examples(NamedTuple):
    """images: as the model takes them. labels: of the true classes, where they are known. names: what to call each."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    names: list[str]


def read_examples(source: str, config: Mapping[str, Any], seed: int, limit: int) -> Examples:
    """The first `limit` examples of a source, in the shape and on the scale that a model was trained on.

    Raises DataError where they are damaged, or do not fit the model.
    """
    shape = tuple(config["input_shape"])
    path = Path(source)
    if source not in names and path.is_dir():
        if pictures := _pictures_in(path):
            return _numbered([read_png(each, shape) for each in pictures[:limit]], pictures)
        part = load_test_part(source, limit)
    elif source not in names and path.exists():
        if _is_png(path):
            return _numbered([read_png(path, shape)], [path])
        images = _from_idx(source, shape, config.get("scale", 1.0), limit)
        return Examples(images, None, [str(i) for i in range(len(images))])
    else:
        part = load(source, seed).test
    check_fits(config, part)
    images = part.images[:limit].reshape(-1, *shape)
    return Examples(images, part.labels[:limit], [str(i) for i in range(len(images))])


def check_fits(config: Mapping[str, Any], part: Dataset) -> None:
    """Raise DataError where a model of this configuration is not one for the examples of this part."""
    shape, wanted = part.images.shape[1:], tuple(config["input_shape"])
    # A cnn takes vectors as square pictures, as it did in training.
    fits = shape == wanted or (config["model"] == "cnn" and shape == (np.prod(wanted),))
    if not fits or list(part.classes) != config["classes"]:
        raise DataError(
            f"{part.name} does not fit this model: its examples have shape {shape} and the classes "
            f"{', '.join(part.classes)}; the model was trained on {config.get('data')!s:.80}, with shape {wanted} and the "
            f"classes {', '.join(config['classes'])[:200]}"
        )


def _numbered(images: list[NDArray[np.float32]], paths: list[Path]) -> Examples:
    return Examples(np.stack(images), None, [path.name for path in paths[: len(images)]])


def _pictures_in(folder: Path) -> list[Path]:
    """The PNG files of a folder, those with numbers in their names in the numbers' order."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() == ".png" and path.is_file()]
    except OSError as error:
        raise DataError(f"{folder}: can't be listed: {error.strerror or error}") from error
    return sorted(
        found,
        key=lambda path: [
            (0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"([0-9]{1,18})", path.name)
            if part
        ],
    )


def _is_png(path: Path) -> bool:
    if not path.is_file():
        raise DataError(f"{path}: expected a file of images, found no regular file there")
    try:
        with path.open("rb") as file:
            return file.read(8) == _PNG
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def read_png(path: str | os.PathLike[str], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A PNG picture with values from 0 to 1, in the shape of an example: (channels, h, w), (h, w) or a square's (h * w,).

    Grey levels are expected as in the data that the model was trained on: in digits and MNIST ink is bright.
    Raises DataError where the file is damaged or of another size.
    """
    path = Path(path)
    channels, height, width = _picture_shape(shape)
    image = load_extra("PIL.Image", "reading pictures", "images")
    try:
        raw, full = _decoded(path, image, channels, height, width)
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
    values = np.divide(raw, full, dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(values, -1, 0) if channels > 1 else values).reshape(shape)


def _decoded(
    path: Path, image: Any, channels: int, height: int, width: int
) -> tuple[NDArray[Any], np.float32]:
    """The numbers of a picture, and which of them is white."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"{path}: a picture of more than {_MOST_BYTES} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that may be too large, and of odd chunks
        with image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > _MOST_PIXELS or picture.size != (width, height):
                raise DataError(
                    f"{path} is {picture.height} pixels high and {picture.width} wide, and the model takes {height} x "
                    f"{width}: resize it"
                )
            wide = picture.mode.startswith("I") and channels == 1
            raw = np.asarray(picture if wide else picture.convert(_MODES[channels]))
    return raw, np.float32(65535 if wide else 255)


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


def _from_idx(path: str, shape: tuple[int, ...], scale: float, limit: int) -> NDArray[np.float32]:
    """Images of one IDX file."""
    raw = read_idx(path, rows=limit)
    if not raw.size:
        raise DataError(f"{path} holds no examples: its shape is {raw.shape}")
    if not np.isfinite(raw).all():
        wrong = np.argwhere(~np.isfinite(raw))[0].tolist()
        raise DataError(f"{path} is not finite, first at index {wrong}. Clean the data")
    if raw.ndim < 2 or raw[0:1].size != int(np.prod(shape)):
        raise DataError(
            f"{path} holds an array of shape {raw.shape}, and the model takes examples of shape {shape}: expected "
            f"(n, {', '.join(str(n) for n in shape[-2:])})"
        )
    with np.errstate(over="ignore"):
        images = (raw.reshape(len(raw), *shape) / np.float32(scale)).astype(np.float32)
    if not np.isfinite(images).all():
        raise DataError(f"{path} holds numbers beyond what float32 holds. Clean the data")
    return images
