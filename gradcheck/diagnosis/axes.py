"""Hypotheses about the axes of an input: transposed, reversed, along another axis, another convention for a symmetric matrix."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.diagnosis.case import HOLDS, Case, Cause

ROUNDING = 2.0**10
"""Entries that mirror each other agree to so many units of rounding, relative to the largest."""


def transposed(case: Case) -> Cause | None:
    """Axes in another order, of the cotangent or of what the rule works on."""
    obs, shape = case.obs, case.x.shape
    for axes in itertools.islice(itertools.permutations(range(len(shape))), 1, 24):
        same_shape = tuple([shape[a] for a in axes]) == shape
        if same_shape and case.explains(case.changed(partial(np.transpose, axes=axes))):
            return Cause("transposed", f"with np.transpose(gx, {axes}) it is right")
    if len(shape) > 1 and case.explains(case.changed(lambda g: g.reshape(shape[::-1]).T)):
        return Cause("transposed", "it has the entries in the memory order of the transpose")
    for j, x in enumerate(obs.arrays):
        if x.ndim >= 2 and x.shape[-1] == x.shape[-2]:
            turned = [np.swapaxes(a, -1, -2) if k == j else a for k, a in enumerate(obs.arrays)]
            if case.explains(case.by_rule(turned)):
                return Cause(
                    "transposed",
                    f"the rule is right with {obs.paths[j]} transposed: a .T is missing or too many",
                )
    return None


def flipped(case: Case) -> Cause | None:
    """The cotangent in reverse order."""
    for axis in range(case.x.ndim):
        if case.explains(case.changed(partial(np.flip, axis=axis))):
            return Cause("reversed", f"in reverse order along axis {axis} it is right: np.flip(gx, {axis})")
    return None


def other_axis(case: Case) -> Cause | None:
    """The same rule run on the problem with two axes swapped."""
    for a, b in itertools.combinations(range(min(case.x.ndim, 4)), 2):

        def swap(x: Array, a: int = a, b: int = b) -> Array:
            return np.swapaxes(x, a, b) if x.ndim > b else x

        if case.explains(case.by_rule([swap(x) for x in case.obs.arrays], swap)):
            return Cause("wrong axis", f"with axes {a} and {b} of everything swapped the rule is right")
    return None


def symmetric(case: Case) -> Cause | None:
    """The claim is right along symmetric directions: another convention for a function of a symmetric matrix.

    That holds for a claim that is symmetric, or has one triangle only, where x is symmetric.
    """
    obs, i, x = case.obs, case.i, case.x
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or x.shape[-1] < 2:
        return None
    kinds = {_kind(e.gx[i]) for e in case.seen}
    if len(kinds) > 1 or kinds & {""} or (kinds != {"symmetric"} and _kind(x) != "symmetric"):
        return None
    for along in case.seen:
        t = along.v[i]
        if t is None:
            return None
        v = tuple([(t + _mirror(t)) / 2 if j == i else None for j in range(len(along.v))])
        numeric = obs.numeric(v)
        for e in case.seen:
            c = obs.held(numeric, e.gx, v, e.gys)
            if c.verdict not in HOLDS or c.vacuous:
                return None
    given = {
        "symmetric": "the rule gives the symmetric one",
        "lower": "the rule gives the lower triangle",
        "upper": "the rule gives the upper triangle",
    }[kinds.pop()]
    return Cause(
        "symmetric",
        f"for symmetric changes of {obs.paths[i]} it is right, so this is a matter of convention: the gradient by a "
        "symmetric matrix can be the symmetric one, (gx + gx.T) / 2, or have its entries in the one triangle that f "
        f"reads; {given}, and f as a function of all entries has another. With (x + x.T) / 2 in front, f reads both "
        "triangles alike and the symmetric one is right",
    )


def _mirror(a: Array) -> Array:
    return np.conj(np.swapaxes(a, -1, -2))


def _kind(g: Array | None) -> str:
    """Whether a matrix is "symmetric" (Hermitian), "lower" or "upper", "" for none of these and for a diagonal one."""
    if g is None or g.ndim < 2 or g.shape[-1] != g.shape[-2] or g.dtype.kind not in "fc":
        return ""
    above, below = bool(np.triu(g, 1).any()), bool(np.tril(g, -1).any())
    if not (above and below):
        return "lower" if below else "upper" if above else ""
    near = float(np.finfo(g.dtype).eps) * ROUNDING * float(np.max(np.abs(g)))
    return "symmetric" if bool((np.abs(g - _mirror(g)) <= near).all()) else ""
