"""A check that never decides anything is not taken for a pass."""

import numpy as np
import pytest

from gradcheck import Report, Verdict, gradcheck, verify
from gradcheck.report.report import InputResult
from gradcheck.verification import Tally, VerificationError


def report(*inputs, verdict=Verdict.PASS):
    """A report on inputs that are each "seen" or "zero"."""
    results = [
        InputResult(
            f"inputs[{i}]", (2,), "float64", verdict, np.inf if how == "zero" else 1e-9, how == "zero"
        )
        for i, how in enumerate(inputs)
    ]
    return Report("f", verdict, tuple(results), reason="no bound")


def tally_of(*reports, smooth=True):
    tally = Tally("f")
    for each in reports:
        assert tally.add(each, smooth) is each
    return tally


def test_an_input_whose_gradient_was_never_seen_is_reported():
    with pytest.raises(VerificationError, match=r"f: no example showed a gradient by inputs\[1\]:"):
        tally_of(report("seen", "zero"), report("seen", "zero")).conclude()
    tally_of(report("seen", "zero"), report("zero", "seen")).conclude()
    tally_of(report("seen", "zero")).conclude(everything=False)
    tally_of(report("zero", "zero")).conclude()


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.SUBGRADIENT])
def test_inconclusive_answers_are_reported_where_nothing_else_came_or_far_more_than_half_are(verdict):
    unclear, clear = report("seen", verdict=verdict), report("seen")
    with pytest.raises(VerificationError, match="f: 2 of 2 checks were inconclusive"):
        tally_of(unclear, unclear).conclude(everything=False)
    with pytest.raises(VerificationError, match="f: 15 of 20 checks were inconclusive"):
        tally_of(*[unclear] * 15, *[clear] * 5).conclude()


@pytest.mark.parametrize("unclear", [(1, 2), (3, 5), (14, 20), (160, 300)])
def test_of_few_answers_more_than_half_are_inconclusive_by_chance(unclear):
    some, of = unclear
    tally_of(
        *[report("seen", verdict=Verdict.INCONCLUSIVE)] * some, *[report("seen")] * (of - some)
    ).conclude()


def test_where_kinks_are_sought_a_subgradient_is_decisive():
    tally = tally_of(report("seen", verdict=Verdict.SUBGRADIENT), smooth=False)
    tally.conclude()
    assert (tally.decisive, tally.counts) == (1, {"subgradient": 1})


def test_what_verify_found_counts_with_all_its_examples():
    def found(f, **more):
        return verify(f, like=np.array([0.5, 2.0]), max_examples=6, raise_exception=False, **more)

    right = found(np.sin, vjp=lambda gy, y, x: gy * np.cos(x))
    tally = tally_of(right)
    assert tally.examples == right.examples
    assert tally.sensitivity == right.sensitivity
    constant = tally_of(found(lambda x: np.ones(3), vjp=lambda gy, y, x: 0 * x))
    assert constant.vacuous == constant.examples > 0
    assert constant.decisive == 0
    wrong = tally_of(found(np.sin, vjp=lambda gy, y, x: gy))
    assert wrong.counts["fail"] > 0


def test_the_worst_pass_is_kept():
    def at(x):
        return gradcheck(np.sin, np.array([x]), vjp=lambda gy, y, x: gy * np.cos(x))

    sharp, blunt = sorted([at(0.5), at(1.57079)], key=lambda r: r.sensitivity)
    assert tally_of(blunt, sharp).sensitivity == blunt.sensitivity > sharp.sensitivity
