"""Every layer, in training and in evaluation: value, gradients, second order, state, batches of one or none."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck.strategies import examples
from gradcheck.verification import (
    cases,
    check_layer_gradient,
    check_layer_misfit,
    check_layer_rows,
    check_layer_second_order,
    check_layer_start,
    check_layer_state,
    check_layer_value,
)
from gradcheck.verification.drawing import layer_calls
from gradcore.spec import Size

LAYERS = cases.layers()


def each(units):
    return pytest.mark.parametrize("unit", units, ids=lambda unit: unit.id)


EACH = each(LAYERS)
MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def repeats(unit, training):
    """Whether the check was done in training: a layer that its calls do not change has no other mode, by its spec."""
    return not training and unit.entry.spec.state_after is None


def share(unit, training, of=1.0):
    """The part of the usual examples: a quarter where they repeat."""
    return of * unit.entry.spec.share * (0.25 if repeats(unit, training) else 1.0)


def given_axes(unit):
    """The axes of the first input whose sizes the constructor is given, by its arguments' names."""
    tokens = unit.case.arrays[0].shape.split(" ")
    return {
        name: tokens.index(param.letter)
        for name, param in unit.case.params.items()
        if isinstance(param, Size) and param.letter in tokens
    }


@pytest.mark.checks("value")
@MODES
@EACH
def test_the_output_is_the_references(unit, training, verify):
    verify(layer_calls(unit, training), lambda drawn: check_layer_value(*drawn), share(unit, training))


@pytest.mark.checks("gradient")
@MODES
@EACH
def test_every_input_and_every_parameter_gets_the_numeric_gradient(unit, training, verify):
    found = verify(
        layer_calls(unit, training), lambda drawn: check_layer_gradient(*drawn), share(unit, training)
    )
    found.conclude(everything=not repeats(unit, training))


@pytest.mark.checks("2nd order")
@pytest.mark.nightly(each_time=36)  # a layer is composed of ops, which are verified to second order each time
@MODES
@each([u for u in LAYERS if u.entry.spec.second_order])
def test_the_gradient_is_itself_differentiable(unit, training, verify):
    found = verify(
        layer_calls(unit, training, dtypes=(np.float64,)),
        lambda drawn: check_layer_second_order(*drawn),
        share(unit, training, 0.25),
    )
    found.conclude(everything=False)


@pytest.mark.checks("start")
@EACH
def test_a_new_layer_holds_what_its_spec_says(unit, verify):
    verify(
        st.tuples(examples(unit.case), st.integers(0, 2**32 - 1)),
        lambda drawn: check_layer_start(unit.entry, drawn[0].params, drawn[1]),
        share=0.5 * unit.entry.spec.share,
    )


@pytest.mark.checks("state")
@MODES
@EACH
def test_a_call_changes_what_its_spec_says_and_nothing_in_evaluation(unit, training, verify):
    verify(
        layer_calls(unit, training),
        lambda drawn: check_layer_state(*drawn),
        share(unit, training, 0.5),
    )


@pytest.mark.checks("batches")
@MODES
@each([u for u in LAYERS if any("n" in array.shape.split() for array in u.case.arrays)])
def test_a_batch_of_one_or_none_is_right_or_refused(unit, training, verify):
    verify(layer_calls(unit, training), lambda drawn: check_layer_rows(*drawn), share(unit, training, 0.5))


@pytest.mark.checks("misfits")
@MODES
@each([u for u in LAYERS if given_axes(u)])
def test_an_input_of_another_size_than_given_is_refused(unit, training, verify):
    axes = given_axes(unit)
    verify(
        layer_calls(unit, training),
        lambda drawn: check_layer_misfit(*drawn, axes),
        share(unit, training, 0.25),
    )
