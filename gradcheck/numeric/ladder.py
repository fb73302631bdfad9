"""Extrapolation of central differences over a ladder of steps, with a bound for every output element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDEST = 6
"""Most steps that one extrapolation combines."""

NARROWER = 5
"""Most steps that one extrapolation of one-sided slopes combines."""

SAFETY = 5.0
"""Weight of observed disagreement, which is a sample of the noise: by chance it can come out small."""

GOES_ON = 0.75
"""A change of the slope so many times as large as the one before, over a step that is a fiftieth, tends to no limit."""

FLOOR = 4.0
"""Rounding of one difference, in units of eps·max|Y|: two evaluations with an error of 2 eps each."""


FEW = 256
"""Outputs up to which weights are laid out for each of them: NumPy takes three times as long to repeat a column of a small array."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of `m` outputs on both sides of a point, at `k` steps from the coarsest to the finest.

    `steps` (k) are positive and falling; `sides` (2, k, m) hold Y(h), then Y(-h), and `center` (m,) holds Y(0), with NaN
    where the function gave none; `eps` is the relative rounding of one value, a number or (m,); `slip` (k) is the
    relative part of a step that rounding of `x + h v` took away.
    """

    steps: tuple[float, ...]
    sides: Array
    center: Array
    eps: Array | float
    slip: tuple[float, ...]

    @property
    def plus(self) -> Array:
        """Y(h), (k, m)."""
        plus: Array = self.sides[0]
        return plus

    @property
    def minus(self) -> Array:
        """Y(-h), (k, m)."""
        minus: Array = self.sides[1]
        return minus

    def take(self, at: NDArray[np.intp]) -> Samples:
        """The samples of some of the outputs."""
        eps = self.eps if isinstance(self.eps, float) else self.eps[at]
        return Samples(self.steps, self.sides[:, :, at], self.center[at], eps, self.slip)

    def slopes(self) -> tuple[Array, Array]:
        """Slopes `(Y(h) - Y(0)) / h` to the right and `(Y(0) - Y(-h)) / h` to the left, each (k, m)."""
        h = _column(self.steps)
        return (self.plus - self.center) / h, (self.center - self.minus) / h


def _column(values: tuple[float, ...]) -> Array:
    """One number for each step, (k, 1)."""
    return np.array(values)[:, None]


@dataclass(frozen=True, slots=True)
class Selection:
    """The estimate for each output: all arrays (m,).

    `value ± bound`; `noise` is the part of the bound that is rounding, the rest is observed disagreement; `coarsest`
    is the index of the largest step used; `noisy` marks outputs whose values scatter by more than their rounding.
    """

    value: Array
    bound: Array
    noise: Array
    coarsest: NDArray[np.intp]
    noisy: NDArray[np.bool_]


Parts: TypeAlias = tuple[Array, Array, Array]


def _start(samples: Samples) -> Parts:
    """What the scheme starts from, (k, m) each: the central differences, their noise, and the even part of the values over h².

    The noise of each difference: rounding of the values, of the argument inside `f`, and slipped steps.
    """
    (plus, minus), (size, below) = 0.5 * samples.sides, np.abs(samples.sides)
    h, square, _ = _scheme(samples.steps, _width(plus))
    differences = (plus - minus) / h
    slope = np.abs(differences)
    size = np.fmax(np.fmax(size, below), np.abs(samples.center))
    noise = samples.eps * (FLOOR * size + slope) / h
    if any(samples.slip):
        largest = np.where(np.isfinite(slope), slope, 0.0).max(axis=0)
        noise = noise + 2.0 * _column(samples.slip) * largest
    return differences, noise, (plus + minus - samples.center) / square


def _candidates(steps: tuple[float, ...], start: Parts) -> Array:
    """Best estimate, its bound and its noise, (3, k - 1, m), for every choice of the coarsest step.

    Neville's scheme in s = h² extrapolates the differences to s = 0. The bound adds

    - the rounding that the weights amplify;
    - the change that the finest step made: far more than the truncation left for a smooth function, and a sample of
      the noise at its full size for any other;
    - the jump of the slope at 0 that the *even* part of the same values implies,
      (Y(h) + Y(-h) - 2 Y(0)) / 2h = jump/2 + h·(polynomial in s): a kink closer than the finest step leaves the
      differences smooth and wrong, and only the even part shows it;
    - the scatter of the finer steps, where there are enough of them: what still disagrees there is noise.
    """
    table, amplified, divided = start
    k, m = table.shape
    best = np.empty((3, k - 1, m))
    best[0], best[1:] = np.nan, np.inf
    value, bound, rounding = best
    scattered = k > 4
    gains, scatter = (np.zeros((k - 1, m)), np.full((k - 1, m), np.inf)) if scattered else (best, best)
    for coarse, fine, gap, gain, unit in _scheme(steps, _width(table))[2]:
        upper = table[:-1]
        table = (coarse * table[1:] - fine * upper) / gap
        amplified = (coarse * amplified[1:] + fine * amplified[:-1]) / gap
        divided = (divided[:-1] - divided[1:]) / gap
        excess = np.abs(table - upper) + np.abs(divided / unit)
        total = amplified + SAFETY * excess
        rows = len(table)
        better = total < bound[:rows]
        np.putmask(value[:rows], better, table)
        np.putmask(bound[:rows], better, total)
        np.putmask(rounding[:rows], better, amplified)
        if scattered:
            np.copyto(gains[:rows], gain, where=better)
            np.fmin(scatter[:rows], excess / gain, out=scatter[:rows])
    if scattered:
        finer = np.where(np.isfinite(scatter), scatter, 0.0)[k - 4 : 0 : -1]
        bound[k - 5 :: -1] += gains[k - 5 :: -1] * _running(np.fmax, finer)
    return best


def _width(table: Array) -> int:
    """How often weights are repeated for a table with a column for each output."""
    m = table.shape[1]
    return m if m <= FEW else 1


Rounds: TypeAlias = list[tuple[Array, Array, Array, Array, Array]]


@lru_cache(maxsize=64)
def _scheme(steps: tuple[float, ...], width: int) -> tuple[Array, Array, Rounds]:
    """The steps, their squares, and the weights of each round of the scheme, which combines one step more than the one before.

    All of them with a row for every step or result, and `width` times the same in each. Of a round: the squares of the coarsest
    and of the finest step and the gap between them; how much rounding of size 1/h is amplified, and what the same divided
    differences make of 1/h.
    """
    h = np.array(steps)[:, None].repeat(width, axis=1)
    s, gain, unit, found = h * h, 1.0 / h, 1.0 / h, []
    for coarse, fine, gap in _pairs(s, WIDEST):
        gain = (coarse * gain[1:] + fine * gain[:-1]) / gap
        unit = (unit[:-1] - unit[1:]) / gap
        found.append((coarse, fine, gap, gain, unit))
    return h, s, found


@lru_cache(maxsize=64)
def _one_sided_scheme(steps: tuple[float, ...], width: int) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """The same in the steps themselves: them, and the coarsest step, the finest and the gap between them of each round."""
    h = np.array(steps)[:, None].repeat(width, axis=1)
    return h, list(_pairs(h, NARROWER))


def _pairs(points: Array, widest: int) -> Iterator[tuple[Array, Array, Array]]:
    """The coarsest and the finest of 2, 3, ... points next to each other, and the gap between them."""
    k = len(points)
    for count in range(2, min(k, widest) + 1):
        coarse, fine = points[: k - count + 1], points[count - 1 :]
        yield coarse, fine, coarse - fine


def _lepski(value: Array, bound: Array) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
    """Row of the tightest interval that agrees with all finer ones, and of the tightest that was rejected.

    Of the latter -1 where none was, and None where none was for any output.
    """
    last, low, high = len(value) - 1, value - bound, value + bound
    chosen = last - bound[::-1].argmin(axis=0)
    apart = np.fmax.reduce(low) > np.fmin.reduce(high)
    if not np.count_nonzero(apart):  # where all have something in common, each meets all finer ones
        return chosen, None
    at = np.flatnonzero(apart)
    low, high, bound = [rows[::-1, at] for rows in (low, high, bound)]  # the finest first
    known = np.isfinite(bound)
    rejected = _rejected(low, high, low, high) & known
    use = known & ~_running(np.logical_or, rejected)
    rejected = _rejected(low, high, np.where(use, low, np.nan), np.where(use, high, np.nan)) & known
    chosen[at], rival = last - np.where(use, bound, np.inf).argmin(axis=0), np.full(chosen.size, -1)
    rival[at] = last - np.where(rejected, bound, np.inf).argmin(axis=0)
    return chosen, rival


def _rejected(low: Array, high: Array, some_low: Array, some_high: Array) -> NDArray[np.bool_]:
    """Which intervals, the finest first, do not meet what all finer ones of some have in common; NaN stands for none."""
    left, right = _running(np.fmax, some_low), _running(np.fmin, some_high)
    result = np.zeros(low.shape, dtype=bool)
    result[1:] = (low[1:] > right[:-1]) | (high[1:] < left[:-1])
    return result


def _running(combine: np.ufunc, rows: NDArray[Any]) -> NDArray[Any]:
    """`combine.accumulate(rows)`, row by row where there are many columns: NumPy goes through each of them by itself."""
    if rows.shape[1] <= FEW // 4:
        return np.asarray(combine.accumulate(rows))
    found = rows.copy()
    for before, row in pairwise(found):
        combine(before, row, out=row)
    return found


def estimates(samples: Samples) -> tuple[Array, Array]:
    """Best estimate and its bound, (k - 1, m) each, for every choice of the coarsest step: what `select` chooses among."""
    value, bound, _ = _candidates(samples.steps, _start(samples))
    return value, bound


def select(samples: Samples) -> Selection:
    """Derivative of every output at 0 with a bound, by Lepski's rule over Romberg estimates; needs 2 steps or more.

    Estimates are taken from the finest step upwards as long as each agrees with all finer ones within their bounds
    (Lepski 1991). Where a converged coarse estimate contradicts the finer ones and the finer ones do not agree among
    themselves, the function is noisier than its rounding (float32 inside, values on a grid): the noise that
    reconciles them is then charged to every step.
    """
    start = _start(samples)
    best = _candidates(samples.steps, start)
    chosen, rival = _lepski(best[0], best[1])
    found, noisy = _at(best, chosen), np.zeros(len(chosen), dtype=bool)
    if rival is not None:
        _reconcile(samples, start, best, rival, found, chosen, noisy)
    value, bound, noise = found
    return Selection(value, bound, noise, chosen, noisy)


def _at(best: Array, chosen: NDArray[np.intp]) -> Array:
    """Of (n, k - 1, m) the chosen row of every output, (n, m)."""
    n, rows, m = best.shape
    found: Array = best.reshape(n, rows * m).take(chosen * m + np.arange(m), axis=1)
    return found


def _reconcile(
    samples: Samples,
    start: Parts,
    best: Array,
    rival: NDArray[np.intp],
    found: Array,
    chosen: NDArray[np.intp],
    noisy: NDArray[np.bool_],
) -> None:
    """Change what was found where a converged coarse estimate, the rival, contradicts it: see `select`."""
    at = np.flatnonzero(rival >= 0)
    value, bound = best[0][rival[at], at], best[1][rival[at], at]
    contradicts = bound < 0.3 * np.abs(value - found[0, at])
    at, value, bound = at[contradicts], value[contradicts], bound[contradicts]
    if not at.size:
        return
    part = samples.take(at)
    differences, noise, even = [values[:, at] for values in start]
    level, both = _hidden_noise(part, differences, noise, found[0, at], value, rival[at])
    span = at[both]
    noisy[span] = True
    found[1, span] += np.abs(value[both] - found[0, span]) + bound[both]
    more = np.flatnonzero(level > 0)
    at, raised = at[more], np.maximum(noise[:, more], level[more] / _column(samples.steps))
    again = _candidates(samples.steps, (differences[:, more], raised, even[:, more]))
    rows, _ = _lepski(again[0], again[1])
    chosen[at], noisy[at] = rows, True
    found[:, at] = _at(again, rows)


def _hidden_noise(
    part: Samples, differences: Array, noise: Array, fine: Array, coarse: Array, rival: NDArray[np.intp]
) -> tuple[Array, NDArray[np.bool_]]:
    """Noise level (m,) that reconciles the coarse estimate with the finer ones, and whether the bound has to span both.

    Values that stop moving, or move without agreement, are noise as long as they stay within float16's rounding. Where
    the two finest differences of values that move agree, or the two finest that rounding leaves anything of, the point may
    lie on a ripple finer than the coarse steps, or between two jumps of a function that lost its digits: where the change is small
    next to the values, these cannot be distinguished, and the bound has to span both.
    """
    apart = np.abs(fine - coarse)
    k, steps = len(part.steps), _column(part.steps)
    finer = np.arange(k)[:, None] >= np.maximum(rival + 2, k // 2)
    moves, off = finer & (part.plus != part.minus), np.abs(differences - fine)
    near = moves & (off <= 0.1 * apart)
    rounded = np.logical_and.accumulate((off <= 0.1 * apart + 2.0 * noise)[::-1], axis=0)[::-1]
    resolved = moves & rounded & (noise <= 0.3 * apart)
    agree = near[-2:].all(axis=0) | (np.count_nonzero(resolved, axis=0) >= 2)
    deviation = np.abs(differences - coarse) * steps
    even = np.abs(0.5 * part.plus + 0.5 * part.minus - part.center)
    scatter = np.where(finer & np.isfinite(deviation), np.fmax(deviation, even), 0.0)
    level = 2.0 * np.max(scatter, axis=0)
    size = np.fmax(np.fmax.reduce(np.abs(part.plus)), np.fmax.reduce(np.abs(part.minus)))
    size = np.fmax(size, np.abs(part.center))
    real = agree | (level > 2.0**-8 * size)
    return np.where(real, 0.0, level), agree & (level < 2.0**-11 * size)


def one_sided(samples: Samples, right: Array, left: Array) -> tuple[Array, Array, Array, Array]:
    """Slope to the right at 0 and its bound, then those to the left, (m,) each, from the slopes of the two sides (k, m).

    Neville's scheme in h itself. The bound is the rounding plus the change that the *finest* step made, which stays
    valid for slopes that approach their limit like a root of h.
    """
    k, m = right.shape
    slopes, values = np.concatenate((right, left), axis=1), np.concatenate(samples.sides, axis=1)
    h, rounds = _one_sided_scheme(samples.steps, _width(slopes))
    center = np.concatenate((samples.center, samples.center))
    eps = samples.eps if isinstance(samples.eps, float) else np.concatenate((samples.eps, samples.eps))
    size = np.fmax(np.abs(values), np.abs(center))
    noise = eps * (2.0 * FLOOR * size + np.abs(slopes)) / h
    if any(samples.slip):
        noise = noise + 2.0 * _column(samples.slip) * np.abs(slopes)
    best = np.empty((2, k - 1, 2 * m))
    best[0], best[1] = np.nan, np.inf
    table, amplified = slopes, noise
    for coarse, fine, gap in rounds:
        lower = table[:-1]
        table = (coarse * table[1:] - fine * table[:-1]) / gap
        amplified = (coarse * amplified[1:] + fine * amplified[:-1]) / gap
        bound = amplified + np.abs(table - lower)
        rows = len(table)
        better = bound < best[1, :rows]
        np.putmask(best[0, :rows], better, table)
        np.putmask(best[1, :rows], better, bound)
    value, bound = _at(best, _lepski(best[0], best[1])[0])
    bound = np.where(_without_limit(slopes, noise), np.inf, bound)
    return value[:m], bound[:m], value[m:], bound[m:]


def _without_limit(slopes: Array, noise: Array) -> NDArray[np.bool_]:
    """Whether slopes over finer and finer steps go on changing by as much, as those of x log x at 0 do: (m,)."""
    if len(slopes) < 4:
        return np.zeros(slopes.shape[1], dtype=bool)
    changes = np.abs(slopes[-3:] - slopes[-4:-1])
    real = changes > 4.0 * (noise[-4:-1] + noise[-3:])
    return np.asarray(real.all(axis=0) & (changes[1:] > GOES_ON * changes[:-1]).all(axis=0))
