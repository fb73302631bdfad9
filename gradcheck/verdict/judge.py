"""Is the gradient right? Two directions, a second opinion and the excuses before any fail, then each input by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.numeric.derivative import BUDGET
from gradcheck.numeric.line import EPS, positive
from gradcheck.numeric.quantiles import median
from gradcheck.numeric.result import Diagnosis
from gradcheck.verdict.compare import Comparison, Verdict, merge
from gradcheck.verdict.evidence import Evidence, Excuse, marked
from gradcheck.verdict.excuses import excuse
from gradcheck.verdict.jumps import free_choice, measurable, seek_jumps
from gradcheck.verdict.measure import (
    COMPOSE,
    FURTHER,
    SHARP,
    hides,
    leave_out,
    measured,
    measured_again,
    measured_throughout,
    on_usable_outputs,
    pulled_and_compared,
    widen,
)
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.rounding import is_dust, is_nothing
from gradcheck.verdict.witnesses import at_ties, with_given

FEW = 16
"""Evaluations along the first direction, at first."""

DULL = 0.1
"""An input in which an error of less than this would not be detected is judged alone."""

MANY = 16
"""Up to so many inputs are judged one by one after a fail; of more, only the located one is named."""

_UNSEEN = {
    "stochastic": "two calls at the same point gave different values, so there is no derivative to compare with",
    "nonfinite": "the function is infinite or NaN at this point",
    "unresolved": "no step shows a slope: a jump, an infinite slope, or structure finer than rounding",
    "infinite": "every entry of the inputs is infinite or NaN: a derivative needs finite ones",
    "free": f"the output has a free sign or basis here: {COMPOSE}",
    "range": "the right values are too large for the dtype of the inputs",
    "noise": "the values are so noisy that a gradient of zero would also pass",
    "disagreement": "a second measurement, with other directions and steps, did not confirm the first one",
}


@dataclass
class ValueResult:
    """What was measured: over all, and for each input that a gradient was requested for (None: not judged alone).

    evidence: of the inputs that are wrong. alone: of those that passed by themselves, as the others drown them.
    """

    comparison: Comparison
    reason: str
    verdicts: list[Verdict | None]
    vacuous: list[bool]
    evidence: dict[int, Evidence] = field(default_factory=dict)
    alone: dict[int, Evidence] = field(default_factory=dict)
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
    """Compare the claimed gradient with numeric derivatives; what was measured stays in `obs.evidence`.

    Where the inputs are coarser than double precision, the rule is judged twice: as it is, with the tolerance of its
    dtype, and run in double precision on the same values, which shows wrong mathematics that rounding would hide.
    """
    note, usable = _two_directions(obs)
    if usable is None:
        _with_wider_steps(obs)
    merged = merge([e.comparison for e in obs.evidence])
    if merged.verdict is Verdict.FAIL and seek_jumps(obs):
        obs.evidence = []
        note, usable = _two_directions(obs)
        merged = merge([e.comparison for e in obs.evidence])
    precision = False
    if obs.turning is not None and all(turns.all() for turns in obs.turning):
        merged = replace(merged, verdict=Verdict.INCONCLUSIVE, reason="free")
    if merged.verdict is Verdict.FAIL:
        merged, precision = _upheld(obs, merged)
    if merged.verdict is not Verdict.FAIL and merged.reason != "free":
        found = with_given(obs, usable)
        if merged.verdict is Verdict.SUBGRADIENT and not found:
            found = at_ties(obs)
        if found:
            obs.evidence += found
            merged = merge([e.comparison for e in found])
    infinite = marked(obs.infinite)
    if infinite:
        entries, were = ("entry", "was") if infinite == 1 else ("entries", "were")
        left = f"{infinite} infinite or NaN {entries} of the inputs {were} left out: infinity cannot be moved"
        note = "; ".join(filter(None, (left, note)))
    if obs.nothing_left():
        reason = "infinite" if obs.nothing_left(obs.infinite) else "unresolved"
        merged = replace(merged, verdict=Verdict.INCONCLUSIVE, reason=reason)
    if merged.verdict is Verdict.INCONCLUSIVE and merged.reason == "unresolved" and free_choice(obs):
        merged = replace(merged, reason="free")
    n = len(obs.wanted)
    result = ValueResult(merged, merged.reason, [None] * n, [False] * n, precision=precision, note=note)
    if merged.verdict is Verdict.FAIL:
        _each_of_a_fail(obs, result)
        return result
    _each_of_a_pass(obs, result)
    return result if usable is not None or result.failed else _hidden(obs, result)


def _two_directions(obs: Observation) -> tuple[str, tuple[Array, ...] | None]:
    """Evidence along two directions; a note on what was left out, and the outputs that could be measured (None: all)."""
    gys, gx, wide_gx = obs.first_gys, obs.first_gx, (obs.wide_gxs[0] if obs.wide_gxs else None)
    aimed = gx if obs.even_gys is None else obs.even_gx
    first = measured_throughout(obs, obs.aim(aimed), gys, gx, wide_gx, evaluations=FEW, even=True)
    note = ""
    finite = all(g is None or bool(np.isfinite(g).all()) for g in obs.fitted(gx))
    if not (finite and _sharp(obs, first)):
        note = leave_out(obs, gx)
        v = obs.aim(aimed) if note else first[0].v
        first = measured_throughout(obs, v, gys, gx, wide_gx, even=True)
    numeric = first[0].numeric
    kept = on_usable_outputs(obs, numeric, gys)
    if kept is not None:
        first = pulled_and_compared(obs, numeric, first[0].v, kept[0], even=True)
        note = "; ".join(filter(None, (note, kept[1])))
    usable = None if kept is None else tuple([np.asarray(gy != 0) for gy in kept[0]])
    obs.evidence += first
    if first[0].comparison.reason == "stochastic":
        return note, usable
    v = obs.aim_evenly()
    few = 9 if _sharp(obs, first) else BUDGET
    if usable is None:
        wide_gx = obs.wide_gxs[1] if obs.wide_gxs else None
        obs.evidence += measured_throughout(obs, v, obs.second_gys, obs.second_gx, wide_gx, evaluations=few)
    else:
        others = obs.draw(usable=usable)
        obs.evidence += pulled_and_compared(obs, obs.numeric(v, evaluations=few, gys=others), v, others)
    return note, usable


def _with_wider_steps(obs: Observation) -> None:
    """Evidence along a third direction, where the two show nothing: exp at 1e-17 does not change over steps of that size.

    Where it shows no derivative either, and nothing is claimed but what rounding leaves, the evidence is a vacuous pass.
    """
    noise = any(e.comparison.reason == "noise" for e in obs.evidence)
    seen = not all(e.comparison.reason == "noise" or e.comparison.vacuous for e in obs.evidence)
    if seen or not (noise or hides(obs, obs.evidence, further=FURTHER)):
        return
    found = _widely(obs)
    e = found[-1]
    nothing = obs.held(e.numeric, [None] * len(e.gx), e.v, e.gys)
    if noise and nothing.verdict is Verdict.PASS and is_dust(obs, list(e.gx), e.gys, e.v):
        obs.evidence = [replace(e, comparison=replace(nothing, analytic=e.comparison.analytic))]
    elif noise or _mistaken(found):
        obs.evidence += found
    else:
        obs.target = None


def _mistaken(found: Sequence[Evidence]) -> bool:
    """Whether one of these fails, and no step of them reaches a kink."""
    return bool(_failing(found)) and not any(e.at_kink() for e in found)


def _widely(obs: Observation) -> list[Evidence]:
    widen(obs, obs.second_gys)
    wide_gx = obs.wide_gxs[1] if obs.wide_gxs else None
    return measured_throughout(obs, obs.aim(obs.second_gx), obs.second_gys, obs.second_gx, wide_gx)


def _hidden(obs: Observation, result: ValueResult) -> ValueResult:
    """The same with the entries that the directions of a pass hide: a third one moves them further."""
    overall = merge([e.comparison for e in obs.evidence])
    seen = [*obs.evidence, *result.alone.values()]
    if overall.verdict is not Verdict.PASS or obs.target is not None or not hides(obs, seen, further=FURTHER):
        return result
    found, before = _widely(obs), obs.evidence
    if _mistaken(found):
        obs.evidence = [*before, *found]
        merged, precision = _upheld(obs, merge([e.comparison for e in obs.evidence]))
        if merged.verdict is Verdict.FAIL:
            n = len(obs.wanted)
            wrong = ValueResult(merged, merged.reason, [None] * n, [False] * n, precision=precision)
            _each_of_a_fail(obs, wrong)
            return wrong
        obs.evidence = before
    elif all(e.comparison.verdict is Verdict.PASS and not e.at_kink() for e in found):
        obs.evidence = [*before, *found]
        for i, verdict in enumerate(result.verdicts):
            if verdict is not None and min(_sensitivity(e, i) for e in found) < DULL:
                result.verdicts[i], result.vacuous[i] = Verdict.PASS, False
        if result.comparison.verdict is not Verdict.FAIL and Verdict.INCONCLUSIVE not in result.verdicts:
            result.comparison = overall
    obs.target = None
    return result


def _sharp(obs: Observation, seen: Sequence[Evidence]) -> bool:
    """Whether the sharpest of these passes sees errors so small that more evaluations are not worth it."""
    eps = [obs.eps(e.gx, e.gys) for e in seen]
    finest = [e for e, each in zip(seen, eps, strict=True) if each <= min(eps)]
    return any(
        e.comparison.verdict is Verdict.PASS and e.comparison.sensitivity < SHARP and e.numeric.settled
        for e in finest
    )


def explained(reason: str) -> str:
    """Why a check could not decide, as a sentence."""
    return _UNSEEN.get(reason, reason)


def _upheld(obs: Observation, first: Comparison) -> tuple[Comparison, bool]:
    """What becomes of a fail: it is measured again, confirmed by a second opinion, and reported where nothing excuses it.

    Returns the comparison that decides, and whether the rule is right in double precision but not in its own.
    """
    obs.evidence = measured_again(obs)
    if not _failing(obs.evidence):
        return merge([e.comparison for e in obs.evidence]), False
    unconfirmed = _second_opinion(obs)
    exact = [e for e in obs.evidence if obs.eps(e.gx, e.gys) <= EPS]
    excuses: dict[int, Excuse] = {}
    mistaken = False
    for e in _failing(obs.evidence):
        found = excuse(obs, e, of_point=mistaken)
        if found is not None and found.of_point:
            return found.instead, False
        if found is None:
            mistaken = True
        else:
            excuses[id(e)] = found
    if not mistaken:
        obs.evidence = [_excused(e, excuses.get(id(e))) for e in exact or obs.evidence]
        return merge([e.comparison for e in obs.evidence]), False
    if unconfirmed:
        return replace(first, verdict=Verdict.INCONCLUSIVE, reason=unconfirmed), False
    return first, 0 < len(exact) < len(obs.evidence) and not _failing(exact)


def _excused(e: Evidence, found: Excuse | None) -> Evidence:
    return e if found is None else replace(e, comparison=found.instead)


def _second_opinion(obs: Observation) -> str:
    """Measure with other directions, another seed and more steps: "" where that confirms the fail, else why not.

    What confirms it joins the evidence.
    """
    obs.rng = np.random.default_rng([obs.seed, 1])
    base, seen = _failing(obs.evidence)[0], [e.numeric for e in obs.evidence]
    again: list[Evidence] = []
    resolved, smooth = Diagnosis.UNRESOLVED, Diagnosis.KINK
    for aim, below in (  # one may not see what another one saw, or what the kinks of other outputs hide
        (obs.aim, resolved),
        (obs.aim_evenly, resolved),
        (lambda: obs.aim(base.gx), resolved),
        (obs.aim, smooth),
    ):
        usable = [
            np.logical_and.reduce(each)
            for each in zip(*[measurable(obs, n, below) for n in seen], strict=True)
        ]
        if not any(part.any() for part in usable):
            continue
        v, gys = aim(), obs.draw(usable=usable)
        numeric = obs.numeric(v, gys=None if obs.even_gys else gys, thorough=True)
        seen.append(numeric)
        again = pulled_and_compared(obs, numeric, v, gys, even=True)
        if _failing(again):
            obs.evidence += again
            return ""
    if not again:
        return "unresolved"
    last = again[0].comparison
    return last.reason if last.verdict is Verdict.INCONCLUSIVE else "disagreement"


def _failing(seen: Sequence[Evidence]) -> list[Evidence]:
    return [e for e in seen if e.failed]


def _each_of_a_pass(obs: Observation, result: ValueResult) -> None:
    """The verdict of every input; one that the others drown, or whose gradient is zero, is judged alone."""
    overall = result.comparison.verdict
    for i, wanted in enumerate(obs.wanted):
        if not wanted:
            continue
        result.verdicts[i] = overall
        if sum(obs.wanted) == 1:
            result.vacuous[i] = all(e.comparison.vacuous for e in obs.evidence)
            continue
        if overall is Verdict.INCONCLUSIVE or any(_sensitivity(e, i) < DULL for e in obs.evidence):
            continue
        base = min(obs.evidence, key=lambda e: obs.eps(e.gx, e.gys))
        gys = base.gys
        alone = measured(obs, obs.aim(base.gx, only=i), gys, list(base.gx))
        if alone.comparison.verdict is Verdict.FAIL:
            again = measured(obs, obs.aim(only=i), gys, list(base.gx), evaluations=80)
            if again.comparison.verdict is not Verdict.FAIL or result.precision:
                continue
            if excuse(obs, alone) is not None:
                continue
            result.evidence[i] = alone
            result.comparison, result.reason = alone.comparison, alone.comparison.reason
        elif overall is Verdict.PASS and alone.comparison.reason == "noise" and is_nothing(obs, alone):
            result.vacuous[i] = True
            continue
        else:
            result.alone[i] = alone
        result.verdicts[i] = alone.comparison.verdict
        result.vacuous[i] = alone.comparison.vacuous
        if alone.comparison.verdict is Verdict.INCONCLUSIVE and overall is Verdict.PASS:
            result.reason = alone.comparison.reason
    if (
        overall is Verdict.PASS
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
    terms = positive(np.abs((gx if v.dtype.kind == "c" else gx.real) * v))
    return 2.0 * e.comparison.bound / median(terms) if terms.size else np.inf


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
        e = measured(obs, obs.aim(base.gx, only=i), base.gys, list(base.gx))
        result.verdicts[i] = e.comparison.verdict
        result.vacuous[i] = e.comparison.vacuous
        if e.comparison.verdict is Verdict.FAIL:
            result.evidence[i] = e
