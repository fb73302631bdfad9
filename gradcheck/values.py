"""Is the gradient right? Two directions, a second opinion before any fail, then each input by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.backends.protocol import Array, spread
from gradcheck.compare import Comparison, Verdict, merge
from gradcheck.differences import Derivative, Diagnosis
from gradcheck.look import Cotangents, Direction, Evidence, Look

SHARP = 1e-3
"""A pass as sharp as this needs no more evaluations, and the second direction gets the fewest that give a bound."""

FEW = 15
"""Evaluations along the first direction, at first."""

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
        """The first evidence of a wrong gradient, over all inputs."""
        return next(e for e in look.evidence if e.comparison.verdict is Verdict.FAIL)


def judge(look: Look) -> ValueResult:
    """Hold the claimed gradient against numeric derivatives; what was measured stays in `look.evidence`."""
    gys, gx = look.first_gys, look.first_gx
    first = _measure(look, look.aim(gx), gys, gx, evaluations=FEW)
    note = ""
    if not _sharp(first.comparison):
        note = _leave_out(look, gx)
        first = _measure(look, look.aim(gx) if note else first.v, gys, gx)
    gys, gx, more = _on_usable_outputs(look, first.numeric, gys, gx)
    if more:
        first = _hold(look, first.numeric, first.v, gys, gx)
    look.evidence.append(first)
    others, gx = look.second_gys, look.second_gx
    if more:
        others = look.draw(usable=_usable(first.numeric))
        gx = look.pulled(others, look.fresh())
    note = "; ".join(filter(None, (note, more)))
    if first.comparison.reason != "stochastic":
        v = look.aim_evenly()
        few = 9 if _sharp(first.comparison) else 40
        look.evidence.append(_measure(look, v, others, gx, evaluations=few))
    merged = merge([e.comparison for e in look.evidence])
    precision = False
    if merged.verdict is Verdict.FAIL:
        merged, precision = _second_opinion(look, merged)
    n = len(look.wanted)
    result = ValueResult(
        merged, merged.reason, [None] * n, [np.inf] * n, [False] * n, precision=precision, note=note
    )
    (_each_of_a_fail if merged.verdict is Verdict.FAIL else _each_of_a_pass)(look, result)
    return result


def _sharp(c: Comparison) -> bool:
    return c.verdict is Verdict.PASS and c.sensitivity < SHARP


def explained(reason: str) -> str:
    """Why a check could not decide, as a sentence."""
    return _UNSEEN.get(reason, reason)


def _hold(look: Look, numeric: Derivative, v: Direction, gys: Sequence[Array], gx: Cotangents) -> Evidence:
    return Evidence(v, numeric, tuple(gys), tuple(gx), look.held(numeric, gx, v, gys))


def _measure(
    look: Look, v: Direction, gys: Sequence[Array], gx: Cotangents, evaluations: int = 40
) -> Evidence:
    return _hold(look, look.numeric(v, evaluations=evaluations, gys=gys), v, gys, gx)


def _usable(numeric: Derivative) -> tuple[Array, ...]:
    """For every output entry, whether its derivative was measured."""
    diagnosis = numeric.diagnosis if isinstance(numeric.diagnosis, tuple) else (numeric.diagnosis,)
    return tuple([np.asarray(d) < Diagnosis.UNRESOLVED for d in diagnosis])


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
    usable = _usable(look.numeric(v))
    if all(u.all() for u in usable):
        return ""
    look.left_out = places
    return f"{count} entries of the inputs were left out: neither the rule nor the numbers give a finite derivative there"


def _on_usable_outputs(
    look: Look, numeric: Derivative, gys: tuple[Array, ...], gx: Cotangents
) -> tuple[tuple[Array, ...], Cotangents, str]:
    """Cotangents of zero for output entries whose derivative nobody can measure, as long as there are others."""
    usable = _usable(numeric)
    finite = [np.isfinite(y) for y in look.outputs]
    usable = tuple([a & b for a, b in zip(usable, finite, strict=True)])
    lost = sum(int((~u).sum()) for u in usable)
    total = sum(u.size for u in usable)
    if lost in (0, total):
        return gys, gx, ""
    kept = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, gys, strict=True)])
    worst = Diagnosis(int(numeric.flat_diagnosis.max(initial=0))).name.lower()
    return (
        kept,
        look.pulled(kept, look.fresh()),
        f"{lost} of {total} output entries were left out ({worst} at this point)",
    )


def _second_opinion(look: Look, first: Comparison) -> tuple[Comparison, bool]:
    """Look again with other directions, another seed and more steps; and tell rounding from a wrong rule.

    Returns the comparison to be told, and whether the rule is right in double precision but not in its own.
    """
    look.rng = np.random.default_rng([look.seed, 1])
    gys = look.draw(usable=_usable(look.evidence[0].numeric))
    again = _measure(look, look.aim(), gys, look.pulled(gys, look.fresh()), evaluations=80)
    confirmed = again.comparison.verdict is Verdict.FAIL
    if not confirmed:
        gys = look.evidence[0].gys
        gx = list(look.evidence[0].gx)
        other = _measure(look, look.aim(gx), gys, gx, evaluations=80)
        confirmed = other.comparison.verdict is Verdict.FAIL
        if confirmed:
            again = other
    if not confirmed:
        if again.comparison.verdict is Verdict.INCONCLUSIVE:
            return replace(first, verdict=Verdict.INCONCLUSIVE, reason=again.comparison.reason), False
        return replace(first, verdict=Verdict.INCONCLUSIVE, reason="disagreement"), False
    failed = [e for e in (*look.evidence, again) if e.comparison.verdict is Verdict.FAIL]
    look.evidence.append(again)
    eps = look.eps(failed[0].gx, failed[0].gys)
    if eps > np.finfo(np.float64).eps:
        excesses = [_excess_over_rounding(look, e, eps) for e in failed]
        if all(x is not None for x in excesses):
            if max(x for x in excesses if x is not None) <= 1.0:
                widened = replace(
                    first, verdict=Verdict.PASS, reason="", bound=max(first.difference, first.bound)
                )
                look.evidence = [replace(e, comparison=replace(widened)) for e in look.evidence]
                return widened, False
            return first, True
    return first, False


def _excess_over_rounding(look: Look, e: Evidence, eps: float) -> float | None:
    """How much further off than rounding explains, as a ratio; None where the rule is wrong in double precision too.

    What rounding does to a right rule is measured: inputs and cotangents are moved by one unit in their last place.
    """
    gys = [np.asarray(gy, np.result_type(gy.dtype, np.float64)) for gy in e.gys]
    exact = _in_double(look, look.wide, gys)
    if look.held(e.numeric, exact, e.v, gys, eps=float(np.finfo(np.float64).eps)).verdict not in (
        Verdict.PASS,
        Verdict.SUBGRADIENT,
    ):
        return None
    rng = np.random.default_rng([look.seed, 2])
    spread_seen = 0.0
    for _ in range(4):
        moved = [
            x * (1 + eps * rng.choice([-1.0, 1.0], x.shape)) if want else x
            for x, want in zip(look.wide, look.wanted, strict=True)
        ]
        shaken = [gy * (1 + eps * rng.choice([-1.0, 1.0], gy.shape)) for gy in gys]
        c = look.held(e.numeric, _in_double(look, moved, shaken), e.v, gys)
        spread_seen = max(spread_seen, abs(c.analytic - look.held(e.numeric, exact, e.v, gys).analytic))
    return e.comparison.difference / (e.comparison.bound + 16.0 * spread_seen)


def _in_double(look: Look, arrays: Sequence[Array], gys: Sequence[Array]) -> Cotangents:
    run = look.forward([x.copy() for x in arrays])
    look.pulls += 1
    with np.errstate(all="ignore"):
        found = run.pull(spread(run.outputs, gys))
    return [None if g is None else g.copy() for g in found]


def _each_of_a_pass(look: Look, result: ValueResult) -> None:
    """Sensitivity of every input; one that the others drown, or whose gradient is zero, is looked at alone."""
    told = result.comparison.verdict
    for i, wanted in enumerate(look.wanted):
        if not wanted:
            continue
        result.verdicts[i] = told
        result.sensitivities[i] = min([_sensitivity(e, i) for e in look.evidence], default=np.inf)
        if told is Verdict.INCONCLUSIVE or result.sensitivities[i] < 0.1:
            continue
        gys = look.evidence[0].gys
        alone = _measure(look, look.aim(look.evidence[0].gx, only=i), gys, list(look.evidence[0].gx))
        if alone.comparison.verdict is Verdict.FAIL:
            again = _measure(look, look.aim(only=i), gys, list(look.evidence[0].gx), evaluations=80)
            if again.comparison.verdict is not Verdict.FAIL or result.precision:
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
