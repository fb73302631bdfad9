"""Data sets: the embedded digits, the synthetic sets, and what a Dataset insists on."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from gradcore.data import Dataset, Split, load, load_digits, load_synthetic
from gradcore.errors import DataError, DomainError, DtypeError, ShapeError

# The first image of the file, a zero.
FIRST = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]


def make(n=4, labels=None, classes=("a", "b"), shape=(3,), dtype=np.float32):
    labels = np.zeros(n, np.int64) if labels is None else np.asarray(labels, np.int64)
    return Dataset(np.zeros((n, *shape), dtype), labels, "a set", classes)


def test_the_digits_are_the_1797_of_the_uci_test_set():
    split = load("digits")
    assert split.train.images.shape == (1437, 1, 8, 8)
    assert split.test.images.shape == (360, 1, 8, 8)
    counts = np.bincount(split.train.labels) + np.bincount(split.test.labels)
    # The class distribution that the data set's own description gives for its test set.
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = np.concatenate([split.train.images, split.test.images]) * 16
    assert np.array_equal(pixels, pixels.round())
    assert pixels.min() == 0
    assert pixels.max() == 16


def test_the_digits_split_is_stratified_disjoint_and_always_the_same():
    split = load("digits")
    share = np.bincount(split.test.labels) / (
        np.bincount(split.train.labels) + np.bincount(split.test.labels)
    )
    assert np.all(np.abs(share - 0.2) < 0.006)
    train = {image.tobytes() for image in split.train.images}
    assert not any(image.tobytes() in train for image in split.test.images)
    digest = hashlib.sha256(
        split.test.images.tobytes() + split.test.labels.astype("<i8").tobytes()
    ).hexdigest()
    assert digest == "91d6f9fec853c9d0f20e80515365175adc522618847198f44b0a39cb86cf57ee"
    assert load("digits", seed=7).test.images.tobytes() == split.test.images.tobytes()


def test_the_first_digit_of_the_test_part_looks_like_its_label():
    split = load_digits()
    assert split.test.labels[0] == 0
    assert (split.test.images[0, 0] * 16).astype(int).tolist() == FIRST


def test_digits_can_be_learned_by_a_nearest_neighbour():
    split = load_digits().as_vectors()
    distance = ((split.test.images[:, None] - split.train.images[None]) ** 2).sum(-1)
    assert np.mean(split.train.labels[distance.argmin(1)] == split.test.labels) > 0.97


@pytest.mark.parametrize("name", ["synthetic", "synthetic-learnable"])
def test_synthetic_sets_have_the_promised_sizes_and_depend_on_the_seed_alone(name):
    split = load(name, seed=3)
    assert split.train.images.shape == (1000, 784)
    assert split.test.images.shape == (200, 784)
    assert set(split.train.labels.tolist()) == set(range(10))
    again, other = load(name, seed=3), load(name, seed=4)
    assert again.train.images.tobytes() == split.train.images.tobytes()
    assert again.test.labels.tobytes() == split.test.labels.tobytes()
    assert other.train.images.tobytes() != split.train.images.tobytes()
    assert split.test.labels.tolist() != split.train.labels[:200].tolist(), (
        "the parts share their random numbers"
    )


def nearest_class_mean_accuracy(split):
    means = np.stack([split.train.images[split.train.labels == k].mean(0) for k in range(10)])
    scores = split.test.images @ means.T - 0.5 * (means**2).sum(1)
    return np.mean(scores.argmax(1) == split.test.labels)


def test_only_the_learnable_set_can_be_learned():
    assert nearest_class_mean_accuracy(load_synthetic(learnable=True)) > 0.97
    assert nearest_class_mean_accuracy(load_synthetic()) < 0.2


def test_mean_and_std_are_those_of_the_training_part():
    split = load_digits()
    images = split.train.images.astype(np.float64)
    assert split.mean == pytest.approx(images.mean(), rel=1e-12)
    assert split.std == pytest.approx(images.std(), rel=1e-12)


def test_the_std_of_constant_images_is_one_so_that_dividing_by_it_is_safe():
    assert Split(make(), make()).std == 1.0


def test_pictures_and_vectors_are_views_of_the_same_numbers():
    split = load_digits()
    vectors = split.as_vectors().test
    assert vectors.images.shape == (360, 64)
    assert np.shares_memory(vectors.images, split.test.images)
    back = split.as_vectors().as_pictures()
    assert back.test.images.shape == (360, 1, 8, 8)
    assert np.array_equal(back.train.images, split.train.images)
    assert split.test.as_pictures() is split.test


def test_vectors_whose_length_is_no_square_are_no_pictures():
    with pytest.raises(ShapeError, match=r"a set: examples of shape \(3,\) are no pictures"):
        make().as_pictures()


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match=r"a set: the data set is empty: its images have shape \(0, 3\)"):
        make(0)


def test_examples_with_no_numbers_are_refused():
    with pytest.raises(DataError, match="is empty"):
        make(4, shape=(0,))


def test_a_label_out_of_range_is_refused_with_its_place():
    with pytest.raises(
        DomainError, match=r"label 2 at index 1 is out of range: there are 2 classes, .* 0 to 1 \(2 of 4"
    ):
        make(labels=[0, 2, 1, 5])
    with pytest.raises(DomainError, match="label -1 at index 3"):
        make(labels=[0, 1, 1, -1])


def test_shapes_and_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(
        ShapeError, match=r"expected images \(n, ...\) and labels \(n,\), got \(4, 3\) and \(3,\)"
    ):
        make(labels=[0, 1, 1])
    with pytest.raises(DtypeError, match="expected float32 images and int64 labels, got float64 and int64"):
        make(dtype=np.float64)


def test_a_split_of_two_kinds_is_refused():
    with pytest.raises(
        ShapeError, match=r"training examples of shape \(3,\) .* test examples of shape \(5,\)"
    ):
        Split(make(), make(shape=(5,)))
    with pytest.raises(DataError, match="classes differ"):
        Split(make(), make(classes=("a", "b", "c")))


def test_a_name_that_does_not_exist_is_refused_with_the_ones_that_do():
    with pytest.raises(DataError, match=r"'digit': expected digits, synthetic, .* did you mean digits\?"):
        load("digit")


def test_a_dataset_tells_its_sizes():
    assert repr(make()) == "Dataset('a set', 4 x (3,), 2 classes)"
    assert (len(make()), make(shape=(2, 3)).features) == (4, 6)


def test_loading_data_needs_numpy_alone():
    code = (
        "import json, sys; from gradcore.data import load; load('digits'); load('synthetic');"
        "print(json.dumps([m for m in ('matplotlib', 'safetensors', 'rich', 'hypothesis') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == []
