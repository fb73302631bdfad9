"""States of modules: nothing is shared between a model and its state, whatever the state is made of."""

import numpy as np
import pytest

from gradcore import Tensor, nn


class Tables(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = Tensor(np.full(2, value, np.float32), requires_grad=True)
        self.seen = np.full(2, value, np.float32)
        self.tables = [np.full(2, value, np.float32), np.full(3, value, np.int32)]


def values(model):
    return {name: array.tolist() for name, array in model.state_dict().items()}


EXPECTED = {"weight": [7, 7], "seen": [7, 7], "tables.0": [7, 7], "tables.1": [7, 7, 7]}


def test_a_state_keeps_its_values_when_the_model_changes():
    model = Tables(7)
    state = model.state_dict()
    model.weight.data += 1
    model.seen += 1
    model.tables[0] += 1
    assert {name: array.tolist() for name, array in state.items()} == EXPECTED


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_state_may_be_of_tensors(requires_grad):
    model = Tables(1)
    state = Tables(7).state_dict()
    model.load_state_dict(
        {name: Tensor(array, requires_grad and array.dtype.kind == "f") for name, array in state.items()}
    )
    assert values(model) == EXPECTED
    assert type(model.seen) is type(model.tables[0]) is np.ndarray


def test_a_model_keeps_its_values_when_a_state_that_it_loaded_changes():
    model, state = Tables(1), Tables(7).state_dict()
    tables = model.tables
    model.load_state_dict(state)
    for array in state.values():
        array += 1
    assert values(model) == EXPECTED
    assert model.tables is tables
