"""Where the steps of a numeric derivative cannot show the slope: structure finer than the least, values coarser than the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.numeric.line import EPS, Line, flatten
from gradcheck.numeric.plateaus import constant_between_jumps
from gradcheck.verdict.compare import Comparison, Verdict
from gradcheck.verdict.evidence import Direction, Evidence, Excuse
from gradcheck.verdict.observation import Observation

FINE = ((-49, -48, -47), (-43, -42, -41))
"""Steps of a few units in the last place, as powers of 2 of the entries' size, and some that rounding hides less."""

AT_ZERO = ((-100, -99, -98), (-300, -299, -298))
"""The same for entries that are zero, whose last place is nowhere."""

PLATEAU, LEAST = (-45, -44, -43), -38
"""Steps over which a function of steps (floor) stands still, and a power near the ladder's least, over which it does not."""

LARGE, NEARLY = 8.0, 1e-3
"""An entry that moves so far may pass over what happens on a scale of 1; how well the missing part is known."""

WIDER, NARROWER, NARROWEST = -48, -58, -100
"""Distances from an output of zero, on both sides of what a 1 inside leaves of the digits."""

LEAST_MOVE = 2.0**-24
"""Of the scale: how far a value that did not move is moved at first."""

GRAINS = 4.0
"""So many grains a right claim may be off, over the distance on which the value stands still."""

STEPS = 72
"""Doublings by which a point is moved until a value changes that no step of the ladder changed."""

HALVINGS = 40

SLIPS = 4.0
"""So many times the part of a step that rounding of x ± h v takes away is no other slope: of a difference of inputs it is more."""

LOOKED_AT = 4
"""So many outputs that did not move are examined."""


def _of_the_steps(name: str, text: str, e: Evidence) -> Excuse:
    return Excuse(name, text, replace(e.comparison, verdict=Verdict.INCONCLUSIVE, reason="unresolved"), True)


def hidden_by_rounding(obs: Observation, e: Evidence) -> Excuse | None:
    """The numbers lack just what the rule says of one input's large entries, and rounding hides that from short steps."""
    if not _lacks_what_rounding_hides(obs, e):
        return None
    text = "of the large entries of an input the steps show nothing: shorter ones would be lost in rounding"
    return _of_the_steps("hidden_by_rounding", text, e)


@np.errstate(all="ignore")
def _lacks_what_rounding_hides(obs: Observation, e: Evidence) -> bool:
    """Whether the numbers lack the claim of one input's large entries, and short steps could not show it.

    sin(x) + b, both at 1e12, next to values of 1e24: over a step of that size the sine is nothing, and over one that it would
    show in, nothing is left of it. What is smooth over steps of 1 is measured all the same.
    """
    c = e.comparison
    if c.difference <= 2.0 * c.bound or any(np.iscomplexobj(a) for a in (*e.gys, *obs.wide)):
        return False
    for g, t in zip(e.gx, e.v, strict=True):
        if g is None or t is None or g.shape != t.shape:
            continue
        far = np.abs(t) > LARGE
        if not far.any():
            continue
        lacking = float(np.sum(np.where(far, g * t, 0)))
        short = 1.0 / (LARGE * float(np.max(np.abs(t))))
        alike = abs(c.analytic - c.numeric - lacking) <= c.bound + NEARLY * abs(lacking)
        noise = 64 * EPS * float(np.abs(flatten(e.gys)) @ np.abs(flatten(obs.here)))
        if alike and abs(lacking) * short <= noise:
            return True
    return False


def finer_than_steps(obs: Observation, e: Evidence) -> Excuse | None:
    """The function has a slope over a few units in the last place that the numeric derivative does not know of.

    Then its steps were too coarse (sin at 1e12, or a pole within the least of them), and its bound means nothing. Such a
    slope is the same for three steps, differs from the measured one, and makes a difference that is far above rounding.
    """
    if not _has_finer_slope(obs, e):
        return None
    text = "the function changes over a few units in the last place in another way than over any step"
    return _of_the_steps("finer_than_steps", text, e)


def _has_finer_slope(obs: Observation, e: Evidence) -> bool:
    if any(_other_slope(obs, e, powers) for powers in FINE):
        return True
    zeros = tuple([None if t is None else np.where(x == 0, t, 0) for x, t in zip(obs.wide, e.v, strict=True)])
    if any(t is not None and t.any() for t in zeros):
        along = obs.numeric(zeros, gys=e.gys)
        only = replace(e, v=zeros, numeric=along, comparison=obs.held(along, e.gx, zeros, e.gys))
        if any(_other_slope(obs, only, powers) for powers in AT_ZERO):
            return True
    return False


def stands_still(obs: Observation, e: Evidence) -> Excuse | None:
    """The rule says 0, and the outputs do not change at all over steps a little finer than the least: floor at 1000.5."""
    if e.comparison.analytic != 0.0 or not _stands_still(obs, e):
        return None
    text = (
        "the function does not change over steps finer than those of the numeric derivative, as the rule says"
    )
    return _of_the_steps("stands_still", text, e)


def _sides(obs: Observation, v: Direction, power: float) -> list[tuple[Array, ...]] | None:
    """Outputs at x ± 2^power v; None where the edge of the domain is nearer than that."""
    sides = []
    for sign in (1.0, -1.0):
        values = obs.values_along(v, sign * 2.0**power)
        if values is None:
            return None
        sides.append(values)
    return sides


@np.errstate(all="ignore")
def _other_slope(obs: Observation, e: Evidence, powers: Sequence[float]) -> bool:
    """Whether three fine steps show one slope, to both sides or to one of them, that is not the measured one.

    Of the outputs that all three of them move.
    """
    center, weights = flatten(obs.here), flatten(e.gys)
    line = Line(obs.outputs_at, obs.wide, e.v)
    changes: list[tuple[Array, Array]] = []
    for power in powers:
        sides = _sides(obs, e.v, power)
        if sides is None:
            return False
        above, below = (flatten(ys) - center for ys in sides)
        changes.append((above, -below))
    moved = np.logical_and.reduce([(right != 0) | (left != 0) for right, left in changes]) & (weights != 0)
    if not moved.any():
        return False
    weights, numeric = weights[moved], e.numeric
    measured = float(weights @ numeric.flat_value[moved])
    bound = min(e.comparison.bound, float(np.abs(weights) @ numeric.flat_bound[moved]))
    noise = 64 * EPS * float(np.abs(weights) @ np.abs(center[moved]))
    seen: list[list[float]] = [[], [], []]
    for power, (right, left) in zip(powers, changes, strict=True):
        slipped = SLIPS * line.slip(2.0**power)
        for slopes, change, width in zip(seen, (right + left, right, left), (2, 1, 1), strict=True):
            step, total = width * 2.0**power, float(weights @ change[moved])
            lost = noise + slipped * float(np.abs(weights) @ np.abs(change[moved]))
            slopes.append(total / step if abs(total - step * measured) > lost else np.nan)
    return any(
        max(slopes) - min(slopes) <= 0.3 * (apart := min(abs(slope - measured) for slope in slopes))
        and apart > 4 * bound
        for slopes in seen
    )


def on_a_plateau(obs: Observation, e: Evidence) -> Excuse | None:
    """The rule says 0 for outputs that are 0 all around, out to some distance, and is right about all others.

    max(|x| - 0.0001, 0) is such a function of x = 0: past its edge it shows a slope of 1, as would one that has lost its
    last digits. A sum with 1 inside loses those of 2^-53, so that neither a wider plateau is one, nor a narrower.
    """
    if not _level_and_right_elsewhere(obs, e):
        return None
    text = "the function is 0 all around the point, and the steps reach beyond that"
    return _of_the_steps("on_a_plateau", text, e)


def _level_and_right_elsewhere(obs: Observation, e: Evidence) -> bool:
    numeric = e.numeric
    if any(np.iscomplexobj(gy) for gy in e.gys):
        return False
    weights = np.abs(flatten(e.gys))
    level = (numeric.flat_y == 0) & (numeric.flat_value != 0) & (weights > 0)
    if not level.any():
        return False
    seen = [_unchanged(obs, e.v, power) for power in (WIDER, NARROWEST, NARROWER)]
    if any(part is None for part in seen):
        return False
    wide, narrowest, narrower = seen
    level &= wide | (narrowest & ~narrower)
    if not level.any() or _without(obs, e, ~level).analytic != 0:
        return False
    return not (weights[~level] > 0).any() or _without(obs, e, level).verdict is not Verdict.FAIL


def _unchanged(obs: Observation, v: Direction, power: float) -> Any:
    """Which outputs (all in a row) are the same at x ± 2^power v; None outside of the domain."""
    sides = _sides(obs, v, power)
    if sides is None:
        return None
    center = flatten(obs.here)
    return np.logical_and.reduce([flatten(side) == center for side in sides])


def _stands_still(obs: Observation, e: Evidence) -> bool:
    """Whether no output that counts changes over steps a little finer than the least, and some do over the least."""

    def changes(power: float) -> bool:
        sides = _sides(obs, e.v, power)
        return sides is None or any(
            bool(np.any((above != below) & (gy != 0))) for gy, above, below in zip(e.gys, *sides, strict=True)
        )

    return changes(LEAST) and not any(changes(power) for power in PLATEAU)


def coarser_than_steps(obs: Observation, e: Evidence) -> Excuse | None:
    """Outputs that no step moved would be moved by less than their own grain, were the claim right.

    tanh(9) computed in single precision is a constant for half a unit around; so is log(cosh(x)) near 0, which loses x²
    to the 1 inside. The grain is the smallest change that is found on the way to the first one.
    """
    if not _moves_less_than_its_grain(obs, e):
        return None
    text = "the values are too coarse to show a slope as small as the claimed one"
    return _of_the_steps("coarser_than_steps", text, e)


def _moves_less_than_its_grain(obs: Observation, e: Evidence) -> bool:
    numeric = e.numeric
    if any(np.iscomplexobj(gy) for gy in e.gys) or not np.isfinite(e.comparison.analytic):
        return False
    weights = np.abs(flatten(e.gys))
    unmoved = (numeric.flat_value == 0) & np.isfinite(numeric.flat_y)
    still = np.flatnonzero((weights > 0) & unmoved)
    if not still.size:
        return False
    if (weights[~unmoved] > 0).any():
        if _without(obs, e, unmoved).verdict is Verdict.FAIL:
            return False
        difference = _without(obs, e, ~unmoved).difference
    else:
        difference = e.comparison.difference
    looked_at = still[np.argsort(-weights[still])][:LOOKED_AT]
    back = tuple([None if t is None else -t for t in e.v])
    line = Line(obs.outputs_at, obs.wide, e.v)
    center, scale = line.center(), line.scale()
    grains = [[_grain(obs, v, int(place), scale) for v in (e.v, back)] for place in looked_at]
    smallest = np.array([min(grain for grain, _ in sides) for sides in grains])
    constant = constant_between_jumps(line, center, looked_at, smallest)
    steepest = [
        weights[p] * g / d for p, sides in zip(looked_at, grains, strict=True) for g, d in sides if d > 0
    ]
    steep = max(steepest, default=0.0)
    return not constant.any() and bool(difference <= GRAINS * steep * np.sqrt(still.size))


def _without(obs: Observation, e: Evidence, out: Array) -> Comparison:
    """The comparison for the same cotangents, with zeros for these outputs (of all in a row)."""
    gys, start = [], 0
    for gy in e.gys:
        gys.append(np.where(out[start : start + gy.size].reshape(gy.shape), gy.dtype.type(0), gy))
        start += gy.size
    wide_inputs = not obs.in_double and obs.eps(e.gx, e.gys) <= EPS
    found = obs.pulled_in_double([gys]) if wide_inputs else [obs.pulled(gys, obs.fresh())]
    return obs.held(e.numeric, found[0], e.v, gys)


def _grain(obs: Observation, v: Direction, place: int, scale: float) -> tuple[float, float]:
    """The smallest change of an output (of all in a row) found on the way to the first one along v, and how far there is none.

    The slope that the output may have behind its grain is their ratio. Infinite and 0 where it never changes.
    """

    def value(t: float) -> float:
        values = obs.values_along(v, t)
        return float("nan") if values is None else float(flatten(values)[place])

    center, low = value(0.0), 0.0
    for k in range(STEPS):
        high = scale * LEAST_MOVE * 2.0**k
        if value(high) != center:
            break
        low = high
    else:
        return np.inf, 0.0
    grain = np.inf
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        change = abs(value(middle) - center)
        if change == 0:
            low = middle
        else:
            high = middle
            grain = min(grain, change) if np.isfinite(change) else grain
    return (grain, low) if np.isfinite(grain) else (np.inf, 0.0)
