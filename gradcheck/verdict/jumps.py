"""Outputs that jump at the point by a free choice, such as the sign of an eigenvector: nothing of their array proves anything.

An eigenvector turns as a whole, so that the slope of an entry that does not jump itself is that of the other sign. A step, such as
floor at 3, is the jump of one entry only; those beside it are judged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.protocol import Array
from gradcheck.numeric.probes import direction
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.evidence import Direction, better_than
from gradcheck.verdict.observation import Observation

NEAR, FAR = 2.0**-30, 2.0**-4
"""How far the point moves, relative to its entries."""

JUMP = 2.0**-12
"""A change over the nearer one, relative to the values and to the change over the farther, which no finite slope makes."""

DIRECTIONS = 3
"""So many are tried."""

ALIKE = 2.0**-26
"""How well a free sign or basis keeps the length of its array; one step among many entries changes it by more."""

Masks = tuple[NDArray[np.bool_], ...]


def measurable(obs: Observation, numeric: Derivative, code: Diagnosis = Diagnosis.UNRESOLVED) -> Masks:
    """For every output entry, whether its diagnosis is better than `code`, and no jump at the point has a part in it."""
    usable = better_than(numeric, code)
    if not all(part.all() for part in better_than(numeric, Diagnosis.UNRESOLVED)):
        seek_jumps(obs)
    if obs.turning is None:
        return usable
    return tuple([good & ~turned for good, turned in zip(usable, obs.turning, strict=True)])


def seek_jumps(obs: Observation) -> bool:
    """Find the output arrays that jump at the point by a free choice, and keep them in `obs.turning`.

    Returns whether this call found some, which happens once at most.
    """
    if obs.sought_jumps:
        return False
    obs.sought_jumps = True
    rng = np.random.default_rng([obs.seed, 5])
    for _ in range(DIRECTIONS):  # entries that are left out of the check move as well
        turns = _turns(obs, direction(obs.wide, rng, wrt=obs.wanted))
        if any(turns):
            obs.turning = tuple([np.full(y.shape, t) for y, t in zip(obs.outputs, turns, strict=True)])
            return True
    return False


def free_choice(obs: Observation) -> bool:
    """Whether some output jumps at the point and keeps its length, as a vector does whose sign is free."""
    seek_jumps(obs)
    return obs.turning is not None


@np.errstate(all="ignore")
def _turns(obs: Observation, v: Direction) -> list[bool]:
    """For every output array whether it jumps along `v` and keeps its length."""
    here = obs.here
    found = [False] * len(here)
    for side in (1.0, -1.0):
        near, far = (_values(obs, v, side * step) for step in (NEAR, FAR))
        if near is None:
            continue
        for k, (y, moved) in enumerate(zip(here, near, strict=True)):
            size = np.max(np.abs(y), initial=0.0)
            if far is not None:
                size = np.fmax(size, np.max(np.abs(far[k] - y), initial=0.0))
            jumps = np.isfinite(moved).all() and np.max(np.abs(moved - y), initial=0.0) > JUMP * size
            length = np.linalg.norm(y)
            found[k] |= bool(jumps and abs(np.linalg.norm(moved) - length) <= ALIKE * length)
    return found


def _values(obs: Observation, v: Direction, step: float) -> tuple[Array, ...] | None:
    return obs.values_at([x.copy() if t is None else x + step * t for x, t in zip(obs.wide, v, strict=True)])
