"""One wrong input: what was measured of it, and whether another cotangent made of the claimed one explains all of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.diagnosis.locate import Located
from gradcheck.errors import RuleError
from gradcheck.numeric.derivative import derivative
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Evidence
from gradcheck.verdict.observation import Observation

Candidate = Callable[[Cotangents, Sequence[Array]], Cotangents | None]
"""From the claimed cotangents of all inputs, and those of the outputs, to others that may be the right ones."""

HOLDS = (Verdict.PASS, Verdict.SUBGRADIENT)


@dataclass(frozen=True, slots=True)
class Cause:
    """A word of `gradcheck.diagnosis.causes.CAUSES` and the sentence for this case."""

    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """Input `i` of an observation, whose cotangent is wrong.

    seen: evidence in which this input alone moves. at: the located entry.
    """

    obs: Observation
    i: int
    seen: tuple[Evidence, ...]
    at: Located | None

    @property
    def x(self) -> Array:
        """The input."""
        return self.obs.arrays[self.i]

    def explains(self, candidate: Candidate) -> bool:
        """Whether another gradient made of the claimed one agrees with all that was measured, the located entry included."""
        if not self.obs.explains(candidate, self.seen):
            return False
        for e in self._at_entry():
            gx = candidate(list(e.gx), e.gys)
            if gx is None:
                return False
            c = self.obs.held(e.numeric, gx, e.v, e.gys)
            if not c.difference <= c.bound:
                return False
        return True

    def _at_entry(self) -> list[Evidence]:
        """What was measured where the located entry alone moves."""
        at = self.at
        if at is None or at.input != self.i:
            return []
        one = np.zeros_like(self.obs.wide[self.i])
        one[at.index] = at.size
        v = tuple([one if j == self.i else None for j in range(len(self.obs.arrays))])
        return [
            Evidence(v, at.column, e.gys, e.gx, self.obs.held(at.column, e.gx, v, e.gys)) for e in self.seen
        ]

    def changed(self, change: Callable[[Array], Array | None]) -> Candidate:
        """The claimed cotangent of this input, changed."""

        def candidate(gx: Cotangents, _gys: Sequence[Array]) -> Cotangents | None:
            g = gx[self.i]
            return None if g is None else self.only(change(g))

        return candidate

    def only(self, g: Array | None) -> Cotangents | None:
        """`g` in the place of this input, None in those of the others."""
        if g is None:
            return None
        return [g if j == self.i else None for j in range(len(self.obs.arrays))]

    def by_rule(
        self,
        arrays: Sequence[Array],
        turn: Callable[[Array], Array] = lambda a: a,
        outputs: Sequence[Array] | None = None,
    ) -> Candidate:
        """What the rule itself gives on other arrays, with outputs and cotangents turned alike, and turned back."""
        obs = self.obs

        def candidate(_gx: Cotangents, gys: Sequence[Array]) -> Cotangents | None:
            ys = [turn(wide(y)) for y in (obs.outputs_before if outputs is None else outputs)]
            found = obs.by_rule([np.ascontiguousarray(wide(a)) for a in arrays], ys, [turn(gy) for gy in gys])
            g = None if found is None else found[self.i]
            return self.only(None if g is None else np.asarray(turn(g)))

        return candidate

    def holds_elsewhere(self, change: Callable[[Array], Array]) -> bool | None:
        """Whether the claim, changed, is right at another point as well; None where there is none to try."""
        obs = self.obs
        other = obs.elsewhere()
        if other is None or not obs.in_double:
            return None
        gys, v = self.seen[0].gys, self.seen[0].v
        try:
            g = obs.pulled(gys, other)[self.i]
        except RuleError:
            return None
        if g is None or g.shape != self.x.shape:
            return None
        moved = derivative(obs.outputs_at, tuple(obs.other_arrays), v)
        gx = self.only(change(g))
        c = obs.held(moved, gx or [], v, gys)
        return None if c.verdict is Verdict.INCONCLUSIVE or c.vacuous else c.verdict in HOLDS
