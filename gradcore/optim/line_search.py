"""Line search: a step length that meets the strong Wolfe conditions, by bracketing and cubic interpolation.

Nocedal and Wright 2006, algorithms 3.5 and 3.6; the safeguards are PyTorch's, so that both try the same points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DECREASE, CURVATURE = 1e-4, 0.9


class Trial(NamedTuple):
    """The function at x + t d: its value, its gradient, and its slope along d."""

    t: float
    loss: float
    gradient: Any
    slope: float


def strong_wolfe(
    at: Callable[[float], Trial], start: Trial, t: float, most: int, size: float, tolerance: float
) -> tuple[Trial, int]:
    """A trial with enough decrease and a slope near to 0, or the lowest found; and the number of evaluations.

    at: evaluates the function at a step length. start: at 0, with a slope below 0. t: the first length to try.
    most: evaluations after the first. size: of the direction's largest entry; a bracket whose width times that is below
    `tolerance` ends the search.
    """
    search = _Search(at, start, most)
    before, now = start, search.evaluate(t)
    low = high = now
    while search.left:
        if not search.decreases(now) or now.loss >= before.loss:
            low, high = before, now
            break
        if search.is_flat(now):
            return now, search.count
        if now.slope >= 0:
            low, high = before, now
            break
        t = _cubic(before, now, now.t + 0.01 * (now.t - before.t), 10 * now.t)
        before, now = now, search.evaluate(t)
    else:
        low, high = start, now
    if high.loss < low.loss:
        low, high = high, low
    return search.zoom(low, high, size, tolerance), search.count


class _Search:
    def __init__(self, at: Callable[[float], Trial], start: Trial, most: int) -> None:
        self.at, self.start, self.most, self.count = at, start, most, 0

    @property
    def left(self) -> bool:
        return self.count <= self.most

    def evaluate(self, t: float) -> Trial:
        self.count += 1
        return self.at(t)

    def decreases(self, trial: Trial) -> bool:
        return trial.loss <= self.start.loss + DECREASE * trial.t * self.start.slope

    def is_flat(self, trial: Trial) -> bool:
        return abs(trial.slope) <= -CURVATURE * self.start.slope

    def zoom(self, low: Trial, high: Trial, size: float, tolerance: float) -> Trial:
        """Narrow the bracket, whose `low` has the lower loss, until its low end meets both conditions."""
        stalled = False
        while self.left and abs(high.t - low.t) * size >= tolerance:
            left, right = sorted((low.t, high.t))
            t = _cubic(low, high, left, right)
            margin = 0.1 * (right - left)
            # A trial next to an end of the bracket may hardly narrow it: twice in a row, and it is moved inwards.
            near = min(right - t, t - left) < margin
            if near and (stalled or not left < t < right):
                t = right - margin if right - t < t - left else left + margin
                stalled = False
            else:
                stalled = near
            new = self.evaluate(t)
            if not self.decreases(new) or new.loss >= low.loss:
                low, high = (new, low) if new.loss < low.loss else (low, new)
                continue
            if self.is_flat(new):
                return new
            low, high = new, low if new.slope * (high.t - low.t) >= 0 else high
        return low


def _cubic(a: Trial, b: Trial, low: float, high: float) -> float:
    """Where the cubic through both values and slopes is least, within low .. high; their middle where it is nowhere."""
    first, last = (a, b) if a.t <= b.t else (b, a)
    middle = (low + high) / 2
    if first.t == last.t:
        return middle
    d1 = first.slope + last.slope - 3 * (first.loss - last.loss) / (first.t - last.t)
    square = d1 * d1 - first.slope * last.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.sqrt(square)
    below = last.slope - first.slope + 2 * d2
    if not below:
        return middle
    return min(max(last.t - (last.t - first.t) * ((last.slope + d2 - d1) / below), low), high)
