"""Every optimizer: its trajectory against a reference derived differently, with numeric gradients, and resumed."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck.strategies import parameters
from gradcheck.verification import Problem, check_numeric_trajectory, check_resumed, check_trajectory
from gradcore import registry

EACH = pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)


def problems(steps, axis=3, dtypes=(np.float64, np.float32)):
    shape = st.lists(st.integers(0, axis), max_size=2).map(tuple)
    return st.builds(
        Problem.draw,
        st.lists(shape, min_size=1, max_size=3),
        steps,
        st.integers(0, 2**32 - 1),
        st.sampled_from(dtypes),
    )


@pytest.mark.checks("trajectory")
@EACH
def test_the_trajectory_is_the_references(cls, verify):
    verify(
        st.tuples(problems(st.integers(1, 8)), parameters(cls.spec.params)),
        lambda drawn: check_trajectory(cls, *drawn),
    )


@pytest.mark.checks("numeric")
@EACH
def test_numeric_gradients_lead_to_the_same_place(cls, verify):
    verify(
        st.tuples(problems(st.integers(1, 3), axis=2, dtypes=(np.float64,)), parameters(cls.spec.params)),
        lambda drawn: check_numeric_trajectory(cls, *drawn),
        share=0.5,
    )


@pytest.mark.checks("resumed")
@EACH
def test_saving_and_loading_in_between_changes_nothing(cls, verify):
    verify(
        st.tuples(problems(st.integers(1, 6)), parameters(cls.spec.params), st.integers(0, 5)),
        lambda drawn: check_resumed(cls, *drawn),
    )
