"""Where the wrong entries of an array lie, in words: rows, columns, a tail, a tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array

BLOCKS = (256, 128, 64, 32, 16, 8, 4)


@dataclass(frozen=True, slots=True)
class Region:
    """Wrong entries that fill `start:stop` of one axis, and none beside it."""

    axis: int
    start: int
    stop: int
    size: int

    def words(self, ndim: int) -> str:
        """As in "rows 96 to 99 of 100"."""
        one = axis_name(self.axis, ndim)
        if self.stop - self.start == 1:
            return f"{one} {self.start} of {self.size}"
        return f"{one}s {self.start} to {self.stop - 1} of {self.size}"


def axis_name(axis: int, ndim: int) -> str:
    """What an index along an axis is called."""
    if ndim == 1:
        return "entry"
    return {ndim - 2: "row", ndim - 1: "column"}.get(axis, f"slice of axis {axis},")


def regions(bad: Array) -> list[Region]:
    """One for each axis along which the wrong entries fill one interval, and not the whole of it."""
    found = []
    for axis, size in enumerate(bad.shape):
        touched = bad.any(axis=tuple([a for a in range(bad.ndim) if a != axis]))
        at = np.flatnonzero(touched)
        if at.size and at.size < size:
            start, stop = int(at[0]), int(at[-1]) + 1
            if at.size >= 0.75 * (stop - start):
                found.append(Region(axis, start, stop, size))
    return found


def placed(bad: Array) -> str:
    """A sentence on where the wrong entries are."""
    n, total = int(np.count_nonzero(bad)), bad.size
    if n == total:
        return f"all {total} entries are wrong" if total > 1 else ""
    if n == 1:
        return f"it is the only wrong one of {total} entries"
    where = [r.words(bad.ndim) for r in regions(bad)]
    text = f"{n} of {total} entries are wrong"
    return f"{text}: {' and '.join(where)}" if where else text


def block(region: Region) -> int | None:
    """The block size that would leave this interval over, None for none that is likely."""
    return next(
        (b for b in BLOCKS if region.start % b == 0 and b <= max(region.start, region.stop - region.start)),
        None,
    )
