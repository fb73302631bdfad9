"""Why a difference between a rule and the numbers may be no mistake: a short list, tried in order before a fail is reported.

An excuse is a function of the observation and of one failed comparison. For each there is, in
tests/gradcheck/test_excuses.py, the right function that needs it and the planted mistake that it must not excuse. The next
false alarm is mended by a better excuse in this list, not by a branch in the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gradcheck.verdict.clarke import bends_both_ways
from gradcheck.verdict.evidence import Evidence, Excuse
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.resolution import (
    coarser_than_steps,
    finer_than_steps,
    hidden_by_rounding,
    on_a_plateau,
    stands_still,
)
from gradcheck.verdict.rounding import out_of_range, rounding

Excusing: TypeAlias = Callable[[Observation, Evidence], Excuse | None]

OF_DIFFERENCE: tuple[Excusing, ...] = (out_of_range, bends_both_ways, rounding)
"""What excuses one difference: a fail stands where any other difference has no excuse."""

OF_POINT: tuple[Excusing, ...] = (
    finer_than_steps,
    stands_still,
    coarser_than_steps,
    hidden_by_rounding,
    on_a_plateau,
)
"""What shows that the numeric derivative is no measure at this point: one difference that has such an excuse is enough."""


def excuse(obs: Observation, e: Evidence, *, of_point: bool = False) -> Excuse | None:
    """The first excuse for this failed comparison, kept in `obs.excuses`; None where it is a mistake of the rule.

    of_point: try those of the point only.
    """
    for excusing in OF_POINT if of_point else (*OF_DIFFERENCE, *OF_POINT):
        found = excusing(obs, e)
        if found is not None:
            obs.excuses.append(found)
            return found
    return None
