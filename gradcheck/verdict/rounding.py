"""What rounding alone may do to the comparison of a right rule, and what is allowed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from gradcheck.backends.protocol import Array, differentiable, wide
from gradcheck.numeric.line import EPS
from gradcheck.numeric.perturbation import moved, signs
from gradcheck.numeric.quantiles import median
from gradcheck.verdict.compare import Comparison, Verdict
from gradcheck.verdict.evidence import Cotangents, Direction, Evidence, Excuse
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.spreads import FAR, GROWTH, lost, lost_here

SHAKEN = 16.0
"""Weight of what moving everything by one unit in the last place did, a few samples of it."""

SAMPLES = 4

DUST = 2.0**12
"""Contributions of less than so many eps of `<gy, y>` are what rounding leaves of sums that cancel."""

RESOLVING = 2.0**6
"""One over a step, relative to the inputs, that resolves most functions."""

LARGEST = 8
"""So many inputs are taken to values of order one by themselves, to see what the rule gives where nothing saturates."""

NEAR = 0.6
"""Power of eps by which inputs are moved to see rounding in the even part of smooth functions: their curvature adds less."""


def of_comparison(obs: Observation, e: Evidence) -> float:
    """How far off rounding alone may make the comparison of a right rule, measured.

    Inputs, cotangents, and the results that the rule gets, are each moved by one unit in their last place. What that does
    to the claim is the rounding of the rule; what it does to the values, over the steps that resolve most functions, is the
    rounding of the function. What all values close by lose alike no such move shows: of the rule it is seen in the next
    coarser arithmetic, of the function at points next to this one. A narrow rule may also round what it subtracts (1 - p
    where p is nearly 1): by as much as its results are large elsewhere.

    An entry that a move of many units changes no more than one of a single unit does not round, it jumps (or is dust: what
    is left where everything cancels, next to the size of gy and y). For moved results that is no evidence (`x == y` no longer
    holds for a moved y). For moved inputs it shows that a kink is within the rounding of a narrow dtype, which the function
    was not measured in; unless the point itself is at one.
    """
    eps = obs.eps(e.gx, e.gys)
    rng = np.random.default_rng([obs.seed, 2])
    gys = [wide(gy) for gy in e.gys]
    ways = [[rng.choice([-1.0, 1.0], x.shape) for x in obs.wide] for _ in range(SAMPLES // 2)]
    ways += [[-signs for signs in way] for way in ways]  # of one entry, both sides
    values: list[list[Array]] = []

    def claim(
        way: Sequence[Array], inputs: float = 0.0, outputs: float = 0.0, cotangents: float = 0.0
    ) -> Array:
        there = [
            x * (1 + inputs * signs) if want and inputs else x.copy()
            for x, want, signs in zip(obs.wide, obs.wanted, way, strict=True)
        ]
        run = obs.forward(there)
        values.append([wide(y).copy() for y in differentiable(run.outputs)])
        for y in run.outputs:  # a rule that uses y gets it rounded: 1 - y^2 of tanh has few digits left
            if outputs and y.dtype.kind in "fc" and y.flags.writeable:
                y[...] = moved(y, outputs, rng)
        gx = obs.pulled([moved(gy, cotangents, rng) for gy in gys], run)
        return _terms(obs.fitted(gx), e.v)

    scale = _scale(obs, e.gys, e.v)
    dust = DUST * eps * scale

    def rounding(of: str, *, jumps: bool) -> float:
        near = np.stack([claim(way, **{of: eps}) for way in ways]) - center
        if not jumps:
            far = np.stack([claim(way, **{of: FAR * eps}) for way in ways]) - center
            size = np.max(np.abs(near), axis=0)
            near = np.where((np.max(np.abs(far), axis=0) >= GROWTH * size) | (size <= dust), near, 0.0)
        return float(np.max(np.abs(np.sum(near, axis=1))))

    with np.errstate(all="ignore"):
        try:
            center = claim(ways[0])
            at_kink = e.at_kink() or e.witness == "tie"
            seen = rounding("inputs", jumps=eps > EPS and not at_kink)
            center_ys, near_ys = values[0], values[1 : SAMPLES + 1]
            seen += rounding("outputs", jumps=False) + rounding("cotangents", jumps=False)
        except Exception:  # noqa: BLE001 - the edge of the domain is next to this point, and no measure of rounding
            return 0.0
        # A narrow rule is judged in double precision as well; in its own, terms of this size may cancel for all values close by.
        if eps > EPS or max(abs(e.comparison.analytic), abs(e.comparison.numeric)) <= dust:
            seen += eps * scale
        seen += _unseen(obs, e, rng)
        if eps > EPS:  # the function was measured in double precision
            return SHAKEN * (seen + _narrow(obs, e))
        scatter = max(*[_weighted(gys, ys, center_ys) for ys in near_ys], _unevenness(obs, gys, rng))
    return float(SHAKEN * (seen + scatter * RESOLVING))


def _unseen(obs: Observation, e: Evidence, rng: np.random.Generator) -> float:
    """What the rule loses in the same way for all values close by; of several gys, as each rounds in its own way."""
    drawn = [
        [(gy * rng.uniform(0.5, 1.0, gy.shape)).astype(gy.dtype) for gy in e.gys] for _ in range(SAMPLES)
    ]
    eps = obs.eps(e.gx, e.gys)
    return max(
        float(np.linalg.norm(_terms(obs.fitted(lost(obs, some, eps)), e.v))) for some in (e.gys, *drawn)
    )


def _unevenness(obs: Observation, gys: Sequence[Array], rng: np.random.Generator) -> float:
    """Rounding of `<gy, y>` that a move of x by its last place does not show: how far y is from the mean of both sides.

    Of points next to x, as x itself may have few digits: of (x + 1000) - 1000 it is exact, and what rounds on both sides of
    it has opposite signs.
    """
    found = [0.0]
    for _ in range(3 * SAMPLES):  # of one entry, half of them show nothing
        by = [EPS**NEAR * rng.uniform(0.5, 1.0, (2, *x.shape)) * signs(x, rng) for x in obs.wide]
        points = [
            obs.values_at(
                [
                    x * (1 + d[0] + k * d[1]) if w else x.copy()
                    for x, w, d in zip(obs.wide, obs.wanted, by, strict=True)
                ]
            )
            for k in (-1, 0, 1)
        ]
        below, middle, above = points
        if below is not None and middle is not None and above is not None:
            mean = [0.5 * a + 0.5 * b for a, b in zip(above, below, strict=True)]
            found.append(_weighted(gys, mean, middle))
    return max(size for size in found if np.isfinite(size))


def _weighted(gys: Sequence[Array], ys: Sequence[Array], there: Sequence[Array]) -> float:
    """Norm of all `gy (y - y0)`."""
    parts = [np.ravel(gy * (y - y0)) for gy, y, y0 in zip(gys, ys, there, strict=True)]
    return float(np.linalg.norm(np.concatenate(parts)))


def is_dust(obs: Observation, gx: Cotangents, gys: Sequence[Array], v: Direction) -> bool:
    """Whether all of this gradient along `v` is so small that sums which cancel may have left it."""
    with np.errstate(all="ignore"):
        along = np.abs(_terms(obs.fitted(gx), v))
        return bool(np.all(along <= DUST * obs.eps(gx, gys) * _scale(obs, gys, v)))


def is_nothing(obs: Observation, e: Evidence) -> bool:
    """Whether the claim and the derivative are both zero but for that: `W x + b` before batch norm does not depend on b."""
    with np.errstate(all="ignore"):
        largest = abs(e.comparison.numeric) + e.comparison.bound
        return is_dust(obs, list(e.gx), e.gys, e.v) and bool(
            largest <= DUST * obs.eps(e.gx, e.gys) * _scale(obs, e.gys, e.v)
        )


def _scale(obs: Observation, gys: Sequence[Array], v: Direction) -> float:
    """Size of `<gy, y>`: by typical entries of y, where all are zero by those an eighth of `v` away, else of gy alone."""

    def typical(y: Array) -> float:
        sizes = np.abs(y[np.isfinite(y) & (y != 0)]).astype(np.float64)
        return median(sizes) if sizes.size else 0.0

    sizes = [typical(y) for y in obs.outputs]
    if not all(sizes):
        there = obs.values_along(v, 0.125)
        if there is not None:
            sizes = [s or typical(y) for s, y in zip(sizes, there, strict=True)]
    pairs = zip(gys, sizes, strict=True)
    return float(np.linalg.norm([np.linalg.norm(wide(gy)) * (size or 1.0) for gy, size in pairs]))


def _narrow(obs: Observation, e: Evidence) -> float:
    """What a dtype narrower than double precision may take besides, in the comparison: the largest of

    - what it takes from the values of the function, over steps of the inputs' size (1 + tanh(x) of gelu at -4);
    - eps times what the rule gives at other values, since it may round such on the way (1 - p where p is nearly 1);
    - the same with inputs of order one, as long as the rule is no further from itself in double precision: what an op
      rounds where it is steep is a large part of a slope where all is flat (tanh of a sum of -240 and of 8).
    """
    eps, found = obs.eps(e.gx, e.gys), [0.0]
    gys = [gy.astype(y.dtype) for gy, y in zip(e.gys, obs.outputs, strict=True)]

    def along(gx: Cotangents) -> float:
        return float(np.linalg.norm(_terms(obs.fitted(gx), e.v)))

    def there(scales: Sequence[float]) -> float:
        values = [
            np.asarray(x * k, x.dtype) if k != 1 else x for x, k in zip(obs.arrays, scales, strict=True)
        ]
        return eps * along(obs.pulled(gys, obs.forward([x.copy() for x in values])))

    with suppress(Exception):  # other values than the given ones may be none of the domain
        wide_values = obs.subject.values([w.copy() for w in obs.wide])
        found.append(
            _weighted(
                *([wide(np.asarray(a)) for a in arrays] for arrays in (e.gys, obs.outputs, wide_values))
            )
        )
        run = obs.elsewhere()
        found.append(0.0 if run is None else eps * along(obs.pulled(gys, run)))
        found.append(there([-1.0 if x.dtype.kind in "fc" else 1.0 for x in obs.arrays]))
    here = along([*lost_here(obs, e.gys, eps)])
    for scales in _of_order_one(obs.arrays):
        with suppress(Exception):
            found.append(min(there(scales), here))
    return max(size for size in found if np.isfinite(size))


def _of_order_one(arrays: Sequence[Array]) -> Iterator[list[float]]:
    """Factors that take inputs to values of order one: all of them, then the largest ones one by one."""
    sizes = [float(np.max(np.abs(x), initial=0.0)) if x.dtype.kind in "fc" else 0.0 for x in arrays]
    yield [1 / max(1.0, size) for size in sizes]
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i])[:LARGEST]:
        if sizes[i] > 1:
            yield [1 / size if j == i else 1.0 for j, size in enumerate(sizes)]


def _terms(gx: Cotangents, v: Direction) -> Array:
    """The entries of `Re conj(gx) v`, of all inputs in a row."""
    parts = [
        np.zeros(t.size) if g is None else np.real(np.conj(g) * t).reshape(-1)
        for g, t in zip(gx, v, strict=True)
        if t is not None
    ]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def rounding(obs: Observation, e: Evidence) -> Excuse | None:
    """Rounding alone may make this difference, as far as it can be measured: the comparison with so much more allowed.

    A pass, or inconclusive where the allowance hides the whole gradient.
    """
    allowed = of_comparison(obs, e)
    if not e.comparison.difference <= e.comparison.bound + allowed:
        return None
    text = f"rounding alone may make a difference of {allowed:.2g} along the direction that was tried"
    return Excuse("rounding", text, _widened(e, allowed))


def out_of_range(obs: Observation, e: Evidence) -> Excuse | None:
    """What is not finite in a narrow claim is too large for its dtype, or follows from outputs that are."""
    found = obs.pulled_in_double([e.gys])
    if obs.eps(e.gx, e.gys) <= EPS or not found:
        return None
    if all(np.isfinite(y).all() for y in obs.outputs):
        pairs = [(g, w) for g, w in zip(e.gx, found[0], strict=True) if g is not None and w is not None]
        infinite = [(g, w, ~np.isfinite(g)) for g, w in pairs if not np.isfinite(g).all()]
        largest = [np.abs(w[out]) > np.finfo(g.dtype).max / 16 for g, w, out in infinite]
        if not largest or not all(large.all() for large in largest):
            return None
    return Excuse(
        "out_of_range",
        "the right value is too large for the dtype of the inputs",
        replace(e.comparison, verdict=Verdict.INCONCLUSIVE, reason="range"),
    )


def _widened(e: Evidence, allowed: float) -> Comparison:
    """The comparison with so much rounding allowed for: a pass, or inconclusive where that hides the whole gradient."""
    bound = e.comparison.bound + allowed
    with np.errstate(all="ignore"):
        parts = [
            float(np.linalg.norm(np.ravel(g * t)))
            for g, t in zip(e.gx, e.v, strict=True)
            if g is not None and t is not None
        ]
    hidden = not bound < float(np.linalg.norm(parts))
    verdict, reason = (Verdict.INCONCLUSIVE, "noise") if hidden else (Verdict.PASS, "")
    wider = e.comparison.sensitivity * bound / e.comparison.bound if e.comparison.bound > 0 else np.inf
    return replace(e.comparison, verdict=verdict, reason=reason, bound=bound, sensitivity=wider)
