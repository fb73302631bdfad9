"""Numeric directional derivative with an error bound for every output element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.ladder import FLOOR, Samples, Selection, one_sided, select
from gradcheck.numeric.line import Line, Values
from gradcheck.numeric.plateaus import EVALUATIONS, constant_between_jumps
from gradcheck.numeric.result import Derivative, Diagnosis

FIRST = (3.33, 4.07, 4.83, 5.69)
"""First steps, as powers of 1/2 of the scale: incommensurate, so that no wave and no grid of values is in step."""

DOWN = (6.83, 10.17, 15.38, 20.29, 26.11, 32.23, 38.31)
"""Finer steps, taken one after the other while a bound is not good enough."""

GRID = 2.0**46
"""Steps are multiples of scale/GRID: as many bits as keep `x ± h v` exact for a `v` of few bits."""

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
        result.left,
        result.right,
        result.left_bound,
        result.right_bound,
        center,
        layout,
        line.evaluations,
        settled,
        result.step,
    )


class _Result:
    """The flat vectors of a Derivative while they are being filled."""

    def __init__(self, y: Values) -> None:
        self.value, self.left, self.right = np.zeros((3, y.size))
        self.bound, self.left_bound, self.right_bound = np.zeros((3, y.size))
        self.step = np.full(y.size, np.nan)
        self.diagnosis = np.zeros(y.size, dtype=np.int8)
        self.inside = np.isfinite(y)
        if not self.inside.all():
            self.put(np.flatnonzero(~self.inside), np.array(np.nan), np.array(np.inf), Diagnosis.NONFINITE)

    def put(
        self, at: slice | NDArray[np.intp], value: Values, bound: Values, diagnosis: NDArray[np.int8] | int
    ) -> None:
        self.value[at] = self.left[at] = self.right[at] = value
        self.bound[at] = self.left_bound[at] = self.right_bound[at] = bound
        self.diagnosis[at] = diagnosis


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
        self.open = np.flatnonzero(result.inside)
        self.steps: list[float] = []
        self.slips: list[float] = []
        self.plus: list[Values] = []
        self.minus: list[Values] = []
        self.selection: Selection | None = None

    def run(self, thorough: bool) -> bool:
        """Take steps while they are needed and affordable; whether none of the slopes found may be that of a grid."""
        settled = True
        for exponent in FIRST:
            self._sample(exponent)
        if not thorough:
            self._settle()
        for exponent in DOWN:
            repeat = len(self.steps) == len(FIRST) + 1
            if not self.open.size or (not thorough and self._negligible()):
                break
            if not self._affordable(5 if repeat else 4) and self.budget < WHOLE:
                settled = not self._affordable() or not self._finest_moves_nothing()
                break
            if not self._affordable(3 if repeat else 2) or (repeat and self._stochastic()):
                break
            self._sample(exponent)
            if not thorough:
                self._settle()
        if thorough:
            self._settle()
        if self.open.size and len(self.steps) > 0:
            self._finish()
        whole = self.budget >= WHOLE  # else finer steps, which stay in f's domain, may not have been taken
        if whole and self.line.failure is not None and not np.isfinite(self.result.bound).any():
            raise self.line.failure
        return settled

    def _finest_moves_nothing(self) -> bool:
        """Whether some open output with a slope does not change over a step that should move it by many roundings."""
        step = self.scale * 2.0**-32
        plus, minus, here = self.line.at(step)[self.open], self.line.at(-step)[self.open], self.y[self.open]
        eps = self.line.eps if isinstance(self.line.eps, float) else self.line.eps[self.open]
        due = np.abs(self.result.value[self.open]) * step > 64.0 * eps * np.abs(here)
        return bool(np.any((plus == here) & (minus == here) & due))

    def _negligible(self) -> bool:
        """Whether the weighted bounds of the open elements, together, are below those that finer steps cannot improve."""
        if self.weight is None:
            return False
        open_ = np.zeros(self.y.size, dtype=bool)
        open_[self.open] = True
        share = np.where(self.weight > 0, self.weight * self.result.bound, 0.0)
        waiting, settled = np.linalg.norm(share[open_]), np.linalg.norm(share[~open_])
        wanted = self.goal * np.linalg.norm(np.where(self.weight > 0, self.weight * self.result.value, 0.0))
        return bool(waiting <= max(settled, wanted))

    def _affordable(self, extra: int = 2) -> bool:
        return self.line.evaluations + extra <= self.budget

    def _sample(self, exponent: float) -> None:
        fraction = round(GRID * 2.0**-exponent) / GRID
        place = sum(fraction < other for other in self.steps)
        self.steps.insert(place, fraction)
        step = self.scale * fraction
        whole = self.open.size == self.y.size
        plus, minus, slip = self.line.sides(step)
        self.slips.insert(place, slip)
        self.plus.insert(place, plus if whole else plus[self.open])
        self.minus.insert(place, minus if whole else minus[self.open])

    def _samples(self, part: slice | NDArray[np.intp]) -> Samples:
        eps = self.line.eps
        here = self.open[part]
        return Samples(
            np.array(self.steps),
            _finite(np.array([row[part] for row in self.plus])),
            _finite(np.array([row[part] for row in self.minus])),
            self.y[here],
            eps if isinstance(eps, float) else eps[here],
            np.array(self.slips),
        )

    def _settle(self) -> None:
        """Select for every open element, record the good ones and drop their samples."""
        self._drop(self._still())
        good = np.zeros(self.open.size, dtype=bool)
        for start in range(0, self.open.size, CHUNK):
            part = slice(start, min(start + CHUNK, self.open.size))
            chosen = select(self._samples(part))
            fine = chosen.bound <= self.goal * np.abs(chosen.value)
            fine |= (chosen.bound <= 4.0 * chosen.noise) & ~chosen.noisy
            good[part] = fine & np.isfinite(chosen.bound)
            at = part if self.open.size == self.y.size else self.open[part]
            self.result.step[at] = self.scale * np.array(self.steps)[chosen.coarsest]
            self.result.put(
                at,
                chosen.value / self.scale,
                chosen.bound / self.scale,
                chosen.noisy * np.int8(Diagnosis.NOISY),
            )
        self._drop(good)

    def _drop(self, done: NDArray[np.bool_]) -> None:
        """Forget the samples of open elements that are done with."""
        if done.any():
            keep = np.flatnonzero(~done)
            self.open = self.open[keep]
            self.plus = [row[keep] for row in self.plus]
            self.minus = [row[keep] for row in self.minus]

    def _still(self) -> NDArray[np.bool_]:
        """Mark and record the open elements that no step moved: 0, with the rounding of the two coarsest steps.

        The result of extrapolation, at a fraction of its cost: along one coordinate of many, most elements do not move.
        """
        here = self.y if self.open.size == self.y.size else self.y[self.open]
        still = np.ones(self.open.size, dtype=bool)
        for row in (*self.plus, *self.minus):
            still &= row == here
            if not still.any():
                return still
        at = self.open[still]
        coarse, fine = self.steps[0] ** 2, self.steps[1] ** 2
        gain = (coarse / self.steps[1] + fine / self.steps[0]) / (coarse - fine)
        eps = self.line.eps if isinstance(self.line.eps, float) else self.line.eps[at]
        bound = FLOOR * eps * np.abs(here[still]) * gain / self.scale
        self.result.put(at, np.zeros(at.size), bound, Diagnosis.SMOOTH)
        return still

    def _stochastic(self) -> bool:
        """Evaluate f(x) again; mark what differs by more than a rearranged sum may, and drop it."""
        again = self.line.at(0.0)
        changed = np.abs(again - self.y) > 1e4 * self.line.eps * np.abs(self.y)
        changed &= np.isfinite(self.y)
        if not changed.any():
            return False
        self.result.put(np.flatnonzero(changed), np.array(np.nan), np.array(np.inf), Diagnosis.STOCHASTIC)
        self._drop(changed[self.open])
        return not self.open.size

    def _finish(self) -> None:
        """Slopes of the two sides for what stayed open, and a diagnosis."""
        for start in range(0, self.open.size, CHUNK):
            part = slice(start, min(start + CHUNK, self.open.size))
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
        at, r, s, rb, sb = at[kink], r[kink], s[kink], rb[kink], sb[kink]
        self.result.right[at], self.result.right_bound[at] = r / self.scale, rb / self.scale
        self.result.left[at], self.result.left_bound[at] = s / self.scale, sb / self.scale

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


def _finite(values: Values) -> Values:
    """The values with NaN for infinity, which no difference can use."""
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.nan)
