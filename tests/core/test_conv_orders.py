"""Convolution of images as they lie in memory, one at a time or the batch at once, and its transpose by either way."""

import numpy as np
import pytest

from gradcore.ops import _windows, conv, conv2d, conv2d_input, conv2d_weight

RNG = np.random.default_rng(0)


def innermost(x):
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


@pytest.mark.parametrize("columns", [1, 10, 4096])
@pytest.mark.parametrize("by_image", [False, True])
@pytest.mark.parametrize("outs", [1, 4])
@pytest.mark.parametrize("sort", conv._SORTS, ids=str)
def test_all_three_ops_are_their_references_in_either_memory_order(
    sort, outs, by_image, columns, monkeypatch
):
    monkeypatch.setattr(_windows, "_POSITIONS", 1 if by_image else 10**9)
    monkeypatch.setattr(_windows, "_CHANNELS", 1)
    monkeypatch.setattr(_windows, "_COLUMNS", columns)
    kernel, stride, padding, dilation, groups = sort
    same = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, weight = RNG.standard_normal((3, 2 * groups, 6, 7)), RNG.standard_normal((outs * groups, 2, *kernel))
    y = conv2d(x, weight, **same)
    gy = RNG.standard_normal(y.shape)
    found = {
        conv2d: (x, weight),
        conv2d_input: (gy, weight, (6, 7)),
        conv2d_weight: (gy, x, kernel),
    }
    for op, arguments in found.items():
        expected = op.spec.reference(*arguments, **same)
        np.testing.assert_allclose(op(*arguments, **same), expected, rtol=1e-12, atol=1e-12)
        laid = [
            innermost(a) if isinstance(a, np.ndarray) and a.ndim == 4 and a is not weight else a
            for a in arguments
        ]
        np.testing.assert_allclose(op(*laid, **same), expected, rtol=1e-12, atol=1e-12)


def test_large_images_of_many_channels_stay_as_they_lie_in_memory():
    x, weight = np.ones((2, 8, 16, 16), np.float32), np.ones((4, 8, 3, 3), np.float32)
    assert conv2d(x, weight).flags.c_contiguous
    assert not conv2d(x[..., :14], weight).flags.c_contiguous  # 168 windows: the batch at once
    assert not conv2d(x[:, :4], weight[:, :4]).flags.c_contiguous  # nor where channels are few
    assert conv2d(innermost(x), weight).transpose(1, 2, 3, 0).flags.c_contiguous


@pytest.mark.parametrize("outs", [4, 8, 9, 16, 17])
def test_the_way_back_to_the_input_is_a_convolution_where_that_is_the_shorter_one(outs, monkeypatch):
    ways = []
    convolved = conv._convolved
    monkeypatch.setattr(conv, "_convolved", lambda *args: ways.append(1) or convolved(*args))
    gy, weight = np.ones((2, outs, 16, 16)), np.ones((outs, 8, 3, 3))
    for laid, most in ((gy, 16), (innermost(gy), 8)):
        ways.clear()
        conv2d_input(laid, weight, size=(16, 16), padding=1)
        assert bool(ways) == (outs <= most)


@pytest.mark.parametrize(
    ("arguments", "back"),
    [
        (((5, 6), (3, 3), 1, 1), ((1, 1), (1, 1))),
        (((5, 6), (3, 2), 1, 0), ((2, 2), (1, 1))),
        (((5, 6), (2, 4), 1, "same"), ((1, 0), (2, 1))),
        (((5, 6), (3, 3), 1, (2, 0), 2), ((2, 2), (4, 4))),
        (((5, 6), (3, 3), 2, 1), None),
        (((5, 6), (3, 3), 1, 3), None),  # windows that lie in the padding alone
    ],
)
def test_windows_are_reversed_where_their_stride_is_one_and_each_meets_the_image(arguments, back):
    at = _windows.windows("conv2d", *arguments)
    found = at.reversed
    assert (found and found.pads) == back
    if found:
        assert (found.size, found.out) == (at.out, at.size)
        assert found.reversed == at
