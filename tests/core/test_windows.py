"""The geometry of sliding windows, and how the work on them is cut."""

import numpy as np
import pytest

from gradcore.errors import DomainError, ShapeError
from gradcore.ops import _windows
from gradcore.ops._windows import all_windows, batch_innermost, blocks, padded, pair, windows


def geometry(size, kernel=(1, 1), stride=1, padding=0, dilation=1):
    return windows("conv2d", size, kernel, stride, padding, dilation)


def cut(high, wide, batch, rows):
    """The pieces of work, as ((first row, end), (first image, end))."""
    pieces = blocks(geometry((high, wide)), batch, rows)
    return [((a.start, a.stop), (b.start, b.stop)) for a, b in pieces]


@pytest.mark.parametrize(
    ("high", "wide", "batch", "rows", "expected"),
    [
        # Up to 4 x 4096 columns of a row of windows are one piece; one image more, and there are two of the same size.
        (1, 8, 2048, 9, [((0, 1), (0, 2048))]),
        (1, 8, 2049, 9, [((0, 1), (0, 1025)), ((0, 1), (1025, 2049))]),
        (1, 4, 4096, 9, [((0, 1), (0, 4096))]),
        (1, 4, 4097, 9, [((0, 1), (0, 2049)), ((0, 1), (2049, 4097))]),
        (1, 8, 4097, 9, [((0, 1), (0, 1366)), ((0, 1), (1366, 2732)), ((0, 1), (2732, 4097))]),
        # Up to 4096 columns in all are one piece.
        (64, 8, 8, 9, [((0, 64), (0, 8))]),
        (65, 8, 8, 9, [((0, 64), (0, 8)), ((64, 128), (0, 8))]),
        (3, 2048, 1, 9, [((0, 2), (0, 1)), ((2, 4), (0, 1))]),
        (2, 2049, 1, 9, [((0, 1), (0, 1)), ((1, 2), (0, 1))]),
        # Up to 2^22 entries in all are one piece.
        (1, 64, 64, 1024, [((0, 1), (0, 64))]),
        (1, 64, 65, 1024, [((0, 1), (0, 33)), ((0, 1), (33, 65))]),
        (4, 32, 32, 2048, [((0, 2), (0, 32)), ((2, 4), (0, 32))]),
        (2, 1, 3, 1 << 23, [((i, i + 1), (n, n + 1)) for n in range(3) for i in range(2)]),
        # A row wider than that is not cut; nothing to multiply is one piece, and so is no batch no piece.
        (1, 20_000, 2, 9, [((0, 1), (0, 1)), ((0, 1), (1, 2))]),
        (2, 3, 4, 0, [((0, 2), (0, 4))]),
        (2, 3, 0, 4, []),
    ],
)
def test_the_work_is_cut_into_equal_pieces_of_the_sizes_that_were_measured(high, wide, batch, rows, expected):
    assert cut(high, wide, batch, rows) == expected


def test_a_tap_is_where_one_entry_of_the_windows_lies_in_all_or_some_of_their_rows():
    at = geometry((20, 30), (3, 3), (2, 3), (1, 4), (2, 5))
    image = np.arange(np.prod(at.padded)).reshape(at.padded)
    for i, j in np.ndindex(3, 3):
        whole = image[2 * i :: 2, 5 * j :: 3][: at.out[0], : at.out[1]]
        assert np.array_equal(image[at.tap(i, j)], whole)
        assert np.array_equal(image[at.tap(i, j, slice(2, 5))], whole[2:5])


def test_all_windows_are_a_view_that_cannot_be_written_to():
    at = geometry((6, 7), (2, 3), (1, 2), 0, (2, 1))
    x = np.arange(84.0).reshape(1, 6, 7, 2)
    found = all_windows(x, at)
    assert found.shape == (1, 2, 3, *at.out, 2)
    assert np.shares_memory(found, x)
    assert not found.flags.writeable
    for i, j in np.ndindex(at.kernel):
        assert np.array_equal(found[:, i, j], x[(slice(None), *at.tap(i, j))])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [0, 2])
def test_the_padded_image_is_contiguous_with_the_batch_innermost_and_of_its_own_dtype(dtype, padding):
    x = np.arange(24, dtype=dtype).reshape(2, 1, 3, 4)
    found = padded(x, geometry((3, 4), padding=padding), -1.0)
    assert found.flags.c_contiguous
    assert found.dtype == dtype
    expected = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=-1)
    assert np.array_equal(found, expected.transpose(1, 2, 3, 0))


def test_an_image_that_has_that_order_already_is_not_copied():
    x = np.zeros((1, 3, 4, 2)).transpose(3, 0, 1, 2)
    assert np.shares_memory(batch_innermost(x), x)
    assert np.shares_memory(padded(x, geometry((3, 4))), x)
    assert batch_innermost(np.zeros((2, 1, 3, 4))).flags.c_contiguous


# --- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, (2, 2)), (np.int64(2), (2, 2)), ((1, 2), (1, 2)), ([1, 2], (1, 2)), ((np.int32(1), 2), (1, 2))],
)
def test_a_whole_number_or_two_are_a_pair(value, expected):
    found = pair("stride", value, 1)
    assert found == expected
    assert [type(v) for v in found] == [int, int]


@pytest.mark.parametrize(
    "value", [0, (0, 1), (1, 0), (1, 2, 3), (1,), 1.0, (1.0, 2), (1, 2.0), "11", None, np.array([1, 2])]
)
def test_anything_else_is_no_pair(value):
    with pytest.raises(DomainError, match=r"stride=.*: expected a whole number, or a pair .* of at least 1"):
        pair("stride", value, 1)


# --- what fits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stride", "dilation"])
@pytest.mark.parametrize("value", [0, (1, 0), (0, 1)])
def test_a_stride_and_a_dilation_are_at_least_one(name, value):
    with pytest.raises(DomainError, match=f"{name}=.* of at least 1"):
        geometry((5, 5), (2, 2), **{name: value})


@pytest.mark.parametrize("stride", [2, (1, 2), (2, 1)])
def test_padding_that_keeps_the_size_goes_with_stride_one(stride):
    with pytest.raises(DomainError, match="stride 1 only"):
        geometry((5, 5), (2, 2), stride, "same")
    assert geometry((5, 6), (2, 4), 1, "same", (3, 1)).pads == ((1, 2), (1, 2))


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "dilation", "words"),
    [
        ((2, 8), (3, 3), 0, 1, ["2 x 8, 2 x 8 with", "kernel of (3, 3):", "at least 3 x 3 would"]),
        ((8, 2), (3, 3), 0, 1, ["8 x 2, 8 x 2 with", "kernel of (3, 3):", "at least 3 x 3 would"]),
        (
            (4, 9),
            (3, 2),
            0,
            (2, 1),
            ["kernel of (3, 2), spread to (5, 2) by dilation=(2, 1)", "at least 5 x 2 would"],
        ),
        (
            (9, 4),
            (2, 3),
            0,
            (1, 2),
            ["kernel of (2, 3), spread to (2, 5) by dilation=(1, 2)", "at least 2 x 5 would"],
        ),
        ((1, 1), (6, 2), (1, 2), 1, ["1 x 1, 3 x 5 with", "at least 4 x 0 would"]),
    ],
)
def test_a_kernel_that_does_not_fit_in_once_is_refused(size, kernel, padding, dilation, words):
    with pytest.raises(ShapeError) as caught:
        geometry(size, kernel, 1, padding, dilation)
    assert [w for w in words if w not in str(caught.value)] == []


def test_a_kernel_that_fits_in_once_is_taken():
    assert geometry((3, 5), (3, 5)).out == (1, 1)
    assert geometry((1, 3), (3, 5), 1, 1).out == (1, 1)
    assert _windows.Windows.inside.fget(geometry((1, 3), (3, 5), 1, (1, 2))) == (slice(1, 2), slice(2, 5))
