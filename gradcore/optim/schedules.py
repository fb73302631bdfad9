"""Learning-rate schedules: functions from how much is done to a factor of lr.

A Trainer counts in runs, so that `done` goes from 0 to 1; the schedulers of `gradcore.optim.lr_scheduler` count in their
own steps, from 0 on. Which unit a schedule's numbers are in is for its caller to say.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from gradcore import names
from gradcore.errors import DomainError

Schedule: TypeAlias = Callable[[float], float]


def constant(_done: float) -> float:
    """The same lr throughout."""
    return 1.0


def linear(done: float) -> float:
    """From lr down to 0 in a straight line."""
    return 1.0 - done


def cosine(done: float) -> float:
    """From lr down to 0 along half a cosine: Loshchilov and Hutter 2017, equation 5, without restarts."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def warmup(fraction: float, after: Schedule = constant) -> Schedule:
    """From 0 up to lr during the first `fraction` of the run, then `after` over the rest.

    >>> schedule = warmup(0.5, linear)
    >>> schedule(0.25), schedule(0.5), schedule(0.75)
    (0.5, 1.0, 0.5)
    """
    if not 0 < fraction < 1:
        raise DomainError(
            f"warmup got fraction={fraction}: it is the part of the run that warms up, between 0 and 1"
        )

    def schedule(done: float) -> float:
        return done / fraction if done < fraction else after((done - fraction) / (1 - fraction))

    return schedule


def exponential(gamma: float) -> Schedule:
    """gamma^done: to gamma times lr for each unit that is done."""
    _check_gamma("exponential", gamma)
    return lambda done: float(gamma**done)


def steps(milestones: Sequence[float], gamma: float = 0.1) -> Schedule:
    """gamma times less from each milestone on; one that comes twice counts twice.

    >>> [steps((0.5, 0.75))(done) for done in (0.25, 0.5)]
    [1.0, 0.1]
    """
    _check_gamma("steps", gamma)
    if not all(isinstance(m, int | float) and m >= 0 for m in milestones):
        raise DomainError(f"steps got milestones={milestones!r}: they are numbers of at least 0")
    ordered = sorted(milestones)
    return lambda done: float(gamma ** bisect_right(ordered, done))


def every(size: float, gamma: float = 0.1) -> Schedule:
    """gamma times less after each `size` that is done."""
    _check_gamma("every", gamma)
    _check_size("every", "size", size)
    return lambda done: float(gamma ** (done // size))


def polynomial(power: float = 1.0) -> Schedule:
    """From lr down to 0 as (1 - done)^power, and 0 from there on."""
    if not (isinstance(power, int | float) and 0 <= power < math.inf):
        raise DomainError(f"polynomial got power={power!r}: it is a number of at least 0")
    return lambda done: float((1.0 - min(done, 1.0)) ** power)


def points(*at: tuple[float, float], shape: Schedule = linear) -> Schedule:
    """Through points (done, factor), in between by `shape` (linear or cosine), level before the first and after the last.

    >>> schedule = points((0, 0.1), (5, 1.0), (20, 0.0))
    >>> schedule(0), schedule(5), schedule(12.5), schedule(30)
    (0.1, 1.0, 0.5, 0.0)
    """
    if not at or any(not before[0] < after[0] for before, after in pairwise(at)):
        raise DomainError(
            f"points got {at!r}: pass pairs (done, factor), each further on than the one before"
        )
    places = [place for place, _ in at]

    def schedule(done: float) -> float:
        i = bisect_right(places, done)
        if i in (0, len(at)):
            return float(at[min(i, len(at) - 1)][1])
        (start, high), (end, low) = at[i - 1], at[i]
        weight = shape((done - start) / (end - start))
        return float(high * weight + low * (1 - weight))

    return schedule


def restarts(first: float, growth: float = 1, shape: Schedule = cosine) -> Schedule:
    """`shape` again and again: over the first `first`, then over `growth` times as much each time.

    Loshchilov and Hutter 2017, equation 5, with T_0 = first and T_mult = growth.
    """
    _check_size("restarts", "first", first)
    if not (isinstance(growth, int | float) and 1 <= growth < math.inf):
        raise DomainError(f"restarts got growth={growth!r}: it is a number of at least 1")

    def schedule(done: float) -> float:
        if growth == 1:
            return shape((done % first) / first)
        length = first
        while done >= length:
            done, length = done - length, length * growth
        return shape(done / length)

    return schedule


def joined(first: Schedule, *others: tuple[float, Schedule]) -> Schedule:
    """`first`, and from each place on another schedule, which counts from there.

    >>> schedule = joined(points((0, 0.2), (5, 1.0)), (5, exponential(0.5)))
    >>> schedule(0), schedule(5), schedule(7)
    (0.2, 1.0, 0.25)
    """
    places = [0.0, *[place for place, _ in others]]
    if any(not before < after for before, after in pairwise(places)):
        raise DomainError(
            f"joined got the places {places[1:]}: they are above 0 and each further on than the one before"
        )
    parts = [first, *[part for _, part in others]]

    def schedule(done: float) -> float:
        i = max(0, bisect_right(places, done) - 1)
        return parts[i](done - places[i])

    return schedule


def _check_gamma(name: str, gamma: float) -> None:
    if not (isinstance(gamma, int | float) and 0 < gamma < math.inf):
        raise DomainError(f"{name} got gamma={gamma!r}: it is a number above 0, by which lr is multiplied")


def _check_size(name: str, what: str, size: float) -> None:
    if not (isinstance(size, int | float) and 0 < size < math.inf):
        raise DomainError(f"{name} got {what}={size!r}: it is a number above 0")


def __getattr__(name: str) -> Any:
    raise names.missing(__name__, name, names.SCHEDULES)
