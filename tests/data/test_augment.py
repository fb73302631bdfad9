"""Augmentation: what each does to a picture, and that a loader's batches depend on seed, epoch and batch alone."""

import numpy as np
import pytest

from gradcore.data import DataLoader, augment, load
from gradcore.data.augment import compose, flip, rotate, shift, turn
from gradcore.errors import ArgumentError, DomainError, ShapeError

RNG = np.random.default_rng(0)
PICTURES = RNG.random((40, 2, 5, 4)).astype(np.float32)


def run(part, pictures=PICTURES, seed=0):
    before = pictures.copy()
    found = part(pictures, np.random.default_rng(seed))
    assert (found.shape, found.dtype) == (pictures.shape, pictures.dtype)
    np.testing.assert_array_equal(pictures, before)
    return found


def moved(picture, dy, dx):
    """By hand, pixel for pixel."""
    found = np.zeros_like(picture)
    _, height, width = picture.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < height and 0 <= x - dx < width:
                found[:, y, x] = picture[:, y - dy, x - dx]
    return found


def test_each_picture_is_shifted_by_whole_pixels_of_its_own():
    found, seen = run(shift(2)), set()
    for picture, before in zip(found, PICTURES, strict=True):
        ways = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(picture, moved(before, dy, dx))
        ]
        assert len(ways) == 1
        seen.update(ways)
    assert len(seen) > 10
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == {-2, -1, 0, 1, 2}
    np.testing.assert_array_equal(run(shift(0)), PICTURES)


@pytest.mark.parametrize("axis", [-1, -2])
def test_about_half_of_the_pictures_are_mirrored(axis):
    found = run(flip(axis=axis))
    mirrored = [np.array_equal(p, np.flip(q, axis)) for p, q in zip(found, PICTURES, strict=True)]
    same = [np.array_equal(p, q) for p, q in zip(found, PICTURES, strict=True)]
    assert [a != b for a, b in zip(mirrored, same, strict=True)] == [True] * 40
    assert 8 < sum(mirrored) < 32
    np.testing.assert_array_equal(run(flip(0.0, axis)), PICTURES)
    np.testing.assert_array_equal(run(flip(1.0, axis)), np.flip(PICTURES, axis))


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2])
@pytest.mark.parametrize("side", [4, 5])
def test_a_quarter_turn_is_numpys(quarters, side):
    pictures = RNG.random((2, 3, side, side))
    found = turn(pictures, np.full(2, 90.0 * quarters))
    np.testing.assert_allclose(found, np.rot90(pictures, quarters, (2, 3)), atol=1e-13)


def test_a_small_turn_moves_pixels_along_the_tangent():
    y, x = np.mgrid[-4:5, -4:5].astype(float)
    plane = 3 * x + 5 * y  # linear interpolation is exact on it
    found = turn(plane[None, None], np.array([5.0]))[0, 0]
    cos, sin = np.cos(np.deg2rad(5)), np.sin(np.deg2rad(5))
    expected = 3 * (cos * x - sin * y) + 5 * (cos * y + sin * x)
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-12)


def test_angles_are_drawn_for_each_picture_within_the_bound():
    bright = np.zeros((50, 1, 9, 9))
    bright[:, 0, 4, 8] = 1.0
    found = run(rotate(30.0), bright)
    rows = found[:, 0].sum(2) @ np.arange(9) / found[:, 0].sum((1, 2))
    assert rows.min() > 4 - 4 * np.sin(np.deg2rad(30)) - 0.5
    assert rows.std() > 0.5
    np.testing.assert_allclose(run(rotate(0.0)), PICTURES, atol=1e-6)


def test_several_go_one_after_the_other():
    both = run(compose(flip(1.0), flip(1.0, -2)))
    np.testing.assert_array_equal(both, PICTURES[:, :, ::-1, ::-1])
    assert compose()(PICTURES, RNG) is PICTURES


# --- in a loader ------------------------------------------------------------------------------------------------------


def loader(seed=3, **more):
    digits = load("digits").test.subset(slice(0, 50))
    return DataLoader(
        digits, batch_size=16, shuffle=True, seed=seed, augment=compose(shift(1), rotate(10.0)), **more
    )


def epochs(batches, count=2):
    return [[images for images, _ in batches] for _ in range(count)]


def test_augmented_batches_depend_on_seed_epoch_and_batch_alone():
    first, second = epochs(loader())
    for epoch, again in zip((first, second), epochs(loader()), strict=True):
        for a, b in zip(epoch, again, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], epochs(loader(4))[0][0])


def test_a_loader_resumes_in_the_middle_of_an_augmented_epoch():
    whole, batches = loader(), loader()
    expected = epochs(whole)[0]
    given = iter(batches)
    next(given)
    next(given)
    other = loader(9)
    other.load_state_dict(batches.state_dict())
    for a, b in zip(expected[2:], [images for images, _ in other], strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_stay_with_their_pictures_and_the_data_as_it_is():
    digits = load("digits").test
    before = digits.images.copy()
    plain = DataLoader(digits, batch_size=16, shuffle=True, seed=3)
    augmented = DataLoader(digits, batch_size=16, shuffle=True, seed=3, augment=flip(1.0))
    for (a, labels), (b, others) in zip(plain, augmented, strict=True):
        np.testing.assert_array_equal(a[..., ::-1], b)
        np.testing.assert_array_equal(labels, others)
    np.testing.assert_array_equal(digits.images, before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shift(-1), DomainError, "shift got most=-1: it is a whole number of pixels"),
        (lambda: shift(1.5), DomainError, r"shift got most=1\.5"),
        (lambda: flip(1.5), DomainError, r"flip got chance=1\.5: it is a number from 0 to 1"),
        (lambda: flip(0.5, 1), DomainError, "flip got axis=1: write -1 for left to right"),
        (lambda: rotate(-1), DomainError, "rotate got degrees=-1: it is a number from 0 to 180"),
        (lambda: run(shift(1), np.zeros((2, 9))), ShapeError, r"shift takes pictures \(n, channels, height, width\), and got a batch of shape \(2, 9\)"),
        (lambda: run(flip(), np.zeros((2, 9))), ShapeError, "flip takes pictures"),
        (lambda: run(rotate(1), np.zeros((2, 9))), ShapeError, "rotate takes pictures"),
        (lambda: DataLoader(np.ones(3), np.ones(3), augment=2), ArgumentError, "DataLoader got augment=2: pass a function"),
        (lambda: next(iter(DataLoader(np.ones(3), np.ones(3), augment=lambda x, rng: x[:1]))), ShapeError, "augment made 1 images of a batch of 3"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_module_is_reached_from_its_package():
    assert augment.shift is shift
