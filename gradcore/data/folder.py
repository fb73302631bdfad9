"""A folder that holds MNIST, Fashion-MNIST or a set of their form under the usual IDX file names, or pictures by classes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gradcore.data.dataset import Dataset, Split
from gradcore.data.idx import read_idx
from gradcore.data.png import load_pictures
from gradcore.errors import DataError

__all__ = ["load_folder", "load_test_part"]

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load_folder(folder: str | os.PathLike[str]) -> Split:
    """Read `train-` and `t10k-` `images-idx3-ubyte` and `labels-idx1-ubyte`, gzipped or plain; or folders `train` and `test`.

    `train-images.idx3-ubyte` is accepted too, each with or without `.gz`. Images become float32 `(n, 1, h, w)`, their
    0..255 divided by 255. The ten classes are called 0 to 9, or by their garments when the folder's name says fashion.
    Where there are folders `train` and `test` each holds a folder of PNG pictures for each class, see `load_pictures`.

    Raises DataError when a file is missing, damaged or does not hold what its name promises.
    """
    folder = _existing(folder)
    if _holds_pictures(folder):
        pictures = load_pictures(folder / "train")
        return Split(pictures, load_pictures(folder / "test", pictures.images.shape[1]))
    paths = _find_files(folder, ("train", "t10k"))
    train, test = (_read_part(paths, part, None) for part in ("train", "t10k"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{folder}: the images to train on are of shape {train.images.shape[1:]}, and those to test on of shape "
            f"{test.images.shape[1:]}: expected one shape for both"
        )
    return Split(train, test)


def load_test_part(folder: str | os.PathLike[str], rows: int, channels: int | None = None) -> Dataset:
    """The first `rows` examples of the part of a folder that is for testing; no others are read. Raises DataError.

    channels: of PNG pictures, see `load_pictures`.
    """
    folder = _existing(folder)
    if _holds_pictures(folder):
        return load_pictures(folder / "test", channels, rows=rows)
    return _read_part(_find_files(folder, ("t10k",)), "t10k", rows)


def _holds_pictures(folder: Path) -> bool:
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def _existing(folder: str | os.PathLike[str]) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: expected a folder with IDX files, found {found} there")
    return folder


def _find_files(folder: Path, parts: tuple[str, ...]) -> dict[str, Path]:
    try:
        present = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: can't be listed: {error.strerror or error}") from error
    paths = {}
    missing = []
    for part in parts:
        for kind, rank in (("images", 3), ("labels", 1)):
            usual = f"{part}-{kind}-idx{rank}-ubyte"
            dotted = f"{part}-{kind}.idx{rank}-ubyte"
            for name in (usual, f"{usual}.gz", dotted, f"{dotted}.gz"):
                if name in present:
                    paths[usual] = folder / name
                    break
            else:
                missing.append(usual)
    if missing:
        found = ", ".join(present[:20]) + (f" and {len(present) - 20} more" if len(present) > 20 else "")
        raise DataError(
            f"{folder}: missing {', '.join(missing)} (each may also end in .gz), and no folders train and test of PNG pictures; "
            f"found {found or 'nothing: the folder is empty'}"
        )
    return paths


def _read_part(paths: dict[str, Path], part: str, rows: int | None) -> Dataset:
    image_path, label_path = paths[f"{part}-images-idx3-ubyte"], paths[f"{part}-labels-idx1-ubyte"]
    classes = FASHION if "fashion" in image_path.parent.resolve().name.lower() else DIGITS
    images = read_idx(image_path, rows=rows)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise DataError(
            f"{image_path}: expected images, uint8 of rank 3 (n, height, width), got {images.dtype} of rank "
            f"{images.ndim} {images.shape}" + ("; these look like labels" if images.ndim == 1 else "")
        )
    if images.size == 0:
        raise DataError(f"{image_path}: the data set is empty: its images have shape {images.shape}")
    labels = read_idx(label_path, rows=rows)
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise DataError(
            f"{label_path}: expected labels, uint8 of rank 1 (n,), got {labels.dtype} of rank "
            f"{labels.ndim} {labels.shape}" + ("; these look like images" if labels.ndim == 3 else "")
        )
    if len(images) != len(labels):
        raise DataError(
            f"{len(images)} images in {image_path} but {len(labels)} labels in {label_path}: expected one label an image"
        )
    wrong = np.flatnonzero(labels >= len(classes))
    if wrong.size:
        raise DataError(
            f"{label_path}: label {labels[wrong[0]]} at index {wrong[0]} is out of range, expected 0 to "
            f"{len(classes) - 1} ({wrong.size} of {len(labels)} labels are out of range)"
        )
    scaled = np.divide(images[:, None], np.float32(255), dtype=np.float32)
    return Dataset(scaled, labels.astype(np.int64), str(image_path.parent), classes, scale=255.0)
