"""Data sets, and batches of them.

`load("digits")`, `load("synthetic")`, `load("synthetic-learnable")`, or `load(folder)` with MNIST's files or pictures by
classes in it. Of one's own: `load_csv`, `load_npz`, `load_pictures`, `load_text`, or two arrays as `Pairs`.
"""

from __future__ import annotations

import difflib
import os

from gradcore.data import augment
from gradcore.data.dataset import Dataset, Split
from gradcore.data.digits import load_digits
from gradcore.data.folder import load_folder, load_test_part
from gradcore.data.idx import encode_idx, read_idx
from gradcore.data.loader import DataLoader
from gradcore.data.npz import load_npz, read_npz
from gradcore.data.pairs import Pairs
from gradcore.data.png import load_pictures, read_png
from gradcore.data.synthetic import load_synthetic
from gradcore.data.tables import load_csv, read_csv
from gradcore.data.text import Text, load_text
from gradcore.errors import DataError

__all__ = [
    "DataLoader",
    "Dataset",
    "Pairs",
    "Split",
    "Text",
    "augment",
    "encode_idx",
    "load",
    "load_csv",
    "load_digits",
    "load_folder",
    "load_npz",
    "load_pictures",
    "load_synthetic",
    "load_test_part",
    "load_text",
    "names",
    "read_csv",
    "read_idx",
    "read_npz",
    "read_png",
]

names = ("digits", "synthetic", "synthetic-learnable")


def load(source: str | os.PathLike[str], seed: int = 0) -> Split:
    """Load a data set by its name (one of `names`), or from a folder of IDX files or PNG pictures.

    A name goes before a folder of the same name; `./digits` is the folder. `seed` makes the synthetic sets; the
    others, and their division into training and test part, are the same for every seed.

    Raises DataError when there is no such set, or when its files are damaged.

    >>> load("digits").test
    Dataset('digits (test)', 360 x (1, 8, 8), 10 classes)
    """
    match os.fspath(source):
        case "digits":
            return load_digits()
        case "synthetic":
            return load_synthetic(seed)
        case "synthetic-learnable":
            return load_synthetic(seed, learnable=True)
        case path if os.path.exists(path):
            return load_folder(path)
        case path:
            close = difflib.get_close_matches(path, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise DataError(
                f"no data set {path!r}: expected {', '.join(names)}, or a folder that holds MNIST's IDX files or folders train and test, "
                f"and there is no such folder{hint}"
            )
