"""Axes: how they are named when they come, go and change places, and what is refused."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, squeeze, swapaxes, unsqueeze
from gradcore.errors import ArgumentError, ShapeError

X = np.arange(6.0).reshape(1, 2, 1, 3)

SEVERAL = {
    "squeeze a tuple": (lambda x: squeeze(x, (0, -2)), (2, 3)),
    "squeeze a list": (lambda x: squeeze(x, [0, 2]), (2, 3)),
    "squeeze a NumPy number": (lambda x: squeeze(x, np.int64(2)), (1, 2, 3)),
    "unsqueeze a tuple": (lambda x: unsqueeze(x, (0, -1)), (1, 1, 2, 1, 3, 1)),
    "unsqueeze a list": (lambda x: unsqueeze(x, [1, 3]), (1, 1, 2, 1, 1, 3)),
    "permute a list": (lambda x: x.permute([3, 0, 1, 2]), (3, 1, 2, 1)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_axes_come_as_a_tuple_or_a_list(name):
    call, shape = SEVERAL[name]
    assert call(Tensor(X)).shape == shape


def test_a_vector_and_a_number_are_permuted_too():
    assert Tensor([1.0, 2.0]).permute(0).tolist() == [1, 2]
    assert Tensor(2.0).permute().item() == 2


REFUSED = {
    "unsqueeze nowhere": (lambda x: unsqueeze(x, None), ShapeError, r"needs the place.*write x\.unsqueeze\(0\)"),
    "unsqueeze twice": (lambda x: unsqueeze(x, (0, -6)), ShapeError, r"axes \(0, -6\), two of which are the same place"),
    "squeeze half": (lambda x: squeeze(x, 0.5), TypeError, "'float' object cannot be interpreted as an integer"),
    "squeeze 0.0": (lambda x: squeeze(x, 0.0), TypeError, "'float' object cannot be interpreted as an integer"),
    "swapaxes": (lambda x: swapaxes(x, 4, 7), ShapeError, r"swapaxes got axis 4 of shape \(1, 2, 1, 3\)"),
    "argmax": (lambda x: x.argmax(dims=1), ArgumentError, "argmax takes no dims: its parameters are x, axis, keepdims"),
    "argmin": (lambda x: x.argmin(dims=1), ArgumentError, "argmin takes no dims: its parameters are x, axis, keepdims"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_axes_that_are_none_are_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call(Tensor(X))


@pytest.mark.parametrize("method", [Tensor.argmax, Tensor.argmin])
def test_the_place_among_all_entries_is_an_array_without_axes(method):
    place = method(Tensor(X))
    assert (type(place), place.shape) == (np.ndarray, ())


def test_dim_and_keepdim_come_one_by_one_next_to_our_own_names():
    x = Tensor(X)
    assert x.sum(keepdim=True).shape == (1, 1, 1, 1)
    assert x.sum(dim=3).shape == (1, 2, 1)
    assert x.sum(axis=1, keepdim=True).shape == x.sum(dim=1, keepdims=True).shape == (1, 1, 1, 3)
    assert x.max(axis=1, keepdim=True).shape == (1, 1, 1, 3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_axes_up_to_a_number_are_numpys(ndim, shape):
    name = f"atleast_{ndim}d"
    values = np.ones(shape)
    expected = getattr(np, name)(values).shape
    assert getattr(gradcore, name)(values).shape == expected
    assert getattr(np, name)(gradcore.tensor(values)).shape == expected
    both = getattr(np, name)(gradcore.tensor(values), gradcore.tensor(values))
    assert [x.shape for x in both] == [expected] * 2


@pytest.mark.parametrize("axis", [0, 2, -1])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_an_axis_rolls_as_numpys_does(axis, start):
    values = np.arange(24.0).reshape(2, 3, 4)
    expected = np.rollaxis(values, axis, start)
    np.testing.assert_array_equal(gradcore.rollaxis(values, axis, start), expected)
    np.testing.assert_array_equal(np.rollaxis(gradcore.tensor(values), axis, start).data, expected)


def test_the_one_axis_of_a_vector_may_be_counted_from_either_end():
    for axes in (None, (0,), (-1,)):
        np.testing.assert_array_equal(gradcore.transpose(np.arange(3.0), axes), np.arange(3.0))
