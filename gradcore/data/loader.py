"""Batches: shuffled from a seed, resumable to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcore.data.augment import Augmentation
from gradcore.data.dataset import Dataset
from gradcore.data.pairs import Pairs
from gradcore.errors import ArgumentError, DataError, DomainError, ShapeError
from gradcore.sizes import whole

__all__ = ["DataLoader"]

Batch = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class DataLoader:
    """Batches `(images, labels)` of a data set, of `Pairs`, or of two arrays of one length; iterating once is one epoch.

    Every batch is a fresh pair of arrays: changing it never changes the data. With `shuffle`, epoch k uses the
    permutation that `numpy.random.default_rng([seed, k])` gives, so an epoch depends on the seed and its number alone
    (from a Generator passed as `seed`, one integer is drawn). The last batch may be smaller, unless `drop_last`.

    augment: a function of a batch's images and a random generator, which gives the images in their place
    (`gradcore.data.augment`); batch k of epoch e gets the generator of [seed, e, k].

    `state_dict()` records the position of the loader, down to the batch; a loader that loads it continues from there with
    the same batches. An iteration left early is not resumed by the next one, which begins a new epoch.

    Raises DataError when there is nothing to iterate over, ShapeError when lengths differ, DomainError for a batch
    size or a seed that is not a whole number in range.

    >>> loader = DataLoader(np.arange(5.0), np.arange(5), batch_size=2)
    >>> len(loader), [labels.tolist() for _, labels in loader]
    (3, [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        images: Dataset | Pairs | npt.ArrayLike,
        labels: npt.ArrayLike | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int | np.random.Generator = 0,
        drop_last: bool = False,
        augment: Augmentation | None = None,
    ) -> None:
        if isinstance(images, Dataset | Pairs):
            if labels is not None:
                raise ShapeError(
                    f"a {type(images).__name__} brings its own labels; expected no second argument beside it"
                )
            images, labels = images[:]
        elif labels is None:
            raise ShapeError("expected a Dataset, Pairs, or images and labels; got images alone")
        self.images: npt.NDArray[Any] = np.asarray(images)
        self.labels: npt.NDArray[Any] = np.asarray(labels)
        self.batch_size = _whole_number("batch_size", batch_size, 1)
        self.shuffle, self.drop_last, self.augment = shuffle, drop_last, augment
        if augment is not None and not callable(augment):
            raise ArgumentError(
                f"DataLoader got augment={augment!r:.60}: pass a function of images and a random generator, such as "
                "gradcore.data.augment.shift(2)"
            )
        if isinstance(seed, np.random.Generator):
            seed = int(seed.integers(2**63))
        self.seed = _whole_number("seed", seed, 0)
        self._check_lengths()
        self._epoch, self._batch, self._resumed = 0, 0, False

    def _check_lengths(self) -> None:
        if self.images.ndim == 0 or self.labels.ndim == 0 or len(self.images) != len(self.labels):
            raise ShapeError(
                f"expected images (n, ...) and labels (n, ...) of one length, "
                f"got {self.images.shape} and {self.labels.shape}"
            )
        if len(self.images) == 0:
            raise DataError(f"the data set is empty: images {self.images.shape}, labels {self.labels.shape}")
        if len(self) == 0:
            raise DataError(
                f"batch_size {self.batch_size} with drop_last leaves no batch of {len(self.images)} examples; "
                f"use a batch_size of at most {len(self.images)}, or keep the last batch"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.images), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def epoch(self) -> int:
        """Number, from 0, of the epoch in progress, or of the next one between two."""
        return self._epoch + (self._batch == len(self))

    def __iter__(self) -> Iterator[Batch]:
        if self._batch and not self._resumed:
            self._epoch, self._batch = self._epoch + 1, 0
        self._resumed = False
        epoch, first = self._epoch, self._batch
        order = (
            np.random.default_rng([self.seed, epoch]).permutation(len(self.images)) if self.shuffle else None
        )
        for k in range(first, len(self)):
            span = slice(k * self.batch_size, (k + 1) * self.batch_size)
            self._epoch, self._batch = epoch, k + 1
            if order is None:
                images, labels = self.images[span].copy(), self.labels[span].copy()
            else:
                images, labels = _rows(self.images, order[span]), _rows(self.labels, order[span])
            if self.augment is not None:
                images = self.augment(images, np.random.default_rng([self.seed, epoch, k]))
                if len(images) != len(labels):
                    raise ShapeError(
                        f"augment made {len(images)} images of a batch of {len(labels)}: it gives one for each"
                    )
            yield images, labels

    def state_dict(self) -> dict[str, Any]:
        """The position of the loader, and what it depends on, as a dict that JSON can hold."""
        finished = self._batch == len(self)
        return {
            "epoch": self._epoch + finished,
            "batch": 0 if finished else self._batch,
            "seed": self.seed,
            "n": len(self.images),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken: the next iteration gives the rest of that epoch.

        Raises DataError when the state belongs to a loader that would give other batches.
        """
        own = self.state_dict()
        if not isinstance(state, Mapping):
            raise DataError(f"expected the state of a loader as state_dict() gives it, got {state!r:.80}")
        if missing := [key for key in own if key not in state]:
            raise DataError(
                f"the loader's state lacks {', '.join(missing)}; it holds {', '.join(state) or 'nothing'}"
            )
        fixed = ("n", "batch_size", "shuffle", "drop_last")
        if differing := [
            f"{key}: {state[key]!r:.80} saved, {own[key]} here"
            for key in fixed
            if not isinstance(state[key], int | np.integer | np.bool_) or state[key] != own[key]
        ]:
            raise DataError(
                f"the state belongs to a loader that gives other batches ({'; '.join(differing)})"
            )
        try:
            epoch, batch, seed = (_whole_number(key, state[key], 0) for key in ("epoch", "batch", "seed"))
        except DomainError as error:
            raise DataError(f"the state of a loader is damaged: {error}") from error
        if batch >= len(self):
            raise DataError(f"the state stands at batch {batch} of an epoch of {len(self)}")
        self.seed, self._epoch, self._batch, self._resumed = seed, epoch, batch, True


def _rows(array: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """These rows, copied: by `take`, which is faster, but would first copy all of an array that is a view of overlapping rows."""
    return array.take(rows, axis=0) if array.flags.c_contiguous else array[rows]


def _whole_number(name: str, value: object, least: int) -> int:
    number = whole(value, least)
    if number is None:
        raise DomainError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return number
