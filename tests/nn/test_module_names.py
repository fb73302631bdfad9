"""Modules: their least arguments, their mode when they are new, and names of PyTorch's that they do not have."""

import importlib

import numpy as np
import pytest

from gradcore import nn
from gradcore.errors import DomainError


@pytest.mark.parametrize("layer", [nn.MaxPool2d, nn.AvgPool2d])
def test_a_window_is_of_one_entry_at_least(layer):
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    assert np.array_equal(layer(1)(x), x)
    assert np.array_equal(layer(1, 1)(x), x)
    for sizes, name in (((0,), "kernel_size=0"), ((0, 1), "kernel_size=0"), ((1, 0), "stride=0")):
        with pytest.raises(DomainError, match=f"^{name}: expected .* of at least 1"):
            layer(*sizes)


@pytest.mark.parametrize("width", [True, np.True_])
def test_a_truth_is_no_width(width):
    with pytest.raises(DomainError, match=r"Linear got out_features=.*True.*: expected a whole number"):
        nn.Linear(3, width)


def test_a_new_container_is_in_training_even_without_modules():
    assert nn.Sequential().training


def test_functional_is_found_before_anything_has_imported_it():
    assert nn.__getattr__("functional") is importlib.import_module("gradcore.nn.functional")


def test_a_module_of_its_own_answers_other_names_with_what_to_write():
    with pytest.raises(AttributeError, match=r"nn\.Module has no modules: write named_modules\(\)"):
        nn.Linear(2, 3).modules()
