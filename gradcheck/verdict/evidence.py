"""What was measured of a claim, and small helpers on lists of cotangents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.protocol import Array
from gradcheck.numeric.line import eps_of, flatten
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.compare import KINK, Comparison, Verdict

Cotangents = list[Array | None]
Direction = tuple[Array | None, ...]

APART = 2.0**14
"""Normally distributed outputs are evened by less than this: it is for scales that differ, not for chance."""

Witness: TypeAlias = Literal["random", "given", "tie"]
"""Where a cotangent and a direction come from: drawn; the cotangent is the caller's; entries that tie move together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One numeric derivative along `v`, and the claimed `gx` for the cotangents `gys` that is compared with it."""

    v: Direction
    numeric: Derivative
    gys: tuple[Array, ...]
    gx: tuple[Array | None, ...]
    comparison: Comparison
    witness: Witness = "random"

    @property
    def failed(self) -> bool:
        """Whether the claim is outside its bound."""
        return self.comparison.verdict is Verdict.FAIL

    def at_kink(self, *, throughout: bool = False) -> bool:
        """Whether an output that counts is at a kink; `throughout`: all of them are that change at all."""
        at_kink = self.numeric.flat_diagnosis == KINK
        if not np.count_nonzero(at_kink):
            return False
        weights = flatten([np.real(gy) if gy.dtype.kind != "c" else gy for gy in self.gys])
        if weights.shape != at_kink.shape:
            return False
        counts = (weights != 0) & (at_kink | (self.numeric.flat_value != 0))
        return bool(counts.any() and at_kink[counts].all()) if throughout else bool(at_kink[counts].any())


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a difference may be no mistake of the rule.

    name: of `gradcheck.verdict.excuses.EXCUSES`. text: the reason, a sentence for the report. instead: what the comparison
    comes to with it. of_point: it is the numeric derivative that is wrong at this point, so that no difference from it
    counts, not this one only.
    """

    name: str
    text: str
    instead: Comparison
    of_point: bool = False


def coarsest(gx: Sequence[Array | None], gys: Sequence[Array]) -> float:
    """The largest machine epsilon of the floating arrays among these."""
    return max([eps_of(a.dtype) for a in (*gx, *gys) if a is not None and a.dtype.kind in "fc"])


def of_moving(gx: Sequence[Array | None], v: Direction) -> Direction:
    """The cotangents of the inputs that move along `v`."""
    return tuple([None if t is None else g for g, t in zip(gx, v, strict=True)])


def infinite_in(x: Array) -> NDArray[np.bool_] | None:
    """The entries that are infinite or NaN, None where there is none."""
    finite = np.isfinite(x)
    return None if np.count_nonzero(finite) == x.size else np.asarray(~finite)


def better_than(numeric: Derivative, code: Diagnosis) -> tuple[NDArray[np.bool_], ...]:
    """For every output entry, whether its diagnosis is better than this one."""
    diagnosis = numeric.diagnosis
    return tuple(
        [np.asarray(d < code) for d in (diagnosis if isinstance(diagnosis, tuple) else (diagnosis,))]
    )


def marked(masks: Sequence[NDArray[np.bool_] | None]) -> int:
    """How many entries these masks mark; None marks none."""
    return sum(int(np.count_nonzero(mask)) for mask in masks if mask is not None)


def copied(gx: Sequence[Array | None]) -> Cotangents:
    """Copies of the arrays."""
    return [None if g is None else g.copy() for g in gx]


def same(a: Sequence[Array | None], b: Sequence[Array | None]) -> bool:
    """Whether two lists of cotangents are equal to the bit, NaN equal to NaN."""
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            if x is not y:
                return False
        elif not equal(x, y):
            return False
    return True


def equal(x: Array, y: Array) -> bool:
    """Whether two arrays have the same shape and entries, NaN equal to NaN."""
    if x.shape != y.shape:
        return False
    alike = x == y
    if np.count_nonzero(alike) < x.size:
        alike = alike | (x != x) & (y != y)
    return bool(np.count_nonzero(alike) == x.size)


def far_apart(gys: Sequence[Array]) -> bool:
    """Whether the entries of one cotangent differ in size by so much that a flat one hides the effect of some."""
    sizes = [np.abs(gy if np.count_nonzero(gy) == gy.size else gy[gy != 0]) for gy in gys]
    return any(s.size > 0 and bool(s.max() > APART * s.min()) for s in sizes)


def constant_along(x: Array) -> Array:
    """A view of `x`'s shape that is constant along the first axis that is longer than 1: its stride is 0."""
    return np.broadcast_to(_first_along(x)[0].copy(), x.shape)


def constant_copy(x: Array) -> Array:
    """The same values in memory of their own, in C order."""
    first, axis = _first_along(x)
    return first.copy() if first.shape == x.shape else first.repeat(x.shape[axis], axis)


def _first_along(x: Array) -> tuple[Array, int]:
    """The entries at 0 of the first axis that is longer than 1, and that axis; all of them where there is none."""
    for axis, n in enumerate(x.shape):
        if n > 1:
            return x[(slice(None),) * axis + (slice(0, 1),)], axis
    return x, 0
