"""Convolution of images: one trilinear form, three ops.

    <conv2d(x, w), gy> = <x, conv2d_input(gy, w)> = <w, conv2d_weight(gy, x)>

Each of the three is linear in both of its arrays, and the rule of each is the other two: so derivatives of any order
need nothing more. All three gather windows into columns, a block at a time, and multiply matrices.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.op import Array, op
from gradcore.ops._rows import Blocks, by_block, each_block
from gradcore.ops._windows import (
    Padding,
    Pair,
    all_windows,
    batch_first,
    blocks,
    check_bias,
    check_cotangent,
    empty,
    fitted,
    image_by_image,
    padded,
    pair,
    turned,
)
from gradcore.ops.reference import both
from gradcore.spec import Case, Derived, OneOf, OpSpec, case, reals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gradcore.ops._windows import Windows

# --- references: one product after another ----------------------------------------------------------------------------


def _axis(size: int, k: int, stride: int, padding: int | str, dilation: int) -> list[list[tuple[int, int]]]:
    """For each window along one axis, the pairs (entry of the kernel, entry of the image) that meet in it."""
    reach = dilation * (k - 1)
    before = reach // 2 if padding == "same" else 0 if isinstance(padding, str) else padding
    after = reach - before if padding == "same" else before
    starts = range(-before, size + after - reach, stride)
    return [[(u, t + u * dilation) for u in range(k) if 0 <= t + u * dilation < size] for t in starts]


def _products(
    x: tuple[int, ...], weight: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[tuple[int, ...], Iterator[tuple[tuple[int, ...], ...]]]:
    """The shape of y, and the indices (of y, of x, of the weight) of every product in it."""
    per_axis = zip(*map(both, (stride, padding, dilation)), strict=True)
    rows, columns = (_axis(size, k, *more) for size, k, more in zip(x[2:], weight[2:], per_axis, strict=True))
    each = weight[0] // groups
    return (x[0], weight[0], len(rows), len(columns)), (
        ((n, o, i, j), (n, o // each * weight[1] + c, row, column), (o, c, u, v))
        for n, o, c in np.ndindex(x[0], weight[0], weight[1])
        for i, in_rows in enumerate(rows)
        for j, in_columns in enumerate(columns)
        for u, row in in_rows
        for v, column in in_columns
    )


def _conv_by_products(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    shape, products = _products(x.shape, weight.shape, stride, padding, dilation, groups)
    y = np.zeros(shape)
    for i, j, k in products:
        y[i] += x[j] * weight[k]
    return y if bias is None else y + bias[:, None, None]


def _input_by_products(
    gy: Any, weight: Any, size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    gx = np.zeros((gy.shape[0], weight.shape[1] * groups, *size))
    for i, j, k in _products(gx.shape, weight.shape, stride, padding, dilation, groups)[1]:
        gx[j] += gy[i] * weight[k]
    return gx


def _weight_by_products(
    gy: Any, x: Any, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    gw = np.zeros((gy.shape[1], x.shape[1] // groups, *both(kernel_size)))
    for i, j, k in _products(x.shape, gw.shape, stride, padding, dilation, groups)[1]:
        gw[k] += gy[i] * x[j]
    return gw


# --- domains ----------------------------------------------------------------------------------------------------------

# (kernel, stride, padding, dilation, groups): the kinds of convolution, each a case of all three ops. Image
# sizes run over every remainder of the stride.
_SORTS: tuple[tuple[tuple[int, int], tuple[int, int], tuple[int, int] | str, tuple[int, int], int], ...] = (
    ((3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 3), (2, 3), (1, 2), (1, 1), 1),
    ((2, 2), (3, 3), (0, 0), (1, 1), 1),  # a stride beyond the kernel: entries that no window meets
    ((2, 3), (1, 1), (2, 2), (2, 1), 1),
    ((3, 2), (1, 2), (0, 1), (1, 2), 2),
    ((2, 2), (1, 1), (0, 0), (1, 1), 3),
    ((1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 1), (2, 2), (0, 0), (1, 1), 2),
    ((2, 3), (1, 1), "same", (1, 2), 1),
    ((2, 1), (2, 2), "valid", (1, 1), 1),
)


def _cases(kind: str) -> tuple[Case, ...]:
    made = []
    for kernel, stride, padding, dilation, groups in _SORTS:
        sizes = {"n": (0, 2), "c": (1, 2), "o": (1, 2)}
        out = []
        for axis, letter in enumerate("hw"):
            reach = dilation[axis] * (kernel[axis] - 1)
            pads = {"same": reach, "valid": 0}[padding] if isinstance(padding, str) else 2 * padding[axis]
            sizes[letter] = (max(1, reach + 1 - pads), max(1, reach + 1 - pads) + stride[axis])
            out.append(f"({letter}+{pads - reach - 1})//{stride[axis]}+1".replace("+-", "-"))
        x, weight = reals(f"n {groups}*c h w"), reals(f"{groups}*o c {kernel[0]} {kernel[1]}")
        gy = reals(f"n {groups}*o {out[0]} {out[1]}")
        given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        # A pair of equal numbers is passed as one number; what is the default is left out.
        short = {k: v[0] if isinstance(v, tuple) and v[0] == v[1] else v for k, v in given.items()}
        params = {k: OneOf(v) for k, v in short.items() if v != {"padding": 0}.get(k, 1)}
        if kind == "conv2d":
            made.append(case(x, weight, reals(f"{groups}*o"), params=params, sizes=sizes))
        elif kind == "input":
            size = {"size": Derived(lambda env: [(env["h"], env["w"])])}
            made.append(case(gy, weight, params={**size, **params}, sizes=sizes))
        else:
            made.append(case(gy, x, params={"kernel_size": OneOf(kernel), **params}, sizes=sizes))
    return tuple(made)


# --- the three ops ----------------------------------------------------------------------------------------------------


def _conv_x(gy: Array, _y: Array, x: Array, weight: Array, _bias: Array, **same: Any) -> Array:
    return conv2d_input(gy, weight, size=x.shape[2:], **same)


def _conv_weight(gy: Array, _y: Array, x: Array, weight: Array, _bias: Array, **same: Any) -> Array:
    return conv2d_weight(gy, x, kernel_size=weight.shape[2:], **same)


def _conv_bias(gy: Array, _y: Array, _x: Array, _weight: Array, bias: Array, **_same: Any) -> Array:
    return None if bias is None else np.sum(gy, axis=(0, 2, 3))


@op(
    vjp=(_conv_x, _conv_weight, _conv_bias),
    spec=OpSpec(
        *_cases("conv2d"),
        case(
            reals("n c h w"),
            reals("o c 2 2"),
            sizes={"n": (0, 2), "c": (0, 2), "o": (0, 2), "h": (2, 3), "w": (2, 3)},
        ),
        reference=_conv_by_products,
    ),
)
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    /,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation of images with kernels, as deep learning's convolution is.

    x: (n, in, h, w); weight: (out, in / groups, kh, kw); bias: (out,) or None. Returns (n, out, oh, ow):
    y[n, o, i, j] = bias[o] + sum over c, u, v of weight[o, c, u, v] x[n, c, i stride + u dilation - padding, j ...],
    with zeros outside the image and oh = (h + 2 padding - dilation (kh - 1) - 1) // stride + 1. Output channels and
    input channels are cut into `groups` parts, and each part of the output sees its part of the input only.
    stride, dilation: a whole number or a pair for (height, width). padding: also "valid" (none) and "same" (the output
    has the size of the input; stride 1 only; where the padding is odd, the greater half comes after).

    Raises ShapeError, with the shapes and what would fit, where channels, groups, ranks or sizes do not fit.
    """
    at = fitted("conv2d", x.shape, weight.shape, stride, padding, dilation, groups)
    check_bias("conv2d", bias, weight, weight.shape[0])
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    return _convolved(x, weight, bias, at, groups, dtype)


def _convolved(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    at: Windows,
    groups: int,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """`conv2d` by windows that are known to fit."""
    n, out = x.shape[0], weight.shape[0]
    by_image = image_by_image(math.prod(at.out), x)
    view = all_windows(padded(x, at, by_image=by_image), at)
    rows = math.prod(weight.shape[1:])
    w = weight.reshape(groups, out // groups, rows)
    b = None if bias is None else bias.reshape(groups, out // groups, 1)
    y = empty((out, *at.out, n), dtype, by_image)

    def fill(block: tuple[slice, slice]) -> None:
        lines, images = block
        part = y[:, lines, :, images]
        positions = math.prod(part.shape[1:])
        columns = view[:, :, :, lines, :, images].reshape(groups, rows, positions)
        # Where the block's place in y is one run of memory for each channel, the product goes there.
        whole = part[:1].flags.c_contiguous
        place = part.reshape(groups, out // groups, positions) if whole else None
        product = np.matmul(w, columns, out=place)
        if b is not None:
            product += b
        if place is None:
            part[...] = product.reshape(part.shape)

    each_block(fill, blocks(at, n, groups * rows, by_image))
    return batch_first(y)


def _input_gy(g: Array, _y: Array, _gy: Array, weight: Array, size: tuple[int, int], **same: Any) -> Array:
    return conv2d(g, weight, **same)


def _input_weight(g: Array, _y: Array, gy: Array, weight: Array, size: tuple[int, int], **same: Any) -> Array:
    return conv2d_weight(gy, g, kernel_size=weight.shape[2:], **same)


@op(vjp=(_input_gy, _input_weight), spec=OpSpec(*_cases("input"), reference=_input_by_products))
def conv2d_input(
    gy: Array,
    weight: Array,
    /,
    size: tuple[int, int],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The transpose of `conv2d` in x: <conv2d(x, weight), gy> = <x, conv2d_input(gy, weight)> for x of (height, width) `size`.

    gy: (n, out, oh, ow); weight: (out, in / groups, kh, kw). Returns (n, in, h, w). The other arguments are conv2d's.
    Raises ShapeError where gy is not of the shape that conv2d gives for images of that size.
    """
    channels = weight.shape[1] * groups if weight.ndim == 4 else 0
    shape = (gy.shape[0] if gy.ndim else 0, channels, *size)
    at = fitted("conv2d_input", shape, weight.shape, stride, padding, dilation, groups)
    n, out = shape[0], weight.shape[0]
    check_cotangent("conv2d_input", gy.shape, (n, out, *at.out))
    dtype = np.result_type(gy, weight)
    by_image = image_by_image(math.prod(at.out), gy)
    back = at.reversed
    if back is not None and n and out <= channels * (2 if by_image else 1):
        # Windows of gy are fewer than the products that would be added up: measured, from 3 -> 64 to 128 -> 128 channels.
        each = weight.reshape(groups, out // groups, weight.shape[1], *at.kernel)[..., ::-1, ::-1]
        flipped = each.transpose(0, 2, 1, 3, 4).reshape(channels, out // groups, *at.kernel)
        return _convolved(gy, flipped, None, back, groups, dtype)
    g = turned(gy, by_image)
    rows = math.prod(weight.shape[1:])
    w = weight.reshape(groups, out // groups, rows).transpose(0, 2, 1)
    gx = empty((channels, *at.padded, n), dtype, by_image)
    gx[...] = 0

    def add(some: list[tuple[slice, slice]]) -> None:
        for lines, images in some:
            part = g[:, lines, :, images]
            columns = np.matmul(w, part.reshape(groups, out // groups, math.prod(part.shape[1:])))
            columns = columns.reshape(channels, *at.kernel, *part.shape[1:])
            for u, v in np.ndindex(at.kernel):
                gx[(slice(None), *at.tap(u, v, lines), images)] += columns[:, u, v]

    # The windows of blocks of the same images overlap: one after the other.
    pieces = blocks(at, n, groups * rows, by_image)
    of_images = itertools.groupby(pieces, key=lambda block: block[1].start)
    each_block(add, Blocks([list(some) for _, some in of_images], pieces.work))
    return batch_first(gx[(slice(None), *at.inside)])


def _weight_gy(g: Array, _y: Array, _gy: Array, x: Array, kernel_size: Pair, **same: Any) -> Array:
    return conv2d(x, g, **same)


def _weight_x(g: Array, _y: Array, gy: Array, x: Array, kernel_size: Pair, **same: Any) -> Array:
    return conv2d_input(gy, g, size=x.shape[2:], **same)


@op(vjp=(_weight_gy, _weight_x), spec=OpSpec(*_cases("weight"), reference=_weight_by_products))
def conv2d_weight(
    gy: Array,
    x: Array,
    /,
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The transpose of `conv2d` in the weight: <conv2d(x, weight), gy> = <weight, conv2d_weight(gy, x)>.

    gy: (n, out, oh, ow); x: (n, in, h, w). Returns (out, in / groups, kh, kw). The other arguments are conv2d's.
    Raises ShapeError where gy is not of the shape that conv2d gives for x.
    """
    kernel = pair("kernel_size", kernel_size, 1)
    out = gy.shape[1] if gy.ndim == 4 else 0
    channels = x.shape[1] // max(groups, 1) if x.ndim == 4 else 0
    at = fitted("conv2d_weight", x.shape, (out, channels, *kernel), stride, padding, dilation, groups)
    n = x.shape[0]
    check_cotangent("conv2d_weight", gy.shape, (n, out, *at.out))
    by_image = image_by_image(math.prod(at.out), x, gy)
    g = turned(gy, by_image)
    view = all_windows(padded(x, at, by_image=by_image), at)
    rows = channels * kernel[0] * kernel[1]
    gw = np.zeros((groups, out // groups, rows), np.result_type(gy, x))

    def share(block: tuple[slice, slice]) -> NDArray[Any]:
        lines, images = block
        part = g[:, lines, :, images]
        positions = math.prod(part.shape[1:])
        columns = view[:, :, :, lines, :, images].reshape(groups, rows, positions)
        found: NDArray[Any] = np.matmul(
            part.reshape(groups, out // groups, positions), columns.transpose(0, 2, 1)
        )
        return found

    for found in by_block(share, blocks(at, n, groups * rows, by_image)):
        gw += found
    return gw.reshape(out, channels, *kernel)
