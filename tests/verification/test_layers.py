"""Every layer, in training and in evaluation: value, and the gradient by every input and every parameter."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import cases
from gradcheck.strategies import examples
from gradcheck.verification import LayerCall, Tally, check_layer_gradient, check_layer_value

EACH = pytest.mark.parametrize("unit", cases.layers(), ids=lambda unit: unit.id)
MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def calls(unit, training):
    """Examples of the layer's inputs, with the layer in a drawn state."""
    return st.builds(
        lambda example, style, seed: (LayerCall.draw(unit.entry, example, training, style, seed), example),
        st.sampled_from([np.float64, np.float32]).flatmap(lambda dtype: examples(unit.case, dtype=dtype)),
        st.sampled_from(["random", "zeros"]),
        st.integers(0, 2**32 - 1),
    )


@pytest.mark.checks("value")
@MODES
@EACH
def test_the_output_is_the_references(unit, training, verify):
    verify(calls(unit, training), lambda drawn: check_layer_value(*drawn))


@pytest.mark.checks("gradient")
@MODES
@EACH
def test_every_input_and_every_parameter_gets_the_numeric_gradient(unit, training, verify):
    tally = Tally(unit.id)
    verify(calls(unit, training), lambda drawn: tally.add(check_layer_gradient(*drawn)))
    tally.conclude()
