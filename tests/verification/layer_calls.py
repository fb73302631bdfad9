"""Calls of layers as the suite draws them."""

from hypothesis import strategies as st

from gradcheck.strategies import examples
from gradcheck.verification import LayerCall


def calls(layer, training):
    cases = st.sampled_from(layer.spec.cases)
    return st.builds(
        lambda example, seed: (LayerCall.draw(layer, example, training, "random", seed), example),
        cases.flatmap(examples),
        st.integers(0, 2**32 - 1),
    )
