"""Splitting: the parts are NumPy's, and their gradients come back in place."""

import numpy as np
import pytest

import gradcore
from gradcore.errors import ShapeError

X = np.arange(24.0).reshape(4, 6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("sections", [2, 1, [1, 3], [0, 2, 9], [3, 1], []])
@pytest.mark.parametrize("name", ["split", "array_split"])
def test_the_parts_are_numpys(name, sections, axis):
    expected = getattr(np, name)(X, sections, axis)
    for function in (getattr(gradcore, name), getattr(np, name)):
        x = gradcore.tensor(X, requires_grad=True)
        parts = function(x, sections, axis)
        assert [p.data.tolist() for p in parts] == [p.tolist() for p in expected]
        total = sum((k + 1) * (p * p).sum() for k, p in enumerate(parts))
        total.backward()
        weights = np.zeros(X.shape)
        places = np.arange(24).reshape(4, 6)
        for k, part in enumerate(getattr(np, name)(places, sections, axis)):
            weights.flat[part.ravel()] += k + 1
        np.testing.assert_array_equal(x.grad, 2 * X * weights)


@pytest.mark.parametrize("sections", [1, 3, 4, 7])
def test_unequal_parts_are_numpys(sections):
    parts = gradcore.array_split(gradcore.tensor(X), sections, 1)
    assert [p.data.tolist() for p in parts] == [p.tolist() for p in np.array_split(X, sections, 1)]


def test_a_number_of_parts_that_does_not_divide_is_refused():
    with pytest.raises(
        ShapeError, match=r"split can't cut axis 1 of shape \(4, 6\) into 4 equal parts: array_split cuts"
    ):
        gradcore.split(gradcore.tensor(X), 4, 1)
    with pytest.raises(ShapeError, match="array_split got 0 sections: at least one is needed"):
        gradcore.array_split(gradcore.tensor(X), 0)
    with pytest.raises(ShapeError, match="split got axis 2 of shape"):
        gradcore.split(gradcore.tensor(X), 2, 2)


@pytest.mark.parametrize(("name", "axis"), [("hsplit", 1), ("vsplit", 0), ("dsplit", 2)])
@pytest.mark.parametrize("sections", [2, [1]])
def test_splits_along_a_fixed_axis_are_numpys(name, axis, sections):
    values = np.arange(16.0).reshape(2, 2, 4)
    expected = getattr(np, name)(values, sections)
    for function in (getattr(gradcore, name), getattr(np, name)):
        parts = function(gradcore.tensor(values), sections)
        assert [p.data.tolist() for p in parts] == [p.tolist() for p in expected]
    with pytest.raises(ShapeError, match=rf"split can't cut axis {axis} of shape"):
        getattr(gradcore, name)(values, 3)


def test_a_vector_is_split_by_hsplit_alone():
    assert [p.tolist() for p in gradcore.hsplit(np.arange(4), 2)] == [[0, 1], [2, 3]]
    with pytest.raises(ShapeError, match=r"vsplit got the shape \(4,\): it needs 2 axes or more"):
        gradcore.vsplit(np.arange(4), 2)
    with pytest.raises(ShapeError, match=r"dsplit got the shape \(4, 1\): it needs 3 axes or more"):
        gradcore.dsplit(np.ones((4, 1)), 1)
