"""Wrong entries that are at a kink of the reference, as where a maximum is reached twice: any slope between the two is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.kernels.allowance import Judged
from gradcheck.kernels.measured import Measured

SAMPLED = 3
"""So many of the wrong entries are looked at, each by itself; one where no more evaluations are left."""

STEP = 2.0**-20
"""Relative to the entry's size, or the array's where that is larger."""

APART = 0.05
"""Slopes that differ by more than this part of the larger one make a kink."""

FUZZ = 2.0**-44
"""By so much of an output its difference may be off by rounding."""


def at_kinks(m: Measured, j: Judged) -> bool:
    """Whether wrong entries are always at a kink, and between its slopes; and those that are equal have the right total.

    At a tie each share lies between nothing and the whole, and all of them add up to it: moved together, what is tied has no kink.
    """
    if not j.layout or not j.bad.any():
        return False
    for index in _suspects(m, j)[: SAMPLED if m.affords(2 * SAMPLED + 2) else 1]:
        place = np.zeros(j.truth.shape, bool)
        place[index] = True
        below, above = _moved(m, j, place).slopes
        low, high, limit = min(below, above), max(below, above), float(j.limit[index])
        if high - low <= APART * max(abs(low), abs(high)):
            return False
        if not low - limit <= float(j.actual[index]) <= high + limit:
            return False
    x = m.kernel.inputs[_input(m, j)].array
    equal = np.isin(x, x[j.bad])
    together = _moved(m, j, equal)
    if together.kinked:
        return True
    total, size = float(np.sum(j.actual[equal])), float(np.sum(np.abs(j.actual[equal])))
    return abs(total - sum(together.slopes) / 2) <= float(np.sum(j.limit[equal])) + 1e-6 * size


def _suspects(m: Measured, j: Judged) -> list[tuple[int, ...]]:
    """Wrong entries: those with the least and the greatest part of the truth, and others drawn."""
    bad = np.argwhere(j.bad)
    with np.errstate(all="ignore"):
        parts = np.where(j.truth != 0, j.actual / j.truth, 0.0)[j.bad]
    order = np.random.default_rng(m.seed).permutation(len(bad)).tolist()
    ends = sorted([int(np.argmin(parts)), int(np.argmax(parts))], key=lambda k: -abs(parts[k] - 1))
    chosen = dict.fromkeys([*ends, *order])
    return [tuple(bad[k].tolist()) for k in list(chosen)[:SAMPLED]]


@dataclass(frozen=True, slots=True)
class _Moved:
    """slopes: of the reference times the cotangent, to either side. kinked: whether those of any output differ."""

    slopes: tuple[float, float]
    kinked: bool


def _input(m: Measured, j: Judged) -> int:
    return [v.path for v in m.kernel.inputs].index(j.path)


def _moved(m: Measured, j: Judged, place: Array) -> _Moved:
    """What the reference does when these entries are moved together."""
    k = _input(m, j)
    x = m.kernel.inputs[k].array
    size = max(float(np.abs(x[place]).max()), float(np.median(np.abs(x))), np.finfo(np.float64).tiny)
    h = float(np.exp2(np.floor(np.log2(size)))) * STEP
    own = [v.array for v in m.kernel.inputs]

    def outputs(step: float) -> Sequence[Array]:
        m.references += 1
        return m.reference.values([*own[:k], x + np.where(place, step, 0.0), *own[k + 1 :]])

    slopes, kinked = [0.0, 0.0], False
    for gy, up, down, here in zip(m.gys[j.which], outputs(h), outputs(-h), m.truth.outputs, strict=True):
        if gy is None:
            continue
        with np.errstate(all="ignore"):
            sides = [np.nan_to_num(here - down), np.nan_to_num(up - here)]
            apart = APART * np.maximum(np.abs(sides[0]), np.abs(sides[1])) + FUZZ * np.nan_to_num(
                np.abs(here)
            )
        kinked = kinked or bool(np.any(np.abs(sides[1] - sides[0]) > apart))
        slopes = [total + float(np.vdot(gy, side)) / h for total, side in zip(slopes, sides, strict=True)]
    return _Moved((slopes[0], slopes[1]), kinked)
