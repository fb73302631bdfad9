"""How much of a function a verdict covers: the output entries and input entries that were judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.observation import Observation

ENOUGH = 0.5
"""A pass covers a function, not a few of its entries: so much of its outputs and inputs has to be judged."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Entries judged, and how many there are: of the floating outputs, and of the inputs that a gradient is requested for."""

    outputs: tuple[int, int]
    inputs: tuple[int, int]

    @property
    def enough(self) -> bool:
        """Whether the judged entries are enough for a verdict on the function."""
        return all(judged >= ENOUGH * total for judged, total in (self.outputs, self.inputs))

    def words(self) -> str:
        """What the verdict covers, "" where it is everything."""
        parts = [("output", self.outputs), ("input", self.inputs)]
        return " and ".join([f"{n} of {all_} {what} entries" for what, (n, all_) in parts if n < all_])


def coverage(obs: Observation) -> Coverage:
    """What the passes have judged: an output entry with a cotangent of 0 throughout was left out.

    Of the inputs, entries that are infinite or NaN do not count: nobody can move them.
    """
    judged = [np.zeros(y.shape, dtype=bool) for y in obs.outputs]
    for e in _passed(obs):
        for seen, gy in zip(judged, e.gys, strict=True):
            seen |= np.asarray(gy) != 0
    wanted = [(a, out) for a, out, want in zip(obs.arrays, obs.left_out, obs.wanted, strict=True) if want]
    entries = sum(a.size for a, _ in wanted)
    infinite = sum(int(out.sum()) for out in obs.infinite if out is not None)
    left_out = sum(int(np.count_nonzero(out)) for _, out in wanted if out is not None) - infinite
    entries -= infinite
    total = sum(y.size for y in obs.outputs)
    return Coverage((sum(int(j.sum()) for j in judged), total), (entries - left_out, entries))


def unseen(obs: Observation, i: int) -> int:
    """How many entries of input `i` have a gradient that is not zero, and too small for an error of its size to show."""
    nonzero, seen = np.zeros(obs.arrays[i].shape, bool), np.zeros(obs.arrays[i].shape, bool)
    for e in _passed(obs):
        terms = _contributions(e, i)
        if terms is not None:
            nonzero |= terms > 0
            seen |= terms >= 2.0 * e.comparison.bound
    return int(np.count_nonzero(nonzero & ~seen)) if seen.any() else 0  # none: it was judged alone


def _passed(obs: Observation) -> list[Evidence]:
    return [e for e in obs.evidence if e.comparison.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)]


def _contributions(e: Evidence, i: int) -> Array | None:
    """|gx v| of each entry, 0 where it is not finite."""
    gx, v = e.gx[i], e.v[i]
    if gx is None or v is None or gx.shape != v.shape:
        return None
    with np.errstate(all="ignore"):
        terms = np.abs((gx if v.dtype.kind == "c" else np.real(gx)) * v)
    return np.where(np.isfinite(terms), terms, 0.0)
