"""Inputs and targets of any kind, chosen, divided and given out in batches."""

import numpy as np
import pytest

from gradcore.data import DataLoader, Pairs
from gradcore.errors import DataError, DomainError, ShapeError

PAIRS = Pairs(np.arange(20.0).reshape(10, 2), np.arange(10.0), "heights")


def test_lists_become_arrays_and_pairs_are_indexed_as_numpy_does():
    pairs = Pairs([[1, 2], [3, 4]], [0.5, 1.5])
    x, y = pairs[1]
    assert (x.tolist(), y, len(pairs)) == ([3, 4], 1.5, 2)
    assert repr(pairs) == "Pairs('pairs', 2 x (2,) to ())"


@pytest.mark.parametrize(
    ("x", "y"), [(np.ones((3, 2)), np.ones(2)), (np.ones(()), np.ones(1)), (np.ones(1), np.ones(()))]
)
def test_inputs_without_a_target_each_are_refused(x, y):
    with pytest.raises(ShapeError, match=r"mine: expected x \(n, ...\) and y \(n, ...\) of one length, got"):
        Pairs(x, y, "mine")


def test_no_pairs_are_refused():
    with pytest.raises(DataError, match=r"pairs: there are no pairs: x \(0, 2\), y \(0,\)"):
        Pairs(np.ones((0, 2)), np.ones(0))


@pytest.mark.parametrize(
    ("indices", "expected"), [([3, 1], [3, 1]), (slice(8, None), [8, 9]), (np.arange(10) == 4, [4])]
)
def test_a_subset_is_a_copy_of_the_pairs_asked_for(indices, expected):
    part = PAIRS.subset(indices)
    assert part.y.tolist() == expected
    np.testing.assert_array_equal(part.x, PAIRS.x[expected])
    part.x[...] = -1
    assert PAIRS.x.min() == 0


@pytest.mark.parametrize(
    ("indices", "message"),
    [([10], "heights: can't be indexed by .*it has 10 examples"), ([[1]], "expected one axis of indices")],
)
def test_indices_that_choose_nothing_there_are_refused(indices, message):
    with pytest.raises(DomainError, match=message):
        PAIRS.subset(indices)


def test_a_split_uses_each_pair_once_and_is_its_seed_s():
    train, test = PAIRS.split(test=3, seed=4)
    assert (train.name, test.name) == ("heights (train)", "heights (test)")
    assert len(test) == 3
    assert sorted([*train.y, *test.y]) == list(range(10))
    for part in (train, test):
        assert (np.diff(part.y) > 0).all()
        np.testing.assert_array_equal(part.x[:, 0], 2 * part.y)
    np.testing.assert_array_equal(PAIRS.split(test=0.3, seed=4)[1].y, test.y)
    assert any((PAIRS.split(test=3, seed=s)[1].y != test.y).any() for s in range(5))


@pytest.mark.parametrize("test", [0, 10, 1.0, 0.01, True])
def test_a_split_that_leaves_a_part_empty_is_refused(test):
    with pytest.raises(
        DomainError, match=r"heights: split got test=.*leaves some of the 10 examples in both"
    ):
        PAIRS.split(test=test)


def test_a_loader_gives_pairs_in_batches():
    batches = list(DataLoader(PAIRS, batch_size=4, shuffle=True, seed=1))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert sorted(np.concatenate([y for _, y in batches])) == list(range(10))
    for x, y in batches:
        np.testing.assert_array_equal(x[:, 0], 2 * y)


def test_targets_beside_pairs_are_refused():
    with pytest.raises(ShapeError, match="a Pairs brings its own labels; expected no second argument"):
        DataLoader(PAIRS, np.ones(10))
