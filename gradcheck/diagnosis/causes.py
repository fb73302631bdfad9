"""Why a gradient is wrong: simple hypotheses, each of which counts only if it explains everything that was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradcheck.backends.protocol import Array, wide
from gradcheck.diagnosis.locate import Located
from gradcheck.diagnosis.numbers import factor
from gradcheck.errors import RuleError
from gradcheck.numeric.derivative import Diagnosis, derivative
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Evidence, same
from gradcheck.verdict.observation import Observation

CAUSES = {
    "sign": "the sign is wrong",
    "factor": "a constant factor is wrong",
    "transposed": "the cotangent is the transpose of the right one",
    "unsummed broadcast": "the cotangent of a broadcast input is not summed over the axes that were broadcast",
    "overwritten": "an entry that is used several times got one of its cotangents instead of their sum",
    "wrong axis": "the rule works along another axis than forward",
    "conjugated": "the complex conjugate is right: <a, b> = Re sum(conj(a) b)",
    "input ignored": "two inputs with different derivatives get the same cotangent",
    "cotangent ignored": "the rule does not use gy, as if it were all ones",
    "diagonal only": "each entry is differentiated as if its output depended on it alone",
    "swapped": "two inputs have each other's cotangents",
    "missing": "no gradient arrives at an input on which the output depends",
    "precision": "right to a few digits only, and rounding in the dtype of the inputs explains less",
    "nonfinite": "NaN or infinite where the derivative is finite",
    "kink": "at a kink, outside the interval between the one-sided slopes",
    "value": "no simple hypothesis explains the numbers",
}
"""Causes of a wrong value. A broken contract is a cause of its own, named as in `gradcheck.contracts.CONTRACTS`."""

AT_A_KINK = "at this kink a right value lies between the one-sided slopes, and this one does not"

AT_A_TIE = (
    "at this kink a right value lies between the one-sided slopes in every direction: moving entries that tie by the same "
    "amount, one output at a time, shows that it does not"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A word of `CAUSES` and the sentence for this case."""

    word: str
    text: str


def why(obs: Observation, i: int, seen: Sequence[Evidence], at: Located | None) -> Cause:
    """The simplest hypothesis that turns the claimed cotangent of input `i` into the measured one.

    seen: evidence in which input `i` alone moves. at: the located entry, for hypotheses about single entries.
    """
    if any(e.comparison.reason == "nonfinite" for e in seen):
        return Cause("nonfinite", "the rule gives NaN or infinity where the derivative is finite")
    if all(e.at_kink(throughout=True) for e in seen):
        return Cause("kink", AT_A_KINK)
    if at is not None and at.alone and any(e.comparison.reason == "kink" for e in seen):
        return Cause("kink", AT_A_KINK)
    for hypothesis in (_zero, _same_elsewhere, _sign, _conjugated):
        found = hypothesis(obs, i, seen)
        if found is not None:
            return found
    if (
        at is not None and (at.column.flat_diagnosis == Diagnosis.KINK).any()
    ):  # hypotheses fit an interval easily
        return Cause("kink", AT_A_KINK)
    for hypothesis in (_ignored, _factor, _swapped, _transposed, _other_axis):
        found = hypothesis(obs, i, seen)
        if found is not None:
            return found
    if any(e.comparison.reason == "kink" for e in seen):
        return Cause("kink", AT_A_KINK)
    if at is not None:
        found = _digits(seen, at) or _one_term(obs, i, seen[0], at) or _entry(at)
        if found is not None:
            return found
    return Cause("value", "no simple hypothesis (sign, factor, axis, missing term, ...) explains it")


def broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether an array of the first shape broadcasts to the second one."""
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(n in (1, m) for n, m in pairs)


def _with(
    i: int, change: Callable[[Array], Array | None]
) -> Callable[[Cotangents, Sequence[Array]], Cotangents | None]:
    def candidate(gx: Cotangents, _gys: Sequence[Array]) -> Cotangents | None:
        g = gx[i]
        changed = None if g is None else change(g)
        return None if changed is None else [changed if j == i else None for j in range(len(gx))]

    return candidate


def _zero(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    gs = [e.gx[i] for e in seen]
    if all(g is None for g in gs):
        return Cause(
            "missing", "the rule returns None (or nothing is recorded), and the output depends on this input"
        )
    if all(g is None or not np.any(g) for g in gs):
        return Cause("missing", "the rule gives zero throughout, and the output depends on this input")
    return None


def _same_elsewhere(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    """Whether the rule gives the same at two points between which the derivative changes, as a stale cache does."""
    other, here = obs.elsewhere(), obs.first_gx[i]
    if other is None or here is None or not obs.in_double:
        return None
    try:
        there = obs.pulled(obs.first_gys, other)
    except RuleError:
        return None
    if not same([here], [there[i]]):
        return None
    v = seen[0].v
    before = obs.held(seen[0].numeric, obs.first_gx, v, obs.first_gys)
    moved = derivative(obs.outputs_at, tuple(obs.other_arrays), v)
    after = obs.held(moved, there, v, obs.first_gys)
    if not abs(before.numeric - after.numeric) > before.bound + after.bound:
        return None
    return Cause(
        "input ignored",
        "two different inputs of one shape get the same cotangent, and the derivative differs between them: the rule does "
        "not use the input, or remembers an earlier one (a cache by shape or by address)",
    )


def _sign(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    return (
        Cause("sign", "every entry has the wrong sign") if obs.explains(_with(i, np.negative), seen) else None
    )


def _conjugated(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    if obs.arrays[i].dtype.kind == "c" and obs.explains(_with(i, np.conj), seen):
        return Cause("conjugated", "its complex conjugate is right, as <a, b> = Re sum(conj(a) b) here")
    if not any(y.dtype.kind == "c" for y in obs.outputs):
        return None

    def conjugated(_gx: Cotangents, gys: Sequence[Array]) -> Cotangents | None:
        found = obs.by_rule(obs.arrays, obs.outputs_before, [np.conj(gy) for gy in gys])
        if found is None or found[i] is None:
            return None
        return [np.conj(g) if k == i and g is not None else None for k, g in enumerate(found)]

    if obs.explains(conjugated, seen):
        return Cause(
            "conjugated", "the complex conjugate of what gy is multiplied by is right: gy * np.conj(...)"
        )
    return None


def _factor(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    c = seen[0].comparison
    if c.analytic == 0 or not math.isfinite(c.numeric / c.analytic):
        return None
    for value, name in _known_factors(obs, i):
        near = abs(c.numeric - value * c.analytic) <= (1 + abs(value)) * c.bound
        if near and obs.explains(_with(i, partial(_times, factor=value)), seen):
            return Cause("factor", f"multiplied by {name} every entry is right")
    ratio = c.numeric / c.analytic
    both_wrong = len(seen) > 1 and all(e.comparison.verdict is Verdict.FAIL for e in seen)
    if both_wrong and obs.explains(_with(i, partial(_times, factor=ratio)), seen):
        return Cause("factor", f"multiplied by {factor(ratio)} every entry is right")
    return None


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


def _ignored(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    g, h = seen[0].gx[i], seen[-1].gx[i]
    if g is None or h is None:
        return None
    fits = True
    for e in seen:
        ones = tuple([np.ones_like(gy) for gy in e.gys])
        c = obs.held(e.numeric, e.gx, e.v, ones)
        fits &= c.verdict in (Verdict.PASS, Verdict.SUBGRADIENT) and not c.vacuous
    if fits:
        return Cause(
            "cotangent ignored", "it is the gradient for a cotangent gy of ones: multiply by gy (chain rule)"
        )
    for k, path in enumerate(obs.subject.output_paths):
        if len(obs.places) > 1 and k in obs.places and _without(obs, seen, obs.places.index(k)):
            return Cause("cotangent ignored", f"the cotangent of {path} is not used: add its share")
    drawn_apart = any(not np.array_equal(a, b) for a, b in zip(seen[0].gys, seen[-1].gys, strict=True))
    if drawn_apart and np.array_equal(g, h):
        return Cause(
            "cotangent ignored",
            "two different cotangents gy give the same result: multiply by gy (chain rule)",
        )
    return None


def _without(obs: Observation, seen: Sequence[Evidence], k: int) -> bool:
    """Whether the claim is right for cotangents of which the one of output `k` is zero."""
    for e in seen:
        gys = [np.zeros_like(gy) if j == k else gy for j, gy in enumerate(e.gys)]
        c = obs.held(e.numeric, e.gx, e.v, gys)
        if c.verdict not in (Verdict.PASS, Verdict.SUBGRADIENT) or c.vacuous:
            return False
    return True


def _swapped(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    for j, path in enumerate(obs.paths):
        other = seen[0].gx[j]
        if j == i or other is None or other.shape != obs.arrays[i].shape:
            continue

        def candidate(gx: Cotangents, _gys: Sequence[Array], j: int = j) -> Cotangents:
            return [gx[j] if k == i else None for k in range(len(gx))]

        if obs.explains(candidate, seen):
            return Cause("swapped", f"the cotangent returned for {path} is the right one here: swap them")
    return None


def _transposed(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    shape = obs.arrays[i].shape
    for axes in itertools.islice(itertools.permutations(range(len(shape))), 1, 24):
        same_shape = tuple([shape[a] for a in axes]) == shape
        if same_shape and obs.explains(_with(i, partial(np.transpose, axes=axes)), seen):
            return Cause("transposed", f"np.transpose(gx, {axes}) is right")
    if len(shape) > 1 and obs.explains(_with(i, lambda g: g.reshape(shape[::-1]).T), seen):
        return Cause("transposed", "it has the entries in the memory order of the transpose")
    for j, x in enumerate(obs.arrays):
        if x.ndim >= 2 and x.shape[-1] == x.shape[-2]:
            turned = [np.swapaxes(a, -1, -2) if k == j else a for k, a in enumerate(obs.arrays)]
            if obs.explains(_by_rule(obs, i, turned), seen):
                return Cause(
                    "transposed",
                    f"the rule is right with {obs.paths[j]} transposed: a .T is missing or too many",
                )
    return None


def _by_rule(
    obs: Observation, i: int, arrays: Sequence[Array], turn: Callable[[Array], Array] = lambda a: a
) -> Callable[[Cotangents, Sequence[Array]], Cotangents | None]:
    """What the rule itself gives on other arrays, with outputs and cotangents turned alike, and turned back."""

    def candidate(_gx: Cotangents, gys: Sequence[Array]) -> Cotangents | None:
        ys = [turn(wide(y)) for y in obs.outputs_before]
        found = obs.by_rule([np.ascontiguousarray(wide(a)) for a in arrays], ys, [turn(gy) for gy in gys])
        if found is None or found[i] is None:
            return None
        return [np.asarray(turn(g)) if k == i and g is not None else None for k, g in enumerate(found)]

    return candidate


def _other_axis(obs: Observation, i: int, seen: Sequence[Evidence]) -> Cause | None:
    """Flips and rolls of the cotangent, and the same rule run on the problem with two axes swapped."""
    for axis in range(obs.arrays[i].ndim):
        if obs.explains(_with(i, partial(np.flip, axis=axis)), seen):
            return Cause("wrong axis", f"reversed along axis {axis} it is right")
    for a, b in itertools.combinations(range(min(obs.arrays[i].ndim, 4)), 2):

        def swap(x: Array, a: int = a, b: int = b) -> Array:
            return np.swapaxes(x, a, b) if x.ndim > b else x

        if obs.explains(_by_rule(obs, i, [swap(x) for x in obs.arrays], swap), seen):
            return Cause("wrong axis", f"with axes {a} and {b} of everything swapped the rule is right")
    return None


def _digits(seen: Sequence[Evidence], at: Located) -> Cause | None:
    """Right to a few digits throughout."""
    worst = abs(at.analytic - at.numeric) / abs(at.numeric) if at.numeric else math.inf
    for e in seen:
        pairs = zip(e.gx, e.v, strict=True)
        size = math.sqrt(sum(float(np.sum(np.abs(_product(g, t)) ** 2)) for g, t in pairs))
        worst = max(worst, e.comparison.difference / size if size > 0 else math.inf)
    if not worst < 2e-3 or at.alone:
        return None
    digits = int(-math.log10(worst))
    return Cause(
        "precision",
        f"right to about {digits} digits only: computed in a coarser dtype, or by a difference quotient?",
    )


def _product(g: Array | None, t: Array | None) -> Array:
    return np.zeros(0) if g is None or t is None else np.asarray(g * t)


def _one_term(obs: Observation, i: int, e: Evidence, at: Located) -> Cause | None:
    """Whether the claimed entry is one of the several terms gy_k dy_k/dx whose sum is right."""
    if isinstance(at.analytic, complex):
        return None
    v = e.v[i]
    if v is None:
        return None
    size = at.size
    weights = np.concatenate([np.real(gy).astype(np.float64).reshape(-1) for gy in e.gys])
    if weights.size != at.column.flat_value.size:
        return None
    terms = weights * at.column.flat_value / size
    bounds = np.abs(weights) * at.column.flat_bound / size + obs.eps(e.gx, e.gys) * 16 * np.abs(terms)
    present = np.abs(terms) > bounds
    if np.count_nonzero(present) < 2:
        return None
    hits = present & (np.abs(terms - at.analytic) <= bounds)
    if not hits.any():
        return None
    count = int(np.count_nonzero(present))
    own = int(np.ravel_multi_index(at.index, obs.arrays[i].shape)) if at.index else 0
    if obs.outputs[0].shape == obs.arrays[i].shape and hits[own] and np.count_nonzero(hits) == 1:
        return Cause(
            "diagonal only",
            f"{count} outputs depend on this entry, and only the one at its own place arrived: the function mixes "
            "entries, so its derivative is no elementwise product",
        )
    shape = obs.arrays[i].shape
    stretched = any(broadcasts(shape, y.shape) and shape != y.shape for y in obs.outputs)
    if stretched:
        return Cause(
            "unsummed broadcast",
            f"{count} outputs depend on this entry, which is broadcast, and only one of them arrived: sum over the "
            "axes that were broadcast",
        )
    return Cause(
        "overwritten",
        f"{count} outputs depend on this entry, and only one of them arrived: add (np.add.at), don't assign",
    )


def _entry(at: Located) -> Cause | None:
    """Sign or factor of this one entry."""
    where = "this entry" if at.alone else "entries such as this one"
    if at.analytic == 0:
        return Cause("missing", f"zero at {where}, and the output depends on it")
    if abs(at.numeric + at.analytic) <= at.bound * 2:
        return Cause("sign", f"the sign of {where} is wrong")
    for value, name in ((2.0, "2"), (0.5, "1/2")):
        if abs(at.numeric - value * at.analytic) <= at.bound * (1 + value):
            return Cause("factor", f"multiplied by {name}, {where} would be right")
    return None
