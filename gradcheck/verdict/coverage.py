"""How much of a function a verdict covers: the entries that were judged, and the errors that would have shown in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.numeric.quantiles import median
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Evidence, marked
from gradcheck.verdict.observation import Observation

ENOUGH = 0.5
"""A pass covers a function, not a few of its entries: so much of its outputs and inputs has to be judged."""

CERTAIN = 4.0
"""Bounds by which an error is detected: one may agree with the right value, one is what differs at least; and twice that,
as a part of the difference may be excused as rounding of the function itself. That is measured only where something differs:
where large values cancel it may excuse more."""

_GOOD = (Verdict.PASS, Verdict.SUBGRADIENT)


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
    outputs, passed = obs.outputs, _passed(obs)
    judged = sum([_seen([e.gys[k] for e in passed]) for k in range(len(outputs))])
    wanted = [(a, out) for a, out, want in zip(obs.arrays, obs.left_out, obs.wanted, strict=True) if want]
    entries = sum(a.size for a, _ in wanted)
    infinite = marked(obs.infinite)
    left_out = marked([out for _, out in wanted]) - infinite
    entries -= infinite
    total = sum([y.size for y in outputs])
    return Coverage((judged, total), (entries - left_out, entries))


def _seen(gys: Sequence[Array]) -> int:
    """How many entries of an output some of these cotangents count."""
    most = max([int(np.count_nonzero(gy)) for gy in gys], default=0)
    if not gys or most == gys[0].size:
        return most
    return int(np.count_nonzero(np.logical_or.reduce([gy != 0 for gy in gys])))


@dataclass(frozen=True, slots=True)
class Detectable:
    """The errors in one entry of an input's gradient that are certain to be detected, over all evidence.

    median, worst: over the entries that can be judged, relative to the entry's own value; infinite where there is none.
    zero: in the worst of the entries whose gradient is zero, relative to the largest entry; infinite where there is none.
    hidden: entries that are not zero, and too small for an error of their own size to show.
    """

    median: float = math.inf
    worst: float = math.inf
    zero: float = math.inf
    hidden: int = 0


def detectable(obs: Observation, i: int, alone: Evidence | None = None) -> Detectable:
    """What can be detected in input `i`; `alone`: evidence in which it moves by itself.

    A pass means |numeric - analytic| <= bound. An error d in entry k of gx adds d v_k to the analytic side, so that one of
    2 bound / |v_k| or more is outside of the bound; `CERTAIN` says what is added to that. The evidence that sees the smallest counts. A complex entry counts by
    the part that moves less.
    """
    seen = [*_passed(obs), *([] if alone is None or alone.comparison.verdict not in _GOOD else [alone])]
    x, out = obs.arrays[i], obs.left_out[i]
    relative, absolute = np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    nonzero = np.zeros(x.shape, bool)
    for e in seen:
        v, gx = e.v[i], e.gx[i]
        if v is None or (gx is not None and gx.shape != v.shape):
            continue
        size = np.minimum(np.abs(v.real), np.abs(v.imag)) if v.dtype.kind == "c" else np.abs(v)
        own = np.zeros(v.shape) if gx is None else np.abs(gx if v.dtype.kind == "c" else gx.real)
        own = own.astype(np.float64, copy=False)
        shown = CERTAIN * e.comparison.bound / size
        nonzero |= own > 0
        relative = np.fmin(relative, shown / own)
        if np.count_nonzero(own) < own.size:
            absolute = np.fmin(absolute, shown / own.max(initial=0.0))
    judged = nonzero if out is None else nonzero & ~out
    entries = int(np.count_nonzero(judged))
    visible = relative[judged & (relative < 1.0)]
    zero = ~nonzero if out is None else ~(nonzero | out)
    zeros = absolute[zero] if np.count_nonzero(nonzero) else np.zeros(0)
    return Detectable(
        median(visible) if visible.size else math.inf,
        float(visible.max()) if visible.size else math.inf,
        float(zeros.max()) if zeros.size else math.inf,
        entries - visible.size,
    )


def _passed(obs: Observation) -> list[Evidence]:
    return [e for e in obs.evidence if e.comparison.verdict in _GOOD]
