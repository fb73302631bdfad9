"""What ops over rows share: when they may write into buffers, and blocks of rows that stay near the processor.

Where everything is an array of one dtype, of 32 bits or more, an op over the last axis takes rows a block at a time, writes in
place into arrays of its own, and sums rows by products of matrices, which add several times as fast as `np.sum`. Else,
and so wherever a rule is being recorded, the same op runs in its clear form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENTRIES = (
    1 << 17
)  # of one array in a block: measured, where fewer cost more in calls than they gain in the cache


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


def row_blocks(rows: int, width: int) -> list[slice]:
    """Slices of rows, each of about as many entries as stay near the processor; none is longer than the first."""
    step = max(1, _ENTRIES // width)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]
