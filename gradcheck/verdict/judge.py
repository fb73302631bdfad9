"""Is the gradient right? Two directions, a second opinion before any fail, then each input by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.numeric.derivative import Derivative, Diagnosis
from gradcheck.verdict.compare import Comparison, Verdict, merge
from gradcheck.verdict.kinks import at_kinks, between_neighbours, excused, with_given
from gradcheck.verdict.observation import EPS, Cotangents, Direction, Evidence, Observation, better_than
from gradcheck.verdict.resolution import untold
from gradcheck.verdict.rounding import of_comparison, out_of_range, widened

SHARP = 1e-3
"""A pass as sharp as this needs no more evaluations, and the second direction gets the fewest that give a bound."""

FEW = 14
"""Evaluations along the first direction, at first."""

DULL = 0.1
"""An input in which an error of less than this would not be noticed is looked at alone."""

MANY = 16
"""Up to so many inputs are judged one by one after a fail; of more, only the located one is named."""

_UNSEEN = {
    "stochastic": "two calls at the same point gave different values, so there is no derivative to compare with",
    "nonfinite": "the function is infinite or NaN at this point",
    "unresolved": "no step shows a slope: a jump, an infinite slope, or structure finer than rounding",
    "noise": "the values are so noisy that a gradient of zero would look the same",
    "disagreement": "a second look, with other directions and steps, did not confirm what the first one saw",
}


@dataclass
class ValueResult:
    """What the numbers said: over all, and for each input that a gradient was asked for (None: not judged alone)."""

    comparison: Comparison
    reason: str
    verdicts: list[Verdict | None]
    sensitivities: list[float]
    vacuous: list[bool]
    evidence: dict[int, Evidence] = field(default_factory=dict)
    precision: bool = False
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether the gradient is wrong."""
        return self.comparison.verdict is Verdict.FAIL

    @staticmethod
    def failing(obs: Observation) -> Evidence:
        """The sharpest evidence of a wrong gradient, over all inputs."""
        return min(_failing(obs.evidence) or obs.evidence, key=lambda e: obs.eps(e.gx, e.gys))


def judge(obs: Observation) -> ValueResult:
    """Hold the claimed gradient against numeric derivatives; what was measured stays in `obs.evidence`.

    Where the inputs are coarser than double precision, the rule is judged twice: as it is, with the tolerance of its
    dtype, and run in double precision on the same values, which shows wrong mathematics that rounding would hide.
    """
    gys, gx, wide_gx = obs.first_gys, obs.first_gx, (obs.wide_gxs[0] if obs.wide_gxs else None)
    aimed = gx if obs.even_gys is None else obs.even_gx
    first = _all_held(obs, obs.aim(aimed), gys, gx, wide_gx, evaluations=FEW, even=True)
    note = ""
    finite = all(g is None or bool(np.isfinite(g).all()) for g in obs.fitted(gx))
    if not (finite and _sharp(obs, first)):
        note = _leave_out(obs, gx)
        first = _all_held(obs, obs.aim(aimed) if note else first[0].v, gys, gx, wide_gx, even=True)
    kept = _on_usable_outputs(obs, first[0].numeric, gys)
    if kept is not None:
        first = _pulled_and_held(obs, first[0].numeric, first[0].v, kept[0], even=True)
        note = "; ".join(filter(None, (note, kept[1])))
    obs.evidence += first
    if first[0].comparison.reason != "stochastic":
        v = obs.aim_evenly()
        few = 9 if _sharp(obs, first) else 40
        if kept is None:
            wide_gx = obs.wide_gxs[1] if obs.wide_gxs else None
            obs.evidence += _all_held(obs, v, obs.second_gys, obs.second_gx, wide_gx, evaluations=few)
        else:
            others = obs.draw(usable=better_than(first[0].numeric, Diagnosis.UNRESOLVED))
            obs.evidence += _pulled_and_held(obs, obs.numeric(v, evaluations=few, gys=others), v, others)
    merged = merge([e.comparison for e in obs.evidence])
    precision = False
    if merged.verdict is Verdict.FAIL:
        merged = _beside_the_kink(obs, merged)
    if merged.verdict is Verdict.FAIL:
        merged, precision = _second_opinion(obs, merged)
        if merged.verdict is Verdict.FAIL and any(untold(obs, e) for e in _failing(obs.evidence)):
            merged, precision = replace(merged, verdict=Verdict.INCONCLUSIVE, reason="unresolved"), False
    if merged.verdict is not Verdict.FAIL:
        found = with_given(obs, None if kept is None else better_than(first[0].numeric, Diagnosis.UNRESOLVED))
        if merged.verdict is Verdict.SUBGRADIENT and not found:
            found = at_kinks(obs)
        if found and not any(untold(obs, e) for e in found):
            obs.evidence += found
            merged = merge([e.comparison for e in found])
    if obs.nothing_left():
        merged = replace(merged, verdict=Verdict.INCONCLUSIVE, reason="unresolved")
    n = len(obs.wanted)
    result = ValueResult(
        merged, merged.reason, [None] * n, [np.inf] * n, [False] * n, precision=precision, note=note
    )
    (_each_of_a_fail if merged.verdict is Verdict.FAIL else _each_of_a_pass)(obs, result)
    return result


def _sharp(obs: Observation, seen: Sequence[Evidence]) -> bool:
    """Whether the sharpest of these passes sees errors so small that more evaluations are not worth it."""
    finest = min(obs.eps(e.gx, e.gys) for e in seen)
    return any(
        e.comparison.verdict is Verdict.PASS and e.comparison.sensitivity < SHARP
        for e in seen
        if obs.eps(e.gx, e.gys) <= finest
    )


def explained(reason: str) -> str:
    """Why a check could not decide, as a sentence."""
    return _UNSEEN.get(reason, reason)


def _hold(
    obs: Observation,
    numeric: Derivative,
    v: Direction,
    gys: Sequence[Array],
    gx: Sequence[Array | None],
    *,
    in_double: bool = False,
) -> Evidence:
    """The evidence on a claim; `in_double`: it was made from inputs in double precision, not from those given."""
    gx = gx if in_double else obs.narrowed(gx)
    return Evidence(v, numeric, tuple(gys), tuple(gx), obs.held(numeric, gx, v, gys))


def _measure(
    obs: Observation, v: Direction, gys: Sequence[Array], gx: Cotangents, evaluations: int = 40
) -> Evidence:
    return _hold(obs, obs.numeric(v, evaluations=evaluations, gys=gys), v, gys, gx)


def _all_held(
    obs: Observation,
    v: Direction,
    gys: Sequence[Array],
    gx: Cotangents,
    wide_gx: Cotangents | None,
    evaluations: int = 40,
    even: bool = False,
) -> list[Evidence]:
    """A new numeric derivative, with the claim in its own dtype and, where there is one, that in double precision.

    even: hold it against the claim for the evened cotangents as well, where the look has some.
    """
    both = even and obs.even_gys is not None
    numeric = obs.numeric(v, evaluations=evaluations, gys=None if both else gys)
    held = [_hold(obs, numeric, v, gys, gx)]
    if wide_gx is not None:
        held.append(_hold(obs, numeric, v, [wide(gy) for gy in gys], wide_gx, in_double=True))
    if both and obs.even_gys is not None:
        held += _telling(held[0], _hold(obs, numeric, v, obs.even_gys, obs.even_gx, in_double=True))
    return held


def _pulled_and_held(
    obs: Observation, numeric: Derivative, v: Direction, gys: Sequence[Array], *, even: bool = False
) -> list[Evidence]:
    """The same for new cotangents and a known numeric derivative."""
    found = [_hold(obs, numeric, v, gys, obs.pulled(gys, obs.fresh()))]
    if obs.wide_gxs:
        found += [
            _hold(obs, numeric, v, [wide(gy) for gy in gys], gx, in_double=True)
            for gx in obs.pulled_in_double([gys])
        ]
    if even and obs.even_gys is not None:
        evened = obs.draw(usable=better_than(numeric, Diagnosis.UNRESOLVED), even=True)
        gxs = [obs.pulled(evened, obs.fresh())] if obs.in_double else obs.pulled_in_double([evened])
        for gx in gxs:
            found += _telling(found[0], _hold(obs, numeric, v, evened, gx, in_double=True))
    return found


def _telling(flat: Evidence, evened: Evidence) -> list[Evidence]:
    """The evened evidence, but for a kink that the flat one does not see: next to the others it is their rounding."""
    chance = evened.comparison.verdict is Verdict.SUBGRADIENT and flat.comparison.verdict is Verdict.PASS
    return [] if chance else [evened]


def _leave_out(obs: Observation, gx: Cotangents) -> str:
    """Take entries out of the check where the rule gives NaN or infinity and no numeric derivative exists either."""
    places: list[Array | None] = [None if g is None else ~np.isfinite(g) for g in obs.fitted(gx)]
    count = sum(int(p.sum()) for p in places if p is not None)
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
    obs.left_out = places
    return f"{count} entries of the inputs were left out: neither the rule nor the numbers give a finite derivative there"


def _on_usable_outputs(
    obs: Observation, numeric: Derivative, gys: tuple[Array, ...]
) -> tuple[tuple[Array, ...], str] | None:
    """Cotangents of zero for output entries whose derivative nobody can measure, and a note; None for no change.

    There is none where all entries can be measured, or none can.
    """
    usable = [
        u & np.isfinite(y)
        for u, y in zip(better_than(numeric, Diagnosis.UNRESOLVED), obs.outputs, strict=True)
    ]
    lost = sum(int((~u).sum()) for u in usable)
    total = sum(u.size for u in usable)
    if lost in (0, total):
        return None
    kept = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, gys, strict=True)])
    worst = Diagnosis(int(numeric.flat_diagnosis.max(initial=0))).name.lower()
    return kept, f"{lost} of {total} output entries were left out ({worst} at this point)"


def _second_opinion(obs: Observation, first: Comparison) -> tuple[Comparison, bool]:
    """Look again with other directions, another seed and more steps; and tell rounding from a wrong rule.

    Returns the comparison to be told, and whether the rule is right in double precision but not in its own.
    """
    obs.evidence = _measured_again(obs)
    failed = _failing(obs.evidence)
    if not failed:
        return merge([e.comparison for e in obs.evidence]), False
    obs.rng = np.random.default_rng([obs.seed, 1])
    base, seen = failed[0], [e.numeric for e in obs.evidence]
    again: list[Evidence] = []
    measured, smooth = Diagnosis.UNRESOLVED, Diagnosis.KINK
    for aim, below in (  # one may not see what another one saw, or what the kinks of other outputs hide
        (obs.aim, measured),
        (obs.aim_evenly, measured),
        (lambda: obs.aim(base.gx), measured),
        (obs.aim, smooth),
    ):
        usable = [
            np.logical_and.reduce(each) for each in zip(*[better_than(n, below) for n in seen], strict=True)
        ]
        if not any(part.any() for part in usable):
            continue
        v, gys = aim(), obs.draw(usable=usable)
        numeric = obs.numeric(v, gys=None if obs.even_gys else gys, thorough=True)
        seen.append(numeric)
        again = _pulled_and_held(obs, numeric, v, gys, even=True)
        if _failing(again):
            break
    else:
        told = (
            again[0].comparison
            if again
            else replace(first, verdict=Verdict.INCONCLUSIVE, reason="unresolved")
        )
        reason = told.reason if told.verdict is Verdict.INCONCLUSIVE else "disagreement"
        return replace(first, verdict=Verdict.INCONCLUSIVE, reason=reason), False
    obs.evidence += again
    failed = _failing(obs.evidence)
    allowed = {id(e): of_comparison(obs, e) for e in failed}
    forgiven = [
        e
        for e in failed
        if e.comparison.difference <= e.comparison.bound + allowed[id(e)] or out_of_range(obs, e)
    ]
    exact = [e for e in obs.evidence if obs.eps(e.gx, e.gys) <= EPS]
    if len(forgiven) < len(failed):
        return first, 0 < len(exact) < len(obs.evidence) and not _failing(exact)
    obs.evidence = [widened(e, allowed[id(e)]) if id(e) in allowed else e for e in exact or obs.evidence]
    return merge([e.comparison for e in obs.evidence]), False


def _beside_the_kink(obs: Observation, told: Comparison) -> Comparison:
    """The verdict on a fail at a kink: a subgradient where each failing claim is what it is right to say close by."""
    if not all(between_neighbours(obs, e) for e in _failing(obs.evidence)):
        return told
    obs.evidence = [
        replace(e, comparison=replace(e.comparison, verdict=Verdict.SUBGRADIENT, reason=""))
        if e.comparison.verdict is Verdict.FAIL
        else e
        for e in obs.evidence
    ]
    return merge([e.comparison for e in obs.evidence])


def _measured_again(obs: Observation) -> list[Evidence]:
    """The evidence with its failed directions measured once more, with every step of the ladder."""
    known: dict[int, Derivative] = {}
    result = []
    for e in obs.evidence:
        if e.comparison.verdict is Verdict.FAIL:
            if id(e.numeric) not in known:
                known[id(e.numeric)] = obs.numeric(e.v, gys=e.gys, thorough=True)
            e = _hold(obs, known[id(e.numeric)], e.v, e.gys, e.gx, in_double=True)
        result.append(e)
    return result


def _failing(seen: Sequence[Evidence]) -> list[Evidence]:
    return [e for e in seen if e.comparison.verdict is Verdict.FAIL]


def _each_of_a_pass(obs: Observation, result: ValueResult) -> None:
    """Sensitivity of every input; one that the others drown, or whose gradient is zero, is looked at alone."""
    told = result.comparison.verdict
    base = min(obs.evidence, key=lambda e: obs.eps(e.gx, e.gys))
    for i, wanted in enumerate(obs.wanted):
        if not wanted:
            continue
        result.verdicts[i] = told
        result.sensitivities[i] = min([_sensitivity(e, i) for e in obs.evidence], default=np.inf)
        if sum(obs.wanted) == 1:
            result.vacuous[i] = all(e.comparison.vacuous for e in obs.evidence)
            continue
        if told is Verdict.INCONCLUSIVE or result.sensitivities[i] < DULL:
            continue
        gys = base.gys
        alone = _measure(obs, obs.aim(base.gx, only=i), gys, list(base.gx))
        if alone.comparison.verdict is Verdict.FAIL:
            again = _measure(obs, obs.aim(only=i), gys, list(base.gx), evaluations=80)
            if again.comparison.verdict is not Verdict.FAIL or result.precision:
                continue
            if excused(obs, alone):
                continue
            result.evidence[i] = alone
            result.comparison, result.reason = alone.comparison, alone.comparison.reason
        result.verdicts[i] = alone.comparison.verdict
        result.sensitivities[i] = alone.comparison.sensitivity
        result.vacuous[i] = alone.comparison.vacuous
        if alone.comparison.verdict is Verdict.INCONCLUSIVE and told is Verdict.PASS:
            result.reason = alone.comparison.reason
    if (
        told is Verdict.PASS
        and Verdict.INCONCLUSIVE in result.verdicts
        and Verdict.FAIL not in result.verdicts
    ):
        result.comparison = replace(result.comparison, verdict=Verdict.INCONCLUSIVE, reason=result.reason)


def _sensitivity(e: Evidence, i: int) -> float:
    gx, v = e.gx[i], e.v[i]
    if (
        gx is None
        or v is None
        or gx.shape != v.shape
        or e.comparison.verdict not in (Verdict.PASS, Verdict.SUBGRADIENT)
    ):
        return np.inf
    with np.errstate(all="ignore"):
        terms = np.abs((gx if v.dtype.kind == "c" else np.real(gx)) * v)
    terms = terms[(terms > 0) & np.isfinite(terms)]
    return float(2.0 * e.comparison.bound / np.median(terms)) if terms.size else np.inf


def _each_of_a_fail(obs: Observation, result: ValueResult) -> None:
    places = [i for i, wanted in enumerate(obs.wanted) if wanted]
    base = result.failing(obs)
    if len(places) == 1:
        result.verdicts[places[0]] = Verdict.FAIL
        result.evidence[places[0]] = base
        return
    if len(places) > MANY:
        return
    for i in places:
        e = _measure(obs, obs.aim(base.gx, only=i), base.gys, list(base.gx))
        result.verdicts[i] = e.comparison.verdict
        result.sensitivities[i] = e.comparison.sensitivity
        result.vacuous[i] = e.comparison.vacuous
        if e.comparison.verdict is Verdict.FAIL:
            result.evidence[i] = e
