"""Verdict on one directional comparison: the numeric `<gy, J v>` against the claimed `<gx, v>`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.line import EPS, as_tuple, eps_of, flatten, in_a_row
from gradcheck.numeric.quantiles import median
from gradcheck.numeric.result import Derivative, Diagnosis
from gradcore.errors import ShapeError

Values = NDArray[np.float64]
Pairs: TypeAlias = Sequence[tuple[NDArray[Any] | None, NDArray[Any]]]

TAIL = 6.0
"""Random signs: a sum of errors e_i with independent signs exceeds 6·sqrt(sum e_i²) with probability below 4e-8."""

KINK = int(Diagnosis.KINK)

OPERATIONS = 16.0
"""Rounding of one entry of gx, in units of eps times the terms that make it up."""


class Verdict(Enum):
    """Outcome of a comparison, from best to worst in the order of `merge`."""

    PASS = "pass"  # noqa: S105 - no password
    SUBGRADIENT = "subgradient"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One verdict and the numbers it rests on.

    Attributes:
        verdict: PASS: |difference| <= bound. SUBGRADIENT: the same, with outputs at a kink, where the claimed value
            lies between the one-sided slopes. FAIL: outside. INCONCLUSIVE: the bound would hide a gradient of zero.
        reason: for a fail "value", "kink", "tie" (given by `gradcheck.verdict.kinks`), "nonfinite"; for an inconclusive "stochastic", "nonfinite", "unresolved",
            "noise"; "" otherwise.
        numeric: `<gy, J v>` measured (the midpoint of the one-sided slopes at kinks).
        analytic: `<gx, v>` claimed.
        bound: on |numeric - analytic| for a right gradient: numeric error, rounding of the analytic side, kinks.
        sensitivity: smallest relative error in one entry of gx of typical contribution (the median of |gx_i v_i| over
            those that are not zero) that is certain to be detected: 2·bound / median. Infinite where gx is 0.
        vacuous: gx and J v are zero, so that nothing else was compared.
    """

    verdict: Verdict
    reason: str
    numeric: float
    analytic: float
    bound: float
    sensitivity: float
    vacuous: bool

    @property
    def difference(self) -> float:
        """|numeric - analytic|."""
        return abs(self.numeric - self.analytic)

    @property
    def ratio(self) -> float:
        """Difference in units of the bound: above 1 is a fail, 0 an exact agreement; NaN where either is not finite."""
        if self.difference == 0.0:
            return 0.0
        return self.difference / self.bound if self.bound > 0 else float("inf")


def compare(
    numeric: Derivative, gx: Any, v: Any, gy: Any, *, eps: float | None = None, random_signs: bool = True
) -> Comparison:
    """Compare the claimed gradient `gx = vjp(gy)` with a numeric derivative along `v`: is `<gx, v> = <gy, J v>`?

    The inner product is Re sum(conj(a)·b): for complex arrays a gradient's real and imaginary part are the derivatives
    by the real and imaginary part (the convention of PyTorch).

    At kinks each output's slopes span an interval of their own, and the claim has to lie in the sum of these intervals.
    Many kinks at once make it wide (the sensitivity shows how wide): to judge them sharply, repeat with a `gy` that is 0
    on all kinked outputs but one; the same `numeric` serves.

    Args:
        numeric: `derivative(f, x, v)`.
        gx: claimed gradient, array or None for every array of x; None counts as zero.
        v: direction, array or None for every array of x, as given to `derivative`.
        gy: cotangent for every output array of f; entries that are 0 leave their output out.
        eps: machine epsilon of the arithmetic that made gx; by default the coarsest of the dtypes of gx and gy.
        random_signs: the signs of v and of gy were drawn independently of gx and f (as `gradcheck.numeric.probes` does). Errors
            then add up like their root of squares, which keeps the sensitivity from falling with the array's size.
            With False they are taken to add up one by one.

    Raises:
        ShapeError: gx does not fit v, or gy does not fit f's output.
    """
    pairs, cotangents = _paired(gx, v), _cotangents(numeric, gy)
    if eps is None:
        eps = _coarsest([np.asarray(g) for g in as_tuple(gx) if g is not None] + cotangents)
    weights = numeric.layout.flat(cotangents)
    return _judge(numeric, _terms(pairs), weights, eps, _underflow(pairs, weights), random_signs)


@np.errstate(all="ignore")
def inner_products(numeric: Derivative, gx: Any, v: Any, gy: Any) -> tuple[float, float]:
    """`<gy, J v>` as measured and `<gx, v>` as claimed, without a verdict; arguments and errors as for `compare`."""
    terms, weights = _terms(_paired(gx, v)), numeric.layout.flat(_cotangents(numeric, gy))
    used = _used(weights)
    return float((weights[used] * numeric.flat_value[used]).sum()), float(terms.sum())


def _paired(gx: Any, v: Any) -> Pairs:
    """The claimed cotangent and the tangent of every input that moves."""
    claimed, tangents = as_tuple(gx), as_tuple(v)
    if len(claimed) != len(tangents):
        raise ShapeError(
            f"gx has {len(claimed)} arrays and v has {len(tangents)}; both need one entry for every input"
        )
    pairs = []
    for position, (g, t) in enumerate(zip(claimed, tangents, strict=True)):
        if t is None:
            continue
        gradient, tangent = None if g is None else np.asarray(g), np.asarray(t)
        if gradient is not None and gradient.shape != tangent.shape:
            raise ShapeError(
                f"gx[{position}] has shape {gradient.shape} and v[{position}] has {tangent.shape}"
            )
        pairs.append((gradient, tangent))
    return pairs


def _cotangents(numeric: Derivative, gy: Any) -> list[NDArray[Any]]:
    cotangents = [np.asarray(g) for g in as_tuple(gy)]
    shapes = tuple([g.shape for g in cotangents])
    if shapes != numeric.layout.shapes:
        raise ShapeError(f"gy has shapes {list(shapes)} and f's output has {list(numeric.layout.shapes)}")
    return cotangents


def _used(weights: Values) -> slice | NDArray[np.intp]:
    """The outputs whose cotangent is not 0."""
    return slice(None) if np.count_nonzero(weights) == weights.size else np.flatnonzero(weights)


def _coarsest(arrays: Sequence[NDArray[Any]]) -> float:
    return max([EPS, *[eps_of(array.dtype) for array in arrays if array.dtype.kind in "fc"]])


def _terms(pairs: Pairs) -> Values:
    """Products gx_i v_i, in float64, 0 where v_i is whatever gx_i; a complex entry gives two."""
    parts = []
    for g, tangent in pairs:
        way, claim = flatten([tangent]), np.zeros(1)
        if g is not None:
            claim = flatten([g.astype(np.complex128) if tangent.dtype.kind == "c" else g.real])
        terms = claim * way
        parts.append(terms if np.count_nonzero(way) == way.size else np.where(way == 0, 0.0, terms))
    return in_a_row(parts)


def _underflow(pairs: Pairs, weights: Values) -> float:
    """What gradual underflow may take from `<gx, v>`: below its normal numbers, a dtype rounds by its smallest one.

    A factor of the rule may underflow before it is multiplied by gy.
    """
    lost, largest = 0.0, max(1.0, float(np.abs(weights).max(initial=0.0)))
    for g, t in pairs:
        if g is not None and g.dtype.kind in "fc":
            lost += OPERATIONS * _smallest(g.dtype) * largest * float(np.abs(t).sum())
    return lost if math.isfinite(lost) else 0.0


@cache
def _smallest(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).smallest_subnormal)


def _total(errors: Values, random_signs: bool) -> float:
    """Bound on a sum of errors of these sizes."""
    linear = float(errors.sum())
    if not random_signs or not math.isfinite(linear):
        return linear
    largest = float(errors.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    return min(linear, TAIL * largest * math.sqrt(((errors / largest) ** 2).sum()))


@np.errstate(all="ignore")
def _judge(
    numeric: Derivative,
    terms: Values,
    weights: Values,
    eps: float,
    underflow: float,
    random_signs: bool,
) -> Comparison:
    used = _used(weights)
    w = weights[used]
    size = np.abs(w)
    code, y, error = numeric.flat_diagnosis[used], numeric.flat_y[used], numeric.flat_bound[used]
    width, kink_bound, kinked = np.zeros(w.size), 0.0, code == KINK
    if np.count_nonzero(kinked):
        left, right = numeric.flat_left[used], numeric.flat_right[used]
        kinked &= left != right
        width = np.where(kinked, 0.5 * np.abs(right - left), 0.0)
        sides = np.maximum(numeric.flat_left_bound[used], numeric.flat_right_bound[used])
        error = np.where(kinked, sides, error)
        kink_bound = _total(size * width, random_signs)
    slopes, contributions = w * numeric.flat_value[used], np.abs(terms)
    measured, analytic = float(slopes.sum()), float(terms.sum())
    numeric_bound = _total(size * error, random_signs)
    rounding = in_a_row([OPERATIONS * contributions, OPERATIONS * np.abs(slopes), 2.0 * np.abs(w * y)])
    rounding_bound = eps * _total(rounding, random_signs) + underflow
    bound = numeric_bound + rounding_bound + kink_bound
    middle = _middle(contributions)
    sensitivity = 2.0 * bound / middle if middle > 0 else float("inf")

    def found(verdict: Verdict, reason: str, vacuous: bool = False) -> Comparison:
        return Comparison(verdict, reason, measured, analytic, bound, sensitivity, vacuous)

    if not (math.isfinite(bound) and math.isfinite(measured)):
        if np.any(code == Diagnosis.STOCHASTIC):
            return found(Verdict.INCONCLUSIVE, "stochastic")
        if np.any(code == Diagnosis.NONFINITE):
            return found(Verdict.INCONCLUSIVE, "nonfinite")
        if math.isfinite(analytic) or not np.isfinite(error).all():
            return found(Verdict.INCONCLUSIVE, "unresolved")
    if not math.isfinite(analytic):
        bound = numeric_bound + kink_bound
        return found(Verdict.FAIL, "nonfinite")
    difference = abs(measured - analytic)
    if difference > bound:
        return found(Verdict.FAIL, "kink" if kink_bound > 0.5 * difference else "value")
    if not np.count_nonzero(terms) and difference + abs(measured) <= bound and kink_bound == 0.0:
        scale = eps + 1e-6
        visible = TAIL * float(np.sqrt(np.square(slopes[np.isfinite(slopes)]).sum()))
        empty = bound <= scale * max(float(np.abs(w * y).sum()), visible) or visible == 0.0
        return found(Verdict.PASS, "", True) if empty else found(Verdict.INCONCLUSIVE, "noise", True)
    smooth = bound - kink_bound
    if smooth > abs(analytic) and smooth > math.sqrt(np.square(in_a_row([terms, size * width])).sum()):
        return found(Verdict.INCONCLUSIVE, "noise")
    # Among many noisy outputs some look kinked by chance, by no more than their noise.
    return found(Verdict.SUBGRADIENT if kink_bound > smooth else Verdict.PASS, "")


def _middle(contributions: Values) -> float:
    """The median of those that are not zero, 0 where there is none, or one that is not finite."""
    some = np.count_nonzero(contributions) < contributions.size
    typical = contributions[contributions != 0] if some else contributions
    return median(typical) if typical.size and np.count_nonzero(np.isfinite(typical)) == typical.size else 0.0


def merge(comparisons: Sequence[Comparison]) -> Comparison:
    """The comparison that decides among several directions of one check.

    A fail decides over everything. An inconclusive one yields to any that passed (it saw nothing; the others did). A
    subgradient decides over a pass. Among equals the tightest ratio to the bound decides on a fail, the sharpest
    sensitivity elsewhere.

    Raises:
        ValueError: there is none.
    """
    if not comparisons:
        raise ValueError("no comparison to merge; give at least one")
    for verdict in (Verdict.FAIL, Verdict.SUBGRADIENT, Verdict.PASS):
        found = [c for c in comparisons if c.verdict is verdict]
        if found and verdict is Verdict.FAIL:
            return max(found, key=lambda c: c.ratio if c.ratio == c.ratio else np.inf)
        if found:
            return min(found, key=lambda c: (c.vacuous, c.sensitivity))
    return comparisons[0]
