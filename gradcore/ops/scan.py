"""Sums and products that run along an axis, and differences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array, composed, op
from gradcore.ops.axes import axis_of, unsqueeze
from gradcore.ops.choice import where
from gradcore.ops.index import getitem
from gradcore.ops.joining import concatenate_op
from gradcore.ops.rearrange import flip, moveaxis
from gradcore.ops.reduce import kept_and_reduced, kept_shape, sum
from gradcore.ops.reference import along
from gradcore.ops.select import take_along_axis
from gradcore.ops.shape import as_floats, reshape
from gradcore.spec import Axis, OneOf, OpSpec, case, flags, interval, reals
from gradcore.tensor import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcore.attached import Axes


def _running(step: Callable[[float, float], float]) -> Callable[..., Any]:
    def reference(x: Any, axis: int | None = None) -> Any:
        rows = x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)
        y = np.empty(rows.shape)
        for index in np.ndindex(rows.shape[:-1]):
            so_far: list[float] = []
            for entry in rows[index].tolist():
                so_far.append(step(so_far[-1], entry) if so_far else entry)
            y[index] = so_far
        return y if axis is None else np.moveaxis(y, -1, axis)

    return reference


_ALONG = {"axis": Axis(none=True)}


def _cumsum_rule(gy: Array, _y: Array, x: Array, axis: int | None = None) -> Array:
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(gy, along), along), along), x.shape)


@op(
    vjp=_cumsum_rule,
    spec=OpSpec(case(reals(), params=_ALONG), reference=_running(lambda total, entry: total + entry)),
    numpy=(np.cumsum,),
    methods=("cumsum",),
)
def cumsum(x: Array, /, axis: int | None = None) -> Array:
    """The sums of the entries so far along `axis`; without an axis, in row-major order."""
    return np.cumsum(x, axis)


def _without_each(x: Array) -> Array:
    """Of the entries along the last axis, the product of all the others, without dividing."""
    if x.shape[-1] == 0:
        return x
    ones = np.ones((*x.shape[:-1], 1), x.dtype)
    before = cumprod(concatenate_op(ones, x[..., :-1], axis=-1), -1)
    after = flip(cumprod(flip(concatenate_op(x[..., 1:], ones, axis=-1), -1), -1), -1)
    return before * after


def _cumprod_rule(gy: Array, y: Array, x: Array, axis: int | None = None) -> Array:
    if axis is None:
        return reshape(_cumprod_rule(gy, y, reshape(x, (x.size,)), 0), x.shape)
    if not (plain(x) == 0).any():
        return flip(cumsum(flip(gy * y, axis), axis), axis) / x
    gy, x = moveaxis(gy, axis, -1), moveaxis(x, axis, -1)
    n = x.shape[-1]
    # partial[..., i, j]: the product of the entries up to j without entry i, where j is not before i.
    partial = cumprod(where(np.eye(n, dtype=bool), 1.0, unsqueeze(x, -2)), -1)
    reached = where(np.tri(n, k=-1, dtype=bool), 0.0, unsqueeze(gy, -2) * partial)
    return moveaxis(sum(reached, -1), -1, axis)


_FACTORS = interval(-2.0, 2.0, specials=(0.0, 1.0, -1.0))


@op(
    vjp=_cumprod_rule,
    spec=OpSpec(case(_FACTORS, params=_ALONG), reference=_running(lambda total, entry: total * entry)),
    numpy=(np.cumprod,),
    methods=("cumprod",),
)
def cumprod(x: Array, /, axis: int | None = None) -> Array:
    """The products of the entries so far along `axis`; without an axis, in row-major order.

    Next to an entry of exactly 0 the derivative takes n^2 products for n entries along the axis.
    """
    return np.cumprod(x, axis)


def _prod_rule(gy: Array, _y: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    kept_axes, axes = kept_and_reduced(axis, len(x.shape))
    order = (*kept_axes, *axes)
    moved = np.transpose(x, order)
    kept = moved.shape[: len(kept_axes)]
    others = _without_each(reshape(moved, (*kept, math.prod(moved.shape[len(kept) :]))))
    others = np.transpose(reshape(others, moved.shape), tuple([order.index(i) for i in range(len(order))]))
    return np.reshape(gy, kept_shape(x.shape, axis)) * others


@op(
    vjp=_prod_rule,
    spec=OpSpec(
        case(_FACTORS, params={"axis": Axis(many=True, none=True), "keepdims": flags()}),
        reference=along(math.prod),
    ),
    numpy=(np.prod,),
    methods=("prod",),
)
def prod(x: Array, /, axis: Axes = None, keepdims: bool = False) -> Array:
    """The product over `axis`: None for all axes, an axis of either sign, or a tuple of them."""
    return np.multiply.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def _leader(x: Array, axis: int, extreme: np.ufunc) -> Array:
    """Where the entry that is the most extreme so far stands, along an axis."""
    values = plain(x)
    best = extreme.accumulate(values, axis)
    places = np.arange(values.shape[axis]).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return np.maximum.accumulate(np.where(values == best, places, 0), axis)


_ORDERED = case(reals("n m", distinct=True), params={"axis": Axis()})


@composed(
    spec=OpSpec(_ORDERED, reference=_running(lambda best, entry: best if best > entry else entry)),
    methods=("cummax",),
)
def cummax(x: Array, axis: int) -> Array:
    """The largest entry so far along `axis`; of entries that tie, the last one gets the cotangent."""
    axis = axis_of("cummax", axis, len(np.shape(x)), np.shape(x))
    return take_along_axis(x, _leader(x, axis, np.maximum), axis)


@composed(
    spec=OpSpec(_ORDERED, reference=_running(lambda best, entry: best if best < entry else entry)),
    methods=("cummin",),
)
def cummin(x: Array, axis: int) -> Array:
    """The smallest entry so far along `axis`; of entries that tie, the last one gets the cotangent."""
    axis = axis_of("cummin", axis, len(np.shape(x)), np.shape(x))
    return take_along_axis(x, _leader(x, axis, np.minimum), axis)


@composed(
    spec=OpSpec(
        case(reals("n m"), params={"n": OneOf(1, 2, 0), "axis": Axis()}),
        case(reals("n m k"), params={"n": OneOf(1, 3), "axis": Axis()}),
        reference=lambda x, n=1, axis=-1: np.array(np.diff(x, n, axis)),
    ),
    numpy=(np.diff,),
    methods=("diff",),
)
def diff(x: Array, n: int = 1, axis: int = -1) -> Array:
    """Each entry minus the one before it along `axis`, n times. Raises DomainError for a negative n."""
    if n < 0:
        raise DomainError(f"diff got n={n}: how often to take differences is 0 or more")
    axis = axis_of("diff", axis, len(np.shape(x)), np.shape(x))
    before = (slice(None),) * axis
    y = getitem(x, ...)
    for _ in range(n):
        later, sooner = getitem(y, (*before, slice(1, None))), getitem(y, (*before, slice(None, -1)))
        y = later != sooner if later.dtype == bool else later - sooner
    return y


@composed(
    name="gradient",
    spec=OpSpec(
        case(
            reals("n m"),
            params={"spacing": OneOf(1.0, 0.5), "axis": Axis()},
            sizes={"n": (2, 5), "m": (2, 4)},
        ),
        case(reals("n"), params={"edge_order": OneOf(2), "axis": OneOf(0, -1)}, sizes={"n": (3, 6)}),
        reference=lambda x, spacing=1.0, axis=0, edge_order=1: np.gradient(
            x, spacing, axis=axis, edge_order=edge_order
        ),
    ),
)
def _gradient(x: Array, spacing: float = 1.0, axis: int = 0, edge_order: int = 1) -> Array:
    """`gradient` along one axis."""
    shape = np.shape(x)
    axis = axis_of("gradient", axis, len(shape), shape)
    if edge_order not in (1, 2) or shape[axis] <= edge_order:
        raise ShapeError(
            f"gradient got edge_order={edge_order} along axis {axis} of shape {shape}: it is 1 or 2, and less than the size"
        )
    x = moveaxis(as_floats(x), axis, 0)
    middle = (getitem(x, slice(2, None)) - getitem(x, slice(None, -2))) / 2
    near, far = (slice(0, 1), slice(1, 2), slice(2, 3)), (slice(-1, None), slice(-2, -1), slice(-3, -2))
    first, last = [_at_edge([getitem(x, place) for place in ends[: edge_order + 1]]) for ends in (near, far)]
    return moveaxis(concatenate_op(first, middle, -last, axis=0) / spacing, 0, axis)


def _at_edge(values: list[Array]) -> Array:
    """The difference at the first of two or three values in a row."""
    if len(values) == 2:
        return values[1] - values[0]
    return (4 * values[1] - 3 * values[0] - values[2]) / 2


def gradient(x: Array, *spacing: float, axis: int | Sequence[int] | None = None, edge_order: int = 1) -> Any:
    """Differences of neighbours over twice their distance, and one-sided ones at the edges: as `np.gradient`.

    spacing: the distance of neighbours along all axes, or one number for each. A list with an array for each axis, or one
    array where there is one axis. Raises ShapeError for an axis that is too short, DomainError for spacings that are arrays.
    """
    ndim = np.ndim(x)
    axes = list(range(ndim)) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    steps = list(spacing) * len(axes) if len(spacing) == 1 else list(spacing) or [1.0] * len(axes)
    if len(steps) != len(axes) or any(np.ndim(step) for step in steps):
        raise DomainError(
            f"gradient got {len(spacing)} spacings for {len(axes)} axes: give one number, or one for each; places of their own "
            "for each entry are not supported"
        )
    found = [_gradient(x, float(h), a, edge_order) for h, a in zip(steps, axes, strict=True)]
    return found[0] if len(found) == 1 else found


FUNCTIONS[np.gradient] = gradient


def cumulative_sum(x: Array, *, axis: int | None = None) -> Array:
    """`cumsum` as the array API has it: an axis is needed where there are several."""
    if axis is None and len(np.shape(x)) != 1:
        raise ShapeError(
            f"cumulative_sum got shape {np.shape(x)} and no axis: say along which; cumsum takes none"
        )
    return cumsum(x, axis)


if hasattr(np, "cumulative_sum"):  # from NumPy 2.1 on
    FUNCTIONS[np.cumulative_sum] = cumulative_sum
