"""One op at the values that it saw: a quick look that acquits it, or the whole check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck.backends import Call, as_subject
from gradcheck.backends.protocol import Array, Subject
from gradcheck.check import gradcheck
from gradcheck.diagnosis.faults import FIRST
from gradcheck.errors import CallError, RuleError
from gradcheck.report.explanation import Blame
from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import same
from gradcheck.verdict.observation import Observation
from gradcore.errors import GradcoreError

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


def acquitted(subject: Subject, seed: int, gys: Sequence[Array]) -> bool:
    """Whether one random direction and two cotangents, a random one and that of the backward pass, show no mistake.

    No more than a reason not to look closer: what it does not acquit may be right all the same.
    """
    obs = Observation(subject, seed)
    drawn = obs.draw()
    try:
        found = [(drawn, obs.pulled(drawn))]
        if gys and [g.shape for g in gys] == [y.shape for y in obs.outputs]:
            found.append((tuple(gys), obs.pulled(gys)))
        if not obs.in_double:
            found += [(drawn, gx) for gx in obs.pulled_in_double([drawn])]
    except RuleError:
        return False
    if (
        obs.changed_by_forward
        or not same(obs.given, obs.arrays)
        or not same(obs.run.outputs, obs.outputs_before)
    ):
        return False
    if any(not _shaped(obs, gx) for _, gx in found):
        return False
    v = obs.aim(found[0][1])
    numeric = obs.numeric(v)
    return all(obs.held(numeric, gx, v, gys).verdict is Verdict.PASS for gys, gx in found)


def _shaped(obs: Observation, gx: Sequence[Array | None]) -> bool:
    return all(
        g is None or not want or (g.shape == x.shape and bool(np.isfinite(g).all()))
        for g, x, want in zip(gx, obs.arrays, obs.wanted, strict=True)
    )


def judged_whole(call: Call) -> Judged:
    """The gradient of a whole computation, by its values alone."""
    try:
        with np.errstate(all="ignore"):
            if acquitted(as_subject(call), call.seed, ()):
                return Judged()
            report = gradcheck(
                call.f,
                call.inputs,
                wrt=call.wrt,
                params=call.params,
                contracts=False,
                seed=call.seed,
                raise_exception=False,
            )
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
