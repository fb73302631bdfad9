"""By how much rounding alone moves results, measured: inputs and cotangents are moved by their last places, and it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.numeric.line import EPS
from gradcheck.numeric.perturbation import change, moved, signs
from gradcheck.verdict.evidence import Cotangents, same
from gradcheck.verdict.observation import Observation

FAR, GROWTH = 64.0, 8.0
"""A move of so many units has to change an entry so many times as much as one of a single unit: rounding grows in step."""

COARSER: tuple[dict[str, np.dtype[Any]], ...] = (
    {"f": np.dtype(np.float32), "c": np.dtype(np.complex64)},
    {"f": np.dtype(np.float16)},
)
"""Dtypes by kind, finest first, of the arithmetic in which what rounding takes of double or single precision is seen."""

FURTHER = 0.4
"""Power of eps by which inputs are moved to see a dtype inside that is coarser than theirs; what a smooth function adds
to the even part of such a move is smaller than the tolerance of a sum in another order."""


def apart(x: Array | None, y: Array | None) -> float:
    """The largest difference between entries, infinite where one is finite and the other is not; None counts as zeros."""
    if x is None or y is None:
        rest = y if x is None else x
        return 0.0 if rest is None else float(np.max(np.abs(rest), initial=0.0))
    if x.dtype.kind not in "fc" or not x.size:
        return 0.0 if np.array_equal(x, y) else np.inf
    return float(np.max(np.abs(change(x, y))))


def spreads(obs: Observation, arrays: Sequence[Array], gys: Sequence[Array]) -> list[float] | None:
    """By how much rounding moves each output and each cotangent, the largest entry of it; None at the edge of the domain.

    Two ways to see it: inputs and cotangents moved by one unit in their last place, each in its own dtype; and the even
    part of the values at `x ± d`, which shows the steps of values that were computed in a coarser dtype inside.
    """
    rng = np.random.default_rng([obs.seed, 4])

    def moves(power: float) -> list[Array | None]:
        return [
            np.finfo(x.dtype).eps ** power * signs(x, rng) if x.dtype.kind in "fc" else None for x in arrays
        ]

    def results(by: Sequence[Array | None], sign: float = 1.0, units: float = 0.0) -> list[Array | None]:
        there = [
            x.copy() if d is None else np.asarray(x * (1 + sign * d), x.dtype)
            for x, d in zip(arrays, by, strict=True)
        ]
        run = obs.forward(there)
        return [*[y.copy() for y in run.outputs], *obs.pulled(_moved(gys, units, rng), run)]

    try:
        center = results([None] * len(arrays))
        shaken = [results(moves(1.0), units=1.0) for _ in range(3)]
        seen = [[apart(x, y) for x, y in zip(center, each, strict=True)] for each in shaken]
        for _ in range(2):
            d = moves(FURTHER)
            sides = zip(center, results(d), results(d, -1.0), strict=True)
            seen.append([_uneven(x, above, below) for x, above, below in sides])
    except Exception:  # noqa: BLE001 - the edge of the domain is next to this point, and no measure of rounding
        return None
    return [max(each) for each in zip(*seen, strict=True)]


def pull_spreads(obs: Observation, gys: Sequence[Array]) -> list[float]:
    """By how much rounding moves each cotangent, the largest entry.

    Two ways to see it: gys, and y, moved by one unit in their last place; and the same pull in another precision, which
    shows what is the same for all values close by (1 + x where x is nearly -1 all over).
    """
    rng = np.random.default_rng([obs.seed, 5])

    def pulled(of_gys: float, of_outputs: float = 0.0) -> Cotangents:
        run = obs.forward(obs.copies())  # a run of its own: a rule may spend what it was left
        for y, there in zip(run.outputs, _moved(run.outputs, of_outputs, rng), strict=True):
            if of_outputs and y.flags.writeable:
                y[...] = there
        return obs.pulled(_moved(gys, of_gys, rng), run)

    def changes(*moves: tuple[float, float]) -> list[Array]:
        each = [pulled(*by) for by in moves]
        pairs = [[change(x, g) for g in gs] for x, *gs in zip(center, *each, strict=True)]
        return [np.max(np.abs(np.stack(pair)), axis=0) for pair in pairs]

    center = pulled(0.0)
    if not same(center, pulled(0.0)):  # what differs without a move is no rounding
        return [0.0] * len(center)
    eps = obs.eps(center, gys)
    unseen, here = lost(obs, gys, eps), lost_here(obs, gys, eps)
    by_gys = changes(*[(float(units), 0.0) for units in (1, 1, 1, 2, 3, 5, 7)])  # each rounds in its own way
    near, far = changes(*[(0.0, 1.0)] * 3), changes(*[(0.0, FAR)] * 3)
    return [
        _largest(a) + _largest(np.where(c >= GROWTH * b, b, 0.0)) + max(_largest(d), _largest(e))
        for a, b, c, d, e in zip(by_gys, near, far, unseen, here, strict=True)
    ]


def lost(obs: Observation, gys: Sequence[Array], eps: float) -> list[Array]:
    """By how much rounding puts each entry of the cotangents off, in arithmetic of this eps: as another precision shows it.

    What the next coarser dtype gives, at the nearest point and for the nearest gys that it holds, less what double
    precision gives there, scaled. Where the function refuses the coarser one, as LAPACK does half precision, its own
    dtypes stand in its place. Zeros where that is double precision, too.
    """
    for kinds in COARSER:
        rounds = float(np.finfo(kinds["f"]).eps)
        if rounds > eps:
            seen = _off(obs, gys, kinds, eps / rounds)
            return lost_here(obs, gys, eps) if seen is None else seen
    return lost_here(obs, gys, eps)


def lost_here(obs: Observation, gys: Sequence[Array], eps: float) -> list[Array]:
    """What the rule gives in the dtypes that it was given less what double precision gives; zeros where they are double.

    All that rounding does, and a mistake of precision as well: it may be no more than a part of what excuses one.
    """
    seen = _off(obs, gys, {}, 1.0) if eps > EPS else None
    return [np.zeros(x.shape) for x in obs.arrays] if seen is None else seen


def _off(
    obs: Observation, gys: Sequence[Array], kinds: dict[str, np.dtype[Any]], scale: float
) -> list[Array] | None:
    """Cotangents in these dtypes, by kind, less those in double precision, times scale; None where that is refused."""
    size = max([float(np.max(np.abs(gy[np.isfinite(gy)]), initial=0.0)) for gy in gys])
    unit = 2.0 ** np.floor(np.log2(size)) if size else 1.0  # so that all is within the coarser one's range
    arrays = [x.astype(kinds.get(x.dtype.kind, x.dtype)) for x in obs.arrays]
    units = [(wide(gy) / unit).astype(kinds.get(gy.dtype.kind, gy.dtype)) for gy in gys]
    try:
        rough = obs.pulled(units, obs.forward([x.copy() for x in arrays]))
        fine = obs.pulled([wide(gy) for gy in units], obs.forward([wide(x).copy() for x in arrays]))
    except Exception:  # noqa: BLE001 - whatever a function raises on other dtypes
        return None
    changes = [change(None if g is None else wide(g), w) for g, w in zip(rough, fine, strict=True)]
    return [unit * scale * np.where(np.isfinite(c), c, 0.0) for c in changes]


def _largest(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def _moved(arrays: Sequence[Array], units: float, rng: np.random.Generator) -> list[Array]:
    """The floating arrays with each entry moved by so many units in its last place."""
    return [moved(a, units * np.finfo(a.dtype).eps, rng) if a.dtype.kind in "fc" else a for a in arrays]


def _uneven(x: Array | None, above: Array | None, below: Array | None) -> float:
    """How far the mean of the two sides is from the middle; 0 where a side is not finite, which is no rounding."""
    if x is None or above is None or below is None or x.dtype.kind not in "fc":
        return 0.0
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        return 0.0
    return apart(x, np.asarray(0.5 * above + 0.5 * below, x.dtype))
