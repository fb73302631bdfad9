"""Every loss, with every reduction: value, gradient, second order."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import cases
from gradcheck.strategies import cotangents, examples
from gradcheck.verification import check_gradient, check_recording, check_second_order, check_value

LOSSES = cases.losses()
EACH = pytest.mark.parametrize("unit", LOSSES, ids=lambda unit: unit.id)


def drawn(unit):
    return st.sampled_from([np.float64, np.float32]).flatmap(lambda dtype: examples(unit.case, dtype=dtype))


@pytest.mark.checks("value")
@EACH
def test_the_value_is_the_references(unit, verify):
    verify(drawn(unit), lambda example: check_value(unit.entry, example, unit.name))


@pytest.mark.checks("gradient")
@EACH
def test_the_gradient_is_the_numeric_one(unit, verify):
    verify(drawn(unit), lambda example: check_gradient(unit.entry, example)).conclude()


@pytest.mark.checks("recording")
@EACH
def test_tensors_give_what_arrays_give(unit, verify):
    def check(pair):
        example, data = pair
        y = unit.entry(*example.arrays, **example.params)
        check_recording(unit.entry, example, data.draw(cotangents(np.shape(y), y.dtype)), unit.name)

    verify(st.tuples(drawn(unit), st.data()), check)


@pytest.mark.checks("2nd order")
@pytest.mark.parametrize("unit", [u for u in LOSSES if u.entry.spec.second_order], ids=lambda unit: unit.id)
def test_the_gradient_is_itself_differentiable(unit, verify):
    found = verify(examples(unit.case), lambda e: check_second_order(unit.entry, e), share=0.5)
    found.conclude(every_input=False)
