"""One op at the values that it saw: a quick look that acquits it, or the whole check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from gradcheck.backends import Call, as_subject
from gradcheck.backends.protocol import Array, Subject, wide
from gradcheck.check import check_subject, gradcheck
from gradcheck.diagnosis.faults import FIRST
from gradcheck.errors import CallError, RuleError
from gradcheck.numeric.derivative import BUDGET
from gradcheck.numeric.result import Derivative
from gradcheck.report.explanation import Blame
from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Direction, Evidence, same
from gradcheck.verdict.measure import evidence_on, hides, widen
from gradcheck.verdict.observation import Observation
from gradcore.errors import GradcoreError

FEW = 16
"""Evaluations of a whole computation along one direction, which may take long."""

RIGHT = (Verdict.PASS, Verdict.SUBGRADIENT)


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome for one op: its report where it is wrong, the reason where there is no verdict; neither where it is right."""

    report: Report | None = None
    reason: str = ""

    @property
    def right(self) -> bool:
        """Whether its rule was verified."""
        return self.report is None and not self.reason


def judged(call: Call, gys: Sequence[Array] = (), *, subject: Subject | None = None) -> Judged:
    """The rule of one op, with its arguments as `call.inputs`. gys: the cotangents that it got in the backward pass."""
    try:
        with np.errstate(all="ignore"):
            if acquitted(as_subject(call) if subject is None else subject, call.seed, gys):
                return Judged()
        report = _checked(call, None)
        if report and gys:
            report = _checked(call, gys[0] if len(gys) == 1 else tuple(gys))
    except (CallError, GradcoreError) as error:
        return Judged(reason=str(error))
    if report.verdict is Verdict.FAIL:
        return Judged(report)
    return Judged(reason="" if report else report.reason)


def _checked(call: Call, gy: Any) -> Report:
    return gradcheck(
        call.f,
        call.inputs,
        vjp=call.vjp,
        wrt=call.wrt,
        params=call.params,
        gy=gy,
        contracts=FIRST,
        seed=call.seed,
        raise_exception=False,
    )


Claim: TypeAlias = tuple[tuple[Array, ...], Cotangents, bool]
"""Cotangents, what the rule gives for them, and whether that was made in double precision of narrower inputs."""


def acquitted(subject: Subject, seed: int, gys: Sequence[Array]) -> bool:
    """Whether one or two random directions and two cotangents, a random one and that of the backward pass, show no mistake.

    The second direction, with wider steps, is tried where the first hides an entry. No more than a reason not to look closer:
    what it does not acquit may be right all the same.
    """
    obs = Observation(subject, seed)
    claims = _claims(obs, gys)
    passed: list[Evidence] = []
    for wider in (False, True):
        if not claims:
            return False
        if wider:
            widen(obs, claims[0][0])
        v = obs.aim(claims[0][1])
        found = _compared(obs, obs.numeric(v), v, claims)
        if any(e.comparison.verdict in (Verdict.FAIL, Verdict.SUBGRADIENT) for e in found):
            return False
        passed += [e for e in found if e.comparison.verdict is Verdict.PASS]
        if all(any(e.gys is some for e in passed) for some, _, _ in claims) and not hides(obs, passed):
            return True
    return False


def acquitted_whole(subject: Subject, seed: int) -> bool:
    """The same for a whole computation, along one direction that shows it; with few evaluations first, as each may take long.

    Where its gradient can be computed in double precision, that alone counts: many ops round more than one.
    """
    obs = Observation(subject, seed)
    claims = _claims(obs, ())
    exact = [claim for claim in claims if claim[2]] or claims
    if not exact:
        return False
    v = obs.aim(exact[0][1])
    for evaluations in (FEW, BUDGET):
        numeric = obs.numeric(v, evaluations=evaluations, gys=exact[0][0])
        found = _compared(obs, numeric, v, exact)
        if all(e.comparison.verdict is Verdict.PASS for e in found):
            return True
        if all(e.comparison.reason == "noise" for e in found):
            widen(obs, exact[0][0])
            v = obs.aim(exact[0][1])
    return False


def _claims(obs: Observation, gys: Sequence[Array]) -> list[Claim]:
    """What the rule gives for a random cotangent and for `gys`; empty where it raises, changes arrays or has another shape."""
    drawn = obs.draw()
    try:
        claims: list[Claim] = [(drawn, obs.pulled(drawn), False)]
        if gys and [g.shape for g in gys] == [y.shape for y in obs.outputs]:
            claims.append((tuple(gys), obs.pulled(gys), False))
        exact = tuple([wide(gy) for gy in drawn])
        claims += [(exact, gx, True) for gx in obs.pulled_in_double([drawn])]
    except RuleError:
        return []
    changed = not same(obs.given, obs.arrays) or not same(obs.run.outputs, obs.outputs_before)
    if obs.changed_by_forward or changed or any(not _shaped(obs, gx) for _, gx, _ in claims):
        return []
    return claims


def _compared(obs: Observation, numeric: Derivative, v: Direction, claims: Sequence[Claim]) -> list[Evidence]:
    return [evidence_on(obs, numeric, v, gys, gx, in_double=exact) for gys, gx, exact in claims]


def _shaped(obs: Observation, gx: Sequence[Array | None]) -> bool:
    return all(
        g is None or not want or (g.shape == x.shape and bool(np.isfinite(g).all()))
        for g, x, want in zip(gx, obs.arrays, obs.wanted, strict=True)
    )


def judged_whole(call: Call) -> Judged:
    """The gradient of a whole computation, by its values alone."""
    try:
        with np.errstate(all="ignore"):
            if acquitted_whole(as_subject(call), call.seed):
                return Judged()
            report = check_subject(as_subject(call), replace(call, gy=None, contracts=frozenset()), 1)
    except (CallError, GradcoreError) as error:
        return Judged(reason=str(error))
    if report.verdict is Verdict.FAIL:
        return Judged(report)
    return Judged(reason="" if report else report.reason)


def near(x: Array, part: float, rng: np.random.Generator) -> Array:
    """Values moved by this part of their size, each by another amount: equal ones would cancel in a sum."""
    moves = rng.choice((-1.0, 1.0), x.shape) * rng.uniform(0.5, 1.0, x.shape)
    found: Array = x + (part * np.maximum(np.abs(x), 2.0**-10) * moves).astype(x.dtype)
    return found


def blame_of(report: Report, op: str, place: int, source: object = None, shapes: str = "") -> Blame:
    """The blame for an op whose report is a fail."""
    fault = report.faults[0]
    return Blame(
        "rule",
        op,
        place,
        fault.text,
        fault.cause,
        "" if source is None else str(source),
        shapes,
        replace(report, name=op),
        at=place - 1,
    )


def shapes_of(inputs: Sequence[Array | None], outputs: Sequence[Array]) -> str:
    """Dtypes and shapes of an op's arrays, in words."""
    given = ", ".join(["none" if x is None else f"{x.dtype} {x.shape}" for x in inputs])
    return f"{given} -> {', '.join([f'{y.dtype} {y.shape}' for y in outputs])}"
