"""Every op: value, gradient, recording, second order, on examples drawn from its spec."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck.strategies import cotangents, examples
from gradcheck.verification import (
    cases,
    check_fast_method,
    check_gradient,
    check_recording,
    check_second_order,
    check_value,
)
from gradcheck.verification.drawing import inputs
from gradcore import Op, registry
from gradcore.spec import interval

OPS = cases.ops()
TWICE = [u for u in OPS if u.takes_gradient and u.entry.spec.second_order]
DTYPES = (np.float64, np.float64, np.float32)


def each(units):
    return pytest.mark.parametrize("unit", units, ids=lambda unit: unit.id)


def drawn(unit, **more):
    return inputs(unit, DTYPES, **more)


@pytest.mark.checks("value")
@each(OPS)
def test_the_value_is_the_references(unit, verify):
    verify(drawn(unit), lambda example: check_value(unit.entry, example, unit.name))


@pytest.mark.checks("gradient")
@each([u for u in OPS if u.takes_gradient])
def test_the_gradient_is_the_numeric_one(unit, verify):
    verify(drawn(unit), lambda example: check_gradient(unit.entry, example)).conclude()


@pytest.mark.checks("kinks")
@each([u for u in OPS if u.takes_gradient and u.kinked])
def test_the_gradient_at_a_kink_is_a_subgradient(unit, verify):
    verify(
        drawn(unit, mode="kinks"),
        lambda example: check_gradient(unit.entry, example),
        share=0.5,
        smooth=False,
    ).conclude()


@pytest.mark.checks("recording")
@each([u for u in OPS if u.takes_gradient])
def test_tensors_give_what_the_pair_gives(unit, verify):
    def check(pair):
        example, data = pair
        y = getattr(unit.entry, "forward", unit.entry)(*example.arrays, **example.params)
        gy = data.draw(cotangents(np.shape(y), y.dtype))
        check_recording(unit.entry, example, gy, unit.name)

    verify(st.tuples(drawn(unit), st.data()), check, share=0.5)


def differentiated_twice(unit, verify):
    found = verify(examples(unit.case), lambda example: check_second_order(unit.entry, example), share=0.5)
    found.conclude(everything=False)


@pytest.mark.checks("2nd order")
@each([u for u in TWICE if isinstance(u.entry, Op)])
def test_the_rule_itself_is_differentiable(unit, verify):
    differentiated_twice(unit, verify)


@pytest.mark.checks("2nd order")
@pytest.mark.nightly(each_time=36)
@each([u for u in TWICE if not isinstance(u.entry, Op)])
def test_what_is_composed_of_differentiable_rules_is_so_too(unit, verify):
    differentiated_twice(unit, verify)


@pytest.mark.checks("methods")
@each([u for u in OPS if isinstance(u.entry, Op) and u.entry.plain and u.entry.n_arrays < 3])
def test_the_fast_methods_record_what_a_call_records(unit, verify):
    verify(drawn(unit), lambda example: check_fast_method(unit.entry, example), share=0.5)


@pytest.mark.checks("far out")
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softmax", "log_softmax", "cross_entropy"])
def test_far_out_where_no_slope_can_be_measured_values_are_right_and_gradients_finite(name, verify):
    entry = registry.ops[name]
    (near,) = entry.spec.cases
    far = near.replaced(arrays=(interval(-300.0, 300.0, near.arrays[0].shape), *near.arrays[1:]))

    def check(example):
        check_value(entry, example, name)
        y = entry.forward(*example.arrays, **example.params)
        gx = entry.vjp(np.ones_like(y), y, *example.arrays, **example.params)[0]
        assert np.isfinite(gx).all()

    verify(st.sampled_from(DTYPES).flatmap(lambda dtype: examples(far, dtype=dtype)), check)
