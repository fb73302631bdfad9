"""Whole numbers of NumPy are static parameters like Python's own: an axis from `np.argmax`, a size from an array."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from gradcheck.strategies import examples
from gradcheck.verification import cases
from gradcore.ops.decompositions import norm


def numpys(value):
    """The same with NumPy's integers, also in tuples."""
    if type(value) is tuple:
        return tuple(map(numpys, value))
    return np.int64(value) if type(value) is int else value


def differences(f, example):
    """Whether the results on NumPy's integers are others than those on Python's."""
    params = {name: numpys(value) for name, value in example.params.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that leave float32's range
        found, expected = f(*example.arrays, **params), f(*example.arrays, **example.params)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    return [
        (mine, theirs)
        for mine, theirs in pairs
        if np.asarray(mine).dtype != np.asarray(theirs).dtype
        or not np.array_equal(mine, theirs, equal_nan=True)
    ]


@pytest.mark.parametrize("unit", [u for u in cases.ops() if u.case.params], ids=lambda u: u.id)
def test_an_op_takes_them_as_parameters(unit):
    @settings(max_examples=10)
    @given(examples(unit.case))
    def same(example):
        assert not differences(unit.entry, example)

    same()


def test_an_op_that_takes_pythons_alone_is_detected():
    def pythons(x, axis=0):
        return norm(x, axis=axis if isinstance(axis, int) else tuple(axis))

    with pytest.raises(TypeError, match="not iterable"):
        differences(pythons, SimpleNamespace(arrays=(np.ones((2, 2)),), params={"axis": 1}))
