"""Why a gradient is wrong: simple hypotheses, each of which counts only if it explains everything that was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.diagnosis import axes, entries, whole
from gradcheck.diagnosis.case import Case, Cause
from gradcheck.diagnosis.locate import Located
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.observation import Observation

CAUSES = {
    "sign": "the sign is wrong",
    "factor": "a constant factor is wrong",
    "transposed": "the cotangent is the transpose of the right one",
    "unsummed broadcast": "the cotangent of a broadcast input is not summed over the axes that were broadcast",
    "shape": "the cotangent has the right entries in another shape",
    "overwritten": "an entry that is used several times got one of its cotangents instead of their sum",
    "reversed": "the cotangent is in reverse order along an axis",
    "symmetric": "another convention for the gradient by a symmetric matrix",
    "mirrored": "the rule is right at -x: a sign is lost inside",
    "wrong axis": "the rule works along another axis than forward",
    "conjugated": "the complex conjugate is right: <a, b> = Re sum(conj(a) b)",
    "input ignored": "two inputs with different derivatives get the same cotangent",
    "cotangent ignored": "the rule does not use gy, as if it were all ones",
    "diagonal only": "each entry is differentiated as if its output depended on it alone",
    "swapped": "two inputs have each other's cotangents",
    "missing": "no gradient arrives at an input on which the output depends",
    "precision": "right to a few digits only, and rounding in the dtype of the inputs explains less",
    "straight-through": "the function is constant around the point, so that its derivative is 0, and the rule gives another",
    "nonfinite": "NaN or infinite where the derivative is finite",
    "kink": "at a kink, outside the interval between the one-sided slopes",
    "value": "no simple hypothesis explains the numbers",
}
"""Causes of a wrong value. A broken contract is a cause of its own, named as in `gradcheck.contracts.CONTRACTS`."""

AT_A_KINK = "at this kink a right value lies between the one-sided slopes, and this one does not"

AT_A_TIE = (
    "at this kink a right value lies between the one-sided slopes in every direction: moving entries that tie by the same "
    "amount, one output at a time, shows that it does not"
)

NONFINITE = "the rule gives NaN or infinity where the derivative is finite"


def why(obs: Observation, i: int, seen: Sequence[Evidence], at: Located | None) -> Cause:
    """The simplest hypothesis that turns the claimed cotangent of input `i` into the measured one.

    seen: evidence in which input `i` alone moves. at: the located entry: a hypothesis has to explain it as well, and what
    is said of a single entry (NaN, a kink) is said of this one.
    """
    case = Case(obs, i, tuple(seen), at)
    if at is None and seen[0].comparison.reason == "nonfinite":
        return Cause("nonfinite", NONFINITE)
    if at is not None and not np.isfinite(at.analytic):
        return Cause("nonfinite", NONFINITE)
    constant = whole.straight_through(case)
    if constant is not None:
        return constant
    kinked = at is None or at.at_kink
    if kinked and all(e.at_kink(throughout=True) for e in seen):
        return Cause("kink", AT_A_KINK)
    if at is not None and at.at_kink and at.alone and any(e.comparison.reason == "kink" for e in seen):
        return Cause("kink", AT_A_KINK)
    for hypothesis in (whole.zero, whole.same_elsewhere, whole.sign, whole.conjugated):
        found = hypothesis(case)
        if found is not None:
            return found
    if at is not None and at.at_kink:  # hypotheses fit an interval easily
        return Cause("kink", AT_A_KINK)
    for hypothesis in (
        whole.cotangent_ignored,
        whole.constant_factor,
        whole.swapped,
        axes.symmetric,
        axes.transposed,
        axes.flipped,
        axes.other_axis,
        whole.mirrored,
    ):
        found = hypothesis(case)
        if found is not None:
            return found
    if at is None and any(e.comparison.reason == "kink" for e in seen):
        return Cause("kink", AT_A_KINK)
    if at is not None:
        found = entries.digits(case, at) or entries.one_term(case, at) or entries.sign_or_factor(at)
        if found is not None:
            return found
    return Cause("value", "no simple hypothesis (sign, factor, axis, missing term, ...) explains it")
