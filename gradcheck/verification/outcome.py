"""How a check reports a mistake."""

from __future__ import annotations

from typing import Any

import numpy as np


class VerificationError(AssertionError):
    """A registered entry does not do what its spec says; the message names the entry, the place and both values."""


def described(arrays: Any, params: Any) -> str:
    """One call in a few words: "(float64 (2, 3), None), axis=1"."""
    shapes = ", ".join("None" if a is None else f"{a.dtype} {a.shape}" for a in arrays)
    return ", ".join([f"({shapes})", *(f"{name}={value!r}" for name, value in params.items())])


def first_difference(found: Any, expected: Any, bound: Any) -> tuple[tuple[int, ...], str] | None:
    """Where |found - expected| exceeds the bound by the largest factor, in words; None where it nowhere does.

    Where either is not finite the two must be equal, NaN to NaN.
    """
    found, expected, bound = np.broadcast_arrays(found, expected, bound)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(found - expected)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        wrong = ~same & ~(error <= bound)
        if not wrong.any():
            return None
        ratio = np.where(wrong, np.where(np.isfinite(error), error, np.inf) / np.maximum(bound, 1e-300), -1.0)
    index = tuple([int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape)])
    text = f"{found[index]!r}, expected {expected[index]!r} (off by {error[index]:.3g}, allowed {bound[index]:.3g})"
    return index, text
