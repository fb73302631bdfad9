"""What a reference gives: outputs, and cotangents of its inputs for each cotangent of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array


@dataclass(frozen=True, slots=True)
class Results:
    """outputs: one per output. pulled: for each list of cotangents of the outputs, one array or None per input."""

    outputs: list[Array]
    pulled: list[list[Array | None]]


SAME = 1e-9
"""Relative to the largest entry, in float64."""


def same(a: Sequence[Array | None], b: Sequence[Array | None]) -> bool:
    """Whether two lists of cotangents are the same but for rounding in float64; None counts as zero."""
    for x, y in zip(a, b, strict=True):
        first, second = (0.0 if g is None else np.nan_to_num(g) for g in (x, y))
        if np.max(np.abs(first - second), initial=0.0) > SAME * np.max(np.abs(first), initial=0.0):
            return False
    return True
