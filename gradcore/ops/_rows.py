"""What ops over rows share: when they may write into buffers, blocks that stay near the processor, and threads for these.

Where everything is an array of one dtype, of 32 bits or more, an op over the last axis takes rows a block at a time, writes in
place into arrays of its own, and sums rows by products of matrices, which add several times as fast as `np.sum`. Else,
and so wherever a rule is being recorded, the same op runs in its clear form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

Block = TypeVar("Block")
Result = TypeVar("Result")

_ENTRIES = 1 << 17
"""Of one array in a block: measured, where fewer cost more in calls than they gain in the cache."""
_LARGE = 1 << 21
"""Entries from which on two threads gain: measured on a busy machine, where handing over work and Python's lock costs most."""


def are_arrays(*values: Any) -> bool:
    """Whether all of them are NumPy's own arrays, for code that goes another way with them than with Tensors.

    What stands for an array while a step is captured has no `flags`, and says so: a replay calls such code as a whole.
    """
    return all(getattr(v, "flags", None) is not None and type(v) is np.ndarray for v in values)


def writable(*values: Any) -> bool:
    """Whether all of them are arrays of one dtype of 32 bits or more, so that an op on them may work in place.

    Those without an axis are not: NumPy's arithmetic makes scalars of them, and what became one would go another way.
    """
    if not are_arrays(*values) or values[0].ndim == 0:
        return False
    dtype = values[0].dtype
    return dtype.kind == "f" and dtype.itemsize >= 4 and all(v.dtype == dtype for v in values[1:])


def as_rows(x: NDArray[Any], width: int) -> NDArray[Any]:
    """`x` as (rows, width), where its last axes have `width` entries: a view where its memory allows."""
    return x.reshape(math.prod(x.shape) // width, width)


class Blocks(list[Block]):
    """Pieces of arrays, and the work in all of them: their entries, times some number where much is done with each."""

    def __init__(self, pieces: Iterable[Block], work: int) -> None:
        super().__init__(pieces)
        self.work = work


def row_blocks(rows: int, width: int) -> Blocks[slice]:
    """Slices of rows, each of about as many entries as stay near the processor; none is longer than the first."""
    step = max(1, _ENTRIES // width)
    return Blocks([slice(first, min(first + step, rows)) for first in range(0, rows, step)], rows * width)


def by_block(function: Callable[[Block], Result], blocks: Blocks[Block]) -> Iterator[Result]:
    """What the function gives for each block, in their order; on several threads where there is much to do (see `_split`).

    It writes to what belongs to its block alone, and leaves sums over blocks to the caller.
    """
    if len(blocks) < 2 or blocks.work < _LARGE:
        return map(function, blocks)
    from gradcore.ops._split import mapped

    return mapped(function, blocks, blocks.work)


def each_block(function: Callable[[Block], object], blocks: Blocks[Block]) -> None:
    """Call the function for each block, as `by_block` does."""
    for _ in by_block(function, blocks):
        pass
