"""What random cotangents and directions do not show: a cotangent of the caller's, and ties whose entries move together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.errors import RuleError
from gradcheck.numeric.derivative import Derivative, Diagnosis
from gradcheck.numeric.line import flatten
from gradcheck.verdict import rounding
from gradcheck.verdict.compare import Comparison, Verdict, compare
from gradcheck.verdict.observation import (
    EPS,
    Cotangents,
    Direction,
    Evidence,
    Observation,
    better_than,
    copied,
    same,
)

OUTPUTS = 4
"""So many outputs at a kink are looked at one by one."""

EVALUATIONS = 24

NEIGHBOURS = 48
"""Random points next to a kink at which slopes are taken, besides those of a stable order."""

FIRST, ALIKE = 12, 2.0**-8
"""So many of these slopes that agree to so much, relative to the largest, are taken for those of a smooth function."""

NEXT_TO = (-20, -26)
"""How far they are, as powers of 2 of the inputs' size."""

NEAR = 2.0**-14
"""What slopes so far away may differ by from those at the kink, relative to the largest."""

BAND = 8
"""Entries whose steps next to a kink differ by so many powers of 2, relative to their sizes, move together."""

AGAIN = 80
"""Evaluations for the second look that a fail needs."""


def at_kinks(obs: Observation) -> list[Evidence]:
    """Evidence that the gradient is wrong at a kink, confirmed; empty where it is not.

    In every direction `<gx, d>` has to lie between the one-sided slopes, for each output by itself: along d = (1, 1) the
    slope of max(a, b) at a = b is 1, so both (1, 1) and (0, 0) are wrong. Random directions seldom are that one, and a
    cotangent of many outputs adds up their intervals. So all entries are moved by the same amount, and cotangents have
    one entry only. The reason told is "tie".
    """
    numeric = obs.evidence[0].numeric
    kinked = np.flatnonzero(numeric.flat_diagnosis == Diagnosis.KINK)
    kinked = kinked[:: max(1, len(kinked) // OUTPUTS)][:OUTPUTS]
    v = _together(obs)
    along = obs.numeric(v, evaluations=EVALUATIONS)
    for gys in (obs.first_gys, *_smooth_only(obs), *_one_hot(obs, kinked)):
        gx = obs.pulled(gys, obs.fresh())
        for direction, slopes in ((v, along), (obs.evidence[0].v, numeric)):
            if _judged(obs, slopes, gx, direction, gys).verdict is not Verdict.FAIL:
                continue
            less = tuple([None if t is None else 0.75 * t for t in direction])
            again = obs.numeric(less, evaluations=AGAIN)
            c = _judged(obs, again, gx, less, gys)
            in_double = obs.pulled_in_double([gys])
            if in_double and _rounded_only(obs, again, in_double[0], less, gys):
                continue
            found = Evidence(less, again, tuple(gys), tuple(gx), replace(c, reason="tie"))
            if c.verdict is not Verdict.FAIL or c.reason == "nonfinite":
                continue
            if not excused(obs, found):
                return [found]
    return []


def excused(obs: Observation, e: Evidence) -> bool:
    """Whether rounding alone, or a kink that bends both ways, makes this difference."""
    return rounding.explains(obs, e) or between_neighbours(obs, e)


def between_neighbours(obs: Observation, e: Evidence) -> bool:
    """Whether the point is at a kink, and the claim along `e.v` lies between the slopes at points next to it.

    Where a function bends both ways (the middle one of three sorted entries), the gradients at points near by lie outside
    of the one-sided slopes, and each of them, or a mean of them, is a right answer at the kink (Clarke's generalised
    gradient is the convex hull of such limits). Where it bends one way only, they lie within.

    At a kink these slopes are as far apart over a 64th of the distance; those of a smooth function close in, and noise
    grows.
    """
    claim, weights = e.comparison.analytic, flatten(e.gys)
    if not np.isfinite(claim) or any(np.iscomplexobj(gy) for gy in e.gys):
        return False
    ranges = [_Range(weights.size) for _ in NEXT_TO]
    scale = obs.aim()
    parts = _parts(e.v, scale)
    for count, offset in enumerate(_offsets(scale, np.random.default_rng([obs.seed, 6])), 1):
        for each, power in zip(ranges, NEXT_TO, strict=True):
            each.add(_slopes_at(obs, parts, offset, power, weights))
        far, near = ranges
        bent = (
            (far.width > ALIKE * far.size) & (near.width > 0.5 * far.width) & (near.width < 2.0 * far.width)
        )
        if count == FIRST and not bent.any():
            return False
    if not bent.any():
        return False
    rest = ~bent & (weights != 0)
    sizes = np.abs(weights[rest])
    straight = float(np.sum(weights[rest] * e.numeric.flat_value[rest]))
    slack = NEAR * np.max(far.size[bent]) + np.sum(sizes * e.numeric.flat_bound[rest])
    slack += 16 * EPS * np.sum(sizes * np.abs(e.numeric.flat_value[rest]))
    low, high = straight + np.sum(far.least[bent]), straight + np.sum(far.largest[bent])
    return bool(low - slack <= claim <= high + slack)


class _Range:
    """The least and the largest of some vectors, entry by entry."""

    def __init__(self, size: int) -> None:
        self.least, self.largest = np.full(size, np.inf), np.full(size, -np.inf)

    def add(self, values: Array | None) -> None:
        if values is not None:
            self.least, self.largest = np.fmin(self.least, values), np.fmax(self.largest, values)

    @property
    def width(self) -> Array:
        return np.asarray(self.largest - self.least)

    @property
    def size(self) -> Array:
        return np.asarray(np.fmax(np.abs(self.least), np.abs(self.largest)))


def _parts(v: Direction, scale: Direction) -> list[tuple[int, Direction]]:
    """`v` as a sum of directions, each with the power of 2 by which it moves its entries further than their own size.

    A direction that moves every entry alike takes one of size 1 beside one of size 1e6 past its kink in a single step, and
    a step short enough for it would be lost in the rounding of all others.
    """
    with np.errstate(all="ignore"):
        further = [
            None if t is None or d is None else np.ceil((np.log2(np.abs(t) / np.abs(d)) - 1) / BAND)
            for t, d in zip(v, scale, strict=True)
        ]
    bands = [
        None if k is None else BAND * np.where(np.isfinite(k), np.fmax(k, 0), 0).astype(int) for k in further
    ]
    powers = sorted({int(k) for band in bands if band is not None for k in np.unique(band)})
    return [
        (
            power,
            tuple(
                [None if t is None or k is None else t * (k == power) for t, k in zip(v, bands, strict=True)]
            ),
        )
        for power in powers
    ]


def _slopes_at(
    obs: Observation, parts: Sequence[tuple[int, Direction]], offset: Direction, power: int, weights: Array
) -> Array | None:
    """The slope of each output along all parts, times its weight, at a point next to this one; None outside of the domain."""
    place = [x + (0 if d is None else 2.0**power * d) for x, d in zip(obs.wide, offset, strict=True)]
    total = np.zeros(weights.shape)
    for further, v in parts:
        step = 2.0 ** (power - 6 - further)
        sides = []
        for sign in (1.0, -1.0):
            moved = [x if t is None else x + sign * step * t for x, t in zip(place, v, strict=True)]
            values = obs.values_at(moved)
            if values is None:
                return None
            sides.append(flatten(values))
        with np.errstate(all="ignore"):
            total += np.where(weights == 0, 0.0, weights * (sides[0] - sides[1]) / (2.0 * step))
    return total


def _offsets(scale: Direction, rng: np.random.Generator) -> Iterator[Direction]:
    """Ways off a kink: later entries above or below earlier ones, as a stable order breaks ties, and at random."""
    sizes = [None if d is None else np.abs(d) for d in scale]
    count = sum(d.size for d in sizes if d is not None)
    for sign in (1.0, -1.0):
        start = 0
        ways: list[Array | None] = []
        for d in sizes:
            if d is None:
                ways.append(None)
                continue
            ranks = (np.arange(start, start + d.size) + 1.0).reshape(d.shape) / count
            ways.append(sign * ranks * d)
            start += d.size
        yield tuple(ways)
    for _ in range(NEIGHBOURS):
        yield tuple([None if d is None else d * rng.uniform(-1, 1, d.shape) for d in sizes])


def _together(obs: Observation) -> Direction:
    """The direction in which every entry moves by the same amount, that of the smallest: no step passes zero."""
    sizes = [np.abs(x).reshape(-1) for x, want in zip(obs.wide, obs.wanted, strict=True) if want]
    every = np.concatenate(sizes) if sizes else np.zeros(0)
    every = every[np.isfinite(every) & (every > 0)]
    size = float(np.exp2(np.floor(np.log2(np.min(every))))) if every.size else 1.0
    return tuple(
        [
            np.full(x.shape, size, x.dtype) if want and x.dtype.kind in "fc" else None
            for x, want in zip(obs.wide, obs.wanted, strict=True)
        ]
    )


def _smooth_only(obs: Observation) -> list[tuple[Array, ...]]:
    """The first cotangents, without the outputs at a kink; none where nothing would be left."""
    smooth = better_than(obs.evidence[0].numeric, Diagnosis.KINK)
    gys = tuple([np.where(s, gy, gy.dtype.type(0)) for s, gy in zip(smooth, obs.first_gys, strict=True)])
    return [gys] if any(gy.any() for gy in gys) else []


def _one_hot(obs: Observation, places: Sequence[int] | Array) -> Iterator[tuple[Array, ...]]:
    """Cotangents with a single 1, at these places of all (real) outputs in a row."""
    if any(y.dtype.kind == "c" for y in obs.outputs):
        return
    for place in places:
        gys, start = [], 0
        for y in obs.outputs:
            gy = np.zeros(y.shape, y.dtype)
            if start <= place < start + y.size:
                gy.reshape(-1)[place - start] = 1
            start += y.size
            gys.append(gy)
        yield tuple(gys)


def _judged(
    obs: Observation, numeric: Derivative, gx: Cotangents, v: Direction, gys: Sequence[Array]
) -> Comparison:
    """The comparison, with errors added up one by one: neither `v` nor `gys` need be random."""
    moving = tuple([g if t is not None else None for g, t in zip(obs.fitted(gx), v, strict=True)])
    with np.errstate(all="ignore"):
        return compare(numeric, moving, v, tuple(gys), eps=obs.eps(gx, gys), random_signs=False)


def with_given(obs: Observation, usable: Sequence[Array] | None) -> list[Evidence]:
    """Evidence that the gradient is wrong for the cotangents that the caller gave, confirmed; empty where it is not.

    They reach the rule as they are, in their memory layout. usable: output entries whose derivative can be measured.
    """
    if obs.given_gys is None:
        return []
    given = obs.given_gys
    if usable is not None:
        given = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, given, strict=True)])
    before = [gy.copy() for gy in given]
    try:
        gx = copied(obs.pull(given, obs.fresh()))
    except RuleError as error:
        if "read-only" not in str(error) and "not writeable" not in str(error):
            raise
        obs.given_changed = True
        return []
    if not same(given, before):
        obs.given_changed = True
        return []
    numeric = obs.evidence[0].numeric
    v = obs.evidence[0].v
    if obs.held(numeric, gx, v, before).verdict is not Verdict.FAIL:
        return []
    in_double = obs.pulled_in_double([before])
    if in_double and _rounded_only(obs, numeric, in_double[0], v, before):
        return []
    v = obs.aim(gx)
    numeric = obs.numeric(v, evaluations=AGAIN)
    found = Evidence(v, numeric, tuple(before), tuple(gx), obs.held(numeric, gx, v, before))
    return [found] if found.comparison.verdict is Verdict.FAIL and not excused(obs, found) else []


def _rounded_only(
    obs: Observation, numeric: Derivative, gx: Cotangents, v: Direction, gys: Sequence[Array]
) -> bool:
    """Whether the rule is right when run in double precision: what its own dtype rounds is judged elsewhere."""
    return obs.held(numeric, gx, v, [wide(gy) for gy in gys]).verdict is not Verdict.FAIL
