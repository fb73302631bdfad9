"""Attention: masks of each kind, weights, and errors."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn
from gradcore.errors import ArgumentError, DomainError, DtypeError, ShapeError

attend = gradcore.scaled_dot_product_attention


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


Q, K, V = normal(2, 3, 4), normal(2, 5, 4, seed=1), normal(2, 5, 2, seed=2)


def test_one_key_is_its_value_and_equal_keys_are_the_mean():
    np.testing.assert_allclose(attend(Q, K[:, :1], V[:, :1]), np.broadcast_to(V[:, :1], (2, 3, 2)))
    np.testing.assert_allclose(
        attend(Q, 0 * K, V), np.broadcast_to(V.mean(1, keepdims=True), (2, 3, 2)), rtol=1e-14
    )


def test_a_causal_query_sees_the_keys_up_to_its_own():
    y = attend(Q, K, V, is_causal=True)
    for i in range(3):
        np.testing.assert_allclose(y[:, [i]], attend(Q[:, [i]], K[:, : i + 1], V[:, : i + 1]), rtol=1e-13)
    np.testing.assert_array_equal(y, attend(Q, K, V, attn_mask=np.tri(3, 5, dtype=bool)))


def test_a_query_without_a_key_gets_zeros_and_a_gradient_of_zeros():
    mask = np.ones((3, 5), bool)
    mask[1] = False
    q = Tensor(Q, requires_grad=True)
    y = attend(q, K, V, attn_mask=mask)
    assert not y.data[:, 1].any()
    y.sum().backward()
    assert not q.grad[:, 1].any()
    assert q.grad[:, 0].any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: attend(Q, K[..., :3], V), ShapeError, r"\(2, 3, 4\), \(2, 5, 3\) and \(2, 5, 2\): \(\.\.\., l, e\)"),
        (lambda: attend(Q, K[:, :4], V), ShapeError, r"would fit, with s of at least 1"),
        (lambda: attend(Q, K[:, :0], V[:, :0]), ShapeError, r"with s of at least 1"),
        (lambda: attend(Q, np.ones((3, 5, 4)), V), ShapeError, r"of the shapes \(2, 3, 4\), \(3, 5, 4\) and \(2, 5, 2\)"),
        (lambda: attend(Q, K, np.ones((3, 5, 2)), np.ones((3, 5), bool)), ShapeError, r"and \(3, 5, 2\): \(\.\.\., l, e\)"),
        (lambda: attend(Q[0], K[0], V, np.ones((2, 3, 5), bool)), ShapeError, r"a mask of shape \(2, 3, 5\) for scores of shape \(3, 5\)"),
        (lambda: attend(Q[0, 0], K, V), ShapeError, r"of the shapes \(4,\)"),
        (lambda: attend(Q, K, V, np.ones((3, 5), bool), is_causal=True), ArgumentError, r"both attn_mask and is_causal=True: combine"),
        (lambda: attend(Q, K, V, np.ones((3, 4), bool)), ShapeError, r"a mask of shape \(3, 4\) for scores of shape \(2, 3, 5\)"),
        (lambda: attend(Q, K, V, np.ones((7, 2, 3, 5), bool)), ShapeError, r"has to broadcast to that"),
        (lambda: attend(Q, K, V, np.ones((3, 5), int)), DtypeError, r"a mask of int64: .* write mask != 0"),
        (lambda: nn.MultiheadAttention(6, 4), DomainError, r"embed_dim=6 and num_heads=4: .* such as 2"),
        (lambda: nn.MultiheadAttention(4, 2)(Q, K, V), ShapeError, r"\(l, n, 4\), \(s, n, 4\), \(s, n, 4\) would fit"),
        (lambda: nn.MultiheadAttention(4, 2, batch_first=True)(Q, K[:1], K[:1]), ShapeError, r"\(n, l, 4\), \(n, s, 4\)"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2)(Q, K, K), ShapeError, r"\(l, n, 4\), \(s, n, 3\), \(s, n, 2\) would fit"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=0), DomainError, r"kdim=0"),
        (lambda: nn.MultiheadAttention(4, 2, batch_first=True)(Q, K, K, np.ones((2, 4), bool)), ShapeError, r"key_padding_mask of shape \(2, 4\): \(2, 5\) would fit"),
        (lambda: nn.MultiheadAttention(4, 2, batch_first=True)(Q, K, K, attn_mask=np.ones((5, 3), bool)), ShapeError, r"a mask of shape \(5, 3\) for scores of shape \(2, 2, 3, 5\)"),
        (lambda: nn.TransformerEncoderLayer(4, 2)(Q[0]), ShapeError, r"takes src of shape \(t, n, 4\), and got \(3, 4\)"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="sine"), DomainError, r"activation='sine': expected 'relu', 'gelu' or a function"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_leading_axes_broadcast_with_a_mask_and_without():
    q, k, v = normal(2, 1, 3, 4), normal(5, 4, 4, seed=1), normal(2, 5, 4, 2, seed=2)
    whole = [np.broadcast_to(x, (2, 5, *x.shape[-2:])) for x in (q, k, v)]
    for mask in (
        None,
        np.tri(3, 4, dtype=bool),
        normal(5, 3, 4, seed=3),
        np.tri(3, 4, 2, dtype=bool)[None, None],
    ):
        np.testing.assert_allclose(attend(q, k, v, mask), attend(*whole, mask), rtol=1e-13)


def test_a_scale_takes_the_place_of_the_root_of_the_width():
    np.testing.assert_allclose(attend(Q, K, V), attend(Q, K, V, scale=0.5), rtol=1e-14)
    np.testing.assert_allclose(attend(Q * 3, K, V), attend(Q, K, V, scale=1.5), rtol=1e-13)


def test_masks_may_be_tensors_and_keep_float32():
    q, k, v = (x.astype(np.float32) for x in (Q, K, V))
    mask = np.tri(3, 5, -1, dtype=bool)  # the first query has no key
    y = attend(Tensor(q), k, v, Tensor(mask))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, attend(q, k, v, mask))
    assert not y.data[:, 0].any()
    np.testing.assert_allclose(y.data[:, 1], v[:, 0], rtol=1e-6)


def test_weights_are_averaged_or_by_head_or_left_out():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    y, mean = layer(Q, K, K)
    same, by_head = layer(Q, K, K, average_attn_weights=False)
    alone, none = layer(Q, K, K, need_weights=False)
    assert (mean.shape, by_head.shape, none) == ((2, 3, 5), (2, 2, 3, 5), None)
    np.testing.assert_allclose(mean.data, by_head.data.mean(1), rtol=1e-14)
    np.testing.assert_allclose(mean.data.sum(-1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(y.data, same.data)
    np.testing.assert_array_equal(y.data, alone.data)
    assert repr(layer).startswith("MultiheadAttention(4, 2 heads)  80 parameters")


def test_masks_of_booleans_and_of_numbers_shut_out_the_same_keys_together():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, rng=0)
    shut = np.zeros((2, 5), bool)
    shut[:, 3:] = True
    later = ~np.tri(3, 5, dtype=bool)
    numbers = np.where(later, -np.inf, 0.0)
    y, weights = layer(Q, K, K, shut, attn_mask=later)
    for other in (
        layer(Q, K, K, shut, attn_mask=numbers),
        layer(Q, K, K, np.where(shut, -np.inf, 0.0), attn_mask=numbers),
        layer(Q, K, K, shut, is_causal=True),
        layer(Q, K, K, shut, attn_mask=np.repeat(later[None], 4, 0)),
    ):
        np.testing.assert_allclose(y.data, other[0].data, rtol=1e-13)
    assert not weights.data[:, later].any()
    assert not weights.data[:, :, 3:].any()


def test_a_function_as_activation():
    by_name, by_function = (
        nn.TransformerEncoderLayer(4, 2, 8, activation=a, rng=0).eval() for a in ("gelu", gradcore.gelu)
    )
    np.testing.assert_array_equal(by_name(Q).data, by_function(Q).data)
    assert repr(by_name).startswith("TransformerEncoderLayer(4)")


@pytest.mark.parametrize("mask", [True, False, 0.5])
def test_a_mask_without_axes_is_one_for_all_keys(mask):
    q, k, v = (np.random.default_rng(i).normal(size=(2, 3, 4)) for i in range(3))
    found = attend(q, k, v, np.array(mask))
    plain = attend(q, k, v)
    np.testing.assert_allclose(found, plain if mask else np.zeros_like(plain), rtol=1e-12)


@pytest.mark.parametrize(("kdim", "vdim"), [(3, None), (None, 3), (3, 3), (None, None)])
def test_widths_that_differ_have_weights_of_their_own(kdim, vdim):
    layer = nn.MultiheadAttention(4, 2, kdim=kdim, vdim=vdim, rng=0)
    assert (layer.in_proj_weight is None) == (kdim is not None or vdim is not None)
    shapes = {name: p.shape for name, p in layer.named_parameters()}
    if layer.in_proj_weight is None:
        assert shapes["k_proj_weight"] == (4, kdim or 4)
        assert shapes["v_proj_weight"] == (4, vdim or 4)
    else:
        assert shapes["in_proj_weight"] == (12, 4)
    key, value = (np.ones((5, 1, width or 4), np.float32) for width in (kdim, vdim))
    assert layer(np.ones((3, 1, 4), np.float32), key, value)[0].shape == (3, 1, 4)
