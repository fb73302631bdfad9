"""Inputs and targets of any kind, as two arrays of one length; and what every data set's parts are chosen by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcore.errors import DataError, DomainError, ShapeError

__all__ = ["Pairs", "chosen_by", "count_for_test", "drawn_mask"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Inputs x and their targets y, row by row, such as (n, features) and (n,) for a regression.

    x, y: arrays of any dtype, or what NumPy makes one of. name: where they come from, for people.
    Raises ShapeError where the lengths differ, DataError where there are none.

    >>> train, test = Pairs(np.ones((10, 3)), np.arange(10.0)).split(test=2)
    >>> train, test.x.shape
    (Pairs('pairs (train)', 8 x (3,) to ()), (2, 3))
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    name: str = "pairs"

    def __post_init__(self) -> None:
        for field in ("x", "y"):
            object.__setattr__(self, field, np.asarray(getattr(self, field)))
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise ShapeError(
                f"{self.name}: expected x (n, ...) and y (n, ...) of one length, got {self.x.shape} and {self.y.shape}"
            )
        if len(self.x) == 0:
            raise DataError(f"{self.name}: there are no pairs: x {self.x.shape}, y {self.y.shape}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        """The input and the target at `index`: a whole number, a slice, or any other index of NumPy's."""
        return self.x[index], self.y[index]

    def __repr__(self) -> str:
        return f"Pairs({self.name!r}, {len(self)} x {self.x.shape[1:]} to {self.y.shape[1:]})"

    def subset(self, indices: Any) -> Pairs:
        """The pairs at `indices`, copied: whole numbers, a slice or a mask of NumPy's.

        Raises DomainError for an index out of range, DataError where none is left.
        """
        rows = chosen_by(self.name, len(self), indices)
        return replace(self, x=self.x[rows], y=self.y[rows])

    def split(self, test: float = 0.2, seed: int = 0) -> tuple[Pairs, Pairs]:
        """A random division into a training part and a test part, the same for the same seed; both keep the order.

        test: the part of the pairs that goes into the test part, or how many.
        Raises DomainError for a part that leaves one of the two empty.
        """
        count = count_for_test(self.name, len(self), test)
        mask = drawn_mask(np.random.default_rng(seed).permutation(len(self))[:count], len(self))
        train, held_out = self.subset(~mask), self.subset(mask)
        return replace(train, name=f"{self.name} (train)"), replace(held_out, name=f"{self.name} (test)")


def chosen_by(name: str, n: int, indices: Any) -> npt.NDArray[np.intp]:
    """The rows of n that `indices` stands for: whole numbers, a slice or a mask. Raises DomainError, which names the data."""
    rows = np.arange(n)
    try:
        rows = rows[indices if isinstance(indices, slice) else np.asarray(indices)]
    except IndexError as error:
        raise DomainError(
            f"{name}: can't be indexed by {indices!r:.80} ({error}): it has {n} examples"
        ) from error
    if rows.ndim != 1:
        raise DomainError(f"{name}: expected one axis of indices, a mask or a slice, got {indices!r:.80}")
    return rows


def count_for_test(name: str, n: int, test: float) -> int:
    """How many of n go into the test part, `test` being a part of them or a number. Raises DomainError where one part is empty."""
    whole = isinstance(test, int | np.integer) and not isinstance(test, bool)
    count = int(test) if whole else round(test * n) if 0 < test < 1 else 0
    if not 0 < count < n:
        raise DomainError(
            f"{name}: split got test={test!r}: expected a part between 0 and 1, or a number of examples, that leaves "
            f"some of the {n} examples in both parts"
        )
    return count


def drawn_mask(rows: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.bool_]:
    """True at these rows of n."""
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask
