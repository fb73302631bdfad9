"""What random cotangents and directions do not detect: a cotangent of the caller's, and ties whose entries move together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.errors import RuleError
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcheck.verdict.compare import Comparison, Verdict, compare
from gradcheck.verdict.evidence import Cotangents, Direction, Evidence, better_than, copied, of_moving, same
from gradcheck.verdict.excuses import excuse
from gradcheck.verdict.observation import Observation

OUTPUTS = 4
"""So many outputs at a kink are judged one by one."""

EVALUATIONS = 24

AGAIN = 80
"""Evaluations of the second measurement that a fail needs."""


def at_ties(obs: Observation) -> list[Evidence]:
    """Evidence that the gradient is wrong at a kink, confirmed; empty where it is not.

    In every direction `<gx, d>` has to lie between the one-sided slopes, for each output by itself: along d = (1, 1) the
    slope of max(a, b) at a = b is 1, so both (1, 1) and (0, 0) are wrong. Random directions seldom are that one, and a
    cotangent of many outputs adds up their intervals. So all entries are moved by the same amount, and cotangents have
    one entry only.
    """
    numeric = obs.evidence[0].numeric
    kinked = np.flatnonzero(numeric.flat_diagnosis == Diagnosis.KINK)
    kinked = kinked[:: max(1, len(kinked) // OUTPUTS)][:OUTPUTS]
    v = _together(obs)
    along = obs.numeric(v, evaluations=EVALUATIONS)
    for gys in (obs.first_gys, *_smooth_only(obs), *_one_hot(obs, kinked)):
        gx = obs.pulled(gys, obs.fresh())
        for direction, slopes in ((v, along), (obs.evidence[0].v, numeric)):
            if _judged(obs, slopes, gx, direction, gys).verdict is not Verdict.FAIL:
                continue
            less = tuple([None if t is None else 0.75 * t for t in direction])
            again = obs.numeric(less, evaluations=AGAIN)
            c = _judged(obs, again, gx, less, gys)
            found = Evidence(less, again, tuple(gys), tuple(gx), c, "tie")
            if found.failed and c.reason != "nonfinite" and excuse(obs, found) is None:
                return [found]
    return []


def _together(obs: Observation) -> Direction:
    """The direction in which every entry moves by the same amount, that of the smallest: no step passes zero."""
    sizes = [np.abs(x).reshape(-1) for x, want in zip(obs.wide, obs.wanted, strict=True) if want]
    every = np.concatenate(sizes) if sizes else np.zeros(0)
    every = every[np.isfinite(every) & (every > 0)]
    size = float(np.exp2(np.floor(np.log2(np.min(every))))) if every.size else 1.0
    return tuple(
        [
            np.full(x.shape, size, x.dtype) if want and x.dtype.kind in "fc" else None
            for x, want in zip(obs.wide, obs.wanted, strict=True)
        ]
    )


def _smooth_only(obs: Observation) -> list[tuple[Array, ...]]:
    """The first cotangents, without the outputs at a kink; none where nothing would be left."""
    smooth = better_than(obs.evidence[0].numeric, Diagnosis.KINK)
    gys = tuple([np.where(s, gy, gy.dtype.type(0)) for s, gy in zip(smooth, obs.first_gys, strict=True)])
    return [gys] if any(gy.any() for gy in gys) else []


def _one_hot(obs: Observation, places: Sequence[int] | Array) -> Iterator[tuple[Array, ...]]:
    """Cotangents with a single 1, at these places of all (real) outputs in a row."""
    if any(y.dtype.kind == "c" for y in obs.outputs):
        return
    for place in places:
        gys, start = [], 0
        for y in obs.outputs:
            gy = np.zeros(y.shape, y.dtype)
            if start <= place < start + y.size:
                gy.reshape(-1)[place - start] = 1
            start += y.size
            gys.append(gy)
        yield tuple(gys)


def _judged(
    obs: Observation, numeric: Derivative, gx: Cotangents, v: Direction, gys: Sequence[Array]
) -> Comparison:
    """The comparison, with errors added up one by one: neither `v` nor `gys` need be random."""
    moving = of_moving(obs.fitted(gx), v)
    return compare(numeric, moving, v, tuple(gys), eps=obs.eps(gx, gys), random_signs=False)


def with_given(obs: Observation, usable: Sequence[Array] | None) -> list[Evidence]:
    """Evidence that the gradient is wrong for the cotangents that the caller gave, confirmed; empty where it is not.

    They reach the rule as they are, in their memory layout. usable: output entries whose derivative can be measured.
    """
    if obs.given_gys is None:
        return []
    given = obs.given_gys
    if usable is not None:
        given = tuple([np.where(u, gy, gy.dtype.type(0)) for u, gy in zip(usable, given, strict=True)])
    before = [gy.copy() for gy in given]
    try:
        gx = copied(obs.pull(given, obs.fresh()))
    except RuleError as error:
        if "read-only" not in str(error) and "not writeable" not in str(error):
            raise
        obs.given_changed = True
        return []
    if not same(given, before):
        obs.given_changed = True
        return []
    numeric = obs.evidence[0].numeric
    v = obs.evidence[0].v
    if obs.held(numeric, gx, v, before).verdict is not Verdict.FAIL:
        return []
    v = obs.aim(gx)
    numeric = obs.numeric(v, evaluations=AGAIN)
    found = Evidence(v, numeric, tuple(before), tuple(gx), obs.held(numeric, gx, v, before), "given")
    return [found] if found.failed and excuse(obs, found) is None else []
