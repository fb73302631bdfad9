"""Outputs that jump at the point: a free sign or basis (eigenvectors, QR, SVD), or a step; and what moves with them.

Next to a free sign the other entries of the same array prove nothing either: an eigenvector turns as a whole, so that the slope
of an entry that does not jump itself is that of the other sign. Next to a step only those are left out that move with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.protocol import Array
from gradcheck.numeric.probes import direction
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.evidence import Direction, better_than
from gradcheck.verdict.observation import Observation

NEAR = 2.0**-30
"""How far the point moves, relative to its entries."""

JUMP = 2.0**-12
"""A change over that, relative to the largest value of its array, which no finite slope makes."""

DIRECTIONS = 3
"""So many are tried."""

CALLS = 64
"""Most forward calls that may be spent on the entries that make an output jump."""

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
    """Find the output entries that jump at the point, or are of the same array and move with what makes it jump.

    They are kept in `obs.turning`, and in `obs.free_choice` whether an array that jumps keeps its length. Returns whether this
    call found some, which happens once at most.
    """
    if obs.sought_jumps:
        return False
    obs.sought_jumps = True
    obs.turning = _turning(obs)
    return obs.turning is not None


def _turning(obs: Observation) -> Masks | None:
    v, jumping = _direction_of_a_jump(obs)
    if v is None:
        return None
    triggers = None if obs.free_choice else _triggers(obs, v)
    if triggers is None:
        return tuple([np.full(y.shape, jumps) for y, jumps in zip(obs.outputs, jumping, strict=True)])
    moved = obs.numeric(triggers)
    still = [
        np.asarray(value == 0) & good
        for value, good in zip(_parts(moved.value), better_than(moved, Diagnosis.EDGE), strict=True)
    ]
    return tuple([~part & jumps for part, jumps in zip(still, jumping, strict=True)])


def free_choice(obs: Observation) -> bool:
    """Whether some output jumps at the point and keeps its length, as a vector does whose sign is free."""
    return _direction_of_a_jump(obs)[0] is not None and obs.free_choice


def _direction_of_a_jump(obs: Observation) -> tuple[Direction | None, list[bool]]:
    """A direction along which some output jumps, and which do; entries that are left out of the check move as well."""
    rng = np.random.default_rng([obs.seed, 5])
    for _ in range(DIRECTIONS):
        v = direction(obs.wide, rng, wrt=obs.wanted)
        jumping, free = _jumping(obs, v)
        if any(jumping):
            obs.free_choice = free
            return v, jumping
    return None, []


def _parts(value: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    return value if isinstance(value, tuple) else (value,)


@np.errstate(all="ignore")
def _jumping(obs: Observation, v: Direction) -> tuple[list[bool], bool]:
    """For every output array whether it jumps, and whether one that does keeps its length."""
    found, kept = [False] * len(obs.outputs), False
    for values in _sides(obs, v):
        for k, (y, moved) in enumerate(zip(obs.here, values, strict=True)):
            size = np.max(np.abs(y), initial=0.0)
            if np.isfinite(moved).all() and np.max(np.abs(moved - y), initial=0.0) > JUMP * size:
                found[k] = True
                kept |= bool(abs(np.linalg.norm(moved) - np.linalg.norm(y)) <= ALIKE * np.linalg.norm(y))
    return found, kept


def _sides(obs: Observation, v: Direction) -> Iterator[tuple[Array, ...]]:
    """Outputs next to the point, to both sides of it."""
    for step in (NEAR, -NEAR):
        values = obs.values_at(
            [x.copy() if t is None else x + step * t for x, t in zip(obs.wide, v, strict=True)]
        )
        if values is not None:
            yield values


def _triggers(obs: Observation, v: Direction) -> Direction | None:
    """`v` with zeros for all entries but those that make some output jump by themselves; None where these are too many."""
    flat = [np.zeros(0) if t is None else np.asarray(t) for t in v]
    places = np.concatenate([np.flatnonzero(t) + start for t, start in zip(flat, _starts(flat), strict=True)])
    waiting, found, calls = [places.astype(np.intp)], [], 0
    while waiting:
        part = waiting.pop()
        calls += 2
        if calls > CALLS:
            return None
        if not any(_jumping(obs, _only(v, part))[0]):
            continue
        if part.size == 1:
            found.append(part)
        else:
            waiting += [half for half in np.array_split(part, 2) if half.size]
    return _only(v, np.concatenate(found)) if found else None


def _starts(arrays: list[Array]) -> list[int]:
    return [sum(a.size for a in arrays[:k]) for k in range(len(arrays))]


def _only(v: Direction, places: NDArray[np.intp]) -> Direction:
    """`v` with zeros at all other places, counted over all of its arrays in a row."""
    kept: list[Array | None] = []
    start = 0
    for t in v:
        if t is None:
            kept.append(None)
            continue
        here = np.zeros(t.size, bool)
        here[places[(places >= start) & (places < start + t.size)] - start] = True
        kept.append(np.where(here.reshape(t.shape), t, t.dtype.type(0)))
        start += t.size
    return tuple(kept)
