"""Indexing with everything that NumPy takes, and its gradients."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.ops.index import getitem, is_basic

DATA = np.arange(24.0).reshape(4, 2, 3)
INDICES = {
    "a number": 1,
    "a negative number": -1,
    "numpy's number": np.int64(2),
    "a slice": slice(1, 3),
    "a backward slice": slice(None, None, -2),
    "an empty slice": slice(2, 2),
    "ellipsis": ...,
    "ellipsis and a number": (..., 0),
    "a new axis": (None, slice(None), None),
    "numbers on every axis": (1, 0, 2),
    "nothing": (),
    "a list": [0, 2],
    "a list with repeats": [3, 3, 0, 3],
    "an array": np.array([[0, 1], [1, 0]]),
    "no rows": np.array([], int),
    "a boolean mask": np.array([True, False, True, True]),
    "a mask of all axes": DATA % 2 == 0,
    "a mask of two axes": np.array([[True, False]] * 4),
    "two arrays": (np.array([0, 0, 3]), np.array([1, 1, 0])),
    "two arrays apart": (np.array([0, 0]), slice(None), np.array([1, 1])),
    "a slice and an array": (slice(None), np.array([0, 0, 1]), slice(0, 2)),
    "True": True,
    "numpy's True": np.True_,
}


@pytest.mark.parametrize("name", INDICES)
def test_an_index_picks_what_numpys_picks_and_its_gradient_counts_how_often(name):
    index = INDICES[name]
    x = Tensor(DATA.copy(), requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.data, DATA[index])
    gy = np.random.default_rng(0).normal(size=y.shape)
    y.backward(gy)
    expected = np.zeros(DATA.size)
    np.add.at(expected, np.arange(DATA.size).reshape(DATA.shape)[index], gy)
    np.testing.assert_allclose(x.grad, expected.reshape(DATA.shape), rtol=1e-15)


def test_an_entry_picked_twice_gets_both_cotangents():
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    x[[0, 0, 2]].backward([1, 10, 100])
    assert x.grad.tolist() == [11, 0, 100]


def test_a_tensor_serves_as_an_index():
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    rows = Tensor(np.array([2, 0]))
    assert x[rows].tolist() == [3, 1]
    assert x[x > 1.5].tolist() == [2, 3]
    assert gradcore.arange(6).reshape(2, 3)[Tensor(np.array([1])), rows].tolist() == [5, 3]
    gradcore.getitem(x, rows).sum().backward()
    assert x.grad.tolist() == [1, 0, 1]


def test_indexing_keeps_the_dtype_of_the_gradient():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    x[[0, 0]].sum().backward()
    assert x.grad.dtype == np.float32


def test_an_index_out_of_bounds_or_of_floats_is_refused():
    x = Tensor([1.0, 2.0])
    with pytest.raises(IndexError, match="index 2 is out of bounds"):
        x[2]
    with pytest.raises(IndexError, match="must be of integer"):
        x[gradcore.tensor([0.0, 1.0])]
    assert x[gradcore.tensor([1, 0])].tolist() == [2.0, 1.0]
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0]


def test_indexing_shares_the_data_where_numpy_does():
    x = Tensor(np.zeros((2, 2)))
    assert np.shares_memory(x[0].data, x.data)
    assert not np.shares_memory(x[[0]].data, x.data)


def test_scatter_add_is_the_transpose_of_indexing():
    rng = np.random.default_rng(0)
    for index in INDICES.values():
        x, y = rng.normal(size=DATA.shape), rng.normal(size=DATA[index].shape)
        np.testing.assert_allclose(
            (x[index] * y).sum(), (x * gradcore.scatter_add(y, index, DATA.shape)).sum(), rtol=1e-12
        )


@pytest.mark.parametrize(
    "index", [0, np.int64(-1), slice(1, None), ..., None, (), (0, None), (..., np.int8(1)), (slice(None), 2)]
)
def test_an_index_that_gives_a_view_is_basic(index):
    assert is_basic(index)


@pytest.mark.parametrize(
    "index",
    [True, np.True_, [0], np.array([0]), np.array(0), (True, 0), (0, False), (0, [1]), (np.array([True]), 0)],
)
def test_an_index_that_may_pick_an_entry_twice_is_not_basic(index):
    assert not is_basic(index)


def test_what_is_recorded_of_an_index_holds_no_tensor():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    rows, column = Tensor(np.array([1, 0, 1])), Tensor(np.array(2))
    assert type(x[rows]._params["index"]) is np.ndarray
    assert [type(i) for i in x[rows, column]._params["index"]] == [np.ndarray, np.ndarray]
    assert x[rows, column].tolist() == [5.0, 2.0, 5.0]
    assert getitem(x, rows).tolist() == getitem(x, (rows, slice(None))).tolist() == x.data[[1, 0, 1]].tolist()
