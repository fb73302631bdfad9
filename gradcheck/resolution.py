"""Where the steps of a numeric derivative tell nothing: structure finer than the least, and values coarser than the largest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.compare import Comparison, Verdict
from gradcheck.line import Line, flatten
from gradcheck.look import EPS, Direction, Evidence, Look

FINE = (-49, -48, -47)
"""Steps of a few units in the last place, as powers of 2 of the entries' size."""

AT_ZERO = (-100, -99, -98)
"""The same for entries that are zero, whose last place is nowhere."""

PLATEAU, LEAST = (-44, -43, -42), -38
"""Steps over which a function of steps (floor) stands still, and a power near the ladder's least, over which it does not."""

LEAST_MOVE = 2.0**-24
"""Of the scale: how far a value that did not move is looked for a change at first."""

GRAINS = 4.0
"""So many grains a right claim may be off, over the distance on which the value stands still."""

STEPS = 72
"""Doublings by which a point is moved until a value changes that no step of the ladder changed."""

HALVINGS = 40

LOOKED_AT = 4
"""So many outputs that did not move are looked at."""


def untold(look: Look, e: Evidence) -> bool:
    """Whether this evidence of a wrong gradient rests on steps that can't show the right one."""
    return finer_than_steps(look, e) or _coarser_than_steps(look, e)


def finer_than_steps(look: Look, e: Evidence) -> bool:
    """Whether the function has a slope over a few units in the last place that the numeric derivative does not know of.

    Then its steps were too coarse (sin at 1e12, or a pole within the least of them), and its bound means nothing. Such a
    slope is the same for three steps, differs from the measured one, and makes a difference that is far above rounding; or
    it is none at all, as the rule says.
    """
    if _other_slope(look, e, e.v, FINE):
        return True
    zeros = tuple(
        [None if t is None else np.where(x == 0, t, 0) for x, t in zip(look.wide, e.v, strict=True)]
    )
    if any(t is not None and t.any() for t in zeros) and _other_slope(look, e, zeros, AT_ZERO):
        return True
    return e.comparison.analytic == 0.0 and _stands_still(look, e)


def _sides(look: Look, v: Direction, power: float) -> list[tuple[Array, ...]] | None:
    """Outputs at x ± 2^power v; None where the edge of the domain is nearer than that."""
    sides = []
    for sign in (1.0, -1.0):
        moved = [
            x.copy() if t is None else x + sign * 2.0**power * t for x, t in zip(look.wide, v, strict=True)
        ]
        values = look.values_at(moved)
        if values is None:
            return None
        sides.append(values)
    return sides


def _other_slope(look: Look, e: Evidence, v: Direction, powers: Sequence[float]) -> bool:
    """Whether three fine steps show one slope, to both sides or to one of them, that is not the measured one."""
    center = [np.asarray(y) for y in look.outputs]
    seen: list[list[float]] = [[], [], []]
    noise = (
        64 * float(np.finfo(np.float64).eps) * _weighted(e.gys, [np.abs(y) for y in center], absolute=True)
    )
    for power in powers:
        sides = _sides(look, v, power)
        if sides is None:
            return False
        above, below = (_weighted(e.gys, [y - y0 for y, y0 in zip(ys, center, strict=True)]) for ys in sides)
        for slopes, change, width in zip(seen, (above - below, above, -below), (2, 1, 1), strict=True):
            slopes.append(change / (width * 2.0**power) if abs(change) > noise else np.nan)
    c = e.comparison
    for slopes in seen:
        largest = max(map(abs, slopes))
        apart = min(abs(slope - c.numeric) for slope in slopes)
        if max(slopes) - min(slopes) <= 0.3 * largest and apart > max(4 * c.bound, 0.5 * largest):
            return True
    return False


def _weighted(gys: Sequence[Array], ys: Sequence[Array], *, absolute: bool = False) -> float:
    """`<gy, y>`; absolute: of the sizes of gy."""
    with np.errstate(all="ignore"):
        parts = [
            np.sum(np.where(gy == 0, 0, np.real((np.abs(gy) if absolute else np.conj(gy)) * y)))
            for gy, y in zip(gys, ys, strict=True)
        ]
    return float(sum(parts))


def _stands_still(look: Look, e: Evidence) -> bool:
    """Whether no output that counts changes over steps a little finer than the least, and some do over the least."""

    def changes(power: float) -> bool:
        sides = _sides(look, e.v, power)
        return sides is None or any(
            bool(np.any((above != below) & (gy != 0))) for gy, above, below in zip(e.gys, *sides, strict=True)
        )

    return changes(LEAST) and not any(changes(power) for power in PLATEAU)


def _coarser_than_steps(look: Look, e: Evidence) -> bool:
    """Whether outputs that no step moved would be moved by less than their own grain, were the claim right.

    tanh(9) computed in single precision is a constant for half a unit around; so is log(cosh(x)) near 0, which loses x²
    to the 1 inside. The grain is the smallest change that is found on the way to the first one.
    """
    numeric = e.numeric
    if any(np.iscomplexobj(gy) for gy in e.gys) or not np.isfinite(e.comparison.analytic):
        return False
    weights = np.concatenate([np.abs(gy).reshape(-1) for gy in e.gys])
    unmoved = (numeric.flat_value == 0) & np.isfinite(numeric.flat_y)
    still = np.flatnonzero((weights > 0) & unmoved)
    if not still.size:
        return False
    if (weights[~unmoved] > 0).any():
        if _without(look, e, unmoved).verdict is Verdict.FAIL:
            return False
        difference = _without(look, e, ~unmoved).difference
    else:
        difference = e.comparison.difference
    still = still[np.argsort(-weights[still])]
    back = tuple([None if t is None else -t for t in e.v])
    scale = Line(look.outputs_at, look.wide, e.v).scale()
    steepest = max(
        float(weights[place] * _hidden_slope(look, v, int(place), scale))
        for place in still[:LOOKED_AT]
        for v in (e.v, back)
    )
    return bool(difference <= GRAINS * steepest * np.sqrt(still.size))


def _without(look: Look, e: Evidence, out: Array) -> Comparison:
    """The comparison for the same cotangents, with zeros for these outputs (of all in a row)."""
    gys, start = [], 0
    for gy in e.gys:
        gys.append(np.where(out[start : start + gy.size].reshape(gy.shape), gy.dtype.type(0), gy))
        start += gy.size
    wide_inputs = not look.in_double and look.eps(e.gx, e.gys) <= EPS
    found = look.pulled_in_double([gys]) if wide_inputs else [look.pulled(gys, look.fresh())]
    return look.held(e.numeric, found[0], e.v, gys)


def _hidden_slope(look: Look, v: Direction, place: int, scale: float) -> float:
    """The slope that an output (of all in a row) may have behind its grain: 0 where it never changes along v.

    The smallest change that is found on the way to the first one, over the distance without any.
    """

    def value(t: float) -> float:
        moved = [x.copy() if d is None else x + t * d for x, d in zip(look.wide, v, strict=True)]
        values = look.values_at(moved)
        return float("nan") if values is None else float(flatten(values)[place])

    center, low = value(0.0), 0.0
    for k in range(STEPS):
        high = scale * LEAST_MOVE * 2.0**k
        if value(high) != center:
            break
        low = high
    else:
        return 0.0
    grain = np.inf
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        change = abs(value(middle) - center)
        if change == 0:
            low = middle
        else:
            high = middle
            grain = min(grain, change) if np.isfinite(change) else grain
    return float(grain / low) if np.isfinite(grain) and low > 0 else 0.0
