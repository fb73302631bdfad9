"""Made-up data: one set that nothing can be learned from, and one that can be learned."""

from __future__ import annotations

import numpy as np

from gradcore.data.dataset import Dataset, Split

__all__ = ["load_synthetic"]

N_TRAIN, N_TEST, FEATURES, CLASSES = 1000, 200, 784, 10
SPREAD = 0.25


def load_synthetic(seed: int = 0, *, learnable: bool = False) -> Split:
    """1,000 training and 200 test vectors of 784 numbers, labels 0 to 9, all drawn from `seed`.

    By default values are standard normal and labels uniform, independent of the values: a network can memorise the
    training part, and test accuracy stays near 10 % for every network. With `learnable`, a prototype per class,
    normal with standard deviation 0.25, is added to the values, so that the label can be predicted from them.
    """
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(0, SPREAD, (CLASSES, FEATURES)).astype(np.float32)
    name = "synthetic-learnable" if learnable else "synthetic"
    classes = tuple(str(k) for k in range(CLASSES))
    parts = []
    for part, n in (("train", N_TRAIN), ("test", N_TEST)):
        labels = rng.integers(CLASSES, size=n)
        values = rng.standard_normal((n, FEATURES), dtype=np.float32)
        if learnable:
            values += prototypes[labels]
        parts.append(Dataset(values, labels, f"{name} ({part})", classes))
    return Split(*parts)
