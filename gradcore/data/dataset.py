"""Labelled examples as arrays, and their division into a training and a test part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcore.data.pairs import chosen_by, count_for_test, drawn_mask
from gradcore.errors import DataError, DomainError, DtypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Dataset", "Split"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled examples.

    images: float32 `(n, ...)`; pictures are `(n, channels, height, width)` with values in [0, 1], vectors `(n, features)`.
    labels: int64 `(n,)`, each an index into `classes`.
    name: where it comes from, for people. classes: the name of each class.
    scale: the stored number that became 1.0: 255 for bytes.

    Raises DataError when empty, ShapeError, DtypeError, and DomainError for a label without a class.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    name: str
    classes: tuple[str, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.images.dtype != np.float32 or self.labels.dtype != np.int64:
            raise DtypeError(
                f"{self.name}: expected float32 images and int64 labels, "
                f"got {self.images.dtype} and {self.labels.dtype}"
            )
        if self.images.ndim < 2 or self.labels.shape != self.images.shape[:1]:
            raise ShapeError(
                f"{self.name}: expected images (n, ...) and labels (n,), "
                f"got {self.images.shape} and {self.labels.shape}"
            )
        if self.images.size == 0:
            raise DataError(f"{self.name}: the data set is empty: its images have shape {self.images.shape}")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if wrong.size:
            raise DomainError(
                f"{self.name}: label {self.labels[wrong[0]]} at index {wrong[0]} is out of range: there are "
                f"{len(self.classes)} classes, so labels go from 0 to {len(self.classes) - 1} "
                f"({wrong.size} of {len(self)} labels are out of range)"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        """The image and the label at `index`: a whole number, a slice, or any other index of NumPy's."""
        return self.images[index], self.labels[index]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} x {self.images.shape[1:]}, {len(self.classes)} classes)"

    def subset(self, indices: Any) -> Dataset:
        """The examples at `indices`, copied: whole numbers, a slice or a mask of NumPy's.

        Raises DomainError for an index out of range, DataError where none is left.
        """
        chosen = chosen_by(self.name, len(self), indices)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def split(self, test: float = 0.2, seed: int = 0, stratify: bool = True) -> Split:
        """A random division into a training part and a test part, the same for the same seed.

        test: the part of the examples that goes into the test part, or how many. stratify: each class goes into it by the same
        share, to less than one example. Both parts keep the order of the examples.
        Raises DomainError for a part that leaves one of the two empty.
        """
        n = len(self)
        count = count_for_test(self.name, n, test)
        rng = np.random.default_rng(seed)
        order = rng.permutation(n)
        if stratify:
            counts = np.bincount(self.labels)
            exact = count * counts / n
            taken = np.floor(exact).astype(int)
            # What is left goes to the classes that lost most by rounding down, at random where they lost as much.
            lost = np.lexsort((rng.random(len(counts)), taken - exact))
            taken[lost[: count - taken.sum()]] += 1
            labels = self.labels[order]
            order = np.concatenate([order[labels == label][:most] for label, most in enumerate(taken)])
        chosen = drawn_mask(order[:count], n)
        named = [
            replace(self.subset(mask), name=f"{self.name} ({part})")
            for mask, part in ((~chosen, "train"), (chosen, "test"))
        ]
        return Split(*named)

    @property
    def features(self) -> int:
        """Numbers in one example."""
        return math.prod(self.images.shape[1:])

    def as_vectors(self) -> Dataset:
        """The same examples as `(n, features)`, without a copy."""
        return replace(self, images=self.images.reshape(len(self), self.features))

    def as_pictures(self) -> Dataset:
        """The same examples as `(n, channels, height, width)`; vectors are read as one square channel.

        Raises ShapeError when the vectors' length is not a square.
        """
        if self.images.ndim == 4:
            return self
        side = math.isqrt(self.features)
        if self.images.ndim != 2 or side * side != self.features:
            raise ShapeError(
                f"{self.name}: examples of shape {self.images.shape[1:]} are no pictures: "
                "expected (channels, height, width) or vectors whose length is a square"
            )
        return replace(self, images=self.images.reshape(len(self), 1, side, side))


@dataclass(frozen=True, eq=False)
class Split:
    """A training and a test part of one kind: the same classes and the same shape of an example.

    Raises ShapeError or DataError when the parts are of different kinds.
    """

    train: Dataset
    test: Dataset

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise ShapeError(
                f"training examples of shape {self.train.images.shape[1:]} ({self.train.name}) "
                f"do not fit test examples of shape {self.test.images.shape[1:]} ({self.test.name})"
            )
        if self.train.classes != self.test.classes:
            raise DataError(
                f"classes differ: {self.train.classes} in {self.train.name}, "
                f"{self.test.classes} in {self.test.name}"
            )

    def __iter__(self) -> Iterator[Dataset]:
        """The training part, then the test part: `train, test = load("digits")`."""
        return iter((self.train, self.test))

    @cached_property
    def mean(self) -> float:
        """Mean over all values of the training part, for standardising both parts."""
        return float(self.train.images.mean(dtype=np.float64))

    @cached_property
    def std(self) -> float:
        """Standard deviation over all values of the training part, 1.0 when they are all equal."""
        images, squares = self.train.images, 0.0
        for k in range(0, len(images), 1024):  # by blocks: a float64 copy of Fashion-MNIST would take 376 MB
            deviation = np.subtract(images[k : k + 1024], self.mean, dtype=np.float64)
            squares += float(np.vdot(deviation, deviation))
        return math.sqrt(squares / images.size) or 1.0

    def as_vectors(self) -> Split:
        """Both parts as `(n, features)`."""
        return Split(self.train.as_vectors(), self.test.as_vectors())

    def as_pictures(self) -> Split:
        """Both parts as `(n, channels, height, width)`."""
        return Split(self.train.as_pictures(), self.test.as_pictures())
