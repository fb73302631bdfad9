"""Evidence on a claimed gradient: numeric derivatives along a direction, and the claim compared with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.protocol import Array, wide
from gradcheck.numeric.derivative import BUDGET
from gradcheck.numeric.quantiles import median
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Direction, Evidence, better_than, marked
from gradcheck.verdict.jumps import measurable
from gradcheck.verdict.observation import Observation

SHARP = 1e-3
"""An error of this part of the gradient is to be seen: more evaluations are not worth it where it is."""

SHOWN = 2.0**20
"""Units of rounding that one entry shows at best next to some others: in single precision no error of `SHARP` has to be seen."""

FURTHER = 16.0
"""Wider steps are tried for entries that they move so many times as far."""

COMPOSE = "compose f with something that does not depend on it, such as V @ V.T for eigenvectors V"


def evidence_on(
    obs: Observation,
    numeric: Derivative,
    v: Direction,
    gys: Sequence[Array],
    gx: Sequence[Array | None],
    *,
    in_double: bool = False,
) -> Evidence:
    """The evidence on a claim; `in_double`: it was made from inputs in double precision, not from those given."""
    gx = gx if in_double else _narrowed(obs, gx)
    return Evidence(v, numeric, tuple(gys), tuple(gx), obs.held(numeric, gx, v, gys))


def _narrowed(obs: Observation, gx: Sequence[Array | None]) -> Cotangents:
    """The cotangents of narrow inputs in their dtype, whatever wider one a constant promoted them to."""
    return [
        g.astype(x.dtype)
        if g is not None and g.dtype.kind == x.dtype.kind == "f" and g.dtype.itemsize > x.dtype.itemsize
        else g
        for g, x in zip(gx, obs.arrays, strict=True)
    ]


def measured(
    obs: Observation, v: Direction, gys: Sequence[Array], gx: Cotangents, evaluations: int = BUDGET
) -> Evidence:
    """A new numeric derivative along `v`, and the claim compared with it."""
    return evidence_on(obs, obs.numeric(v, evaluations=evaluations, gys=gys), v, gys, gx)


def measured_throughout(
    obs: Observation,
    v: Direction,
    gys: Sequence[Array],
    gx: Cotangents,
    wide_gx: Cotangents | None,
    evaluations: int = BUDGET,
    even: bool = False,
) -> list[Evidence]:
    """A new numeric derivative, with the claim in its own dtype and, where there is one, that in double precision.

    even: compare it with the claim for the evened cotangents as well, where there are some.
    """
    both = even and obs.even_gys is not None
    numeric = obs.numeric(v, evaluations=evaluations, gys=None if both else gys)
    found = [evidence_on(obs, numeric, v, gys, gx)]
    if wide_gx is not None:
        found.append(evidence_on(obs, numeric, v, [wide(gy) for gy in gys], wide_gx, in_double=True))
    if both and obs.even_gys is not None:
        found += _without_chance(
            found[0], evidence_on(obs, numeric, v, obs.even_gys, obs.even_gx, in_double=True)
        )
    return found


def pulled_and_compared(
    obs: Observation, numeric: Derivative, v: Direction, gys: Sequence[Array], *, even: bool = False
) -> list[Evidence]:
    """The same for new cotangents and a known numeric derivative."""
    found = [evidence_on(obs, numeric, v, gys, obs.pulled(gys, obs.fresh()))]
    if obs.wide_gxs:
        found += [
            evidence_on(obs, numeric, v, [wide(gy) for gy in gys], gx, in_double=True)
            for gx in obs.pulled_in_double([gys])
        ]
    if even and obs.even_gys is not None:
        evened = obs.draw(usable=measurable(obs, numeric), even=True)
        gxs = [obs.pulled(evened, obs.fresh())] if obs.in_double else obs.pulled_in_double([evened])
        for gx in gxs:
            found += _without_chance(found[0], evidence_on(obs, numeric, v, evened, gx, in_double=True))
    return found


def _without_chance(flat: Evidence, evened: Evidence) -> list[Evidence]:
    """The evened evidence, but for a kink that the flat one does not see: next to the others it is their rounding."""
    chance = evened.comparison.verdict is Verdict.SUBGRADIENT and flat.comparison.verdict is Verdict.PASS
    return [] if chance else [evened]


def widen(obs: Observation, gys: Sequence[Array]) -> None:
    """From now on, entries move as far as the claim says a typical output is changed by its own size, or by 1."""
    sizes = [np.abs(wide(gy) * np.where(y == 0, 1.0, y)) for gy, y in zip(gys, obs.here, strict=True)]
    every = np.concatenate([s.reshape(-1) for s in sizes])
    every = every[np.isfinite(every) & (every > 0)]
    obs.target = median(every) if every.size else 1.0


def hides(obs: Observation, seen: Sequence[Evidence], *, further: float = 0.0) -> bool:
    """Whether an error of `SHARP` in one entry may be hidden from all of these passes, though the dtype could show it.

    Or a whole input whose gradient is zero, as long as entries move by their own size. further: of entries only that wider steps
    move more than so many times as far.
    """
    passed = [e for e in seen if e.comparison.verdict is Verdict.PASS]
    limit = max(SHARP, SHOWN * min([obs.eps(e.gx, e.gys) for e in passed], default=0.0))
    for i, (x, out) in enumerate(zip(obs.arrays, obs.left_out, strict=True)):
        if not obs.wanted[i]:
            continue
        hidden = _hidden(i, passed, x.shape, limit, whole=obs.target is None)
        if not np.count_nonzero(hidden):
            continue
        moved = np.maximum.reduce(
            [np.zeros(x.shape), *[np.abs(v) for e in passed if (v := e.v[i]) is not None]]
        )
        hidden &= np.maximum(np.abs(x), 1.0) > further * moved
        if np.count_nonzero(hidden if out is None else hidden & ~out) > 0:
            return True
    return False


def _hidden(
    i: int, passed: Sequence[Evidence], shape: tuple[int, ...], limit: float, *, whole: bool
) -> NDArray[np.bool_]:
    """The entries of an input that are not claimed to be zero, and only show larger relative errors than `limit`.

    whole: of an input whose entries are all claimed to be zero, all of them.
    """
    pairs = [
        (gx, v, e.comparison.bound)
        for e in passed
        if (gx := e.gx[i]) is not None and (v := e.v[i]) is not None
    ]
    pairs = [(gx, v, bound) for gx, v, bound in pairs if gx.shape == v.shape]
    if not any(np.count_nonzero(gx) for gx, _, _ in pairs):
        return np.full(shape, whole)
    least = np.full(shape, np.inf)
    for gx, v, bound in pairs:
        least = np.fmin(least, 2.0 * bound / np.abs((gx if v.dtype.kind == "c" else gx.real) * v))
    hidden = np.asarray(least > limit)
    if np.count_nonzero(hidden):
        hidden &= np.logical_or.reduce([gx != 0 for gx, _, _ in pairs])
    return hidden


def leave_out(obs: Observation, gx: Cotangents) -> str:
    """Take entries out of the check where the rule gives NaN or infinity and no numeric derivative exists either."""
    places: list[Array | None] = [None if g is None else ~np.isfinite(g) for g in obs.fitted(gx)]
    count = marked(places)
    if not count:
        return ""
    v = tuple(
        [
            None if t is None else np.where(out, t, 0) if out is not None else np.zeros_like(t)
            for t, out in zip(obs.aim(), places, strict=True)
        ]
    )
    usable = better_than(obs.numeric(v), Diagnosis.UNRESOLVED)
    if all(u.all() for u in usable):
        return ""
    obs.left_out = [
        place if out is None else out if place is None else place | out
        for place, out in zip(places, obs.left_out, strict=True)
    ]
    entries, were = ("entry", "was") if count == 1 else ("entries", "were")
    return f"{count} {entries} of the inputs {were} left out: neither the rule nor the numbers give a finite derivative there"


def on_usable_outputs(
    obs: Observation, numeric: Derivative, gys: tuple[Array, ...]
) -> tuple[tuple[Array, ...], str] | None:
    """Cotangents of zero for output entries whose derivative nobody can measure, and a note; None for no change.

    There is none where all entries can be measured, or none can.
    """
    finite = [np.isfinite(y) for y in obs.outputs]
    if obs.turning is None and numeric.worst < Diagnosis.UNRESOLVED and all(y.all() for y in finite):
        return None
    usable = [u & y for u, y in zip(measurable(obs, numeric), finite, strict=True)]
    lost = sum(u.size - int(np.count_nonzero(u)) for u in usable)
    total = sum(u.size for u in usable)
    if lost in (0, total):
        return None
    kept = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, gys, strict=True)])
    worst = Diagnosis(int(numeric.flat_diagnosis.max(initial=0))).name.lower()
    why = f"a free sign or basis: {COMPOSE}" if obs.turning is not None else f"{worst} at this point"
    return kept, f"{lost} of {total} output entries were left out ({why})"


def measured_again(obs: Observation) -> list[Evidence]:
    """The evidence with its failed directions measured once more, with every step of the ladder."""
    known: dict[int, Derivative] = {}
    result = []
    for e in obs.evidence:
        if e.failed:
            if id(e.numeric) not in known:
                known[id(e.numeric)] = obs.numeric(e.v, gys=e.gys, thorough=True)
            e = evidence_on(obs, known[id(e.numeric)], e.v, e.gys, e.gx, in_double=True)
        result.append(e)
    return result
