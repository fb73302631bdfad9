"""How far a right kernel may be off: the rounding of what it stores, and the spread of the reference with errors.

With B = u |truth| + SPREAD rms(noisy - exact) for each entry, an entry may be off by ENTRY B, and a whole array by its root of
squares times NORM. Errors of N(0, 1) roundings each are about twice those of rounding to nearest, so that a right kernel
stays well below; a uniform error of a few units in the last place of bfloat16 is within ENTRY B and shows in the norm only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.kernels.formats import Format

DRAWS = 16
SPREAD = 3.0
ENTRY = 3.0
NORM = 1.5


@dataclass(frozen=True)
class Judged:
    """One array of the kernel beside the truth.

    path: the output or input. layout: of the cotangent, "" for an output. ratio: the largest error of an entry in units of
    what is allowed; norm_ratio: the same of the whole array. spread: the largest rms difference between calls.
    """

    path: str
    layout: str
    actual: Array
    truth: Array
    rms: Array
    format: Format

    @property
    def which(self) -> int:
        """Which cotangent it is for: that of independent entries, that of equal rows, or the caller's."""
        if self.layout.startswith("given"):
            return 2
        return int(self.layout in ("broadcast", "dense copy"))

    @cached_property
    def base(self) -> Array:
        """B, for each entry."""
        found: Array = self.format.rounding(self.truth) + SPREAD * self.rms
        return found

    @cached_property
    def limit(self) -> Array:
        """The error that an entry may have."""
        return ENTRY * self.base

    @cached_property
    def error(self) -> Array:
        """|actual - truth|: 0 where both are infinite alike, or the truth is out of the format's range, or NaN."""
        with np.errstate(all="ignore"):
            error = np.abs(self.actual - self.truth)
        largest = self.format.largest * (1 - self.format.unit)
        over = (np.abs(self.truth) >= largest) & (np.sign(self.truth) == np.sign(self.actual))
        over &= ~np.isfinite(self.actual) | (np.abs(self.actual) >= largest)
        error = np.where(over | np.isnan(self.truth) | (self.actual == self.truth), 0.0, error)
        return np.where(np.isnan(error), np.inf, error)

    @cached_property
    def ratios(self) -> Array:
        """The error of each entry in units of what it may be."""
        with np.errstate(all="ignore"):
            return np.where(self.error == 0, 0.0, self.error / self.limit)

    @property
    def bad(self) -> Array:
        """Which entries are off by more than they may be."""
        return self.ratios > 1

    @cached_property
    def norm_ratio(self) -> float:
        """The error of the whole array in units of what it may be."""
        counted = np.isfinite(self.base) & np.isfinite(self.error)
        n = int(np.count_nonzero(counted))
        allowed = norm_factor(n) * root(self.base[counted])
        off = root(self.error[counted])
        return off / allowed if allowed else float(np.inf if off else 0.0)

    @property
    def ratio(self) -> float:
        """The larger one of entry and norm."""
        return max(float(self.ratios.max(initial=0.0)), self.norm_ratio)

    @property
    def wrong(self) -> bool:
        """Whether it is off by more than rounding explains."""
        return self.ratio > 1


def norm_factor(n: int) -> float:
    """The limit of the norm in units of B's: the fewer entries, the nearer to that of one."""
    return NORM + (ENTRY - NORM) / math.sqrt(max(n, 1))


def root(values: Array) -> float:
    """The root of the sum of squares, without overflow."""
    top = float(np.max(np.abs(values), initial=0.0))
    return 0.0 if top == 0 else top * float(np.sqrt(np.sum(np.square(values / top))))


def rms(draws: Sequence[Array], exact: Array) -> Array:
    """The root mean square difference; infinite where a draw is not finite and the truth is."""
    with np.errstate(all="ignore"):
        total = np.zeros(exact.shape)
        for draw in draws:
            total += np.square(draw - exact)
        found = np.sqrt(total / max(len(draws), 1))
    return np.where(np.isfinite(exact), np.where(np.isnan(found), np.inf, found), 0.0)
