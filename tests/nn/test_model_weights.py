"""Where the weights of ready-made models come from, and how their widths may be given."""

import numpy as np
import pytest

from gradcore import nn
from gradcore.nn.models import build, outline


def sevens(shape, fan_in, fan_out, rng=None):
    return np.full(shape, 7.0, np.float32)


MADE = {
    "mlp": lambda: nn.mlp((3, 4, 2), initializer=sevens),
    "cnn": lambda: nn.cnn((1, 4, 4), 2, initializer=sevens),
    "mlp by its name": lambda: build("mlp", (3,), 2, hidden=(4,), initializer=sevens),
    "cnn by its name": lambda: build("cnn", (1, 4, 4), 2, initializer=sevens),
}


@pytest.mark.parametrize("name", MADE)
def test_an_initializer_makes_all_weights_of_a_model(name):
    weights = {path: p for path, p in MADE[name]().named_parameters() if path.endswith("weight")}
    assert len(weights) == (4 if "cnn" in name else 2)
    for path, weight in weights.items():
        assert (weight.data == 7).all(), path


@pytest.mark.parametrize("widths", [(3, 2), [3, 2], np.array([3, 2])], ids=["tuple", "list", "array"])
def test_widths_are_any_sequence_of_two_or_more(widths):
    assert [p.shape for p in nn.mlp(widths).parameters()] == [(3, 2), (1, 2)]


def test_an_outline_is_zeros_in_the_memory_of_one_entry_and_read_only():
    made = outline((30, 20), fan_in=30, fan_out=20)
    assert (made.shape, made.dtype, made.strides) == ((30, 20), np.float32, (0, 0))
    assert not made.any()
    assert not made.flags.writeable
