"""The examples in gradcore's docstrings hold."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import gradcore

MODULES = [
    module.name
    for module in pkgutil.walk_packages(gradcore.__path__, "gradcore.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"gradcore": gradcore, "np": np})
    assert found.failed == 0


def test_there_are_examples_to_hold():
    counts = [
        len(test.examples)
        for name in MODULES
        for test in doctest.DocTestFinder().find(importlib.import_module(name))
    ]
    assert sum(counts) >= 15
