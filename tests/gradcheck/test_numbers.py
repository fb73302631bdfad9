"""Numbers that differ are printed so that they differ."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from gradcheck import gradcheck

X = np.random.default_rng(0).standard_normal((4, 3))

PAIRS = [
    *[(1.2345678901234567 * (1 + off), 1.2345678901234567) for off in (1e-3, 1e-9, 1e-13, 2.3e-16)],
    (1.5e300 * (1 + 1e-12), 1.5e300),
    (1.7e308, -1.7e308),
    (3e-310, 2e-310),
    (-7.1e-200, -7.1e-200 * (1 + 1e-11)),
    (1 + 1j * (1 + 1e-12), 1 + 1j),
    (1 + 1e-13j, 1 + 2e-13j),
    (complex(1.7e308, 1.7e308), complex(1.7e308, -1.7e308)),
    (math.nan, 0.5),
    (math.inf, -math.inf),
    (complex(math.nan, 1.0), 1j),
    (5.0, 4.0),
    (123456789012.0, 123456789013.0),
    (2.0**53, 2.0**53 - 1),
    (0.0, 1e-17),
]


@pytest.mark.parametrize(("claimed", "measured"), PAIRS)
def test_two_numbers_that_differ_are_printed_so_that_they_differ(claimed, measured):
    from gradcheck.diagnosis.numbers import pair, relative_difference

    for a, b in ((claimed, measured), (measured, claimed)):
        both = pair(a, b)
        assert both.claimed != both.measured
        assert len(both.claimed) <= 2 * 24
        shown, true = (
            relative_difference(complex(both.claimed), complex(both.measured)),
            relative_difference(a, b),
        )
        if true > 1e-15:
            assert shown == pytest.approx(true, rel=0.2)
            assert bool(both.apart) == (true < 0.1)
        if both.apart:
            assert float(both.apart.rpartition(" ")[2]) == pytest.approx(true, rel=0.06)


@pytest.mark.parametrize(
    "value", [1 + 1e-6, 1 - 1e-9, 1 + 1e-13, 1 + 2.3e-16, -1 - 1e-9, 0.5, 3.0, 1e300, 1e-300]
)
def test_a_factor_other_than_1_is_not_printed_as_1(value):
    from gradcheck.diagnosis.numbers import factor

    assert abs(float(factor(value))) != 1
    assert float(factor(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("off", [1e-3, 1e-6, 1e-9, 1e-11])
def test_a_report_shows_how_far_the_rule_is_from_the_derivative(off):
    report = gradcheck(np.exp, (X,), vjp=lambda gy, y, x: gy * y * (1 + off), raise_exception=False)
    fault = report.faults[0]
    found = re.search(
        r"the rule gives (\S+), and the derivative is (\S+) ± \S+, a relative difference of (\S+)\. ",
        fault.text,
    )
    assert found, fault.text
    rule, truth, apart = map(float, found.groups())
    assert abs(rule / truth - 1) == pytest.approx(off, rel=0.3)
    assert apart == pytest.approx(off, rel=0.3)
    assert "ultiplied by 1 " not in fault.text
