"""Images of another size, patches, and the layers of convolution and products beside them: by hand, and errors."""

import numpy as np
import pytest

import gradcore
from gradcore import nn
from gradcore.errors import ArgumentError, DomainError, ShapeError

X = np.arange(4.0).reshape(1, 1, 2, 2)


def test_nearest_repeats_and_bilinear_weighs():
    assert gradcore.interpolate(X, scale_factor=2)[0, 0].tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]
    corners = gradcore.interpolate(X, (1, 3), mode="bilinear", align_corners=True)
    assert corners[0, 0].tolist() == [[0, 0.5, 1]]
    edges = gradcore.interpolate(X, (2, 4), mode="bilinear")
    assert edges[0, 0].tolist() == [[0, 0.25, 0.75, 1], [2, 2.25, 2.75, 3]]


def test_pooling_to_one_entry_is_the_mean_or_the_largest():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7))
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(x), x.mean((2, 3), keepdims=True), rtol=1e-13)
    np.testing.assert_array_equal(nn.AdaptiveMaxPool2d((1, None))(x), x.max(2, keepdims=True))
    assert repr(nn.AdaptiveAvgPool2d((2, None))) == "AdaptiveAvgPool2d(output_size=(2, None))"


def test_a_convolution_is_a_product_with_patches():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    layer = nn.Conv2d(3, 4, 3, bias=False, rng=0)
    weight = layer.weight.data.reshape(4, 27)
    np.testing.assert_allclose(layer(x).data.reshape(2, 4, 12), weight @ nn.Unfold(3)(x), rtol=1e-10)


def test_folding_counts_how_often_a_place_is_covered():
    patches = gradcore.unfold(np.ones((1, 1, 3, 3)), 2)
    assert gradcore.fold(patches, 3, 2)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_one_place_and_no_channel_are_sizes_as_well():
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    assert gradcore.fold(gradcore.unfold(x, 1), 2, 1).tolist() == x.tolist()
    assert gradcore.fold(np.full((1, 1, 1), 3.0), 1, 1).tolist() == [[[[3.0]]]]
    for empty in (np.ones((1, 0, 2, 2)), np.ones((0, 1, 2, 2))):
        assert gradcore.interpolate(empty, 3).shape == (*empty.shape[:2], 3, 3)
        assert gradcore.adaptive_avg_pool2d(empty, 1).shape == (*empty.shape[:2], 1, 1)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_aligned_corners_keep_their_entries(size):
    x = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    y = gradcore.interpolate(x.reshape(1, 1, 1, 5), (1, size), mode="bilinear", align_corners=True)[0, 0, 0]
    np.testing.assert_allclose(y, np.interp(np.linspace(0, 4, size), np.arange(5), x), rtol=1e-14)


@pytest.mark.parametrize("factor", [0.3, 1 / 3, 0.7, 1.1, 2.6, 10.0])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_no_place_beyond_the_last_is_read_whatever_the_factor(factor, mode):
    for n in (4, 7, 10, 33):
        x = np.arange(float(n)).reshape(1, 1, 1, n)
        y = gradcore.interpolate(x, scale_factor=(1, factor), mode=mode)
        assert y.shape == (1, 1, 1, int(n * factor))
        assert 0 <= y.min() <= y.max() <= n - 1


def test_factors_and_sizes_come_as_lists_too():
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(gradcore.interpolate(x, scale_factor=[2, 1]), x.repeat(2, 2))
    np.testing.assert_array_equal(gradcore.interpolate(x, [4, 3]), x.repeat(2, 2))
    np.testing.assert_array_equal(gradcore.adaptive_max_pool2d(x, [1, 3]), x.max(2, keepdims=True))


def test_reprs():
    assert repr(nn.Conv1d(4, 2, 3, groups=2)) == "Conv1d(4 -> 2, 3, groups=2)  14 parameters"
    assert repr(nn.ConvTranspose2d(1, 2, (2, 3), bias=False)) == "ConvTranspose2d(1 -> 2, 2 x 3, bias=False)  12 parameters"  # fmt: skip
    assert repr(nn.Bilinear(2, 3, 4)) == "Bilinear(2, 3 -> 4)  28 parameters"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradcore.interpolate(X[0], 2), ShapeError, r"takes images of shape \(n, c, h, w\), not empty, and got \(1, 2, 2\)"),
        (lambda: gradcore.interpolate(X), ArgumentError, r"size=None and scale_factor=None: give one of them"),
        (lambda: gradcore.interpolate(X, 2, 2), ArgumentError, r"size=2 and scale_factor=2: give one of them"),
        (lambda: gradcore.interpolate(X, 2, mode="cubic"), DomainError, r"mode='cubic': expected 'nearest' or 'bilinear'"),
        (lambda: gradcore.interpolate(X, 2, align_corners=True), ArgumentError, r"align_corners for mode='nearest'"),
        (lambda: gradcore.interpolate(X, scale_factor=0.4), DomainError, r"scale_factor=0\.4 for images of 2 x 2: nothing would be left"),
        (lambda: gradcore.interpolate(X, 0), DomainError, r"size=0: expected a whole number"),
        (lambda: gradcore.interpolate(np.ones((1, 1, 0, 2)), 2), ShapeError, r"not empty, and got \(1, 1, 0, 2\)"),
        (lambda: gradcore.interpolate(np.ones((1, 1, 2, 0)), 2), ShapeError, r"not empty, and got \(1, 1, 2, 0\)"),
        (lambda: gradcore.interpolate(X, scale_factor=(2.0, 0.4)), DomainError, r"scale_factor=\(2\.0, 0\.4\) for images of 2 x 2: nothing"),
        (lambda: gradcore.adaptive_max_pool2d(np.ones((1, 1, 0, 2)), 1), ShapeError, r"not empty, and got \(1, 1, 0, 2\)"),
        (lambda: gradcore.adaptive_avg_pool2d(np.ones((1, 1, 2, 0)), 1), ShapeError, r"not empty, and got \(1, 1, 2, 0\)"),
        (lambda: gradcore.adaptive_avg_pool2d(X, 0), DomainError, r"output_size=\(0, 0\): expected"),
        (lambda: gradcore.unfold(X, 0), DomainError, r"kernel_size=0: expected"),
        (lambda: gradcore.fold(np.ones((1, 4, 4)), 3, 0), DomainError, r"kernel_size=0: expected"),
        (lambda: gradcore.fold(np.ones((1, 4, 4)), 0, 2), DomainError, r"output_size=0: expected"),
        (lambda: gradcore.fold(np.ones((4, 4)), 3, 2), ShapeError, r"fold .*columns of shape \(4, 4\)"),
        (lambda: gradcore.adaptive_max_pool2d(X[0], 1), ShapeError, r"adaptive_max_pool2d takes images of shape .* got \(1, 2, 2\)"),
        (lambda: gradcore.adaptive_avg_pool2d(X, (1, 2, 3)), DomainError, r"output_size=\(1, 2, 3\): expected"),
        (lambda: gradcore.unfold(X[0], 2), ShapeError, r"unfold takes images of shape \(n, c, h, w\), and got \(1, 2, 2\)"),
        (lambda: gradcore.unfold(X, 3), ShapeError, r"unfold got images of 2 x 2"),
        (lambda: gradcore.fold(np.ones((1, 4, 3)), 3, 2), ShapeError, r"columns of shape \(1, 4, 3\): for images of 3 x 3 \(n, c 4, 4\) would fit"),
        (lambda: gradcore.fold(np.ones((1, 5, 4)), 3, 2), ShapeError, r"\(n, c 4, 4\) would fit"),
        (lambda: gradcore.conv1d(np.ones((1, 3, 4)), np.ones((1, 2, 2))), ShapeError, r"sequences of shape \(1, 3, 4\) and a weight of shape \(1, 2, 2\) with groups=1: .* as x\[None\]"),
        (lambda: gradcore.conv1d(np.ones((1, 2, 4)), np.ones((1, 2, 2)), np.ones(2)), ShapeError, r"conv1d got a bias of shape \(2,\)"),
        (lambda: nn.Conv1d(4, 3, 1, groups=2), ShapeError, r"Conv1d got in_channels=4, out_channels=3 and groups=2: groups must divide both, such as 1"),
        (lambda: nn.ConvTranspose2d(3, 4, 1, groups=2), ShapeError, r"ConvTranspose2d got in_channels=3"),
        (lambda: nn.Bilinear(2, 3, 4)(np.ones((5, 2)), np.ones((4, 3))), ShapeError, r"\(5, 2\) and \(4, 3\): \(\.\.\., 2\) and \(\.\.\., 3\) would fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
