"""Extrapolation of central differences over a ladder of steps, with a bound for every output element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDEST = 6
"""Most steps that one extrapolation combines."""

SAFETY = 5.0
"""Weight of observed disagreement, which is a sample of the noise: by chance it can come out small."""

GOES_ON = 0.75
"""A change of the slope so many times as large as the one before, over a step that is a fiftieth, tends to no limit."""

FLOOR = 4.0
"""Rounding of one difference, in units of eps·max|Y|: two evaluations with an error of 2 eps each."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of `m` outputs on both sides of a point, at `k` steps from the coarsest to the finest.

    `steps` (k,) are positive and falling; `plus`, `minus` (k, m) hold Y(±h) and `center` (m,) holds Y(0), with NaN
    where the function gave none; `eps` is the relative rounding of one value, a number or (m,); `slip` (k,) is the
    relative part of a step that rounding of `x + h v` took away.
    """

    steps: Array
    plus: Array
    minus: Array
    center: Array
    eps: Array | float
    slip: Array

    def take(self, at: NDArray[np.intp]) -> Samples:
        """The samples of some of the outputs."""
        eps = self.eps if isinstance(self.eps, float) else self.eps[at]
        return Samples(self.steps, self.plus[:, at], self.minus[:, at], self.center[at], eps, self.slip)

    def slopes(self) -> tuple[Array, Array]:
        """Slopes `(Y(h) - Y(0)) / h` to the right and `(Y(0) - Y(-h)) / h` to the left, each (k, m)."""
        h = self.steps[:, None]
        return (self.plus - self.center) / h, (self.center - self.minus) / h


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


def _rounding(samples: Samples, differences: Array) -> Array:
    """Noise of each difference (k, m): rounding of the values, of the argument inside `f`, and slipped steps."""
    h = samples.steps[:, None]
    size = np.fmax(np.fmax(np.abs(samples.plus), np.abs(samples.minus)), np.abs(samples.center))
    slope = np.abs(differences)
    noise = samples.eps * (FLOOR * size + slope) / h
    if samples.slip.any():
        largest = np.where(np.isfinite(slope), slope, 0.0).max(axis=0)
        noise = noise + 2.0 * samples.slip[:, None] * largest
    return noise


def _candidates(samples: Samples, differences: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Best estimate, its bound and its noise, (k - 1, m) each, for every choice of the coarsest step.

    Neville's scheme in s = h² extrapolates the differences to s = 0. The bound adds

    - the rounding that the weights amplify;
    - the change that the finest step made: far more than the truncation left for a smooth function, and a sample of
      the noise at its full size for any other;
    - the jump of the slope at 0 that the *even* part of the same values implies,
      (Y(h) + Y(-h) - 2 Y(0)) / 2h = jump/2 + h·(polynomial in s): a kink closer than the finest step leaves the
      differences smooth and wrong, and only the even part shows it;
    - the scatter of the finer steps, where there are enough of them: what still disagrees there is noise.
    """
    k, m = differences.shape
    h = samples.steps[:, None]
    even = (0.5 * samples.plus + 0.5 * samples.minus - samples.center) / (h * h)
    table, amplified, divided = differences, noise, even
    value, gains = np.full((k - 1, m), np.nan), np.zeros((k - 1, m))
    bound, rounding, scatter = np.full((3, k - 1, m), np.inf)
    for coarse, fine, gap, gain, unit in _rounds(tuple(samples.steps.tolist())):
        lower, upper = table[1:], table[:-1]
        table = (coarse * lower - fine * upper) / gap
        amplified = (coarse * amplified[1:] + fine * amplified[:-1]) / gap
        divided = (divided[:-1] - divided[1:]) / gap
        excess = np.abs(table - upper) + np.abs(divided / unit)
        total = amplified + SAFETY * excess
        rows = len(table)
        better = total < bound[:rows]
        np.copyto(value[:rows], table, where=better)
        np.copyto(bound[:rows], total, where=better)
        np.copyto(rounding[:rows], amplified, where=better)
        if k > 4:
            np.copyto(gains[:rows], gain, where=better)
            np.fmin(scatter[:rows], excess / gain, out=scatter[:rows])
    level = np.zeros(m)
    for a in range(k - 4, 0, -1):
        level = np.fmax(level, np.where(np.isfinite(scatter[a]), scatter[a], 0.0))
        bound[a - 1] += gains[a - 1] * level
    return value, bound, rounding


@lru_cache(maxsize=256)
def _rounds(steps: tuple[float, ...]) -> list[tuple[Array, Array, Array, Array, Array]]:
    """Weights of each round of the scheme, which combines one step more than the one before: columns with a row for every result.

    The squares of the coarsest and of the finest step and the gap between them; how much rounding of size 1/h is amplified, and
    what the same divided differences make of 1/h.
    """
    h = np.array(steps)[:, None]
    s, gain, unit, found = h * h, 1.0 / h, 1.0 / h, []
    for width in range(2, min(len(steps), WIDEST) + 1):
        coarse, fine = s[: len(s) - width + 1], s[width - 1 :]
        gap = coarse - fine
        gain = (coarse * gain[1:] + fine * gain[:-1]) / gap
        unit = (unit[:-1] - unit[1:]) / gap
        found.append((coarse, fine, gap, gain, unit))
    return found


def _lepski(value: Array, bound: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row of the tightest interval that agrees with all finer ones, and of the tightest that was rejected or -1."""
    last = len(value) - 1
    value, bound = value[::-1], bound[::-1]  # the finest first
    low, high = value - bound, value + bound
    known = use = np.isfinite(bound)
    rejected = _rejected(low, high, known, use)
    rival = np.full(value.shape[1], -1)
    if rejected.any():
        use = known & ~np.logical_or.accumulate(rejected)
        rejected = _rejected(low, high, known, use)
        tightest = np.where(rejected, bound, np.inf).argmin(axis=0)
        rival = np.where(rejected.any(axis=0), last - tightest, -1)
    return last - np.where(use, bound, np.inf).argmin(axis=0), rival


def _rejected(low: Array, high: Array, known: NDArray[np.bool_], use: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the known intervals, the finest first, do not meet what all finer ones in use have in common."""
    left = np.maximum.accumulate(np.where(use, low, -np.inf))
    right = np.minimum.accumulate(np.where(use, high, np.inf))
    result = np.zeros(known.shape, dtype=bool)
    result[1:] = known[1:] & ~((low[1:] <= right[:-1]) & (high[1:] >= left[:-1]))
    return result


def estimates(samples: Samples) -> tuple[Array, Array]:
    """Best estimate and its bound, (k - 1, m) each, for every choice of the coarsest step: what `select` chooses among."""
    differences = (0.5 * samples.plus - 0.5 * samples.minus) / samples.steps[:, None]
    value, bound, _ = _candidates(samples, differences, _rounding(samples, differences))
    return value, bound


def select(samples: Samples) -> Selection:
    """Derivative of every output at 0 with a bound, by Lepski's rule over Romberg estimates; needs 2 steps or more.

    Estimates are taken from the finest step upwards as long as each agrees with all finer ones within their bounds
    (Lepski 1991). Where a converged coarse estimate contradicts the finer ones and the finer ones do not agree among
    themselves, the function is noisier than its rounding (float32 inside, values on a grid): the noise that
    reconciles them is then charged to every step.
    """
    differences = (0.5 * samples.plus - 0.5 * samples.minus) / samples.steps[:, None]
    noise = _rounding(samples, differences)
    value, bound, rounding = _candidates(samples, differences, noise)
    chosen, rival = _lepski(value, bound)
    column = np.arange(value.shape[1])
    out_value, out_bound = value[chosen, column], bound[chosen, column]
    out_noise, noisy = rounding[chosen, column], np.zeros(len(column), dtype=bool)
    at = np.flatnonzero(rival >= 0)
    if at.size:
        at = at[bound[rival[at], at] < 0.3 * np.abs(value[rival[at], at] - out_value[at])]
    if at.size:
        part = samples.take(at)
        level, both = _hidden_noise(
            part, differences[:, at], noise[:, at], out_value[at], value[rival[at], at], rival[at]
        )
        noisy[at[both]] = True
        span = at[both]
        out_bound[span] += np.abs(value[rival[span], span] - out_value[span]) + bound[rival[span], span]
        at, part, level = at[level > 0], part.take(np.flatnonzero(level > 0)), level[level > 0]
        raised = np.maximum(noise[:, at], level / samples.steps[:, None])
        value, bound, rounding = _candidates(part, differences[:, at], raised)
        again, _ = _lepski(value, bound)
        inner = np.arange(len(at))
        chosen[at], noisy[at] = again, True
        out_value[at], out_bound[at] = value[again, inner], bound[again, inner]
        out_noise[at] = rounding[again, inner]
    out_bound = np.where(np.isnan(out_value), np.inf, out_bound)
    return Selection(out_value, out_bound, out_noise, chosen, noisy)


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
    k = len(part.steps)
    finer = np.arange(k)[:, None] >= np.maximum(rival + 2, k // 2)
    moves, off = finer & (part.plus != part.minus), np.abs(differences - fine)
    near = moves & (off <= 0.1 * apart)
    rounded = np.logical_and.accumulate((off <= 0.1 * apart + 2.0 * noise)[::-1], axis=0)[::-1]
    resolved = moves & rounded & (noise <= 0.3 * apart)
    agree = near[-2:].all(axis=0) | (np.count_nonzero(resolved, axis=0) >= 2)
    deviation = np.abs(differences - coarse) * part.steps[:, None]
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
    h = samples.steps
    k, m = right.shape
    slopes, values = (
        np.concatenate((right, left), axis=1),
        np.concatenate((samples.plus, samples.minus), axis=1),
    )
    center = np.concatenate((samples.center, samples.center))
    eps = samples.eps if isinstance(samples.eps, float) else np.concatenate((samples.eps, samples.eps))
    size = np.fmax(np.abs(values), np.abs(center))
    noise = eps * (2.0 * FLOOR * size + np.abs(slopes)) / h[:, None]
    noise = noise + 2.0 * samples.slip[:, None] * np.abs(slopes)
    best_value, best_bound = np.full((k - 1, 2 * m), np.nan), np.full((k - 1, 2 * m), np.inf)
    table, amplified = slopes, noise
    for width in range(2, min(k, 5) + 1):
        coarse, fine = h[: k - width + 1, None], h[width - 1 :, None]
        gap = coarse - fine
        lower = table[:-1]
        table = (coarse * table[1:] - fine * table[:-1]) / gap
        amplified = (coarse * amplified[1:] + fine * amplified[:-1]) / gap
        bound = amplified + np.abs(table - lower)
        rows = len(table)
        better = bound < best_bound[:rows]
        np.copyto(best_value[:rows], table, where=better)
        np.copyto(best_bound[:rows], bound, where=better)
    chosen, _ = _lepski(best_value, best_bound)
    column = np.arange(2 * m)
    value, bound = best_value[chosen, column], best_bound[chosen, column]
    bound = np.where(np.isnan(value) | _without_limit(slopes, noise), np.inf, bound)
    return value[:m], bound[:m], value[m:], bound[m:]


def _without_limit(slopes: Array, noise: Array) -> NDArray[np.bool_]:
    """Whether slopes over finer and finer steps go on changing by as much, as those of x log x at 0 do: (m,)."""
    if len(slopes) < 4:
        return np.zeros(slopes.shape[1], dtype=bool)
    changes = np.abs(slopes[-3:] - slopes[-4:-1])
    real = changes > 4.0 * (noise[-4:-1] + noise[-3:])
    return np.asarray(real.all(axis=0) & (changes[1:] > GOES_ON * changes[:-1]).all(axis=0))
