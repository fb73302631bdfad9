"""Convolution: known values, PyTorch's, the loop reference, the three forms of one product, blocks, the layer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradcore import Tensor, conv1d, conv2d, conv2d_input, conv2d_weight, conv_transpose2d, nn, relu
from gradcore.nn.conv2d import Conv2d
from gradcore.ops import _windows


@st.composite
def convolutions(draw):
    """(x, weight, bias, arguments) of a convolution that fits, batches of 0 included."""
    groups = draw(st.integers(1, 3))
    channels, out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(
        st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.just("same"), st.just("valid"))
    )
    if padding == "same":
        stride = (1, 1)
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    edge = padding if isinstance(padding, tuple) else (4, 4) if padding == "same" else (0, 0)
    assume(all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, edge, dilation, kernel, strict=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((draw(st.integers(0, 3)), channels, *size))
    weight, bias = rng.standard_normal((out, channels // groups, *kernel)), rng.standard_normal(out)
    return x, weight, bias, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11, strict=True)


# --- values -----------------------------------------------------------------------------------------------------------


def test_a_convolution_is_a_cross_correlation_the_kernel_is_not_turned():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 2.0], [10.0, 20.0]]]])
    # 1*0 + 2*1 + 10*3 + 20*4 = 112, and 33 more for each step to the right, 99 for each step down
    assert conv2d(x, weight).tolist() == [[[[112.0, 145.0], [211.0, 244.0]]]]
    assert conv2d(x, weight, np.array([0.5])).tolist() == [[[[112.5, 145.5], [211.5, 244.5]]]]


def test_stride_drops_the_remainder_and_padding_is_zeros():
    x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
    weight = np.ones((1, 1, 1, 2))
    assert conv2d(x, weight, stride=(1, 3)).tolist() == [[[[3.0]]]]
    assert conv2d(x, weight, padding=(0, 1)).tolist() == [[[[1.0, 3.0, 5.0, 7.0, 4.0]]]]
    assert conv2d(x, weight, padding=(0, 1), stride=2).tolist() == [[[[1.0, 5.0, 4.0]]]]
    assert conv2d(x, weight, dilation=(1, 3)).tolist() == [[[[5.0]]]]


def test_same_padding_keeps_the_size_and_puts_the_odd_zero_after():
    x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
    kernel = np.ones((1, 1, 1, 2))
    assert conv2d(x, kernel, padding="same").ravel().tolist() == [3.0, 5.0, 7.0, 4.0]
    x, kernel = x.transpose(0, 1, 3, 2), kernel.transpose(0, 1, 3, 2)
    assert conv2d(x, kernel, padding="same").ravel().tolist() == [3.0, 5.0, 7.0, 4.0]


def test_groups_see_only_their_own_channels():
    x = np.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    weight = np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1)
    assert conv2d(x, weight, groups=2).ravel().tolist() == [1.0, 2.0, 30.0, 40.0]


@settings(deadline=None, max_examples=150)
@given(convolutions())
def test_values_equal_the_products_summed_one_by_one(drawn):
    x, weight, bias, arguments = drawn
    y = conv2d(x, weight, bias, **arguments)
    close(y, conv2d.spec.reference(x, weight, bias, **arguments))
    gy = np.random.default_rng(0).standard_normal(y.shape)
    size, kernel = x.shape[2:], weight.shape[2:]
    close(
        conv2d_input(gy, weight, size=size, **arguments),
        conv2d_input.spec.reference(gy, weight, size, **arguments),
    )
    close(
        conv2d_weight(gy, x, kernel_size=kernel, **arguments),
        conv2d_weight.spec.reference(gy, x, kernel, **arguments),
    )


@settings(deadline=None, max_examples=100)
@given(convolutions())
def test_the_three_ops_are_one_product_seen_from_three_sides(drawn):
    x, weight, _, arguments = drawn
    y = conv2d(x, weight, **arguments)
    gy = np.random.default_rng(1).standard_normal(y.shape)
    product = np.sum(y * gy)
    near = pytest.approx(product, rel=1e-12, abs=1e-12 * (1 + np.sum(np.abs(y * gy))))
    assert np.sum(x * conv2d_input(gy, weight, size=x.shape[2:], **arguments)) == near
    assert np.sum(weight * conv2d_weight(gy, x, kernel_size=weight.shape[2:], **arguments)) == near


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_values_and_gradients_equal_pytorchs(torch, drawn):
    x, weight, bias, arguments = drawn
    # PyTorch warns that its "same" copies for even kernels, and takes no empty batch in every version.
    assume(len(x) and not (arguments["padding"] == "same" and any(k % 2 == 0 for k in weight.shape[2:])))
    ours = [Tensor(a, requires_grad=True) for a in (x, weight, bias)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    y, expected = conv2d(*ours, **arguments), torch.nn.functional.conv2d(*theirs, **arguments)
    close(y.data, expected.detach().numpy())
    gy = np.random.default_rng(2).standard_normal(y.shape)
    y.backward(gy)
    expected.backward(torch.tensor(gy))
    for mine, other in zip(ours, theirs, strict=True):
        close(mine.grad, other.grad.numpy())


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_the_rules_of_all_three_are_their_transposes_in_either_argument(drawn):
    x, weight, _, arguments = drawn
    y = conv2d(x, weight, **arguments)
    for op, arrays, more in (
        (conv2d, (x, weight), {}),
        (conv2d_input, (y, weight), {"size": x.shape[2:]}),
        (conv2d_weight, (y, x), {"kernel_size": weight.shape[2:]}),
    ):
        value = op(*arrays, **more, **arguments)
        rng = np.random.default_rng(8)
        g, others = rng.standard_normal(value.shape), [rng.standard_normal(a.shape) for a in arrays]
        cotangents = op.vjp(g, value, *arrays, *([None] if op is conv2d else []), **more, **arguments)
        for i, other in enumerate(others):
            moved = op(*arrays[:i], other, *arrays[i + 1 :], **more, **arguments)
            size = 1 + np.sum(np.abs(moved * g))
            assert np.sum(other * cotangents[i]) == pytest.approx(np.sum(moved * g), abs=1e-12 * size)


# --- blocks and memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "entries"), [(1, 1 << 22), (7, 1 << 22), (24, 1 << 22), (1 << 20, 40), (1 << 20, 1)]
)
@pytest.mark.parametrize("batch", [1, 5, 7])  # 7 is the width of the result
def test_however_the_work_is_cut_into_blocks_the_result_is_the_same(columns, entries, batch, monkeypatch):
    rng = np.random.default_rng(3)
    x, weight, bias = (
        rng.standard_normal((batch, 4, 9, 8)),
        rng.standard_normal((6, 2, 3, 2)),
        rng.standard_normal(6),
    )
    arguments = {"stride": (2, 1), "padding": (1, 0), "groups": 2}
    expected = conv2d.spec.reference(x, weight, bias, **arguments)
    monkeypatch.setattr(_windows, "_COLUMNS", columns)
    monkeypatch.setattr(_windows, "_ENTRIES", entries)
    y = conv2d(x, weight, bias, **arguments)
    close(y, expected)
    close(
        conv2d_input(y, weight, size=(9, 8), **arguments),
        conv2d_input.spec.reference(y, weight, (9, 8), **arguments),
    )
    close(
        conv2d_weight(y, x, kernel_size=(3, 2), **arguments),
        conv2d_weight.spec.reference(y, x, (3, 2), **arguments),
    )


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 300),
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 9000),
)
def test_blocks_cover_every_position_once(high, wide, batch, rows, columns, entries):
    at = _windows.windows("conv2d", (high, wide), (1, 1), 1, 0)
    seen = np.zeros((high, batch), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_windows, "_COLUMNS", columns)
        patch.setattr(_windows, "_ENTRIES", entries)
        for lines, images in _windows.blocks(at, batch, rows):
            seen[lines, images] += 1
    assert (seen == 1).all()


def test_a_chain_of_convolution_and_relu_keeps_the_batch_innermost_in_memory_and_flattens_without_a_copy():
    x = np.ones((8, 1, 6, 6), np.float32)
    y = relu(conv2d(x, np.ones((4, 1, 3, 3), np.float32)))
    assert y.shape == (8, 4, 4, 4)
    assert y.transpose(1, 2, 3, 0).flags.c_contiguous
    assert np.shares_memory(y.reshape(8, -1), y)


@pytest.mark.parametrize("order", ["C", "F", "channels last", "reversed", "strided"])
def test_any_memory_layout_gives_the_same(order):
    rng = np.random.default_rng(4)
    x, weight = rng.standard_normal((3, 2, 5, 6)), rng.standard_normal((4, 2, 3, 3))
    laid = {
        "C": x,
        "F": np.asfortranarray(x),
        "channels last": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "reversed": np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1],
        "strided": np.repeat(x, 2, 3)[..., ::2],
    }[order]
    laid.flags.writeable = False
    for padding in (0, 1):
        expected = conv2d.spec.reference(x, weight, padding=padding)
        close(conv2d(laid, weight, padding=padding), expected)
        close(
            conv2d_weight(expected, laid, kernel_size=3, padding=padding),
            conv2d_weight.spec.reference(expected, x, 3, padding=padding),
        )


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (2, 0, 4, 4)])
def test_empty_batches_and_no_channels_give_what_an_empty_sum_gives(shape):
    weight = np.ones((3, shape[1], 2, 2))
    y = conv2d(np.ones(shape), weight, np.array([1.0, 2.0, 3.0]))
    assert y.shape == (shape[0], 3, 3, 3)
    assert (y == np.array([1.0, 2.0, 3.0])[:, None, None]).all()
    assert conv2d_input(y, weight, size=(4, 4)).shape == shape
    gw = conv2d_weight(y, np.ones(shape), kernel_size=2)
    assert gw.shape == weight.shape
    assert not gw.any()


def test_padding_does_not_widen_the_dtype_that_is_computed_in():
    x = np.ones((1, 1, 2, 2), np.float32)
    assert _windows.padded(x, _windows.windows("conv2d", (2, 2), (1, 1), 1, 1)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept_forward_and_backward(dtype):
    x, weight, bias = (
        Tensor(np.ones(s, dtype), requires_grad=True) for s in ((2, 1, 4, 4), (3, 1, 2, 2), (3,))
    )
    y = conv2d(x, weight, bias)
    y.sum().backward()
    assert [a.dtype for a in (y, x.grad, weight.grad, bias.grad)] == [dtype] * 4


@pytest.mark.parametrize("wide", range(3))
def test_mixed_dtypes_give_the_wider_one(wide):
    def one_wide(*shapes):
        return [np.ones(s, np.float64 if i == wide else np.float32) for i, s in enumerate(shapes)]

    expected = [np.float64 if wide < n else np.float32 for n in (2, 3)]
    image, kernel, value = (1, 1, 3, 3), (1, 1, 2, 2), (1, 1, 2, 2)
    assert conv2d(*one_wide(image, kernel)).dtype == expected[0]
    assert conv2d(*one_wide(image, kernel, (1,))).dtype == expected[1]
    assert conv2d_input(*one_wide(value, kernel), size=(3, 3)).dtype == expected[0]
    assert conv2d_weight(*one_wide(value, image), kernel_size=2).dtype == expected[0]


def test_the_first_layer_computes_no_gradient_for_images_that_need_none(monkeypatch):
    called = []
    monkeypatch.setattr(conv2d_input, "forward", lambda *_a, **_k: called.append(1))
    weight = Tensor(np.ones((1, 1, 2, 2), np.float32), requires_grad=True)
    conv2d(Tensor(np.ones((1, 1, 3, 3), np.float32)), weight).sum().backward()
    assert weight.grad is not None
    assert not called


def test_the_second_derivative_of_a_squared_convolution_is_known():
    # f = sum (w * x)^2 / 2 has the gradient x^T (w * x) in x, whose derivative along v is x^T (w * v).
    from gradcore.graph import backward_pass

    rng = np.random.default_rng(5)
    x, v, weight = (
        rng.standard_normal((2, 2, 5, 5)),
        rng.standard_normal((2, 2, 5, 5)),
        rng.standard_normal((3, 2, 3, 3)),
    )
    leaf = Tensor(x, requires_grad=True)
    y = conv2d(leaf, weight, stride=2)
    ((_, gx),) = backward_pass([((y * y).sum() * 0.5, Tensor(np.ones(())))], retain_graph=True, record=True)
    (gx * v).sum().backward()
    close(
        leaf.grad,
        np.ascontiguousarray(conv2d_input(conv2d(v, weight, stride=2), weight, size=(5, 5), stride=2)),
    )


def test_groups_may_be_one_of_numpys_whole_numbers():
    x, weight = np.ones((2, 4, 3, 3)), np.ones((2, 2, 2, 2))
    assert np.array_equal(conv2d(x, weight, groups=np.int64(2)), conv2d(x, weight, groups=2))


def test_a_bias_that_is_none_gets_none():
    x, weight = np.ones((2, 1, 4, 4)), np.ones((3, 1, 2, 2))
    y = conv2d(x, weight)
    assert [gx is None for gx in conv2d.vjp(y, y, x, weight, None)] == [False, False, True]


# --- the transposed convolution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (3, 2), "output_padding": (2, 0), "groups": 2},
        {"dilation": 2},
    ],
)
def test_the_transposed_convolution_equals_pytorchs(torch, arguments):
    rng = np.random.default_rng(6)
    x, bias = rng.standard_normal((2, 4, 3, 4)), rng.standard_normal(6)
    weight = rng.standard_normal((4, 6 // arguments.get("groups", 1), 3, 2))
    expected = torch.nn.functional.conv_transpose2d(*map(torch.tensor, (x, weight, bias)), **arguments)
    close(conv_transpose2d(x, weight, bias, **arguments), expected.numpy())


def test_the_transposed_convolution_spreads_each_entry_over_a_kernel():
    x = np.array([1.0, 10.0]).reshape(1, 1, 1, 2)
    weight = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    assert conv_transpose2d(x, weight).ravel().tolist() == [1.0, 12.0, 23.0, 30.0]
    assert conv_transpose2d(x, weight, stride=(1, 2)).ravel().tolist() == [1.0, 2.0, 13.0, 20.0, 30.0]


@pytest.mark.parametrize(("stride", "extra", "size"), [((2, 1), (1, 0), (9, 5)), ((1, 2), (0, 1), (5, 9))])
def test_output_padding_below_the_stride_of_its_axis_is_taken(stride, extra, size):
    y = conv_transpose2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), stride=stride, output_padding=extra)
    assert y.shape == (1, 1, *size)


# --- the layer --------------------------------------------------------------------------------------------------------


def test_the_layer_convolves_with_its_own_weight_and_bias():
    layer = Conv2d(2, 4, (3, 2), stride=2, padding=1, groups=2, rng=0)
    layer.bias.data += np.arange(4, dtype=np.float32)
    x = np.random.default_rng(7).standard_normal((2, 2, 5, 5)).astype(np.float32)
    y = layer(x)
    expected = conv2d.spec.reference(x, layer.weight.data, layer.bias.data, 2, 1, 1, 2)
    np.testing.assert_allclose(y.data, expected, rtol=1e-5, atol=1e-5)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert Conv2d(1, 1, 1, bias=False).bias is None


def test_the_layers_weight_has_the_variance_that_suits_relu_and_comes_from_the_seed():
    weight = Conv2d(32, 64, 3, rng=0).weight.data
    assert weight.dtype == np.float32
    assert weight.std() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.03)
    assert np.array_equal(weight, Conv2d(32, 64, 3, rng=0).weight.data)
    assert not np.array_equal(weight, Conv2d(32, 64, 3, rng=1).weight.data)


def test_the_layer_reads_like_what_it_does():
    assert repr(Conv2d(1, 8, 3, padding="same", bias=False)).startswith(
        "Conv2d(1 -> 8, 3 x 3, padding=same, bias=False)"
    )
    assert repr(Conv2d(2, 8, (3, 5), stride=2, groups=2)).startswith(
        "Conv2d(2 -> 8, 3 x 5, stride=2, groups=2)"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1, "dilation": 3, "groups": 2},
        {"stride": 3, "padding": 2, "dilation": 1, "groups": 4},
        {"padding": "same", "dilation": 2, "groups": 4},
        {"padding": "valid", "stride": 2},
    ],
)
def test_a_convolution_of_sequences_is_one_of_images_of_one_row(options):
    rng = np.random.default_rng(0)
    groups = options.get("groups", 1)
    x, w, b = rng.normal(size=(2, 4, 11)), rng.normal(size=(8, 4 // groups, 3)), rng.normal(size=8)
    rows = {
        n: v if n == "groups" or isinstance(v, str) else (int(n != "padding"), v) for n, v in options.items()
    }
    expected = conv2d(x[:, :, None], w[:, :, None], b, **rows)[:, :, 0]
    np.testing.assert_array_equal(conv1d(x, w, b, **options), expected)
    layer = nn.Conv1d(4, 8, 3, **options).astype(np.float64)
    layer.weight.data, layer.bias.data = w, b
    np.testing.assert_array_equal(layer(x).data, expected)


@pytest.mark.parametrize(
    "options", [{"groups": 2, "dilation": 3}, {"groups": 4, "dilation": 1, "stride": 2}, {"dilation": 2}]
)
def test_a_layer_of_transposed_convolution_hands_each_option_on(options):
    layer = nn.ConvTranspose2d(4, 8, 3, **options, rng=0).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6))
    expected = conv_transpose2d(x, layer.weight.data, layer.bias.data, **options)
    np.testing.assert_array_equal(layer(x).data, expected)
