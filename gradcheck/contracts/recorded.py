"""Contracts on what a framework asks of a gradient besides its value: parts of it, batches of it, forward mode."""

from __future__ import annotations

import numpy as np

from gradcheck.backends.framed import Forward, Framed, FramedRun
from gradcheck.backends.protocol import spread
from gradcheck.contracts.base import AMPLIFIED, REORDERED, Skip, agrees, alike, contract
from gradcheck.errors import RuleError
from gradcheck.numeric.line import flatten
from gradcheck.numeric.result import Diagnosis
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import copied, same
from gradcheck.verdict.observation import Observation

GROSS = 1e-9
"""Part of the largest tangent by which forward mode may be off: it is judged for mistakes, not for its last digits."""

MOST = 8
"""Of more inputs than this, so many are requested alone."""


def _subject(obs: Observation) -> Framed:
    if not isinstance(obs.subject, Framed):
        raise Skip("only of a framework's functions")
    return obs.subject


def _advice(subject: Framed, name: str) -> str:
    words = subject.framework.advice.get(name, "")
    return f": {words}" if words else ""


def _run(obs: Observation) -> FramedRun:
    """A forward call on arrays of its own."""
    obs.forwards += 1
    return _subject(obs).run(obs.copies())


@contract(of=Framed, follows=("vjp_repeatable", "deterministic"))
def partial_gradients(obs: Observation) -> str | None:
    """A gradient requested by one input alone is the same as with all others."""
    subject = _subject(obs)
    places = [i for i, want in enumerate(obs.wanted) if want]
    if len(places) < 2:
        raise Skip("a gradient is requested by one input only")
    for i in places[:MOST]:
        alone = f"where only {obs.paths[i]} requires a gradient"
        obs.forwards += 1
        try:
            run = subject.alone(i).run(obs.copies())
            found = copied(obs.pull([gy.copy() for gy in obs.first_gys], run))[i]
        except RuleError as error:
            return f"{alone}, the rule raises {error}"
        one = [g if j == i else None for j, g in enumerate(obs.first_gx)]
        only = [found if j == i else None for j in range(len(obs.paths))]
        if not agrees(obs, only, one, obs.first_gys):
            return f"{alone}, the gradient by it is another one{_advice(subject, 'partial_gradients')}"
    return None


@contract(of=Framed, follows=("vjp_repeatable", "deterministic"))
def undefined_cotangents(obs: Observation) -> str | None:
    """An output that nothing depends on, whose cotangent is not there, counts as one with a cotangent of zeros."""
    if len(obs.places) < 2:
        raise Skip("there is one output only")
    for k, place in enumerate(obs.places):
        gys = [np.zeros_like(gy) if j == k else gy.copy() for j, gy in enumerate(obs.first_gys)]
        run = obs.fresh()
        given = spread(run.outputs, gys)
        given[place] = None
        path = obs.subject.output_paths[place]
        expected = obs.pulled(gys, run)
        obs.pulls += 1
        try:
            found = copied(run.pull(given))
        except RuleError as error:
            return f"where {path} has no cotangent, the rule raises {error}"
        if not agrees(obs, found, expected, gys):
            return f"where {path} has no cotangent, the result is another one than with a cotangent of zeros"
    return None


@contract(of=Framed, on_request=True, follows=("vjp_repeatable", "deterministic", "linear"))
def batched_cotangents(obs: Observation) -> str | None:
    """Several cotangents at once (vmap) give what each of them gives alone."""
    run = _run(obs)
    several = [obs.first_gys, obs.second_gys]
    expected = [obs.first_gx, obs.second_gx]
    stacked = [np.stack(gys) for gys in zip(*several, strict=True)]
    obs.pulls += 1
    try:
        found = run.batched(spread(run.outputs, stacked))
    except RuleError as error:
        return f"for a batch of cotangents (vmap) the rule raises {error}"
    if found is None:
        raise Skip("this framework takes no batches of cotangents")
    for k, (gys, gx) in enumerate(zip(several, expected, strict=True)):
        one = [None if g is None else np.array(g[k]) for g in found]
        if not agrees(obs, one, gx, gys):
            return "for a batch of cotangents (vmap) the result is another one than for each cotangent alone"
    return None


@contract(of=Framed, follows=("vjp_repeatable", "deterministic", "vjp_keeps_inputs"))
def saved_values(obs: Observation) -> str | None:
    """An input that is changed in place after forward gives the same gradient, or an error."""
    if not _subject(obs).own_rule:
        raise Skip("f is composed of functions, whose rules are not its own")
    run = _run(obs)
    if not run.overwritten():
        raise Skip("values of this framework cannot be changed in place")
    if not same(run.outputs, obs.outputs_before):
        raise Skip("the output shares memory with an input")
    try:
        found = obs.pulled(obs.first_gys, run)
    except RuleError:
        return None
    first = obs.outputs_before, obs.first_gx
    if agrees(obs, found, obs.first_gx, obs.first_gys) or alike(
        obs, obs.arrays, obs.first_gys, first, (obs.outputs_before, found)
    ):
        return None
    text = "an input changed in place after forward gives another gradient, and no error"
    return f"{text}{_advice(_subject(obs), 'saved_values')}"


@contract(of=Framed, follows=("deterministic",))
def forward_mode(obs: Observation) -> str | None:
    """The forward-mode derivative (jvp) is the numeric one along the same direction."""
    subject = _subject(obs)
    if not obs.evidence:
        raise Skip("no derivative was measured")
    if all(gx is None for gx in obs.first_gx):
        raise Skip("no gradient arrives at all")
    e = obs.evidence[0]
    if e.comparison.verdict is Verdict.INCONCLUSIVE:
        raise Skip("the derivative could not be measured here")
    obs.forwards += 2
    try:
        found = subject.tangents([w.copy() for w in obs.wide], e.v)
        if found is None:
            raise Skip("it has no forward-mode derivative")
        units = [w * (1 + np.finfo(np.float64).eps) if w.dtype.kind in "fc" else w.copy() for w in obs.wide]
        moved = subject.tangents(units, e.v) or found
    except RuleError as error:
        return f"forward mode (jvp) raises {error}"
    shapes, expected = [t.shape for t in found], [y.shape for y in obs.outputs]
    if shapes != expected:
        return f"forward mode (jvp) gives tangents of shapes {shapes}, and the outputs have {expected}"
    got, again, numeric = flatten(found), flatten(moved), e.numeric
    eps = max([float(np.finfo(t.dtype).eps) for t in found], default=0.0)
    known = numeric.flat_diagnosis <= Diagnosis.NOISY
    allowed = 2 * numeric.flat_bound + AMPLIFIED * np.abs(got - again)
    allowed += max(REORDERED * eps, GROSS) * np.max(np.abs(numeric.flat_value[known]), initial=0.0)
    wrong = known & ~(np.abs(got - numeric.flat_value) <= allowed)
    if not wrong.any():
        return None
    k = int(np.argmax(np.where(wrong, np.abs(got - numeric.flat_value), -1.0)))
    failed, right = any(one.failed for one in obs.evidence), "; reverse mode is right"
    if isinstance(subject, Forward):
        if failed:
            raise Skip("the entries of its derivative, taken by forward mode, are wrong already")
        right = ", though it is right along each entry by itself: a jvp has to be linear in the tangent"
    return (
        f"forward mode (jvp) gives {got[k]:.6g} for an output along a random direction, and the derivative is "
        f"{numeric.flat_value[k]:.6g} ± {numeric.flat_bound[k]:.1g}{'' if failed else right}"
    )
