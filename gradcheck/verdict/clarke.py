"""Slopes next to a kink: Clarke's generalised gradient, sampled at points close by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.numeric.line import EPS, flatten
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Direction, Evidence, Excuse
from gradcheck.verdict.observation import Observation

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


def bends_both_ways(obs: Observation, e: Evidence) -> Excuse | None:
    """The point is at a kink, and the claim along `e.v` lies between the slopes at points next to it.

    Where a function bends both ways (the middle one of three sorted entries), the gradients at points near by lie outside
    of the one-sided slopes, and each of them, or a mean of them, is a right answer at the kink: Clarke's generalised
    gradient is the convex hull of such limits. Where it bends one way only, they lie within.
    """
    if not _between_neighbours(obs, e):
        return None
    return Excuse(
        "bends_both_ways",
        "at this kink the claim lies between the slopes at points next to it, as Clarke's generalised gradient does",
        replace(e.comparison, verdict=Verdict.SUBGRADIENT, reason=""),
    )


def _between_neighbours(obs: Observation, e: Evidence) -> bool:
    """Whether the claim lies between the slopes at points next to this one, where these differ as at a kink.

    At a kink they are as far apart over a 64th of the distance; those of a smooth function close in, and noise grows.
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
