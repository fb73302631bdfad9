"""What a reference gives: outputs, and cotangents of its inputs for each cotangent of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array


@dataclass(frozen=True, slots=True)
class Results:
    """outputs: one per output. pulled: for each list of cotangents of the outputs, one array or None per input."""

    outputs: list[Array]
    pulled: list[list[Array | None]]


SAME = 1e-9
"""Relative to the largest entry, in float64."""

CANCELLED = 2.0**-40
"""Relative to the terms of a derivative, which may all but cancel, as in a softmax of which one entry is nearly 1."""


def same(
    a: Sequence[Array | None],
    b: Sequence[Array | None],
    inputs: Sequence[Array],
    terms: Sequence[tuple[Array, Array | None]],
) -> bool:
    """Whether two lists of cotangents of the inputs are the same but for rounding in float64; None counts as zero.

    terms: the outputs with their cotangents, from which, beside an input's size, that of the terms follows.
    """
    largest = max([_top(y * gy) for y, gy in terms if gy is not None], default=0.0)
    for x, y, given in zip(a, b, inputs, strict=True):
        first, second = (0.0 if g is None else np.nan_to_num(g) for g in (x, y))
        size = _top(given)
        limit = SAME * _top(first) + (CANCELLED * largest / size if size else 0.0)
        if _top(first - second) > limit:
            return False
    return True


def _top(values: Any) -> float:
    """The largest size of a finite entry."""
    sizes = np.abs(values)
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
