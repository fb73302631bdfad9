"""Batches: every example once an epoch, shuffled from the seed, resumed to the bit."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcore.data import DataLoader, Dataset, load
from gradcore.errors import DataError, DomainError, ShapeError


def arrays(n):
    return np.arange(3.0 * n).reshape(n, 3), np.arange(n)


def seen(batches):
    return [labels.tolist() for _, labels in batches]


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), shuffle=st.booleans(), seed=st.integers(0, 2**70))
@settings(deadline=None)
def test_an_epoch_gives_every_example_once_with_its_own_label(n, batch_size, shuffle, seed):
    x, y = arrays(n)
    loader = DataLoader(x, y, batch_size=batch_size, shuffle=shuffle, seed=seed)
    batches = list(loader)
    assert len(batches) == len(loader) == math.ceil(n / batch_size)
    assert all(len(labels) == batch_size for _, labels in batches[:-1])
    for images, labels in batches:
        np.testing.assert_array_equal(images, x[labels])
    order = np.concatenate([labels for _, labels in batches])
    assert sorted(order) == list(range(n))
    if not shuffle:
        assert order.tolist() == list(range(n))


@given(n=st.integers(1, 40), batch_size=st.integers(1, 40))
@settings(deadline=None)
def test_drop_last_gives_full_batches_only(n, batch_size):
    if batch_size > n:
        with pytest.raises(
            DataError, match=f"batch_size {batch_size} with drop_last leaves no batch of {n} examples"
        ):
            DataLoader(*arrays(n), batch_size=batch_size, drop_last=True)
        return
    loader = DataLoader(*arrays(n), batch_size=batch_size, drop_last=True)
    batches = seen(loader)
    assert len(batches) == len(loader) == n // batch_size
    assert {len(labels) for labels in batches} == {batch_size}


def test_batches_are_of_32_by_default():
    assert [len(labels) for labels in seen(DataLoader(*arrays(70)))] == [32, 32, 6]


def test_the_same_seed_gives_the_same_epochs_and_each_epoch_another_order():
    loaders = [DataLoader(*arrays(50), shuffle=True, seed=seed) for seed in (1, 1, 2)]
    epochs = [[seen(loader) for _ in range(3)] for loader in loaders]
    assert epochs[0] == epochs[1]
    assert epochs[0][0] != epochs[2][0]
    assert len({str(epoch) for epoch in epochs[0]}) == 3


def test_a_generator_can_be_the_seed():
    first, same, next_one = (
        DataLoader(*arrays(50), shuffle=True, seed=generator)
        for generator in ([np.random.default_rng(5), np.random.default_rng(5), np.random.default_rng(6)])
    )
    assert seen(first) == seen(same)
    assert seen(first) != seen(next_one)


def test_numpys_global_generator_is_neither_used_nor_touched():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = seen(DataLoader(*arrays(50), shuffle=True))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert seen(DataLoader(*arrays(50), shuffle=True)) == first


@pytest.mark.parametrize("shuffle", [False, True])
def test_changing_a_batch_does_not_change_the_data(shuffle):
    x, y = arrays(10)
    for images, labels in DataLoader(x, y, batch_size=4, shuffle=shuffle):
        images += 100
        labels += 100
    np.testing.assert_array_equal(x, arrays(10)[0])
    np.testing.assert_array_equal(y, arrays(10)[1])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_loader_goes_on_from_any_batch_of_any_epoch_to_the_bit(shuffle, drop_last):
    def make(seed):
        return DataLoader(*arrays(10), batch_size=3, shuffle=shuffle, drop_last=drop_last, seed=seed)

    whole = make(8)
    reference, states = [], [whole.state_dict()]
    for _ in range(3):
        for _, labels in whole:
            reference.append(labels.tolist())
            states.append(json.loads(json.dumps(whole.state_dict())))
    for position, state in enumerate(states):
        resumed = make(99)
        resumed.load_state_dict(state)
        epochs = range(state["epoch"], 3)
        assert [labels for _ in epochs for labels in seen(resumed)] == reference[position:]


def test_the_state_counts_epochs_and_batches():
    loader = DataLoader(*arrays(5), batch_size=2)

    def counts():
        state = loader.state_dict()
        return loader.epoch, state["epoch"], state["batch"]

    assert counts() == (0, 0, 0)
    assert [counts() for _ in loader] == [(0, 0, 1), (0, 0, 2), (1, 1, 0)]
    assert counts() == (1, 1, 0)


def test_an_iteration_left_early_is_not_resumed_but_a_new_epoch_begins():
    x, y = arrays(10)
    loader, reference = (DataLoader(x, y, batch_size=2, shuffle=True, seed=3) for _ in range(2))
    epochs = [seen(reference) for _ in range(2)]
    next(iter(loader))
    assert seen(loader) == epochs[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 11}, "gives other batches .n: 11 saved, 10 here"),
        ({"batch_size": 4, "shuffle": False}, "batch_size: 4 saved, 3 here; shuffle: False saved, True here"),
        ({"batch": 4}, "stands at batch 4 of an epoch of 4"),
        ({"epoch": -1}, "epoch: expected a whole number of at least 0, got -1"),
    ],
)
def test_a_state_of_another_loader_is_refused(change, message):
    loader = DataLoader(*arrays(10), batch_size=3, shuffle=True)
    with pytest.raises((DataError, DomainError), match=message):
        loader.load_state_dict(loader.state_dict() | change)


def test_a_state_that_lacks_a_key_is_refused():
    with pytest.raises(
        DataError, match=r"lacks batch, seed, n, batch_size, shuffle, drop_last; it holds epoch"
    ):
        DataLoader(*arrays(10)).load_state_dict({"epoch": 1})


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "3", True, None])
def test_a_batch_size_that_is_no_positive_whole_number_is_refused(batch_size):
    with pytest.raises(
        DomainError, match=f"batch_size: expected a whole number of at least 1, got {batch_size!r}"
    ):
        DataLoader(*arrays(4), batch_size=batch_size)


def test_a_numpy_integer_is_a_fine_batch_size():
    assert len(DataLoader(*arrays(4), batch_size=np.int64(2))) == 2


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(DomainError, match="seed: expected a whole number of at least 0"):
        DataLoader(*arrays(4), seed=seed)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ShapeError, match=r"of one length, got \(4, 3\) and \(3,\)"):
        DataLoader(arrays(4)[0], arrays(3)[1])
    with pytest.raises(ShapeError, match=r"got \(\) and \(3,\)"):
        DataLoader(1.0, arrays(3)[1])


def test_an_empty_set_is_refused():
    with pytest.raises(DataError, match=r"the data set is empty: images \(0, 3\), labels \(0,\)"):
        DataLoader(*arrays(0))


def test_a_dataset_is_taken_whole_and_images_need_labels():
    test = load("digits").test
    batches = list(DataLoader(test, batch_size=100))
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), test.images)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), test.labels)
    assert isinstance(test, Dataset)
    with pytest.raises(ShapeError, match="a Dataset brings its own labels"):
        DataLoader(test, test.labels)
    with pytest.raises(ShapeError, match="got images alone"):
        DataLoader(test.images)
