"""Subsets of a data set, and its division into two parts."""

import numpy as np
import pytest

from gradcore.data import Dataset, load
from gradcore.errors import DataError, DomainError


def dataset(counts=(10, 20, 31)):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = labels[np.random.default_rng(0).permutation(len(labels))]
    images = np.arange(len(labels), dtype=np.float32)[:, None]
    return Dataset(images, labels, "a set", tuple("abc"))


def rows(part):
    return part.images[:, 0].astype(int).tolist()


@pytest.mark.parametrize("indices", [[2, 0, 2], np.array([2, 0, 2]), (2, 0, 2)])
def test_a_subset_has_the_examples_in_the_order_of_their_indices(indices):
    whole = dataset()
    part = whole.subset(indices)
    assert rows(part) == [2, 0, 2]
    assert part.labels.tolist() == whole.labels[[2, 0, 2]].tolist()
    assert (part.classes, part.name) == (whole.classes, whole.name)
    part.images[...] = -1
    assert rows(whole)[:3] == [0, 1, 2]


def test_a_subset_by_a_slice_or_a_mask():
    whole = dataset()
    assert rows(whole.subset(slice(1, 9, 3))) == [1, 4, 7]
    assert rows(whole.subset(whole.labels == 1)) == np.flatnonzero(whole.labels == 1).tolist()
    part = whole.subset(slice(0, 3))
    part.images[...] = -1
    assert rows(whole)[:3] == [0, 1, 2]


@pytest.mark.parametrize("test", [0.2, 0.5, 13, np.int64(13)])
@pytest.mark.parametrize("stratify", [True, False])
def test_both_parts_together_are_the_whole(test, stratify):
    whole = dataset()
    train, held = whole.split(test, seed=1, stratify=stratify)
    assert len(held) == (test if test > 1 else round(test * 61))
    assert sorted(rows(train) + rows(held)) == list(range(61))
    for part in (train, held):
        assert rows(part) == sorted(rows(part))
        assert part.labels.tolist() == whole.labels[rows(part)].tolist()
    assert (train.name, held.name) == ("a set (train)", "a set (test)")


def shares(part, whole):
    return np.bincount(part.labels, minlength=3) - np.bincount(whole.labels) * len(part) / len(whole)


@pytest.mark.parametrize("test", [0.1, 0.25, 0.5, 1, 40])
@pytest.mark.parametrize("counts", [(10, 20, 31), (59, 1, 1), (20, 20, 21)])
def test_each_class_has_its_share_to_less_than_one_example(test, counts):
    whole = dataset(counts)
    for seed in range(20):
        assert np.abs(shares(whole.split(test, seed).test, whole)).max() < 1


def test_without_it_it_may_not():
    whole = dataset()
    worst = max(
        np.abs(shares(whole.split(0.5, seed, stratify=False).test, whole)).max() for seed in range(20)
    )
    assert worst > 2


def test_a_division_is_drawn_from_its_seed():
    whole = load("digits").test
    parts = [whole.split(0.3, seed).test.labels.tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("test", [0, 0.0, 1.0, 61, -1, 0.001, 0.999, True, float("nan")])
def test_a_part_that_leaves_the_other_empty_is_refused(test):
    with pytest.raises(DomainError, match=r"a set: split got test=.*: expected a part between 0 and 1"):
        dataset().split(test)


@pytest.mark.parametrize("indices", [[61], [-62], "a", [[1, 2]], 3, [0.5]])
def test_indices_that_can_not_be_are_refused(indices):
    with pytest.raises(DomainError, match="a set: "):
        dataset().subset(indices)


def test_a_subset_of_nothing_is_refused():
    with pytest.raises(DataError, match="a set: the data set is empty"):
        dataset().subset(slice(0, 0))
