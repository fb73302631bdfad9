"""What `gradcore predict` is given: a data set, a file of images, a picture or a folder of these; no more than is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcore.data import load, load_test_part, names, read_idx
from gradcore.data.png import pictures_in, read_png
from gradcore.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gradcore.data import Dataset

_PNG = b"\x89PNG\r\n\x1a\n"


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
        if pictures := pictures_in(path):
            return _numbered([read_png(each, shape) for each in pictures[:limit]], pictures)
        part = load_test_part(source, limit, shape[0] if len(shape) == 3 else None)
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


def _is_png(path: Path) -> bool:
    if not path.is_file():
        raise DataError(f"{path}: expected a file of images, found no regular file there")
    try:
        with path.open("rb") as file:
            return file.read(8) == _PNG
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


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
