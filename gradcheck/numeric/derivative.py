"""Numeric directional derivative with an error bound for every output element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.ladder import FLOOR, Samples, one_sided, select
from gradcheck.numeric.line import Line, Values
from gradcheck.numeric.plateaus import EVALUATIONS, constant_between_jumps
from gradcheck.numeric.result import Derivative, Diagnosis

FIRST = (3.33, 4.07, 4.83, 5.69)
"""First steps, as powers of 1/2 of the scale: incommensurate, so that no wave and no grid of values is in step."""

DOWN = (6.83, 10.17, 15.38, 20.29, 26.11, 32.23, 38.31)
"""Finer steps, taken one after the other while a bound is not good enough."""

GRID = 2.0**46
"""Steps are multiples of scale/GRID: as many bits as keep `x ± h v` exact for a `v` of few bits."""

LADDER = tuple([round(GRID * 2.0**-exponent) / GRID for exponent in (*FIRST, *DOWN)])
STEPS = np.array(LADDER)
"""All steps, in units of the scale."""

FINEST = 2.0**-30
"""A function of steps stands still over two steps of which the finer one is at most this."""

WHOLE = 3 + 2 * (len(FIRST) + len(DOWN))
"""Evaluations that the whole ladder takes, with those at the point itself."""

BUDGET = 48
"""Evaluations for the whole ladder, and for whether a function that stands still is one of steps."""

CHUNK = 1 << 14


def derivative(
    f: Callable[..., Any],
    x: Any,
    v: Any,
    *,
    max_evaluations: int = BUDGET,
    goal: float = 1e-10,
    widen: bool = True,
    thorough: bool = False,
    y: Any = None,
    gy: Any = None,
    scale: float | None = None,
) -> Derivative:
    """Derivative of `t -> f(x + t v)` at t = 0, for every output element on its own, with a bound on its error.

    Central differences over a ladder of steps, extrapolated by Neville's scheme, the step chosen by Lepski's rule.
    A smooth function takes 9 to 14 evaluations; finer steps are added only while a bound is neither below `goal`
    times its value nor all rounding. The length of `v` does not matter without `scale`: the first step moves a typical entry by an
    eighth of its own size. Entries of `v` with few significant bits (as `gradcheck.numeric.probes.directions` draws them)
    make `x ± h v` exact; what other directions lose to rounding is charged to the bound.

    Args:
        f: called as `f(*arrays)`; returns a floating or complex array, or a tuple of them. It gets fresh arrays.
            ValueError and ArithmeticError at a neighbouring point count as the edge of its domain.
        x: an array, or a tuple of arrays. Arrays that move are floating or complex.
        v: the direction: an array, or a tuple with an array of the same shape, or None, for every array of `x`.
        max_evaluations: at least 9; no more evaluations than this, including f(x).
        goal: relative bound at which an output element is good enough.
        widen: evaluate float16 and float32 inputs as float64.
        thorough: take every step of the ladder, also where the coarser ones agree: they may all have stepped over
            something, or agree by chance.
        y: f(x) where it is known already, from the same arithmetic (float64 for widened inputs); saves an evaluation.
        gy: a cotangent, an array for every output array. Only `<gy, J v>` is then needed: outputs of weight 0 do not
            matter, and no step is added for those whose bounds, all together, matter less than those already settled.

        scale: of the steps, in lengths of `v`; by default so that the length does not matter.

    Raises:
        ShapeError: `v` does not fit `x`, or f's output changes its shape.
        DtypeError: an input that moves, or an output, is not floating or complex.
        ValueError: `max_evaluations` below 9.

    >>> d = derivative(np.sin, np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    >>> bool(np.all(np.abs(d.value - [1.0, 2.0 * np.cos(1.0)]) <= d.bound)), d.evaluations
    (True, 9)
    """
    if max_evaluations < 9:
        raise ValueError(f"max_evaluations is {max_evaluations}; the first ladder alone takes 9")
    line = Line(f, x, v, widen=widen)
    with np.errstate(all="ignore"):
        center = line.center() if y is None else line.read(y)
        result, settled = _Result(center), True
        if line.moves() and center.size:
            weight = None if gy is None else np.abs(line.like_output(gy))
            settled = _Climb(line, center, result, max_evaluations, goal, weight, scale).run(thorough)
    layout = line.layout
    if layout is None:
        raise RuntimeError("f was never evaluated")
    return Derivative(
        result.value,
        result.bound,
        result.diagnosis,
        *result.sides(),
        center,
        layout,
        line.evaluations,
        settled,
        result.step,
    )


class _Result:
    """The flat vectors of a Derivative while they are being filled."""

    def __init__(self, y: Values) -> None:
        self.value, self.bound = np.zeros((2, y.size))
        self.step = np.empty(y.size)
        self.step.fill(np.nan)
        self.diagnosis = np.zeros(y.size, dtype=np.int8)
        self.kinks: list[tuple[NDArray[np.intp], tuple[Values, Values], tuple[Values, Values]]] = []
        inside = np.isfinite(y)
        if np.count_nonzero(inside) == y.size:
            self.inside = np.arange(y.size)
        else:
            self.inside = np.flatnonzero(inside)
            self.put(np.flatnonzero(~inside), np.array(np.nan), np.array(np.inf), Diagnosis.NONFINITE)

    def put(
        self, at: slice | NDArray[np.intp], value: Values, bound: Values, diagnosis: NDArray[np.int8] | int
    ) -> None:
        self.value[at], self.bound[at], self.diagnosis[at] = value, bound, diagnosis

    def sides(self) -> tuple[Values, Values, Values, Values]:
        """Slopes to the left and to the right, then their bounds: those of both, but for kinks."""
        if not self.kinks:
            return self.value, self.value, self.bound, self.bound
        slopes, bounds = np.stack([self.value] * 2), np.stack([self.bound] * 2)
        for at, sides, of_sides in self.kinks:
            slopes[:, at], bounds[:, at] = sides, of_sides
        return (*slopes, *bounds)


class _Climb:
    """One run of `derivative`: the samples of the elements still open, and the steps taken for them."""

    def __init__(
        self,
        line: Line,
        y: Values,
        result: _Result,
        budget: int,
        goal: float,
        weight: Values | None,
        scale: float | None,
    ) -> None:
        self.weight = weight
        self.line, self.result, self.goal = line, result, goal
        self.budget, self.y = budget, y
        self.scale = line.scale() if scale is None else scale
        self.open = result.inside
        self.here = y if self.open.size == y.size else y[self.open]
        self.plus: list[Values] = []
        self.minus: list[Values] = []
        self.slips: list[float] = []

    def run(self, thorough: bool) -> bool:
        """Take steps while they are needed and affordable; whether none of the slopes found may be that of a grid."""
        settled = True
        for _ in FIRST:
            self._sample()
        if not thorough:
            self._settle()
        for _ in DOWN:
            repeat = len(self.slips) == len(FIRST) + 1
            if not self.open.size or (not thorough and self._negligible()):
                break
            if not self._affordable(5 if repeat else 4) and self.budget < WHOLE:
                settled = not self._affordable() or not self._finest_moves_nothing()
                break
            if not self._affordable(3 if repeat else 2) or (repeat and self._stochastic()):
                break
            self._sample()
            if not thorough:
                self._settle()
        if thorough:
            self._settle()
        if self.open.size:
            self._finish()
        whole = self.budget >= WHOLE  # else finer steps, which stay in f's domain, may not have been taken
        if whole and self.line.failure is not None and not np.isfinite(self.result.bound).any():
            raise self.line.failure
        return settled

    def _finest_moves_nothing(self) -> bool:
        """Whether some open output with a slope does not change over a step that should move it by many roundings."""
        step = self.scale * 2.0**-32
        plus, minus = self.line.at(step)[self.open], self.line.at(-step)[self.open]
        eps = self.line.eps if isinstance(self.line.eps, float) else self.line.eps[self.open]
        due = np.abs(self.result.value[self.open]) * step > 64.0 * eps * np.abs(self.here)
        return bool(np.any((plus == self.here) & (minus == self.here) & due))

    def _negligible(self) -> bool:
        """Whether the weighted bounds of the open elements, together, are below those that finer steps cannot improve."""
        if self.weight is None:
            return False
        counts, done = self.weight > 0, np.ones(self.y.size, dtype=bool)
        done[self.open] = False
        share = np.where(counts, self.weight * self.result.bound, 0.0)
        waiting = _norm(share[self.open])
        if waiting <= _norm(share[done]):
            return True
        return waiting <= self.goal * _norm(np.where(counts, self.weight * self.result.value, 0.0))

    def _affordable(self, extra: int = 2) -> bool:
        return self.line.evaluations + extra <= self.budget

    def _sample(self) -> None:
        """Take the next step of the ladder."""
        plus, minus, slip = self.line.sides(self.scale * LADDER[len(self.slips)])
        whole = self.open.size == self.y.size
        self.slips.append(slip)
        self.plus.append(plus if whole else plus[self.open])
        self.minus.append(minus if whole else minus[self.open])

    def _samples(self, part: slice) -> Samples:
        eps, count = self.line.eps, len(self.slips)
        rows = np.array([row[part] for row in (*self.plus, *self.minus)])
        return Samples(
            LADDER[:count],
            _finite(rows.reshape(2, count, -1)),
            self.here[part],
            eps if isinstance(eps, float) else eps[self.open[part]],
            tuple(self.slips),
        )

    def _parts(self) -> Iterator[slice]:
        """Blocks of the open elements."""
        for start in range(0, self.open.size, CHUNK):
            yield slice(start, min(start + CHUNK, self.open.size))

    def _settle(self) -> None:
        """Select for every open element, record the good ones and drop their samples."""
        self._drop_still()
        good = np.empty(self.open.size, dtype=bool)
        for part in self._parts():
            chosen = select(self._samples(part))
            rounding = 4.0 * chosen.noise * ~chosen.noisy
            fine = chosen.bound <= np.fmax(self.goal * np.abs(chosen.value), rounding)
            np.logical_and(fine, np.isfinite(chosen.bound), out=good[part])
            at = part if self.open.size == self.y.size else self.open[part]
            self.result.step[at] = self.scale * STEPS[chosen.coarsest]
            self.result.put(
                at,
                chosen.value / self.scale,
                chosen.bound / self.scale,
                chosen.noisy * np.int8(Diagnosis.NOISY),
            )
        self._drop(good)

    def _drop(self, done: NDArray[np.bool_]) -> None:
        """Forget the samples of open elements that are done with."""
        count = np.count_nonzero(done)
        if count:
            keep = np.flatnonzero(~done) if count < done.size else slice(0)
            self.open, self.here = self.open[keep], self.here[keep]
            self.plus = [row[keep] for row in self.plus]
            self.minus = [row[keep] for row in self.minus]

    def _drop_still(self) -> None:
        """Record the open elements that no step moved, and drop them: 0, with the rounding of the two coarsest steps.

        The result of extrapolation, at a fraction of its cost: along one coordinate of many, most elements do not move.
        """
        still = self.plus[0] == self.here
        for row in (*self.plus[1:], *self.minus):
            if not np.count_nonzero(still):
                return
            still &= row == self.here
        at = self.open[still]
        coarse, fine = LADDER[0] ** 2, LADDER[1] ** 2
        gain = (coarse / LADDER[1] + fine / LADDER[0]) / (coarse - fine)
        eps = self.line.eps if isinstance(self.line.eps, float) else self.line.eps[at]
        bound = FLOOR * eps * np.abs(self.here[still]) * gain / self.scale
        self.result.put(at, np.zeros(at.size), bound, Diagnosis.SMOOTH)
        self._drop(still)

    def _stochastic(self) -> bool:
        """Evaluate f(x) again; mark what differs by more than a rearranged sum may, and drop it."""
        again = self.line.at(0.0)
        if np.count_nonzero(again == self.y) == again.size:
            return False
        changed = np.abs(again - self.y) > 1e4 * self.line.eps * np.abs(self.y)
        changed &= np.isfinite(self.y)
        if not changed.any():
            return False
        self.result.put(np.flatnonzero(changed), np.array(np.nan), np.array(np.inf), Diagnosis.STOCHASTIC)
        self._drop(changed[self.open])
        return not self.open.size

    def _finish(self) -> None:
        """Slopes of the two sides for what stayed open, and a diagnosis."""
        for part in self._parts():
            self._judge(self.open[part], self._samples(part))

    def _judge(self, at: NDArray[np.intp], samples: Samples) -> None:
        right, left = samples.slopes()
        r, rb, s, sb = one_sided(samples, right, left)
        value, bound = self.result.value[at] * self.scale, self.result.bound[at] * self.scale
        size = np.maximum(np.abs(r), np.abs(s))
        kink = (np.abs(r - s) > rb + sb) & (rb + sb < 0.25 * size)
        steepest_right = np.fmax.reduce(np.abs(right), initial=0.0)
        steepest_left = np.fmax.reduce(np.abs(left), initial=0.0)
        only_right = np.isfinite(rb) & ~np.isfinite(sb) & (rb < 0.01 * steepest_right)
        only_left = np.isfinite(sb) & ~np.isfinite(rb) & (sb < 0.01 * steepest_left)
        edge = (only_right | only_left) & ~np.isfinite(bound)
        kink &= bound > 0.25 * np.abs(r - s)
        side, side_bound = np.where(only_right, r, s), np.where(only_right, rb, sb)
        code = self.result.diagnosis[at].copy()
        lost = ~(bound < np.abs(value)) & ~kink & ~edge & ~(bound <= self.goal)
        code[lost] = Diagnosis.UNRESOLVED
        code[edge], code[kink] = Diagnosis.EDGE, Diagnosis.KINK
        steep = np.fmax(np.abs(right), np.abs(left))
        bound = np.where(lost & (steep[-1] > 8.0 * steep[0]) & ~(np.abs(value) > bound), np.inf, bound)
        constant, jump = self._of_steps(at, samples, value, lost)
        value[constant], bound[constant], code[constant] = 0.0, 0.0, Diagnosis.SMOOTH
        bound[jump], code[jump] = np.inf, Diagnosis.UNRESOLVED
        edge &= ~constant & ~jump
        kink &= ~constant & ~jump
        value = np.where(edge, side, np.where(kink, 0.5 * (r + s), value))
        bound = np.where(edge, side_bound, np.where(kink, 0.5 * np.abs(r - s) + np.maximum(rb, sb), bound))
        self.result.put(at, value / self.scale, bound / self.scale, code)
        if kink.any():
            slopes, bounds = (
                (s[kink] / self.scale, r[kink] / self.scale),
                (sb[kink] / self.scale, rb[kink] / self.scale),
            )
            self.result.kinks.append((at[kink], slopes, bounds))

    def _of_steps(
        self, at: NDArray[np.intp], samples: Samples, value: Values, lost: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which outputs are constant between jumps around the point, and which jump at it, whatever slope coarse steps show."""
        constant, jump = np.zeros(at.size, dtype=bool), np.zeros(at.size, dtype=bool)
        if samples.steps[-1] > FINEST or not self._affordable(EVALUATIONS):
            return constant, jump
        sides = [np.abs(rows - samples.center) for rows in (samples.plus, samples.minus)]
        level = [(rows[-1] == rows[-2]) & np.isfinite(rows[-1]) for rows in (samples.plus, samples.minus)]
        still = np.logical_and(*level) & ((value != 0) | lost)
        if still.any():
            places = np.flatnonzero(still)
            change = np.fmax(*sides)
            grain = np.fmin.reduce(np.where(change > 0, change, np.inf))
            steps = constant_between_jumps(self.line, self.y, at[places], grain[places])
            moved = (change[-1] > 0)[places]
            constant[places], jump[places] = steps & ~moved, steps & moved
        return constant, jump


def _norm(values: Values) -> float:
    """The root of the sum of squares."""
    return math.sqrt(values.dot(values))


def _finite(values: Values) -> Values:
    """The values with NaN for infinity, which no difference can use."""
    finite = np.isfinite(values)
    return values if np.count_nonzero(finite) == finite.size else np.where(finite, values, np.nan)
