"""`gradient` is NumPy's, on arrays and on Tensors, and says what it takes."""

import numpy as np
import pytest

import gradcore
from gradcore.errors import DomainError, ShapeError

X = np.random.default_rng(0).standard_normal((4, 5))


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((), None), ((0.5,), None), ((0.5, 2.0), None), ((), 1), ((3.0,), -2), ((2.0, 0.5), (1, 0)), ((), (0,))],
)
def test_it_is_numpys(spacing, axis, edge_order):
    expected = np.gradient(X, *spacing, axis=axis, edge_order=edge_order)
    for function in (gradcore.gradient, np.gradient):
        x = gradcore.tensor(X, requires_grad=True)
        found = function(x, *spacing, axis=axis, edge_order=edge_order)
        several = isinstance(expected, tuple | list)
        assert isinstance(found, list) == several
        parts, theirs = (found, expected) if several else ([found], [expected])
        for part, their in zip(parts, theirs, strict=True):
            np.testing.assert_allclose(part.data, their, rtol=1e-14, atol=1e-15)
        sum(p.sum() for p in parts).backward()
        assert np.abs(x.grad).max() > 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gradcore.gradient(X[:1], axis=0), ShapeError, r"edge_order=1 along axis 0 of shape \(1, 5\): it is 1 or 2, and less"),
        (lambda: gradcore.gradient(X[:2], axis=0, edge_order=2), ShapeError, r"edge_order=2 along axis 0"),
        (lambda: gradcore.gradient(X, edge_order=3), ShapeError, r"edge_order=3"),
        (lambda: gradcore.gradient(X, axis=2), ShapeError, r"gradient got axis 2"),
        (lambda: gradcore.gradient(X, 1.0, 2.0, 3.0), DomainError, r"3 spacings for 2 axes: give one number, or one for each"),
        (lambda: gradcore.gradient(X, np.arange(4.0), 1.0), DomainError, r"places of their own"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_a_sentence(call, error, words):
    with pytest.raises(error, match=words):
        call()
