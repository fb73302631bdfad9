"""Pooling: known values, ties, PyTorch's, the loop reference, transposes, messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradcore import Tensor, avg_pool2d, avg_pool2d_input, max_pool2d, max_pool2d_input, max_pool2d_pick
from gradcore.errors import DomainError, ShapeError
from gradcore.nn.pool import AvgPool2d, MaxPool2d
from gradcore.ops import _rows, pool


@st.composite
def poolings(draw, ties=False):
    """(x, arguments) of a pooling that fits, batches of 0 included."""
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    assume(all(n + 2 * p >= k for n, p, k in zip(size, padding, kernel, strict=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 3)), *size)
    x = rng.integers(-1, 2, shape).astype(float) if ties else rng.standard_normal(shape)
    return x, {"kernel_size": kernel, "stride": stride, "padding": padding}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13, strict=True)


def image(rows):
    return np.array(rows, float)[None, None]


# --- the maximum ------------------------------------------------------------------------------------------------------


def test_the_largest_of_each_window_and_an_odd_row_and_column_dropped():
    x = image([[1, 2, 9], [4, 3, 9], [9, 9, 9]])
    assert max_pool2d(x).tolist() == [[[[4.0]]]]
    assert max_pool2d_input(image([[5]]), x).tolist() == [[[[0, 0, 0], [5, 0, 0], [0, 0, 0]]]]
    assert max_pool2d(x, kernel_size=2, stride=1).tolist() == [[[[4.0, 9.0], [9.0, 9.0]]]]


def test_the_padding_is_below_any_number():
    x = image([[-3, -2], [-5, -7]])
    assert max_pool2d(x, 2, 2, 1).tolist() == [[[[-3.0, -2.0], [-5.0, -7.0]]]]
    assert max_pool2d(x.astype(int), 2, 2, 1).tolist() == [[[[-3, -2], [-5, -7]]]]


def test_overlapping_windows_with_one_winner_add_up():
    x = image([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert max_pool2d_input(image([[1, 10], [100, 1000]]), x, 2, 1)[0, 0, 1, 1] == 1111.0


def test_of_equals_the_first_in_reading_order_gets_everything():
    assert max_pool2d_input(image([[1]]), image([[0, 5], [5, 5]])).tolist() == [[[[0, 1], [0, 0]]]]
    assert max_pool2d_input(image([[1]]), image([[0, 0], [0, 0]])).tolist() == [[[[1, 0], [0, 0]]]]


def test_where_the_largest_is_nan_one_entry_still_gets_the_cotangent():
    x = image([[np.nan, 1], [2, 3]])
    assert np.isnan(max_pool2d(x)).all()
    assert max_pool2d_input(image([[7]]), x).sum() == 7.0


@settings(deadline=None, max_examples=100)
@given(poolings(ties=True))
def test_values_and_gradients_equal_the_windows_taken_one_by_one_ties_included(drawn):
    x, arguments = drawn
    y = max_pool2d(x, **arguments)
    close(y, max_pool2d.spec.reference(x, **arguments))
    rng = np.random.default_rng(0)
    gy, v = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
    gx, picked = max_pool2d_input(gy, x, **arguments), max_pool2d_pick(v, x, **arguments)
    close(gx, max_pool2d_input.spec.reference(gy, x, **arguments))
    close(picked, max_pool2d_pick.spec.reference(v, x, **arguments))
    close(np.sum(picked * gy), np.sum(v * gx))
    close(max_pool2d_pick(x, x, **arguments), y)


@settings(deadline=None, max_examples=60)
@given(poolings(ties=True))
def test_values_and_gradients_equal_pytorchs_ties_included(torch, drawn):
    x, arguments = drawn
    assume(len(x))
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for mine, other in ((max_pool2d, "max_pool2d"), (avg_pool2d, "avg_pool2d")):
        y, expected = mine(ours, **arguments), getattr(torch.nn.functional, other)(theirs, **arguments)
        close(y.data, expected.detach().numpy())
        gy = np.random.default_rng(1).standard_normal(y.shape)
        y.backward(gy)
        expected.backward(torch.tensor(gy))
    close(ours.grad, theirs.grad.numpy())


@settings(deadline=None, max_examples=60)
@given(poolings(ties=True), st.integers(0, 2**32 - 1))
def test_at_ties_the_gradient_lies_between_the_slopes_on_either_side(drawn, seed):
    x, arguments = drawn
    d = np.random.default_rng(seed).standard_normal(x.shape)
    y, h = max_pool2d(x, **arguments), 2.0**-20
    ahead, behind = max_pool2d(x + h * d, **arguments) - y, y - max_pool2d(x - h * d, **arguments)
    slope = max_pool2d_pick(d, x, **arguments)
    assert (behind / h - 1e-8 <= slope).all()
    assert (slope <= ahead / h + 1e-8).all()


def test_the_blocks_of_channels_do_not_show(monkeypatch):
    x = np.random.default_rng(2).standard_normal((2, 5, 6, 7))
    gy = max_pool2d(x)
    expected = (
        max_pool2d_input(gy, x),
        max_pool2d_pick(-x, x),
        avg_pool2d(x),
        avg_pool2d_input(gy, size=(6, 7)),
    )
    for entries in (1, 170):
        monkeypatch.setattr(_rows, "_ENTRIES", entries)
        assert np.array_equal(max_pool2d(x), gy)
        found = (
            max_pool2d_input(gy, x),
            max_pool2d_pick(-x, x),
            avg_pool2d(x),
            avg_pool2d_input(gy, size=(6, 7)),
        )
        assert all(map(np.array_equal, found, expected))


def test_the_memory_order_of_the_images_does_not_show():
    x = np.random.default_rng(3).standard_normal((4, 3, 6, 5))
    innermost = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    assert np.array_equal(max_pool2d(innermost), max_pool2d(x))
    gy = np.broadcast_to(np.float64(2.0), (4, 3, 3, 2))
    assert np.array_equal(max_pool2d_input(gy, innermost), max_pool2d_input(gy.copy(), x[::-1][::-1]))


def test_the_second_derivative_of_a_squared_pooling_is_known():
    # Near x pooling is a linear P, so sum (P x)^2 / 2 has the gradient P^T P x, whose derivative along v is P^T P v.
    from gradcore.graph import backward_pass

    x = Tensor(np.random.default_rng(4).standard_normal((1, 1, 4, 4)), requires_grad=True)
    y = max_pool2d(x)
    ((_, gx),) = backward_pass([((y * y).sum() * 0.5, Tensor(np.ones(())))], retain_graph=True, record=True)
    v = np.random.default_rng(5).standard_normal((1, 1, 4, 4))
    (gx * v).sum().backward()
    close(np.array(x.grad), np.array(max_pool2d_input(max_pool2d_pick(v, x.data), x.data)))


# --- the mean ---------------------------------------------------------------------------------------------------------


def test_the_mean_of_each_window_counts_the_padding():
    x = image([[4, 8, 1], [0, 4, 1]])
    assert avg_pool2d(x).tolist() == [[[[4.0]]]]
    assert avg_pool2d(x, 2, 2, 1).tolist() == [[[[1.0, 2.25], [0.0, 1.25]]]]
    assert avg_pool2d_input(image([[4]]), size=(2, 3)).tolist() == [[[[1, 1, 0], [1, 1, 0]]]]


@settings(deadline=None, max_examples=60)
@given(poolings())
def test_the_mean_and_its_transpose_equal_the_windows_taken_one_by_one(drawn):
    x, arguments = drawn
    y = avg_pool2d(x, **arguments)
    close(y, avg_pool2d.spec.reference(x, **arguments))
    gy = np.random.default_rng(6).standard_normal(y.shape)
    gx = avg_pool2d_input(gy, size=x.shape[2:], **arguments)
    close(gx, avg_pool2d_input.spec.reference(gy, x.shape[2:], **arguments))
    close(np.sum(y * gy), np.sum(x * gx))


# --- messages, dtypes, layers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: max_pool2d(np.ones((1, 4, 4))), ShapeError, ["(1, 4, 4)", "(n, channels, height, width)", "x[None]"]),
        (lambda: max_pool2d(np.ones((1, 1, 4, 1))), ShapeError, ["4 x 1", "(2, 2)", "at least 2 x 2"]),
        (lambda: max_pool2d(np.ones((1, 1, 4, 4)), 3, padding=2), ShapeError, ["padding=2", "kernel_size=3", "(1, 1)"]),
        (lambda: max_pool2d(np.ones((1, 1, 4, 4)), 0), DomainError, ["kernel_size=0", "at least 1"]),
        (lambda: avg_pool2d(np.ones((1, 1, 4, 4)), 2, "2"), DomainError, ["stride='2'"]),
        (lambda: max_pool2d(np.ones((1, 1, 4, 4)), (3, 4), padding=(2, 0)), ShapeError, ["padding=(2, 0)", "(1, 2)"]),
        (lambda: max_pool2d(np.ones((1, 1, 4, 4)), (4, 3), padding=(0, 2)), ShapeError, ["padding=(0, 2)", "(2, 1)"]),
        (lambda: max_pool2d_input(np.ones((1, 1, 3, 2)), np.ones((1, 1, 4, 4))), ShapeError, ["max_pool2d_input got gy of shape (1, 1, 3, 2)", "(1, 1, 2, 2) is what fits"]),
        (lambda: max_pool2d_input(np.ones((1, 1, 2, 2)), np.ones((2, 1, 4, 4))), ShapeError, ["gy of shape (1, 1, 2, 2)", "(2, 1, 2, 2) is what fits"]),
        (lambda: max_pool2d_pick(np.ones((1, 1, 4, 3)), np.ones((1, 1, 4, 4))), ShapeError, ["max_pool2d_pick got values of shape (1, 1, 4, 3)", "(1, 1, 4, 4) is what fits"]),
        (lambda: avg_pool2d_input(np.ones((1, 1, 3, 2)), size=(4, 4)), ShapeError, ["avg_pool2d_input got gy of shape (1, 1, 3, 2)", "(1, 1, 2, 2) is what fits"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_shapes_and_what_would(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert [w for w in words if w not in str(caught.value)] == []


@pytest.mark.parametrize(("kernel", "padding"), [((3, 5), (1, 2)), ((2, 6), (1, 3)), ((6, 2), (3, 1))])
def test_half_the_kernel_may_be_padding(kernel, padding):
    assert max_pool2d(np.zeros((1, 1, 6, 6)), kernel, 1, padding).max() == 0.0


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 256, 256, 1), [(0, 2), (2, 4), (4, 5)]),
        ((2, 512, 256), [(0, 1), (1, 2)]),
        ((2, 1024, 1024), [(0, 1), (1, 2)]),
        ((3, 8), [(0, 3)]),
        ((2, 1, 1), [(0, 2)]),
        ((2, 0, 4), [(0, 2)]),
        ((0, 3), []),
    ],
)
def test_the_channels_are_cut_into_pieces_of_the_size_that_was_measured(shape, expected):
    assert [(piece.start, piece.stop) for piece in pool._blocks(np.empty(shape, np.bool_))] == expected


def test_the_largest_of_whole_numbers_is_told_from_its_neighbour_however_large_they_are():
    x = np.array([[[[2**53, 2**53 + 1], [0, 2**53]]]])
    assert max_pool2d(x).tolist() == [[[[2**53 + 1]]]]
    assert max_pool2d_input(np.ones((1, 1, 1, 1)), x).tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]
    assert max_pool2d_pick(np.arange(4.0).reshape(x.shape), x).tolist() == [[[[1.0]]]]


def test_padding_is_below_any_whole_number_too_whatever_is_pulled_back_or_picked():
    x = np.full((1, 1, 2, 2), -5)
    assert max_pool2d(x, 2, padding=1).tolist() == np.full((1, 1, 2, 2), -5).tolist()
    assert max_pool2d_input(np.ones((1, 1, 2, 2)), x, 2, padding=1).tolist() == np.ones((1, 1, 2, 2)).tolist()
    assert max_pool2d_pick(np.ones((1, 1, 2, 2)), x, 2, padding=1).tolist() == np.ones((1, 1, 2, 2)).tolist()


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (2, 3), (3, 2), (1, 3), (3, 1)])
@pytest.mark.parametrize("stride", [None, (1, 3), (3, 1), (2, 2)])
def test_entries_that_no_window_meets_are_zero_and_the_others_add_up(kernel, stride, monkeypatch):
    monkeypatch.setattr(pool.np, "empty", lambda shape, dtype=float: np.full(shape, 7, dtype))
    for size in [(3, 3), (3, 6), (4, 3), (6, 3), (6, 4), (7, 5)]:
        x = (
            np.random.default_rng(6)
            .permutation(float(np.prod(size)) - np.arange(np.prod(size)))
            .reshape(1, 1, *size)
        )
        gy = np.ones_like(max_pool2d(x, kernel, stride), dtype=np.float32)
        found = max_pool2d_input(gy, x, kernel, stride)
        assert found.dtype == np.float32
        assert np.array_equal(found, pool._max_spread(gy, x, kernel, stride))


def test_what_is_picked_keeps_its_own_dtype():
    values, x = np.ones((1, 1, 2, 2), np.float32), np.arange(4.0).reshape(1, 1, 2, 2)
    assert max_pool2d_pick(values, x).dtype == np.float32


def test_where_the_largest_entry_is_takes_no_part_in_a_derivative():
    x = Tensor(np.random.default_rng(5).standard_normal((2, 1, 4, 4)), requires_grad=True)
    gy, values = np.ones((2, 1, 2, 2)), np.ones((2, 1, 4, 4))
    for op, first in ((max_pool2d_input, gy), (max_pool2d_pick, values)):
        op(first, x).sum().backward()
        assert not x.grad.any()
        x.grad = None
    # So a rule looks at x alone, and what it gives of plain arrays is one.
    y = max_pool2d(x)
    assert type(max_pool2d.rules[0](gy, y, x)) is np.ndarray
    assert type(max_pool2d_input.rules[0](values, gy, gy, x)) is np.ndarray
    assert type(max_pool2d_pick.rules[0](gy, y, values, x)) is np.ndarray


@pytest.mark.parametrize(
    "make",
    [
        lambda: MaxPool2d(2),
        lambda: MaxPool2d(3, stride=2, padding=1),
        lambda: AvgPool2d(3, stride=2, padding=1),
    ],
)
def test_the_layers_pool_keep_float32_and_have_no_parameters(make):
    layer = make()
    x = Tensor(np.random.default_rng(7).standard_normal((2, 3, 7, 7)).astype(np.float32), requires_grad=True)
    y = layer(x)
    op = max_pool2d if isinstance(layer, MaxPool2d) else avg_pool2d
    expected = op.spec.reference(x.data.astype(float), layer.kernel_size, layer.stride, layer.padding)
    np.testing.assert_allclose(y.data, expected, rtol=1e-6, atol=1e-6)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert layer.state_dict() == {}


def test_the_layers_read_like_what_they_do():
    assert repr(MaxPool2d(2)) == "MaxPool2d(2)"
    assert repr(AvgPool2d((3, 2), stride=1, padding=1)) == "AvgPool2d((3, 2), stride=1, padding=1)"
