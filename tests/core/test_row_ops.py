"""Ops that go through their arrays a block at a time: as their clear forms, whatever the blocks, dtypes and memory order."""

import math

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import ShapeError
from gradcore.nn import BatchNorm2d
from gradcore.ops import (
    _rows,
    _split,
    batch_norm,
    erfc,
    gelu,
    group_norm,
    layer_norm,
    log_softmax,
    sigmoid,
    softmax,
)
from gradcore.ops.normalize import channel_moments

RNG = np.random.default_rng(0)
ROWS, VECTOR, OTHER = RNG.standard_normal((7, 6)), RNG.standard_normal(6), RNG.standard_normal(6)
IMAGES, BY_CHANNEL = RNG.standard_normal((5, 3, 4, 2)) + 2.0, RNG.standard_normal((2, 3))
BATCH_INNERMOST = np.ascontiguousarray(IMAGES.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def clear_softmax(x):
    e = np.exp(x)
    return e / np.sum(e, axis=-1, keepdims=True)


def clear_normal(x, axes):
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + 1e-5)


def clear_batch_norm(x, weight, bias):
    return clear_normal(x, (0, 2, 3)) * np.reshape(weight, (3, 1, 1)) + np.reshape(bias, (3, 1, 1))


def clear_group_norm(x, weight, bias):
    normal = np.reshape(clear_normal(np.reshape(x, (5, 1, 24)), 2), x.shape)
    return normal * np.reshape(weight, (3, 1, 1)) + np.reshape(bias, (3, 1, 1))


# Each op, the same composed of other ops, and its arrays.
OPS = {
    "layer norm": (layer_norm, lambda x, w, b: clear_normal(x, -1) * w + b, (ROWS, VECTOR, OTHER)),
    "softmax": (softmax, clear_softmax, (ROWS,)),
    "log softmax": (log_softmax, lambda x: np.log(clear_softmax(x)), (ROWS,)),
    "gelu": (
        lambda x: gelu(x, "tanh"),
        lambda x: x * sigmoid((x + x * x * x * 0.044715) * (2 * np.sqrt(2 / np.pi))),
        (ROWS,),
    ),
    "batch norm": (batch_norm, clear_batch_norm, (IMAGES, *BY_CHANNEL)),
    "batch norm, batch innermost": (batch_norm, clear_batch_norm, (BATCH_INNERMOST, *BY_CHANNEL)),
    "group norm": (lambda x, w, b: group_norm(x, w, b, 1), clear_group_norm, (IMAGES, *BY_CHANNEL)),
}


def run(function, arrays, dtype=np.float64):
    """The value, and the gradient of each array, of a cotangent that differs at every entry."""
    tensors = [Tensor(a.astype(dtype), True) for a in arrays]  # which keeps the order in memory
    y = function(*tensors)
    y.backward(np.linspace(-1, 2, y.data.size).reshape(y.shape).astype(dtype))
    return [y.data, *[t.grad for t in tensors]]


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("entries", [1, 20, 1 << 18])
@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 1e-12), (np.float32, 1e-5), (np.float16, 2e-2)])
def test_the_op_is_its_composition_in_blocks_of_any_size(name, entries, dtype, digits, monkeypatch):
    monkeypatch.setattr(_rows, "_ENTRIES", entries)
    function, clear, arrays = OPS[name]
    for found, expected in zip(run(function, arrays, dtype), run(clear, arrays), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=digits, atol=digits * np.abs(expected).max())


@pytest.mark.parametrize("name", OPS)
def test_the_same_call_gives_the_same_bits(name):
    function, _, arrays = OPS[name]
    for a, b in zip(run(function, arrays), run(function, arrays), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", OPS)
def test_no_argument_is_written_to(name):
    function, _, arrays = OPS[name]
    copies = [a.copy() for a in arrays]
    for c in copies:
        c.flags.writeable = False
    run(function, copies)
    gy = np.ones(function(*copies).shape)
    gy.flags.writeable = False
    function(*[Tensor(c, True) for c in copies]).backward(gy)


@pytest.mark.parametrize("wide", range(3))
@pytest.mark.parametrize(
    ("function", "arrays"), [(layer_norm, OPS["layer norm"][2]), (batch_norm, OPS["batch norm"][2])]
)
def test_dtypes_that_differ_give_the_wider_one_and_gradients_in_each_ones_own(function, arrays, wide):
    tensors = [Tensor(a.astype(np.float64 if i == wide else np.float32), True) for i, a in enumerate(arrays)]
    y = function(*tensors)
    y.backward(np.ones(y.shape))
    assert y.dtype == np.float64
    assert [t.grad.dtype for t in tensors] == [t.dtype for t in tensors]
    np.testing.assert_allclose(y.data, function(*arrays), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("images", [IMAGES, BATCH_INNERMOST, IMAGES[:, :, 0, 0]])
def test_moments_that_are_known_change_nothing(images):
    weight, bias = BY_CHANNEL
    moments = channel_moments(images)
    axes = (0, *range(2, images.ndim))
    np.testing.assert_allclose(moments[0], images.mean(axes), rtol=1e-13)
    np.testing.assert_allclose(moments[1], images.var(axes), rtol=1e-13)
    known = run(lambda *a: batch_norm(*a, moments=moments), (images, weight, bias))
    for a, b in zip(known, run(batch_norm, (images, weight, bias)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_second_derivative_goes_through_the_moments():
    weight, bias = BY_CHANNEL

    def curvature(moments):
        slope = gradcore.grad(lambda x: (batch_norm(x, weight, bias, moments=moments) ** 3).sum())
        return gradcore.grad(lambda x: (slope(x) * IMAGES).sum())(IMAGES)

    np.testing.assert_allclose(
        np.asarray(curvature(channel_moments(IMAGES))), np.asarray(curvature(None)), rtol=1e-9, atol=1e-12
    )


def test_the_layers_running_averages_and_the_op_share_their_moments():
    layer = BatchNorm2d(3, momentum=1.0)
    images = IMAGES.astype(np.float32)
    y = layer(images)
    np.testing.assert_allclose(layer.running_mean, images.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, images.var((0, 2, 3), ddof=1), rtol=1e-5)
    np.testing.assert_allclose(y.data.mean((0, 2, 3)), 0, atol=1e-5)


def test_gelu_passes_half_at_zero_and_nothing_far_to_the_left():
    for dtype in (np.float32, np.float64):
        for approximate in ("none", "tanh"):
            x = Tensor(np.array([0.0, -0.0, -60.0, 60.0], dtype), True)
            y = gelu(x, approximate)
            y.sum().backward()
            assert y.data.tolist() == [0, 0, 0, 60]
            assert x.grad.tolist() == [0.5, 0.5, 0, 1]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_gradient_of_one_number_is_the_same_whether_it_comes_as_a_scalar_or_an_array(approximate):
    for value in np.linspace(-3, 3, 61):
        x = np.array(value)
        y = gelu.forward(x, approximate)
        (of_array,), (of_scalar,) = (
            gelu.vjp(gy, y, x, approximate=approximate) for gy in (np.array(1.1), np.float64(1.1))
        )
        assert of_array == of_scalar


@pytest.mark.parametrize("shape", [(1, 8, 1, 2), (1, 9, 1, 1), (2, 7, 1, 3)])
def test_a_batch_norm_of_more_channels_than_entries_reaches_all_of_them(shape):
    x, w, b = RNG.standard_normal(shape), RNG.standard_normal(shape[1]), RNG.standard_normal(shape[1])
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    by_channel = (1, -1, 1, 1)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * w.reshape(by_channel) + b.reshape(by_channel)
    np.testing.assert_allclose(batch_norm(x, w, b), expected, rtol=1e-10, atol=1e-12)
    inside = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    np.testing.assert_allclose(batch_norm(inside, w, b), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("wide", [{0}, {1}, {2}, {1, 2}])
def test_a_norm_of_two_dtypes_is_in_the_wider_one(wide):
    for f, arrays in ((layer_norm, (ROWS, VECTOR, OTHER)), (batch_norm, (IMAGES, *BY_CHANNEL[:, :3]))):
        given = [a.astype(np.float64 if i in wide else np.float32) for i, a in enumerate(arrays)]
        y = f(*given)
        assert y.dtype == np.float64
        np.testing.assert_allclose(y, f(*[a.astype(np.float64) for a in given]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("f", [softmax, log_softmax])
def test_a_softmax_over_no_entries_is_refused_and_of_no_rows_empty(f):
    with pytest.raises(ValueError, match="zero-size array"):
        f(np.zeros((3, 0)))
    assert f(np.zeros((0, 3))).shape == (0, 3)


def test_softmax_masks_entries_that_are_minus_infinity():
    x = np.array([[1.0, -np.inf, 1.0]])
    assert softmax(x).tolist() == [[0.5, 0, 0.5]]
    assert log_softmax(x)[0, 1] == -np.inf


@pytest.mark.parametrize("bias", [np.zeros(1), np.zeros((1, 6)), np.zeros(())])
def test_layer_norm_refuses_a_bias_that_is_not_as_its_weight(bias):
    with pytest.raises(
        ShapeError, match=r"weight of shape \(6,\) and a bias of shape .*: they must be equal"
    ):
        layer_norm(ROWS, VECTOR, bias)


@pytest.mark.parametrize(
    ("x", "weight"),
    [((7, 6), (5,)), ((6, 7), (6,)), ((6,), (1, 6)), ((7, 6), (6, 6)), ((7, 6), ()), ((4, 12), (6,))],
)
def test_a_norm_over_the_last_axes_refuses_a_weight_of_others(x, weight):
    ones = np.ones(weight)
    for name, call in (
        ("layer_norm", lambda: layer_norm(np.ones(x), ones, ones)),
        ("rms_norm", lambda: gradcore.rms_norm(np.ones(x), ones)),
    ):
        with pytest.raises(ShapeError, match=rf"^{name} got x of shape .*: x must end in the weight's shape"):
            call()


@pytest.mark.parametrize("shapes", [((), ()), ((), (6,)), ((6,), ())])
def test_a_layer_norm_of_a_number_or_by_one_is_refused(shapes):
    x, weight = (np.ones(shape) for shape in shapes)
    with pytest.raises(ShapeError, match="x must end in the weight's shape"):
        layer_norm(x, weight, weight)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "groups"),
    [
        ((4,), (4,), (4,), 1),
        ((2, 4), (4,), (4,), 0),
        ((2, 4), (4,), (4,), -1),
        ((2, 4), (4,), (4,), 3),
        ((2, 4), (3,), (4,), 2),
        ((2, 4), (1,), (4,), 2),
        ((2, 4), (4, 1), (4,), 2),
        ((2, 4), (4,), (3,), 2),
        ((2, 4), (4,), (1,), 2),
    ],
)
def test_a_group_norm_refuses_what_does_not_fit(x, weight, bias, groups):
    with pytest.raises(
        ShapeError, match=f"group_norm got x of shape .*, {groups} groups, .* both are"
    ) as found:
        group_norm(np.ones(x), np.ones(weight), np.ones(bias), groups)
    assert f"weight and bias of shapes {weight} and {bias}" in str(found.value)


def test_a_norm_refuses_to_average_no_entries():
    with pytest.raises(ShapeError, match=r"rms_norm got a weight of shape \(0,\): the mean of no entries"):
        gradcore.rms_norm(np.zeros((3, 0)), np.zeros(0))
    with pytest.raises(ShapeError, match=r"a weight of shape \(0,\): the mean of no entries has no value"):
        layer_norm(np.zeros((3, 0)), np.zeros(0), np.zeros(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_erfc_of_few_bits_is_the_one_of_doubles_rounded(dtype):
    x = np.concatenate([np.linspace(-12, 12, 40_001), [0.0, -0.0, np.inf, -np.inf]]).astype(dtype)
    truth = np.array([math.erfc(v) for v in x.tolist()])
    np.testing.assert_allclose(
        erfc(x).astype(np.float64),
        truth.astype(dtype),
        rtol=np.finfo(dtype).eps,
        atol=np.finfo(dtype).smallest_subnormal,
    )
    assert erfc(np.array([np.nan], dtype))[0] != erfc(np.array([np.nan], dtype))[0]


def test_a_large_mean_takes_no_digits_of_the_variance():
    x = RNG.standard_normal((5, 64))
    far = layer_norm(x + 1e8, np.ones(64), np.zeros(64))
    np.testing.assert_allclose(far, layer_norm(x, np.ones(64), np.zeros(64)), rtol=0, atol=1e-6)


# --- which way an op takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "less", "together"), [(1, 0, False), (2, 1, False), (2, 0, True), (3, 0, True)]
)
def test_blocks_are_split_where_there_are_several_with_much_to_do(number, less, together, monkeypatch):
    split = []
    monkeypatch.setattr(
        _split, "mapped", lambda function, blocks, work: split.append(work) or map(function, blocks)
    )
    blocks = _rows.Blocks(range(number), _rows._LARGE - less)
    assert list(_rows.by_block(lambda i: i * i, blocks)) == [i * i for i in range(number)]
    assert split == [_rows._LARGE] * together


class Own(np.ndarray):
    """An array of another class."""


def test_only_numpys_own_arrays_are_arrays():
    assert _rows.are_arrays()
    assert _rows.are_arrays(ROWS, VECTOR)
    for other in (np.float64(1), ROWS.view(Own), Tensor(ROWS), 1.0, None):
        assert not _rows.are_arrays(ROWS, other)


# --- moments of channels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 5), (1, 3, 4), (6, 1, 2, 2)])
@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 1e-13), (np.float32, 1e-6), (np.float16, 2e-3)])
def test_the_moments_of_channels_are_numpys(shape, dtype, digits):
    x = RNG.standard_normal(shape).astype(dtype)
    axes = (0, *range(2, len(shape)))
    inside = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    for given in (x, inside):
        for found, expected in zip(channel_moments(given), (x.mean(axes), x.var(axes)), strict=True):
            assert found.shape == (shape[1],)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, expected, rtol=digits, atol=digits)


def test_the_moments_of_many_small_numbers_are_finite():
    x = np.full((4, 2, 32, 32), 60, np.float16)  # which sum to more than there is
    mean, variance = channel_moments(x)
    assert mean.tolist() == [60, 60]
    assert variance.tolist() == [0, 0]
    y = batch_norm(x, np.ones(2, np.float16), np.ones(2, np.float16), moments=(mean, variance))
    assert (y == 1).all()


def test_the_moments_of_no_image_are_no_numbers():
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        found = channel_moments(np.zeros((0, 3, 2, 2)))
    assert np.isnan(found).all()


@pytest.mark.parametrize("inside", [False, True])
def test_a_batch_norm_and_its_gradient_are_in_memory_as_what_came(inside):
    x = BATCH_INNERMOST if inside else IMAGES
    y = batch_norm(x, *BY_CHANNEL)
    for found in (y, batch_norm.vjp(x, y, x, *BY_CHANNEL)[0]):
        assert (np.moveaxis(found, 0, -1) if inside else found).flags.c_contiguous
        assert inside or found.flags.owndata
