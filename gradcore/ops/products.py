"""Products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, binary_method, op
from gradcore.spec import OpSpec, case, reals
from gradcore.tensor import Tensor


def _by_dot_products(a: Any, b: Any) -> Any:
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, batch + left.shape[-2:])
    right = np.broadcast_to(right, batch + right.shape[-2:])
    out = np.empty((*batch, left.shape[-2], right.shape[-1]))
    for *where, i, j in np.ndindex(*out.shape):
        row, column = left[(*where, i)], right[(*where, slice(None), j)]
        out[(*where, i, j)] = math.fsum(p * q for p, q in zip(row.tolist(), column.tolist(), strict=True))
    shape = batch + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ())
    return out.reshape(shape)


def _matmul_left(gy: Array, _y: Array, a: Array, b: Array) -> Array:
    if a.ndim == 2 and b.ndim == 2:
        return gy @ b.T
    if b.ndim == 1:
        return gy[..., None] * b
    if a.ndim == 1:
        return (b @ gy[..., None])[..., 0]
    return gy @ _turned(b)


def _matmul_right(gy: Array, _y: Array, a: Array, b: Array) -> Array:
    if a.ndim == 2 and b.ndim == 2:
        return a.T @ gy
    if b.ndim == 1:
        return a * gy if a.ndim == 1 else (_turned(a) @ gy[..., None])[..., 0]
    if a.ndim == 1:
        return a[:, None] * gy[..., None, :]
    return _turned(a) @ gy


def _turned(x: Array) -> Array:
    return np.transpose(x, (*range(x.ndim - 2), -1, -2))


@op(
    vjp=(_matmul_left, _matmul_right),
    spec=OpSpec(
        case(reals("m k"), reals("k n")),
        case(reals("k"), reals("k n")),
        case(reals("m k"), reals("k")),
        case(reals("k"), reals("k")),
        case(reals("b m k"), reals("k n")),
        case(reals("m k"), reals("b k n")),
        case(reals("~a b m k"), reals("a ~b k n")),
        case(reals("b m k"), reals("k")),
        case(reals("k"), reals("b k n")),
        reference=_by_dot_products,
    ),
    broadcasts=True,
    numpy=(np.matmul,),
    methods=("matmul", "__matmul__"),
)
def matmul(x: Array, y: Array, /) -> Array:
    """Matrix product over the last two axes, leading axes broadcast; vectors as in NumPy.

    Raises ShapeError, with both shapes, where x's last axis and y's last but one (or only one) differ.
    """
    try:
        return x @ y
    except ValueError:
        raise _misfit(x.shape, y.shape) from None


def _misfit(x: tuple[int, ...], y: tuple[int, ...]) -> ShapeError:
    if not x or not y:
        return ShapeError(
            f"matmul needs at least one axis on each side, and got the shapes {x} and {y}: use * instead"
        )
    inner = y[-2] if len(y) > 1 else y[-1]
    if x[-1] != inner:
        fits = f"({inner}, ...)" if len(x) == 1 else f"(..., {x[-2]}, {inner})"
        return ShapeError(
            f"can't multiply shapes {x} and {y}: the last axis of the first is {x[-1]} and must equal {inner}, the "
            f"{'last but one' if len(y) > 1 else 'only'} axis of the second. A first of shape {fits} would fit"
        )
    return ShapeError(
        f"can't multiply shapes {x} and {y}: the leading axes {x[:-2]} and {y[:-2]} do not broadcast (compared from "
        "the right, each size must be equal or 1)"
    )


Tensor.__rmatmul__ = binary_method(matmul, swapped=True)  # type: ignore[assignment]


def _linear_x(gy: Array, _y: Array, _x: Array, weight: Array, _bias: Array) -> Array:
    return gy @ weight.T


def _linear_weight(gy: Array, _y: Array, x: Array, weight: Array, _bias: Array) -> Array:
    if x.ndim == 2:
        return x.T @ gy
    rows = math.prod(x.shape[:-1])  # NumPy can't infer -1 where an axis is empty
    return np.reshape(x, (rows, weight.shape[0])).T @ np.reshape(gy, (rows, weight.shape[1]))


def _linear_bias(gy: Array, _y: Array, _x: Array, _weight: Array, bias: Array | None) -> Array | None:
    if bias is None:
        return None
    if gy.ndim == 2 and bias.ndim == 2:  # what `unbroadcast` would do, without its search for the axes
        return np.add.reduce(gy, axis=0, keepdims=True)
    return gy


@op(
    vjp=(_linear_x, _linear_weight, _linear_bias),
    spec=OpSpec(
        case(reals("n i"), reals("i o"), reals("1 o")),
        case(reals("n i"), reals("i o"), reals("o")),
        case(reals("n t i"), reals("i o"), reals("1 o")),
        case(reals("i"), reals("i o"), reals("o")),
        case(reals("n i"), reals("i o")),
        reference=lambda x, w, b=0.0: _by_dot_products(x, w) + b,
    ),
    broadcasts=True,
)
def linear(x: Array, weight: Array, bias: Array | None = None, /) -> Array:
    """x W + b over the last axis of x: weight is (in_features, out_features), bias (1, out_features), (out_features,) or None.

    Raises ShapeError, with both shapes, where they do not fit.
    """
    try:
        y = x @ weight if weight.ndim == 2 else None
    except ValueError:
        y = None
    if y is None:
        raise ShapeError(
            f"linear got x of shape {x.shape} and a weight of shape {weight.shape}: the last axis of x must equal the "
            f"weight's first, in_features; x of shape (..., {weight.shape[0] if weight.ndim else '?'}) would fit"
        )
    if bias is None:
        return y
    if bias.shape[-1:] != weight.shape[1:] or bias.size != weight.shape[1]:
        raise ShapeError(
            f"linear got a bias of shape {bias.shape} for a weight of shape {weight.shape}: (1, {weight.shape[1]}) or "
            f"({weight.shape[1]},) would fit"
        )
    if bias.dtype == y.dtype and bias.ndim <= y.ndim:
        return np.add(y, bias, out=y)
    return y + bias
