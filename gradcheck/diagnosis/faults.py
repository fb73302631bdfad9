"""From measured disagreement to the faults of a report: which entry, both values, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.contracts.base import ContractResult
from gradcheck.diagnosis import causes
from gradcheck.diagnosis.case import Cause
from gradcheck.diagnosis.locate import Located, locate
from gradcheck.diagnosis.misshapen import cause_of_shape
from gradcheck.diagnosis.numbers import Pair, pair
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.judge import ValueResult
from gradcheck.verdict.observation import Observation

LISTED = 4
"""Of more wrong inputs than this, the others are counted only."""

FIRST = (
    "deterministic",
    "forward_keeps_inputs",
    "vjp_keeps_inputs",
    "vjp_keeps_output",
    "vjp_keeps_cotangent",
    "vjp_repeatable",
)
"""Broken contracts that explain a wrong value, and so are reported before it."""

FOLLOWING = {"cotangent ignored": ("linear", "zero_cotangent")}
"""Broken contracts that a wrong value explains, by its cause: they are listed under it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    cause: a word of `gradcheck.diagnosis.causes.CAUSES`, or the name of the broken contract. input, index: where. analytic,
    numeric, bound: the claimed derivative, the measured one and the bound on its error, of that entry. text: a sentence.
    """

    cause: str
    text: str
    input: str = ""
    index: tuple[int, ...] | None = None
    analytic: float | complex | None = None
    numeric: float | complex | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in the order in which they are reported, the contracts, and the first located entry with its evidence.

    contracts: as they were tried, less those that follow from a wrong value.
    """

    faults: tuple[Fault, ...]
    contracts: tuple[ContractResult, ...] = ()
    located: Located | None = None
    evidence: Evidence | None = None


def diagnose(obs: Observation, values: ValueResult | None, contracts: Sequence[ContractResult]) -> Faults:
    """Every broken contract and every wrong input, the clearest first."""
    found = _of_values(obs, values) if values is not None and values.failed else []
    wrong = [fault for fault, _, _ in found]
    contracts = tuple([_following(c, wrong) for c in contracts] if wrong else contracts)
    broken = [Fault(c.name, c.text) for c in contracts if c.status == "broken"]
    if values is None:
        return Faults(tuple(_of_shapes(obs) + [f for f in broken if f.cause != "cotangent_shape"]), contracts)
    early = sorted([f for f in broken if f.cause in FIRST], key=lambda f: FIRST.index(f.cause))
    late = [f for f in broken if f.cause not in FIRST]
    faults = (*early, *[f for f, _, _ in found], *late)
    for _, at, e in found:
        if at is not None:
            return Faults(faults, contracts, at, e)
    return Faults(faults, contracts)


def _following(result: ContractResult, wrong: Sequence[Fault]) -> ContractResult:
    """The same, skipped where it follows from a wrong value."""
    cause = next((f.cause for f in wrong if result.name in FOLLOWING.get(f.cause, ())), "")
    if result.status != "broken" or not cause:
        return result
    return replace(result, status="skipped", text=f"{cause}, and this would follow", because=cause)


def _of_shapes(obs: Observation) -> list[Fault]:
    faults = []
    for i, (path, gx, x, want) in enumerate(
        zip(obs.paths, obs.first_gx, obs.arrays, obs.wanted, strict=True)
    ):
        if want and gx is not None and gx.shape != x.shape:
            cause = cause_of_shape(obs, i)
            text = f"the cotangent of {path} has shape {gx.shape}, and {path} has {x.shape}"
            word, text = ("cotangent_shape", text) if cause is None else (cause.word, f"{text}: {cause.text}")
            faults.append(Fault(word, text, path))
    return faults


def _of_values(obs: Observation, values: ValueResult) -> list[tuple[Fault, Located | None, Evidence]]:
    found: list[tuple[Fault, Located | None, Evidence]] = []
    base = values.failing(obs)
    # moved together, entries that tie show no kink: whether their outputs have one, random directions show
    if base.witness == "tie" and replace(base, numeric=obs.evidence[0].numeric).at_kink():
        return [(_at_a_tie(obs, base), None, base)]
    wrong = dict(values.evidence)
    if not wrong:  # too many inputs to judge each: find one
        at = locate(obs, base)
        if at is None:
            cause = Cause("kink", causes.AT_A_KINK) if base.at_kink() else None
            return [(_fault(obs, None, base, None, cause), None, base)]
        wrong = {at.input: _alone(obs, base, at.input)}
    for i, e in list(wrong.items())[:LISTED]:
        seen = [e, _alone(obs, _with_other_cotangents(obs, e), i)]
        shown = next((s for s in seen if s.comparison.reason == "nonfinite"), e)
        at = locate(obs, shown)
        if shown is not e and at is not None and not np.isfinite(at.analytic):
            e = shown
        cause = (
            Cause("precision", causes.CAUSES["precision"])
            if values.precision
            else causes.why(obs, i, seen, at)
        )
        found.append((_fault(obs, i, e, at, cause), at, e))
    return found


def _at_a_tie(obs: Observation, e: Evidence) -> Fault:
    """The fault where random directions agree, and moving all entries by the same amount does not."""
    c = e.comparison
    places = [
        f"{path}[{', '.join(map(str, np.argwhere(gy)[0]))}]" if gy.ndim else path
        for path, gy in zip(obs.subject.output_paths, e.gys, strict=False)
        if np.count_nonzero(gy) == 1
    ]
    moving = [p for p, g, t in zip(obs.paths, e.gx, e.v, strict=True) if t is not None and g is not None]
    of = f"of {places[0]} alone" if places else "of <gy, f>"
    both = pair(c.analytic, c.numeric)
    text = (
        f"for the derivative {of} along one direction the rule gives {both.claimed}, and it is {both.measured} ± "
        f"{c.bound:.2g}{_apart(both)}. {_sentence(causes.AT_A_TIE)}"
    )
    return Fault("kink", text, moving[0] if len(moving) == 1 else "", None, c.analytic, c.numeric, c.bound)


def _alone(obs: Observation, e: Evidence, i: int) -> Evidence:
    """New evidence with the cotangents of `e`, in which input `i` alone moves."""
    v = obs.aim(e.gx, only=i)
    numeric = obs.numeric(v)
    return Evidence(v, numeric, e.gys, e.gx, obs.held(numeric, e.gx, v, e.gys))


def _with_other_cotangents(obs: Observation, e: Evidence) -> Evidence:
    """Evidence whose cotangents were drawn apart from those of `e`."""
    if e.witness == "tie":  # of its outputs only, as others are at a kink
        gys = obs.draw(usable=[gy != 0 for gy in e.gys])
        return replace(e, gys=gys, gx=tuple(obs.pulled(gys, obs.fresh())))
    first = e.gys[0]
    return next((o for o in reversed(obs.evidence) if not np.array_equal(o.gys[0], first)), e)


def _fault(obs: Observation, i: int | None, e: Evidence, at: Located | None, cause: Cause | None) -> Fault:
    word = "value" if cause is None else cause.word
    text = causes.CAUSES["value"] if cause is None else cause.text
    path = "" if i is None else obs.paths[i]
    if at is None:
        c = e.comparison
        both = pair(c.analytic, c.numeric)
        text = (
            f"along a random direction the rule gives {both.claimed} for {path or 'all inputs'}, and the derivative "
            f"is {both.measured} ± {c.bound:.1g}{_apart(both)}; no single entry stands out. {_sentence(text)}"
        )
        return Fault(word, text, path, None, c.analytic, c.numeric, c.bound)
    where = f"{path}[{', '.join(map(str, at.index))}]" if at.index else path
    only = (
        ""
        if not at.alone or obs.arrays[at.input].size == 1
        else " (the rest of this input's gradient is right)"
    )
    both = pair(at.analytic, at.numeric)
    measured = f"{both.measured} ± {at.bound:.1g}{_apart(both)}"
    if at.at_kink and not isinstance(at.numeric, complex) and at.bound > abs(at.analytic - at.numeric) / 4:
        ends = [pair(at.analytic, at.numeric + side * at.bound).measured for side in (-1, 1)]
        both = max([pair(at.analytic, float(end)) for end in ends], key=lambda found: len(found.claimed))
        measured = f"between {ends[0]} and {ends[1]} (a kink)"
    text = (
        f"at {where} the rule gives {both.claimed}, and the derivative is {measured}{only}. {_sentence(text)}"
    )
    return Fault(word, text, path, at.index, at.analytic, at.numeric, at.bound)


def _apart(both: Pair) -> str:
    return f", {both.apart}" if both.apart else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("?") else ".")
