"""Hypotheses about the whole cotangent of an input: a sign, a factor, what it ignores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.diagnosis.case import HOLDS, Case, Cause
from gradcheck.diagnosis.numbers import factor
from gradcheck.errors import RuleError
from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.line import flatten
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Evidence, same
from gradcheck.verdict.observation import Observation

CLEAR = 32.0
"""A factor near 1 has to be off by more than this many bounds, or rounding would be taken for it."""

NEAR = 1e-2
"""How near to 1 a factor has to be for that, and to be tried at another point as well."""

JUMPS = range(-20, 31)
"""Powers of 2, of the entries' sizes, by which a point is moved to find a jump."""

HALVINGS, JUMP = 40, 2.0**-12
"""Halvings that find the place of a change, and what part of it is a jump there."""

OTHERWISE = -1.5
"""Times this, every entry of a cotangent is another one."""


def zero(case: Case) -> Cause | None:
    """No gradient at all."""
    gs = [e.gx[case.i] for e in case.seen]
    if all(g is None for g in gs):
        lost = case.obs.subject.traits.lost
        return Cause(
            "missing",
            lost
            or "the rule returns None (or nothing is recorded), and the output depends on this input: return its cotangent, or "
            "name the others alone by wrt=",
        )
    if all(g is None or not np.any(g) for g in gs):
        return Cause("missing", "the rule gives zero throughout, and the output depends on this input")
    return None


def straight_through(case: Case) -> Cause | None:
    """A derivative that is not 0, of a function that jumps, and is constant between its jumps."""
    if any(_slopes(e) for e in case.seen):
        return None
    if not _jumps(case):
        return None
    handed_on = all(
        g is not None and any(g.shape == gy.shape and bool(((g == gy) | (g == 0)).all()) for gy in e.gys)
        for e in case.seen
        for g in [e.gx[case.i]]
    )
    what = (
        "the rule hands gy on: a straight-through estimator, which is a wrong derivative on purpose. If it is meant, declare "
        "whose derivative it is, with straight_through=lambda x: x"
        if handed_on
        else "if the rule is meant to be the derivative of another, smooth function, pass that one as straight_through="
    )
    return Cause(
        "straight-through",
        f"the function is constant around this point and jumps further out, so that its derivative is 0; {what}",
    )


def _slopes(e: Evidence) -> bool:
    """Whether an output that counts has a slope, on one side at least: |x| at 0 has none but for those."""
    used = np.flatnonzero(flatten(e.gys))
    sides = (e.numeric.flat_value, e.numeric.flat_left, e.numeric.flat_right)
    return any(bool(np.any(np.nan_to_num(side[used]))) for side in sides)


def _jumps(case: Case) -> bool:
    """Whether an output that counts jumps where this input moves further than the point's own distance to the next jump.

    relu is constant below 0 as well, and does not jump there.
    """
    obs, e = case.obs, case.seen[0]
    here, counts = flatten(obs.here), flatten(e.gys) != 0

    def change(step: float) -> float:
        values = obs.values_along(e.v, step)
        found = 0.0 if values is None else float(np.max(np.abs(flatten(values) - here)[counts], initial=0.0))
        return found if math.isfinite(found) else 0.0

    for side in (1.0, -1.0):
        steps = [side * 2.0**power for power in JUMPS]
        far = next((step for step in steps if change(step) > 0), None)
        if far is None:
            continue
        low, high = 0.0, far
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if change(middle) > 0 else (middle, high)
        if change(high) > JUMP * change(far):
            return True
    return False


def same_elsewhere(case: Case) -> Cause | None:
    """Whether the rule gives the same at two points between which the derivative changes, as a stale cache does."""
    obs, i = case.obs, case.i
    other, here = obs.elsewhere(), obs.first_gx[i]
    if other is None or here is None or not obs.in_double:
        return None
    try:
        there = obs.pulled(obs.first_gys, other)
    except RuleError:
        return None
    if not same([here], [there[i]]):
        return None
    v = case.seen[0].v
    before = obs.held(case.seen[0].numeric, obs.first_gx, v, obs.first_gys)
    moved = derivative(obs.outputs_at, tuple(obs.other_arrays), v)
    after = obs.held(moved, there, v, obs.first_gys)
    if not abs(before.numeric - after.numeric) > before.bound + after.bound:
        return None
    return Cause(
        "input ignored",
        "two different inputs of one shape get the same cotangent, and the derivative differs between them: the rule does "
        "not use the input, or remembers an earlier one (a cache by shape or by address)",
    )


def sign(case: Case) -> Cause | None:
    """The sign of every entry."""
    return (
        Cause("sign", "every entry has the wrong sign") if case.explains(case.changed(np.negative)) else None
    )


def conjugated(case: Case) -> Cause | None:
    """The conjugate of the cotangent, or of what gy is multiplied by."""
    obs, i = case.obs, case.i
    if case.x.dtype.kind == "c" and case.explains(case.changed(np.conj)):
        return Cause("conjugated", "its complex conjugate is right, as <a, b> = Re sum(conj(a) b) here")
    if not any(y.dtype.kind == "c" for y in obs.outputs):
        return None

    def turned(_gx: Cotangents, gys: Sequence[Array]) -> Cotangents | None:
        found = obs.by_rule(obs.arrays, obs.outputs_before, [np.conj(gy) for gy in gys])
        g = None if found is None else found[i]
        return case.only(None if g is None else np.conj(g))

    if case.explains(turned):
        return Cause(
            "conjugated", "the complex conjugate of what gy is multiplied by is right: gy * np.conj(...)"
        )
    return None


def constant_factor(case: Case) -> Cause | None:
    """2, 1/2, a size; or any other number that explains everything, and at another point too where it could be chance."""
    c = case.seen[0].comparison
    if c.analytic == 0 or not math.isfinite(c.numeric / c.analytic):
        return None
    for value, name in _known_factors(case.obs, case.i):
        near = abs(c.numeric - value * c.analytic) <= (1 + abs(value)) * c.bound
        if near and case.explains(case.changed(partial(_times, factor=value))):
            return Cause("factor", f"multiplied by {name} every entry is right")
    ratio = c.numeric / c.analytic
    every = [e.comparison for e in case.seen]
    if len(every) < 2 or any(one.verdict is not Verdict.FAIL for one in every):
        return None
    close = abs(abs(ratio) - 1) < NEAR
    if close and any(one.difference < CLEAR * one.bound for one in every):
        return None
    if not case.explains(case.changed(partial(_times, factor=ratio))):
        return None
    if close or case.x.size == 1:  # of one number any other one is a multiple
        everywhere = case.holds_elsewhere(partial(_times, factor=ratio))
        if everywhere is False or (everywhere is None and case.x.size == 1):
            return None
    return Cause("factor", f"multiplied by {factor(ratio)} every entry is right")


def _times(g: Array, factor: float) -> Array:
    return np.asarray(g * factor, g.dtype)


def _known_factors(obs: Observation, i: int) -> Iterator[tuple[float, str]]:
    yield 2.0, "2"
    yield 0.5, "1/2"
    named = {"the size of the input": obs.arrays[i].size}
    named |= {f"the size of the input's axis {a}": n for a, n in enumerate(obs.arrays[i].shape)}
    for y in obs.outputs:
        named |= {"the size of the output": y.size}
        named |= {f"the size of the output's axis {a}": n for a, n in enumerate(y.shape)}
    for sign, minus in ((1.0, ""), (-1.0, "minus ")):
        if sign < 0:
            yield -2.0, "-2"
            yield -0.5, "-1/2"
        for what, n in named.items():
            if n > 1:
                yield sign * n, f"{minus}{n} ({what})"
                yield sign / n, f"{minus}1/{n} (1 / {what})"


def cotangent_ignored(case: Case) -> Cause | None:
    """Other cotangents give the same result, or one output's share is missing."""
    obs = case.obs
    if _regardless(case):
        fits = True
        for e in case.seen:
            c = obs.held(e.numeric, e.gx, e.v, tuple([np.ones_like(gy) for gy in e.gys]))
            fits &= c.verdict in HOLDS and not c.vacuous
        return Cause(
            "cotangent ignored",
            "it is the gradient for a cotangent gy of ones: multiply by gy (chain rule)"
            if fits
            else "two different cotangents gy give the same result: multiply by gy (chain rule)",
        )
    for k, path in enumerate(obs.subject.output_paths):
        if len(obs.places) > 1 and k in obs.places and _without(case, obs.places.index(k)):
            return Cause("cotangent ignored", f"the cotangent of {path} is not used: add its share")
    return None


def _regardless(case: Case) -> bool:
    """Whether the rule gives the same, and not zero, for cotangents every entry of which is another one."""
    obs = case.obs
    gys = obs.first_gys
    try:
        g = obs.pulled(gys, obs.fresh())[case.i]
        h = obs.pulled([gy * gy.dtype.type(OTHERWISE) for gy in gys], obs.fresh())[case.i]
    except RuleError:
        return False
    return g is not None and h is not None and bool(np.any(g)) and np.array_equal(g, h)


def _without(case: Case, k: int) -> bool:
    """Whether the claim is right for cotangents of which the one of output `k` is zero."""
    for e in case.seen:
        gys = [np.zeros_like(gy) if j == k else gy for j, gy in enumerate(e.gys)]
        c = case.obs.held(e.numeric, e.gx, e.v, gys)
        if c.verdict not in HOLDS or c.vacuous:
            return False
    return True


def swapped(case: Case) -> Cause | None:
    """Another input has the cotangent of this one."""
    for j, path in enumerate(case.obs.paths):
        other = case.seen[0].gx[j]
        if j == case.i or other is None or other.shape != case.x.shape:
            continue

        def candidate(gx: Cotangents, _gys: Sequence[Array], j: int = j) -> Cotangents | None:
            return case.only(gx[j])

        if case.explains(candidate):
            return Cause("swapped", f"the cotangent returned for {path} is the right one here: swap them")
    return None


def mirrored(case: Case) -> Cause | None:
    """The rule is right at -x: of one input, or of all."""
    obs = case.obs
    floating = [j for j, a in enumerate(obs.arrays) if a.dtype.kind in "fc"]
    for places in [[j] for j in floating] + ([floating] if len(floating) > 1 else []):
        arrays = [-a if j in places else a for j, a in enumerate(obs.arrays)]
        if case.explains(case.by_rule(arrays)) or _with_own_output(case, arrays):
            names = [obs.paths[j] for j in places]
            of = ", ".join([f"-{name}" for name in names])
            return Cause(
                "mirrored",
                f"the rule is right with {of} in place of {', '.join(names)}: a sign is lost inside",
            )
    return None


def _with_own_output(case: Case, arrays: Sequence[Array]) -> bool:
    """Whether the rule is right on these arrays with the output that forward gives for them."""
    try:
        outputs = case.obs.forward([np.array(a) for a in arrays]).outputs
    except Exception:  # noqa: BLE001 - forward does not take such arrays
        return False
    if [y.shape for y in outputs] != [y.shape for y in case.obs.outputs_before]:
        return False
    return case.explains(case.by_rule(arrays, outputs=outputs))
