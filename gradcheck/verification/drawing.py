"""Strategies of what the checks of a registry run on: inputs, layers that are called, problems for optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.strategies import examples
from gradcheck.verification.cases import Unit
from gradcheck.verification.layer_call import LayerCall
from gradcheck.verification.optimizers import Problem

DTYPES = (np.float64, np.float32)
SEEDS = st.integers(0, 2**32 - 1)


def inputs(unit: Unit, dtypes: Sequence[Any] = DTYPES, **more: Any) -> st.SearchStrategy[Any]:
    """Examples of the unit's case in one of these dtypes; `more` as for `examples`."""
    return st.sampled_from(dtypes).flatmap(lambda dtype: examples(unit.case, dtype=dtype, **more))


def layer_calls(unit: Unit, training: bool, dtypes: Sequence[Any] = DTYPES) -> st.SearchStrategy[Any]:
    """Pairs of a layer in a drawn state, called, and the example of its inputs."""
    return st.builds(
        lambda example, style, seed: (LayerCall.draw(unit.entry, example, training, style, seed), example),
        inputs(unit, dtypes),
        st.sampled_from(["random", "zeros"]),
        SEEDS,
    )


def problems(
    steps: st.SearchStrategy[int], axis: int = 3, dtypes: Sequence[Any] = DTYPES, least_ndim: int = 0
) -> st.SearchStrategy[Any]:
    """Parameters of a few shapes, with gradients for so many steps. axis: the largest size of an axis."""
    most = least_ndim + 1 if least_ndim > 1 else 2
    shape = st.lists(st.integers(0, axis), min_size=least_ndim, max_size=most).map(tuple)
    return st.builds(
        Problem.draw, st.lists(shape, min_size=1, max_size=3), steps, SEEDS, st.sampled_from(dtypes)
    )
