"""Real handwritten digits that come with the package, so that training needs no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcore.data.dataset import Dataset, Split
from gradcore.data.idx import read_idx

__all__ = ["load_digits"]

_SCALE = 16.0
_FOLDER = Path(__file__).parent / "digits"


def load_digits() -> Split:
    """1,797 handwritten digits as float32 `(n, 1, 8, 8)`: 1,437 to train, 360 to test.

    Pixels count the dark points of a 4x4 block, 0 to 16, and are divided by 16. The split is fixed and stratified:
    with the images sorted by label (and by their place in the file within a label), every fifth is for testing. It
    depends on no seed, so accuracies compare across runs and a saved model never meets its training images in a test.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
    doi:10.24432/C50P49, CC BY 4.0; see digits/SOURCE.md.
    """
    images = read_idx(_FOLDER / "images-idx3-ubyte.gz")
    labels = read_idx(_FOLDER / "labels-idx1-ubyte.gz")
    for_test = np.zeros(len(labels), dtype=np.bool_)
    for_test[np.argsort(labels, kind="stable")[::5]] = True
    scaled = np.divide(images[:, None], np.float32(_SCALE), dtype=np.float32)
    targets = labels.astype(np.int64)
    classes = tuple("0123456789")
    return Split(
        Dataset(scaled[~for_test], targets[~for_test], "digits (train)", classes, _SCALE),
        Dataset(scaled[for_test], targets[for_test], "digits (test)", classes, _SCALE),
    )
