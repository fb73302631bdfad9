"""Learning-rate schedules: functions from the fraction of the run that is done, 0 to 1, to a factor of lr."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def __getattr__(name: str) -> Any:
    raise names.missing(__name__, name, names.SCHEDULES)
