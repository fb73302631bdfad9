"""Hypotheses about single entries: their digits, one term of a sum, a sign or a factor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.diagnosis.case import Case, Cause
from gradcheck.diagnosis.locate import Located
from gradcheck.numeric.result import Derivative
from gradcheck.verdict.evidence import Evidence
from gradcore.graph import broadcasts_to

COARSE = 2e-3
"""The largest relative error that counts as a loss of precision."""

CLEAR = 8.0
"""What is missing from a sum has to be larger than this many bounds on its terms, or rounding would be taken for it."""

OTHERS = 3
"""So many other entries have to be differentiated like the located one for the diagonal to be all that is there."""


def digits(case: Case, at: Located) -> Cause | None:
    """Right to a few digits throughout."""
    worst = abs(at.analytic - at.numeric) / abs(at.numeric) if at.numeric else math.inf
    for e in case.seen:
        pairs = zip(e.gx, e.v, strict=True)
        size = math.sqrt(sum(float(np.sum(np.abs(_product(g, t)) ** 2)) for g, t in pairs))
        worst = max(worst, e.comparison.difference / size if size > 0 else math.inf)
    if not worst < COARSE or (at.alone and case.x.size > 1):
        return None
    count = int(-math.log10(worst))
    return Cause(
        "precision",
        f"right to about {count} digits only: computed in a coarser dtype, or by a difference quotient?",
    )


def _product(g: Array | None, t: Array | None) -> Array:
    return np.zeros(0) if g is None or t is None else np.asarray(g * t)


def one_term(case: Case, at: Located) -> Cause | None:
    """Whether the claimed entry is one of the several terms gy_k dy_k/dx whose sum is right, for every cotangent."""
    obs, i = case.obs, case.i
    if isinstance(at.analytic, complex):
        return None
    every = [_terms(case, e, at.column, at.index, at.size) for e in case.seen]
    if any(found is None for found in every):
        return None
    hits, present = np.ones(1, dtype=bool), np.ones(1, dtype=bool)
    for one in every:
        if one is not None:
            terms, bounds, claimed = one
            there = np.abs(terms) > bounds
            clear = abs(np.sum(terms) - claimed) > CLEAR * bounds
            hits, present = hits & there & clear & (np.abs(terms - claimed) <= bounds), present & there
    count = int(np.count_nonzero(present))
    if count < 2 or not hits.any():
        return None
    shape = obs.arrays[i].shape
    own = int(np.ravel_multi_index(at.index, shape)) if at.index else 0
    if obs.outputs[0].shape == shape and hits[own] and np.count_nonzero(hits) == 1 and _diagonal(case, own):
        return Cause(
            "diagonal only",
            f"{count} outputs depend on this entry, and only the one at its own place arrived: the function mixes "
            "entries, so its derivative is no elementwise product",
        )
    stretched = any(broadcasts_to(shape, y.shape) and shape != y.shape for y in obs.outputs)
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


def _terms(
    case: Case, e: Evidence, column: Derivative, index: tuple[int, ...], size: float
) -> tuple[Any, Any, float] | None:
    """Terms gy_k dy_k/dx of one entry, their bounds, and the claimed sum."""
    g = e.gx[case.i]
    weights = np.concatenate([np.real(gy).astype(np.float64).reshape(-1) for gy in e.gys])
    if g is None or weights.size != column.flat_value.size:
        return None
    terms = weights * column.flat_value / size
    bounds = np.abs(weights) * column.flat_bound / size + case.obs.eps(e.gx, e.gys) * 16 * np.abs(terms)
    return terms, bounds, float(np.real(g[index]))


def _diagonal(case: Case, own: int) -> bool:
    """Whether other entries too are claimed to be the term of the output at their own place."""
    x = case.obs.wide[case.i]
    others = [k for k in range(x.size) if k != own]
    for k in others[:: max(1, len(others) // OTHERS)][:OTHERS]:
        index = tuple(int(n) for n in np.unravel_index(k, x.shape))
        size = float(np.abs(x[index])) or 1.0
        one = np.zeros_like(x)
        one[index] = size
        column = case.obs.numeric(tuple([one if j == case.i else None for j in range(len(case.obs.wide))]))
        for e in case.seen:
            found = _terms(case, e, column, index, size)
            if found is None or not abs(found[0][k] - found[2]) <= found[1][k]:
                return False
    return True


def sign_or_factor(at: Located) -> Cause | None:
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
