"""Which entry is wrong: bisection over the coordinates with the cotangent that showed the fault, O(log n) derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.numeric.line import flatten
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.compare import Verdict, inner_products
from gradcheck.verdict.evidence import Direction, Evidence, of_moving
from gradcheck.verdict.observation import Observation

EVALUATIONS = 24

TRIED = 8
"""So many entries that are not finite are tried, as the derivative there may be none either."""


@dataclass(frozen=True, slots=True)
class Located:
    """One wrong entry: `inputs[input]` at `index`; claimed and measured derivative of `<gy, f>`, and its bound.

    column: the derivative of every output along `size` times this entry. alone: whether the rest of this input's gradient is
    right. at_kink: whether an output that counts has a kink in this entry.
    """

    input: int
    index: tuple[int, ...]
    analytic: float | complex
    numeric: float | complex
    bound: float
    column: Derivative
    alone: bool
    size: float
    at_kink: bool


def locate(obs: Observation, e: Evidence) -> Located | None:
    """An entry where `e.gx` is wrong, None where no single entry is seen to be.

    The mismatch `<gy, J v> - <gx, v>` is additive over the coordinates of v: each step measures one half and goes where
    the larger part of it is.
    """
    for i, index in _nonfinite(obs, e):
        found = _located(obs, e, i, index)
        if found is not None:
            return found
    moving = [i for i, t in enumerate(e.v) if t is not None and t.size]
    offsets = np.cumsum([0, *(_entries(e.v, i).size for i in moving)])
    low, high = 0, int(offsets[-1])
    mismatch = e.comparison.numeric - e.comparison.analytic
    while high - low > 1:
        middle = (low + high) // 2
        v = _part(e.v, moving, offsets, low, middle)
        numeric = obs.numeric(v, evaluations=EVALUATIONS, gys=e.gys)
        measured, claimed = inner_products(numeric, of_moving(obs.fitted(e.gx), v), v, e.gys)
        left = measured - claimed
        if np.isfinite(left) and np.isfinite(mismatch):
            goes_left = abs(left) > abs(mismatch - left)
        else:
            goes_left = obs.held(numeric, e.gx, v, e.gys).verdict is Verdict.FAIL
        if goes_left:
            high, mismatch = middle, left
        else:
            low, mismatch = middle, mismatch - left
    place = int(np.searchsorted(offsets, low, side="right")) - 1
    i = moving[place]
    index = tuple(int(k) for k in np.unravel_index(low - offsets[place], obs.arrays[i].shape))
    return _located(obs, e, i, index)


def _nonfinite(obs: Observation, e: Evidence) -> list[tuple[int, tuple[int, ...]]]:
    """Some entries at which the claim is NaN or infinite."""
    return [
        (i, tuple(int(k) for k in index))
        for i, (g, t) in enumerate(zip(obs.fitted(e.gx), e.v, strict=True))
        if g is not None and t is not None
        for index in np.argwhere(~np.isfinite(g))[:TRIED]
    ]


def _located(obs: Observation, e: Evidence, i: int, index: tuple[int, ...]) -> Located | None:
    """This entry, None where the claim is right there."""
    found = entry(obs, e, i, index)
    if found is None:
        return None
    rest = list(e.v)
    one = np.array(e.v[i])
    one[index] = 0
    rest[i] = one
    alone = False
    if one.any():
        numeric = obs.numeric(tuple(rest), evaluations=EVALUATIONS, gys=e.gys)
        c = obs.held(numeric, e.gx, tuple(rest), e.gys)
        alone = c.verdict is not Verdict.FAIL
    column = found[3]
    weights = flatten([np.real(gy) if gy.dtype.kind != "c" else gy for gy in e.gys])
    kinks = column.flat_diagnosis == Diagnosis.KINK
    at_kink = bool(kinks[weights != 0].any()) if weights.shape == kinks.shape else bool(kinks.any())
    return Located(i, index, *found[:4], alone or obs.arrays[i].size == 1, found[4], at_kink)


def entry(
    obs: Observation, e: Evidence, i: int, index: tuple[int, ...]
) -> tuple[float | complex, float | complex, float, Derivative, float] | None:
    """Claimed and measured derivative by one entry, the bound, and the column; None where the claim is right."""
    v = e.v[i]
    gx = e.gx[i]
    if v is None:
        return None
    size = float(np.abs(v[index])) or 2.0**-20 * (float(np.max(np.abs(v))) or 1.0)
    units = (size, 1j * size) if v.dtype.kind == "c" else (size,)
    claimed, measured, bound, wrong = [], [], 0.0, False
    column: Derivative | None = None
    for unit in units:
        one = np.zeros_like(v)
        one[index] = unit
        direction = tuple([one if j == i else None for j in range(len(e.v))])
        numeric = obs.numeric(direction)
        column = numeric if column is None else column
        c = obs.held(numeric, e.gx, direction, e.gys)
        claimed.append(c.analytic / size)
        measured.append(c.numeric / size)
        bound = max(bound, c.bound / size)
        wrong |= c.verdict is Verdict.FAIL
    if not wrong or column is None:
        return None
    if len(units) == 1:
        own = 0.0 if gx is None else gx[index].item()
        return float(np.real(own)), measured[0], bound, column, size
    return complex(*claimed), complex(*measured), bound, column, size


def _entries(v: Direction, i: int) -> Array:
    found = v[i]
    if found is None:
        raise ValueError(f"input {i} does not move")
    return found.reshape(-1)


def _part(v: Direction, moving: Sequence[int], offsets: Array, low: int, high: int) -> Direction:
    """`v` with zeros outside the coordinates from `low` to `high`."""
    parts: list[Array | None] = [None] * len(v)
    for place, i in enumerate(moving):
        start = max(low - int(offsets[place]), 0)
        stop = min(high - int(offsets[place]), _entries(v, i).size)
        if stop <= start:
            continue
        flat = np.zeros_like(_entries(v, i))
        flat[start:stop] = _entries(v, i)[start:stop]
        whole = v[i]
        if whole is not None:
            parts[i] = flat.reshape(whole.shape)
    return tuple(parts)
