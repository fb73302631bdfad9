"""What random cotangents and directions do not show: a cotangent of the caller's, and ties whose entries move together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.compare import Comparison, Verdict, compare
from gradcheck.differences import Derivative, Diagnosis
from gradcheck.look import Cotangents, Direction, Evidence, Look, copied, same

OUTPUTS = 4
"""So many outputs at a kink are looked at one by one."""

EVALUATIONS = 24

AGAIN = 80
"""Evaluations for the second look that a fail needs."""


def at_kinks(look: Look) -> list[Evidence]:
    """Evidence that the gradient is wrong at a kink, confirmed; empty where it is not.

    In every direction `<gx, d>` has to lie between the one-sided slopes, for each output by itself: along d = (1, 1) the
    slope of max(a, b) at a = b is 1, so both (1, 1) and (0, 0) are wrong. Random directions seldom are that one, and a
    cotangent of many outputs adds up their intervals. So all entries are moved by the same amount, and cotangents have
    one entry only. The reason told is "tie".
    """
    numeric = look.evidence[0].numeric
    kinked = np.flatnonzero(numeric.flat_diagnosis == Diagnosis.KINK)
    kinked = kinked[:: max(1, len(kinked) // OUTPUTS)][:OUTPUTS]
    v = _together(look)
    along = look.numeric(v, evaluations=EVALUATIONS)
    for gys in (look.first_gys, *_one_hot(look, kinked)):
        gx = look.pulled(gys, look.fresh())
        for direction, slopes in ((v, along), (look.evidence[0].v, numeric)):
            if _judged(look, slopes, gx, direction, gys).verdict is not Verdict.FAIL:
                continue
            less = tuple([None if t is None else 0.75 * t for t in direction])
            again = look.numeric(less, evaluations=AGAIN)
            c = _judged(look, again, gx, less, gys)
            if c.verdict is Verdict.FAIL and c.reason != "nonfinite":
                return [Evidence(less, again, tuple(gys), tuple(gx), replace(c, reason="tie"))]
    return []


def _together(look: Look) -> Direction:
    """The direction in which every entry moves by the same amount."""
    sizes = [np.abs(x).reshape(-1) for x, want in zip(look.wide, look.wanted, strict=True) if want]
    every = np.concatenate(sizes) if sizes else np.zeros(0)
    every = every[np.isfinite(every) & (every > 0)]
    size = float(np.exp2(np.floor(np.log2(np.median(every))))) if every.size else 1.0
    return tuple(
        [
            np.full(x.shape, size, x.dtype) if want and x.dtype.kind in "fc" else None
            for x, want in zip(look.wide, look.wanted, strict=True)
        ]
    )


def _one_hot(look: Look, places: Sequence[int] | Array) -> Iterator[tuple[Array, ...]]:
    """Cotangents with a single 1, at these places of all (real) outputs in a row."""
    if any(y.dtype.kind == "c" for y in look.outputs):
        return
    for place in places:
        gys, start = [], 0
        for y in look.outputs:
            gy = np.zeros(y.shape, y.dtype)
            if start <= place < start + y.size:
                gy.reshape(-1)[place - start] = 1
            start += y.size
            gys.append(gy)
        yield tuple(gys)


def _judged(
    look: Look, numeric: Derivative, gx: Cotangents, v: Direction, gys: Sequence[Array]
) -> Comparison:
    """The comparison, with errors added up one by one: neither `v` nor `gys` need be random."""
    moving = tuple([g if t is not None else None for g, t in zip(look.fitted(gx), v, strict=True)])
    with np.errstate(all="ignore"):
        return compare(numeric, moving, v, tuple(gys), eps=look.eps(gx, gys), random_signs=False)


def with_given(look: Look, usable: Sequence[Array] | None) -> list[Evidence]:
    """Evidence that the gradient is wrong for the cotangents that the caller gave, confirmed; empty where it is not.

    They reach the rule as they are, in their memory layout. usable: output entries whose derivative can be measured.
    """
    if look.given_gys is None:
        return []
    given = look.given_gys
    if usable is not None:
        given = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, given, strict=True)])
    before = [gy.copy() for gy in given]
    gx = copied(look.pull(given, look.fresh()))
    if not same(given, before):
        look.given_changed = True
        return []
    numeric = look.evidence[0].numeric
    v = look.evidence[0].v
    if look.held(numeric, gx, v, before).verdict is not Verdict.FAIL:
        return []
    v = look.aim(gx)
    numeric = look.numeric(v, evaluations=AGAIN)
    again = look.held(numeric, gx, v, before)
    return [Evidence(v, numeric, tuple(before), tuple(gx), again)] if again.verdict is Verdict.FAIL else []
