"""The transposed convolution as a layer uses it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.op import Array, composed
from gradcore.ops._windows import Pair, check_bias, enlarged
from gradcore.ops.conv import conv2d_input
from gradcore.spec import OneOf, OpSpec, case, reals


def _transposed_by_products(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    kernel, each_in, each_out = weight.shape[2:], weight.shape[0] // groups, weight.shape[1]
    reach = [(n - 1) * stride + dilation * (k - 1) + 1 for n, k in zip(x.shape[2:], kernel, strict=True)]
    canvas = np.zeros((x.shape[0], each_out * groups, *(n + output_padding for n in reach)))
    for n, i, o, row, column, u, v in np.ndindex(x.shape[0], x.shape[1], each_out, *x.shape[2:], *kernel):
        place = (n, i // each_in * each_out + o, row * stride + u * dilation, column * stride + v * dilation)
        canvas[place] += x[n, i, row, column] * weight[i, o, u, v]
    y = canvas[:, :, padding : canvas.shape[2] - padding, padding : canvas.shape[3] - padding]
    return y if bias is None else y + bias[:, None, None]


_TRANSPOSED = {"n": (0, 2), "i": (1, 2), "o": (1, 2), "h": (1, 3), "w": (1, 3)}


@composed(
    spec=OpSpec(
        case(reals("n i h w"), reals("i o 2 3"), reals("o"), sizes=_TRANSPOSED),
        case(
            reals("n i h w"),
            reals("i o 3 3"),
            reals("o"),
            params={"stride": OneOf(2), "padding": OneOf(1), "output_padding": OneOf(0, 1)},
            sizes=_TRANSPOSED,
        ),
        case(
            reals("n 2*i h w"),
            reals("2*i o 2 2"),
            reals("2*o"),
            params={"dilation": OneOf(2), "groups": OneOf(2)},
            sizes=_TRANSPOSED,
        ),
        case(reals("n i h w"), reals("i o 2 1"), params={"stride": OneOf(2, 3)}, sizes=_TRANSPOSED),
        reference=_transposed_by_products,
    )
)
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    /,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """The transpose of `conv2d`, used as a layer that enlarges images: `conv2d_input` and a bias.

    x: (n, in, h, w); weight: (in, out / groups, kh, kw); bias: (out,) or None. Returns (n, out, oh, ow) with
    oh = (h - 1) stride - 2 padding + dilation (kh - 1) + 1 + output_padding. output_padding: below the stride; of the
    image sizes that conv2d would shrink to h, it chooses one.
    Raises ShapeError where channels, groups, ranks or sizes do not fit, DomainError for an output_padding out of range.
    """
    size = enlarged("conv_transpose2d", x.shape, weight.shape, stride, padding, output_padding, dilation)
    y = conv2d_input(x, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    check_bias("conv_transpose2d", bias, weight, y.shape[1])
    return y if bias is None else y + np.reshape(bias, (1, -1, 1, 1))
