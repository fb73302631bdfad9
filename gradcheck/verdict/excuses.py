"""Why a difference between a rule and the numbers may be no mistake: a short list, asked in order before a fail is reported.

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
from gradcheck.verdict.rounding import narrow_dtype, out_of_range, rounding

Excusing: TypeAlias = Callable[[Observation, Evidence], Excuse | None]

EXCUSES: tuple[Excusing, ...] = (
    narrow_dtype,
    out_of_range,
    bends_both_ways,
    rounding,
    finer_than_steps,
    stands_still,
    coarser_than_steps,
    hidden_by_rounding,
    on_a_plateau,
)
"""In the order in which they are asked; the first that applies counts, and the report names it."""


def excuse(obs: Observation, e: Evidence) -> Excuse | None:
    """The first excuse for this failed comparison, kept in `obs.excuses`; None where it is a mistake of the rule."""
    for excusing in EXCUSES:
        found = excusing(obs, e)
        if found is not None:
            obs.excuses.append(found)
            return found
    return None
