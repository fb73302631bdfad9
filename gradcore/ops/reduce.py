"""Reductions over axes, and the softmax family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops._rows import as_rows, each_block, row_blocks, writable
from gradcore.ops.reference import along, rowwise
from gradcore.ops.shape import astype
from gradcore.spec import Axis, OpSpec, case, flags, interval, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcore.attached import Axes

_OVER_AXES = {"axis": Axis(many=True, none=True), "keepdims": flags()}
_ALONG = {"axis": Axis()}


def kept_shape(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    """The shape that a reduction of `shape` over `axis` has with keepdims."""
    if axis is None or not shape:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def count_over(shape: tuple[int, ...], axis: Axes) -> int:
    """How many entries are reduced to one."""
    if axis is None or not shape:
        return math.prod(shape)
    return math.prod([shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))])


def kept_and_reduced(axis: Axes, ndim: int) -> tuple[list[int], list[int]]:
    """The axes that a reduction over `axis` keeps, and those that it reduces, counted from the front."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = [a % ndim for a in axes]
    return [i for i in range(ndim) if i not in reduced], reduced


def _sum_rule(gy: Array, _y: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    if gy.ndim:
        gy = np.reshape(gy, kept_shape(x.shape, axis))
    return np.broadcast_to(gy, x.shape)


@op(
    vjp=_sum_rule,
    spec=OpSpec(case(reals(), params=_OVER_AXES), reference=along(math.fsum)),
    numpy=(np.sum,),
    methods=("sum",),
)
def sum(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """The sum over `axis`: None for all axes, an axis of either sign, or a tuple of them."""
    return np.add.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


@composed(
    spec=OpSpec(
        case(reals(), params=_OVER_AXES, where=lambda e: count_over(e.shapes[0], e["axis"]) > 0),
        reference=along(lambda v: math.fsum(v) / len(v)),
    ),
    numpy=(np.mean,),
    methods=("mean",),
)
def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The mean over `axis`: None for all axes, an axis of either sign, or a tuple of them.

    Raises ShapeError where there is nothing to average.
    """
    narrow = (
        getattr(x, "dtype", None) == np.float16
    )  # whose sums end at 65504: NumPy's mean adds in float32 too
    total = sum(astype(x, np.float32) if narrow else x, axis, keepdims)  # which also checks the axis
    count = count_over(np.shape(x), axis)
    if count == 0:
        raise ShapeError(
            f"the mean over axis={axis} of shape {np.shape(x)} is one of no entries: it has no value"
        )
    return astype(total / count, np.float16) if narrow else total / count


def _extreme_rule(gy: Array, y: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    shape = kept_shape(x.shape, axis)
    hits = (x == np.reshape(y, shape)).astype(np.result_type(x.dtype, np.float32))  # float16 ends at 65504
    share = hits / np.sum(hits, axis=axis, keepdims=True)
    return np.reshape(gy, shape) * (share if share.dtype == x.dtype else share.astype(x.dtype))


_DISTINCT = case(
    reals(distinct=True), params=_OVER_AXES, where=lambda e: count_over(e.shapes[0], e["axis"]) > 0
)


@op(
    vjp=_extreme_rule,
    spec=OpSpec(_DISTINCT, reference=along(lambda v: sorted(v)[-1])),
    numpy=(np.max, np.amax),
    methods=("max",),
)
def max(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """The largest entry over `axis`; entries that tie share the cotangent evenly."""
    return np.maximum.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


@op(
    vjp=_extreme_rule,
    spec=OpSpec(_DISTINCT, reference=along(lambda v: sorted(v)[0])),
    numpy=(np.min, np.amin),
    methods=("min",),
)
def min(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """The smallest entry over `axis`; entries that tie share the cotangent evenly."""
    return np.minimum.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def _logsumexp_by_loop(v: list[float]) -> float:
    top = sorted(v)[-1]
    return top + math.log(math.fsum(math.exp(entry - top) for entry in v))


def _shift(x: Array, axis: Axes) -> Array:
    """What is subtracted before exponentiating: the largest entry, or 0 where that is infinite."""
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    return top if np.isfinite(top).all() else np.where(np.isfinite(top), top, x.dtype.type(0))


def _logsumexp_rule(gy: Array, _y: Array, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    # Not e^(x - y): next to an x of 1e8 the rounding of y is as large as the differences that it must resolve.
    return np.reshape(gy, kept_shape(x.shape, axis)) * softmax(x, axis)


@op(
    vjp=_logsumexp_rule,
    spec=OpSpec(
        case(reals(), params=_OVER_AXES, where=lambda e: count_over(e.shapes[0], e["axis"]) > 0),
        reference=along(_logsumexp_by_loop),
    ),
    methods=("logsumexp",),
)
def logsumexp(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """log sum e^x over `axis`, finite for entries of any size: m + log sum e^(x - m), with m the largest."""
    shift = _shift(x, axis)
    y = np.log(np.add.reduce(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return y if keepdims else np.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)


_SOFTMAX = case(interval(-5.0, 5.0), params=_ALONG, where=lambda e: e.shapes[0][e["axis"]] > 0)


def _by_rows(axis: Axes, x: Array, *others: Array) -> bool:
    """Whether an op along `axis` may go through its arrays by blocks of rows."""
    return writable(x, *others) and x.size > 0 and axis in (-1, x.ndim - 1)


def _exponentials(x: NDArray[Any], out: NDArray[Any], in_place: bool) -> NDArray[Any]:
    """`x` less each row's largest entry, written to `out`; the sums of e to that, which it becomes itself `in_place`."""
    np.subtract(x, _shift(x, 1), out=out)
    e = np.exp(out, out=out if in_place else None)
    total: NDArray[Any] = e @ np.ones(x.shape[1], x.dtype)
    return total[:, None]


def _softmax_rule(gy: Array, y: Array, _x: Array, axis: int = -1) -> Array:
    if not _by_rows(axis, y, gy):
        return y * (gy - np.sum(gy * y, axis=axis, keepdims=True))
    ys, gys = as_rows(y, y.shape[-1]), as_rows(gy, y.shape[-1])
    gx = np.empty(y.shape, y.dtype)
    gxs = as_rows(gx, y.shape[-1])

    def pull(block: slice) -> None:
        out = gxs[block]
        np.subtract(gys[block], np.vecdot(gys[block], ys[block])[:, None], out=out)
        out *= ys[block]

    each_block(pull, row_blocks(*ys.shape))
    return gx


@op(
    vjp=_softmax_rule,
    spec=OpSpec(
        _SOFTMAX, reference=rowwise(lambda v: [1 / math.fsum(math.exp(b - a) for b in v) for a in v])
    ),
    methods=("softmax",),
)
def softmax(x: Array, /, axis: int = -1) -> Array:
    """e^x / sum e^x along `axis`, free of overflow."""
    if not _by_rows(axis, x):
        e = np.exp(x - _shift(x, axis))
        return e / np.add.reduce(e, axis=axis, keepdims=True)
    rows = as_rows(x, x.shape[-1])
    y = np.empty(rows.shape, x.dtype)

    def fill(block: slice) -> None:
        out = y[block]
        out /= _exponentials(rows[block], out, in_place=True)

    each_block(fill, row_blocks(*rows.shape))
    return y.reshape(x.shape)


def _log_softmax_rule(gy: Array, y: Array, _x: Array, axis: int = -1) -> Array:
    if not _by_rows(axis, y, gy):
        return gy - np.exp(y) * np.sum(gy, axis=axis, keepdims=True)
    ys, gys = as_rows(y, y.shape[-1]), as_rows(gy, y.shape[-1])
    gx, ones = np.empty(y.shape, y.dtype), np.ones(y.shape[-1], y.dtype)
    gxs = as_rows(gx, y.shape[-1])

    def pull(block: slice) -> None:
        g, out = gys[block], gxs[block]
        np.exp(ys[block], out=out)
        out *= (g @ ones)[:, None]
        np.subtract(g, out, out=out)

    each_block(pull, row_blocks(*ys.shape))
    return gx


@op(
    vjp=_log_softmax_rule,
    spec=OpSpec(_SOFTMAX, reference=rowwise(lambda v: [a - _logsumexp_by_loop(v) for a in v])),
    methods=("log_softmax",),
)
def log_softmax(x: Array, /, axis: int = -1) -> Array:
    """log softmax: x - log sum e^x along `axis`, finite for entries of any size."""
    if not _by_rows(axis, x):
        shifted = x - _shift(x, axis)
        return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))
    rows = as_rows(x, x.shape[-1])
    y = np.empty(rows.shape, x.dtype)

    def fill(block: slice) -> None:
        out = y[block]
        out -= np.log(_exponentials(rows[block], out, in_place=False))

    each_block(fill, row_blocks(*rows.shape))
    return y.reshape(x.shape)
