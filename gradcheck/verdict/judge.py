"""Is the gradient right? Two directions, a second opinion before any fail, then each input by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.numeric.derivative import Derivative, Diagnosis
from gradcheck.verdict.compare import Comparison, Verdict, merge
from gradcheck.verdict.kinks import at_kinks, between_neighbours, excused, with_given
from gradcheck.verdict.observation import EPS, Cotangents, Direction, Evidence, Look, better_than
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
    def failing(look: Look) -> Evidence:
        """The sharpest evidence of a wrong gradient, over all inputs."""
        return min(_failing(look.evidence) or look.evidence, key=lambda e: look.eps(e.gx, e.gys))


def judge(look: Look) -> ValueResult:
    """Hold the claimed gradient against numeric derivatives; what was measured stays in `look.evidence`.

    Where the inputs are coarser than double precision, the rule is judged twice: as it is, with the tolerance of its
    dtype, and run in double precision on the same values, which shows wrong mathematics that rounding would hide.
    """
    gys, gx, wide_gx = look.first_gys, look.first_gx, (look.wide_gxs[0] if look.wide_gxs else None)
    aimed = gx if look.even_gys is None else look.even_gx
    first = _all_held(look, look.aim(aimed), gys, gx, wide_gx, evaluations=FEW, even=True)
    note = ""
    finite = all(g is None or bool(np.isfinite(g).all()) for g in look.fitted(gx))
    if not (finite and _sharp(look, first)):
        note = _leave_out(look, gx)
        first = _all_held(look, look.aim(aimed) if note else first[0].v, gys, gx, wide_gx, even=True)
    kept = _on_usable_outputs(look, first[0].numeric, gys)
    if kept is not None:
        first = _pulled_and_held(look, first[0].numeric, first[0].v, kept[0], even=True)
        note = "; ".join(filter(None, (note, kept[1])))
    look.evidence += first
    if first[0].comparison.reason != "stochastic":
        v = look.aim_evenly()
        few = 9 if _sharp(look, first) else 40
        if kept is None:
            wide_gx = look.wide_gxs[1] if look.wide_gxs else None
            look.evidence += _all_held(look, v, look.second_gys, look.second_gx, wide_gx, evaluations=few)
        else:
            others = look.draw(usable=better_than(first[0].numeric, Diagnosis.UNRESOLVED))
            look.evidence += _pulled_and_held(look, look.numeric(v, evaluations=few, gys=others), v, others)
    merged = merge([e.comparison for e in look.evidence])
    precision = False
    if merged.verdict is Verdict.FAIL:
        merged = _beside_the_kink(look, merged)
    if merged.verdict is Verdict.FAIL:
        merged, precision = _second_opinion(look, merged)
        if merged.verdict is Verdict.FAIL and any(untold(look, e) for e in _failing(look.evidence)):
            merged, precision = replace(merged, verdict=Verdict.INCONCLUSIVE, reason="unresolved"), False
    if merged.verdict is not Verdict.FAIL:
        found = with_given(
            look, None if kept is None else better_than(first[0].numeric, Diagnosis.UNRESOLVED)
        )
        if merged.verdict is Verdict.SUBGRADIENT and not found:
            found = at_kinks(look)
        if found and not any(untold(look, e) for e in found):
            look.evidence += found
            merged = merge([e.comparison for e in found])
    if look.nothing_left():
        merged = replace(merged, verdict=Verdict.INCONCLUSIVE, reason="unresolved")
    n = len(look.wanted)
    result = ValueResult(
        merged, merged.reason, [None] * n, [np.inf] * n, [False] * n, precision=precision, note=note
    )
    (_each_of_a_fail if merged.verdict is Verdict.FAIL else _each_of_a_pass)(look, result)
    return result


def _sharp(look: Look, seen: Sequence[Evidence]) -> bool:
    """Whether the sharpest of these passes sees errors so small that more evaluations are not worth it."""
    finest = min(look.eps(e.gx, e.gys) for e in seen)
    return any(
        e.comparison.verdict is Verdict.PASS and e.comparison.sensitivity < SHARP
        for e in seen
        if look.eps(e.gx, e.gys) <= finest
    )


def explained(reason: str) -> str:
    """Why a check could not decide, as a sentence."""
    return _UNSEEN.get(reason, reason)


def _hold(
    look: Look,
    numeric: Derivative,
    v: Direction,
    gys: Sequence[Array],
    gx: Sequence[Array | None],
    *,
    in_double: bool = False,
) -> Evidence:
    """The evidence on a claim; `in_double`: it was made from inputs in double precision, not from those given."""
    gx = gx if in_double else look.narrowed(gx)
    return Evidence(v, numeric, tuple(gys), tuple(gx), look.held(numeric, gx, v, gys))


def _measure(
    look: Look, v: Direction, gys: Sequence[Array], gx: Cotangents, evaluations: int = 40
) -> Evidence:
    return _hold(look, look.numeric(v, evaluations=evaluations, gys=gys), v, gys, gx)


def _all_held(
    look: Look,
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
    both = even and look.even_gys is not None
    numeric = look.numeric(v, evaluations=evaluations, gys=None if both else gys)
    held = [_hold(look, numeric, v, gys, gx)]
    if wide_gx is not None:
        held.append(_hold(look, numeric, v, [wide(gy) for gy in gys], wide_gx, in_double=True))
    if both and look.even_gys is not None:
        held += _telling(held[0], _hold(look, numeric, v, look.even_gys, look.even_gx, in_double=True))
    return held


def _pulled_and_held(
    look: Look, numeric: Derivative, v: Direction, gys: Sequence[Array], *, even: bool = False
) -> list[Evidence]:
    """The same for new cotangents and a known numeric derivative."""
    found = [_hold(look, numeric, v, gys, look.pulled(gys, look.fresh()))]
    if look.wide_gxs:
        found += [
            _hold(look, numeric, v, [wide(gy) for gy in gys], gx, in_double=True)
            for gx in look.pulled_in_double([gys])
        ]
    if even and look.even_gys is not None:
        evened = look.draw(usable=better_than(numeric, Diagnosis.UNRESOLVED), even=True)
        gxs = [look.pulled(evened, look.fresh())] if look.in_double else look.pulled_in_double([evened])
        for gx in gxs:
            found += _telling(found[0], _hold(look, numeric, v, evened, gx, in_double=True))
    return found


def _telling(flat: Evidence, evened: Evidence) -> list[Evidence]:
    """The evened evidence, but for a kink that the flat one does not see: next to the others it is their rounding."""
    chance = evened.comparison.verdict is Verdict.SUBGRADIENT and flat.comparison.verdict is Verdict.PASS
    return [] if chance else [evened]


def _leave_out(look: Look, gx: Cotangents) -> str:
    """Take entries out of the check where the rule gives NaN or infinity and no numeric derivative exists either."""
    places: list[Array | None] = [None if g is None else ~np.isfinite(g) for g in look.fitted(gx)]
    count = sum(int(p.sum()) for p in places if p is not None)
    if not count:
        return ""
    v = tuple(
        [
            None if t is None else np.where(out, t, 0) if out is not None else np.zeros_like(t)
            for t, out in zip(look.aim(), places, strict=True)
        ]
    )
    usable = better_than(look.numeric(v), Diagnosis.UNRESOLVED)
    if all(u.all() for u in usable):
        return ""
    look.left_out = places
    return f"{count} entries of the inputs were left out: neither the rule nor the numbers give a finite derivative there"


def _on_usable_outputs(
    look: Look, numeric: Derivative, gys: tuple[Array, ...]
) -> tuple[tuple[Array, ...], str] | None:
    """Cotangents of zero for output entries whose derivative nobody can measure, and a note; None for no change.

    There is none where all entries can be measured, or none can.
    """
    usable = [
        u & np.isfinite(y)
        for u, y in zip(better_than(numeric, Diagnosis.UNRESOLVED), look.outputs, strict=True)
    ]
    lost = sum(int((~u).sum()) for u in usable)
    total = sum(u.size for u in usable)
    if lost in (0, total):
        return None
    kept = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, gys, strict=True)])
    worst = Diagnosis(int(numeric.flat_diagnosis.max(initial=0))).name.lower()
    return kept, f"{lost} of {total} output entries were left out ({worst} at this point)"


def _second_opinion(look: Look, first: Comparison) -> tuple[Comparison, bool]:
    """Look again with other directions, another seed and more steps; and tell rounding from a wrong rule.

    Returns the comparison to be told, and whether the rule is right in double precision but not in its own.
    """
    look.evidence = _measured_again(look)
    failed = _failing(look.evidence)
    if not failed:
        return merge([e.comparison for e in look.evidence]), False
    look.rng = np.random.default_rng([look.seed, 1])
    base, seen = failed[0], [e.numeric for e in look.evidence]
    again: list[Evidence] = []
    measured, smooth = Diagnosis.UNRESOLVED, Diagnosis.KINK
    for aim, below in (  # one may not see what another one saw, or what the kinks of other outputs hide
        (look.aim, measured),
        (look.aim_evenly, measured),
        (lambda: look.aim(base.gx), measured),
        (look.aim, smooth),
    ):
        usable = [
            np.logical_and.reduce(each) for each in zip(*[better_than(n, below) for n in seen], strict=True)
        ]
        if not any(part.any() for part in usable):
            continue
        v, gys = aim(), look.draw(usable=usable)
        numeric = look.numeric(v, gys=None if look.even_gys else gys, thorough=True)
        seen.append(numeric)
        again = _pulled_and_held(look, numeric, v, gys, even=True)
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
    look.evidence += again
    failed = _failing(look.evidence)
    allowed = {id(e): of_comparison(look, e) for e in failed}
    forgiven = [
        e
        for e in failed
        if e.comparison.difference <= e.comparison.bound + allowed[id(e)] or out_of_range(look, e)
    ]
    exact = [e for e in look.evidence if look.eps(e.gx, e.gys) <= EPS]
    if len(forgiven) < len(failed):
        return first, 0 < len(exact) < len(look.evidence) and not _failing(exact)
    look.evidence = [widened(e, allowed[id(e)]) if id(e) in allowed else e for e in exact or look.evidence]
    return merge([e.comparison for e in look.evidence]), False


def _beside_the_kink(look: Look, told: Comparison) -> Comparison:
    """The verdict on a fail at a kink: a subgradient where each failing claim is what it is right to say close by."""
    if not all(between_neighbours(look, e) for e in _failing(look.evidence)):
        return told
    look.evidence = [
        replace(e, comparison=replace(e.comparison, verdict=Verdict.SUBGRADIENT, reason=""))
        if e.comparison.verdict is Verdict.FAIL
        else e
        for e in look.evidence
    ]
    return merge([e.comparison for e in look.evidence])


def _measured_again(look: Look) -> list[Evidence]:
    """The evidence with its failed directions measured once more, with every step of the ladder."""
    known: dict[int, Derivative] = {}
    result = []
    for e in look.evidence:
        if e.comparison.verdict is Verdict.FAIL:
            if id(e.numeric) not in known:
                known[id(e.numeric)] = look.numeric(e.v, gys=e.gys, thorough=True)
            e = _hold(look, known[id(e.numeric)], e.v, e.gys, e.gx, in_double=True)
        result.append(e)
    return result


def _failing(seen: Sequence[Evidence]) -> list[Evidence]:
    return [e for e in seen if e.comparison.verdict is Verdict.FAIL]


def _each_of_a_pass(look: Look, result: ValueResult) -> None:
    """Sensitivity of every input; one that the others drown, or whose gradient is zero, is looked at alone."""
    told = result.comparison.verdict
    base = min(look.evidence, key=lambda e: look.eps(e.gx, e.gys))
    for i, wanted in enumerate(look.wanted):
        if not wanted:
            continue
        result.verdicts[i] = told
        result.sensitivities[i] = min([_sensitivity(e, i) for e in look.evidence], default=np.inf)
        if sum(look.wanted) == 1:
            result.vacuous[i] = all(e.comparison.vacuous for e in look.evidence)
            continue
        if told is Verdict.INCONCLUSIVE or result.sensitivities[i] < DULL:
            continue
        gys = base.gys
        alone = _measure(look, look.aim(base.gx, only=i), gys, list(base.gx))
        if alone.comparison.verdict is Verdict.FAIL:
            again = _measure(look, look.aim(only=i), gys, list(base.gx), evaluations=80)
            if again.comparison.verdict is not Verdict.FAIL or result.precision:
                continue
            if excused(look, alone):
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


def _each_of_a_fail(look: Look, result: ValueResult) -> None:
    places = [i for i, wanted in enumerate(look.wanted) if wanted]
    base = result.failing(look)
    if len(places) == 1:
        result.verdicts[places[0]] = Verdict.FAIL
        result.evidence[places[0]] = base
        return
    if len(places) > MANY:
        return
    for i in places:
        e = _measure(look, look.aim(base.gx, only=i), base.gys, list(base.gx))
        result.verdicts[i] = e.comparison.verdict
        result.sensitivities[i] = e.comparison.sensitivity
        result.vacuous[i] = e.comparison.vacuous
        if e.comparison.verdict is Verdict.FAIL:
            result.evidence[i] = e
