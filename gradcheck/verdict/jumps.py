"""Outputs that jump at the point by a free choice, such as the sign of an eigenvector: what belongs to them proves nothing.

An eigenvector turns as a whole, so that the slope of an entry that does not jump itself is that of the other sign. What belongs
together is seen close by, where nothing jumps: there all of it depends on the input that makes it jump. An entry of arctan2 at
its cut is the only one that does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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

CALLS = 64
"""Parts of the inputs that are moved, at most, to find the entries that make an output turn."""

ALIKE = 2.0**-26
"""How well a free sign or basis keeps the length of its array; one step among many entries changes it by more."""

Masks = tuple[NDArray[np.bool_], ...]


def measurable(obs: Observation, numeric: Derivative, code: Diagnosis = Diagnosis.UNRESOLVED) -> Masks:
    """For every output entry, whether its diagnosis is better than `code`, and no jump at the point has a part in it."""
    usable = better_than(numeric, code)
    if numeric.worst >= Diagnosis.UNRESOLVED:
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
        v = direction(obs.wide, rng, wrt=obs.wanted)
        turns = _turns(obs, v)
        if any(turns):
            obs.turning = _belonging(obs, v, turns)
            return True
    return False


def free_choice(obs: Observation) -> bool:
    """Whether some output jumps at the point and keeps its length, as a vector does whose sign is free."""
    seek_jumps(obs)
    return obs.turning is not None


@np.errstate(all="ignore")
def _turns(obs: Observation, v: Direction) -> list[bool]:
    """For every output array whether it jumps along `v` and keeps its length.

    At second order whether the function itself does so: its gradient has no length to keep, and all of it turns.
    """
    primal = obs.subject.primal
    here = obs.here if primal is None else obs.values_along(v, 0.0, primal) or ()
    found = [False] * len(here)
    for side in (1.0, -1.0):
        near, far = (obs.values_along(v, side * step, primal) for step in (NEAR, FAR))
        if near is None or not here:
            continue
        for k, (y, moved) in enumerate(zip(here, near, strict=True)):
            size = np.max(np.abs(y), initial=0.0)
            if far is not None:
                size = np.fmax(size, np.max(np.abs(far[k] - y), initial=0.0))
            jumps = np.isfinite(moved).all() and np.max(np.abs(moved - y), initial=0.0) > JUMP * size
            length = np.linalg.norm(y)
            found[k] |= bool(jumps and abs(np.linalg.norm(moved) - length) <= ALIKE * length)
    return found if primal is None else [any(found)] * len(obs.outputs)


def _belonging(obs: Observation, v: Direction, turns: list[bool]) -> Masks:
    """Of the arrays that turn, the entries that depend on what makes them turn, close by; all of them where that is unknown."""
    triggers, close = _triggers(obs, v), obs.values_along(v, FAR)
    moved = None
    if triggers is not None and close is not None:
        both = tuple([None if t is None else FAR * (t + s / 8) for t, s in zip(v, triggers, strict=True)])
        moved = obs.values_along(both, 1.0)
    return tuple(
        [
            np.full(y.shape, turn) if close is None or moved is None else turn & (close[k] != moved[k])
            for k, (y, turn) in enumerate(zip(obs.outputs, turns, strict=True))
        ]
    )


def _triggers(obs: Observation, v: Direction) -> list[Any] | None:
    """`v` with zeros for all entries but those that make some output turn by themselves; None where none, or too many, do."""
    waiting = [np.arange(sum(0 if t is None else t.size for t in v))]
    found, calls = [], 0
    while waiting:
        part = waiting.pop()
        calls += 1
        if calls > CALLS:
            return None
        if not any(_turns(obs, tuple(_only(v, part)))):
            continue
        if part.size == 1:
            found.append(part)
        else:
            waiting += np.array_split(part, 2)
    return _only(v, np.concatenate(found)) if found else None


def _only(v: Direction, places: NDArray[np.intp]) -> list[Any]:
    """`v` with zeros at all other places, counted over all of its arrays in a row."""
    kept: list[Any] = []
    start = 0
    for t in v:
        if t is not None:
            here = np.isin(np.arange(start, start + t.size), places)
            kept.append(np.where(here.reshape(t.shape), t, t.dtype.type(0)))
            start += t.size
        else:
            kept.append(None)
    return kept
