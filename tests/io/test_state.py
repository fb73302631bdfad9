"""What a saved state must agree in with what it is loaded into."""

import numpy as np
import pytest

from gradcore import Tensor, nn, optim
from gradcore.data import DataLoader
from gradcore.errors import DataError, StateError
from gradcore.state import check_state

SMALL = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(3)}


def test_a_state_that_fits_passes_whatever_its_order():
    check_state(SMALL, dict(reversed(SMALL.items())), "told")


def test_everything_that_differs_is_listed_at_once():
    found = {
        "weight": np.zeros((3, 2), np.float32),
        "scale": np.zeros(3, np.float32),
        "shift": np.zeros(3, np.float32),
        "old": np.zeros((), np.int64),
    }
    expected = SMALL | {"scale": np.zeros(3), "shift": np.zeros(3, np.float32)}
    with pytest.raises(StateError) as caught:
        check_state(expected, found, "model.safetensors does not fit Net")
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("model.safetensors does not fit Net: 4 differences")
    assert [line.strip() for line in lines] == [
        "missing: bias, float64 (3,)",
        "unexpected: old, int64 ()",
        "different: weight, expected float32 (2, 3), got float32 (3, 2)",
        "different: scale, expected float64 (3,), got float32 (3,)",
    ]


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([[1.0]], r"\[\[1.0\]\], which is no array"),
        (None, "None, which is no array"),
        ("a", "'a', which is no array"),
    ],
)
def test_values_that_are_no_arrays_are_listed(found, shown):
    with pytest.raises(StateError, match=f"different: weight, expected float32 .*, got {shown}"):
        check_state(SMALL, {**SMALL, "weight": found}, "told")


@pytest.mark.parametrize("state", [None, 3, [("weight", SMALL["weight"])], "state"])
def test_a_state_that_is_no_mapping_is_refused(state):
    with pytest.raises(StateError, match="expected arrays by name, as state_dict"):
        check_state(SMALL, state, "told")
    with pytest.raises(StateError, match="expected arrays by name"):
        nn.Linear(2, 2).load_state_dict(state)
    model = nn.Linear(2, 2)
    with pytest.raises(StateError, match=r"expected what state_dict\(\) gives"):
        optim.Adam(model.parameters()).load_state_dict(state)
    with pytest.raises(DataError, match=r"as state_dict\(\) gives it"):
        DataLoader(np.zeros((2, 2)), np.zeros(2)).load_state_dict(state)


def test_tensors_are_as_good_as_arrays_and_lists_are_not():
    model = nn.Linear(2, 2, rng=0)
    model.load_state_dict({name: Tensor(array + 1) for name, array in model.state_dict().items()})
    assert (model.bias.data == 1).all()
    optimizer = optim.SGD(model.parameters(), momentum=0.5)
    model.weight.grad, model.bias.grad = np.ones((2, 2), np.float32), np.ones((1, 2), np.float32)
    optimizer.step()
    state = optimizer.state_dict()
    for wrong in ([[1.0, 1.0]], None, "a"):
        with pytest.raises(StateError, match=r"1\.velocity, expected float32"):
            optimizer.load_state_dict({**state, "1.velocity": wrong})


@pytest.mark.parametrize(
    "change",
    [{"n": None}, {"batch_size": [2]}, {"epoch": -1}, {"batch": "0"}, {"seed": 1.5}, {"epoch": None}],
)
def test_a_loaders_state_of_wrong_types_is_refused(change):
    loader = DataLoader(np.zeros((2, 2)), np.zeros(2))
    before = loader.state_dict()
    with pytest.raises(DataError):
        loader.load_state_dict({**before, **change})
    assert loader.state_dict() == before
