"""Convolution of sequences, as one of images of height 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed
from gradcore.ops._windows import check_bias
from gradcore.ops.conv import conv2d
from gradcore.ops.shape import reshape
from gradcore.spec import OneOf, OpSpec, case, reals


def _by_inner_products(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Any:
    out, each, k = weight.shape
    reach = dilation * (k - 1)
    before = reach // 2 if padding == "same" else 0 if isinstance(padding, str) else padding
    after = reach - before if padding == "same" else before
    edged = np.pad(x, ((0, 0), (0, 0), (before, after)))
    starts = range(0, edged.shape[2] - reach, stride)
    y = np.zeros((len(x), out, len(starts)))
    for n, o, place in np.ndindex(*y.shape):
        first = o // (out // groups) * each
        window = edged[n, first : first + each, starts[place] : starts[place] + reach + 1 : dilation]
        y[n, o, place] = (window * weight[o]).sum()
    return y if bias is None else y + bias[:, None]


_SIZES = {"n": (0, 2), "i": (1, 2), "o": (1, 2), "t": (3, 5)}


@composed(
    spec=OpSpec(
        case(reals("n i t"), reals("o i 2"), reals("o"), sizes=_SIZES),
        case(
            reals("n i t"),
            reals("o i 3"),
            reals("o"),
            params={"stride": OneOf(2), "padding": OneOf(1, "valid")},
            sizes=_SIZES,
        ),
        case(
            reals("n 2*i t"),
            reals("2*o i 2"),
            params={"padding": OneOf("same"), "dilation": OneOf(2), "groups": OneOf(2)},
            sizes=_SIZES,
        ),
        reference=_by_inner_products,
    )
)
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    /,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation of sequences with kernels, see `conv2d`.

    x: (n, in, t); weight: (out, in / groups, k); bias: (out,) or None. Returns (n, out, ot) with
    ot = (t + 2 padding - dilation (k - 1) - 1) // stride + 1. padding: also "valid" and "same" (stride 1 only).
    Raises ShapeError where channels, groups, ranks or sizes do not fit.
    """
    shapes = tuple(x.shape), tuple(weight.shape)
    if len(shapes[0]) != 3 or len(shapes[1]) != 3 or shapes[0][1] != shapes[1][1] * groups:
        raise ShapeError(
            f"conv1d got sequences of shape {shapes[0]} and a weight of shape {shapes[1]} with groups={groups}: expected "
            "(n, channels, length) and (out_channels, channels / groups, kernel); one sequence x goes in as x[None]"
        )
    check_bias("conv1d", bias, weight, shapes[1][0])
    (n, channels, length), (out, each, kernel) = shapes
    y = conv2d(
        reshape(x, (n, channels, 1, length)),
        reshape(weight, (out, each, 1, kernel)),
        bias,
        (1, stride),
        padding if isinstance(padding, str) else (0, padding),
        (1, dilation),
        groups,
    )
    return reshape(y, (n, out, y.shape[3]))
