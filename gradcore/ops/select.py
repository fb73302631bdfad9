"""Entries picked by their places: along an axis, or by their order."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array, composed
from gradcore.ops.axes import axis_of
from gradcore.ops.index import getitem
from gradcore.ops.rearrange import rearranged
from gradcore.ops.shape import reshape
from gradcore.spec import Axis, Derived, Env, OneOf, OpSpec, case, reals


def _some_places(env: Env) -> list[Any]:
    axis, (shape,) = env["axis"], env.shapes
    n = int(np.prod(shape)) if axis is None else shape[axis]
    return (
        [0, -1, np.array([0, n - 1, 0]), np.array([[0], [-1]]), np.zeros(0, int)] if n else [np.zeros(0, int)]
    )


def _taken_by_list(x: Any, indices: Any, axis: int | None = None) -> Any:
    rows = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    flat = [rows[i].tolist() for i in np.ravel(indices)]
    y = np.array(flat).reshape((len(flat), *rows.shape[1:])).reshape((*np.shape(indices), *rows.shape[1:]))
    if axis is None:
        return y
    ndim = np.ndim(indices)
    return np.moveaxis(y, range(ndim), range(axis % x.ndim, axis % x.ndim + ndim))


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Axis(none=True), "indices": Derived(_some_places)}),
        reference=_taken_by_list,
    ),
    numpy=(np.take,),
    methods=("take",),
)
def take(x: Array, indices: Any, axis: int | None = None) -> Array:
    """The entries at `indices` along `axis`; without an axis, in row-major order. What is taken twice gets both cotangents."""
    indices = plain(indices)
    shape = np.shape(x)
    if axis is None:
        return getitem(reshape(x, (int(np.prod(shape)),)), np.asarray(indices))
    axis = axis_of("take", axis, len(shape), shape)
    return getitem(x, (slice(None),) * axis + (np.asarray(indices),))


def _places_along(env: Env) -> list[Any]:
    axis, (shape,) = env["axis"], env.shapes
    n = shape[axis]
    if not n:
        return []
    sizes = [3 if i == axis % len(shape) else k for i, k in enumerate(shape)]
    grid = np.arange(int(np.prod(sizes))).reshape(sizes)
    return [grid % n, -1 - grid % n, np.zeros([1] * len(shape), int)]


@composed(
    spec=OpSpec(
        case(reals("n"), params={"axis": Axis(), "indices": Derived(_places_along)}),
        case(reals("n m k"), params={"axis": Axis(), "indices": Derived(_places_along)}),
        reference=lambda x, indices, axis: np.take_along_axis(x, indices, axis),
    ),
    numpy=(np.take_along_axis,),
    methods=("take_along_axis", "gather"),
)
def take_along_axis(x: Array, indices: Any, axis: int) -> Array:
    """Of each row along `axis` the entries at that row's `indices`, which broadcast against x in the other axes.

    indices: whole numbers, with as many axes as x. Raises ShapeError where the axes differ in number.
    """
    shape, indices = np.shape(x), np.asarray(plain(indices))
    if indices.ndim != len(shape):
        raise ShapeError(
            f"take_along_axis got x of shape {shape} and indices of shape {indices.shape}: they need equally many axes"
        )
    axis = axis_of("take_along_axis", axis, len(shape), shape)
    places = [
        indices if i == axis else np.arange(n).reshape([-1 if i == j else 1 for j in range(len(shape))])
        for i, n in enumerate(shape)
    ]
    return getitem(x, tuple(places))


@composed(
    spec=OpSpec(
        case(reals(distinct=True), params={"axis": Axis(none=True)}),
        reference=lambda x, axis=-1: (
            np.apply_along_axis(
                lambda row: np.array(sorted(row.tolist())),
                0 if axis is None else axis,
                x.ravel() if axis is None else x,
            )
            if x.size
            else np.sort(x, axis)
        ),
    ),
    numpy=(np.sort,),
    methods=("sort",),
)
def sort(x: Array, axis: int | None = -1) -> Array:
    """The entries along `axis` from the smallest up; None for all of them, along one axis. `x.argsort()` gives their places."""
    if axis is None:
        return rearranged(x, lambda places: places.ravel()[np.argsort(plain(x), None, kind="stable")])
    return take_along_axis(x, np.argsort(plain(x), axis, kind="stable"), axis)


def _counts(env: Env) -> list[int]:
    n = env.shapes[0][env["axis"]]
    return list(range(min(n, 3) + 1))


@composed(
    spec=OpSpec(
        case(
            reals("n m", distinct=True),
            params={"axis": Axis(), "k": Derived(_counts), "largest": OneOf(True, False)},
        ),
        reference=lambda x, k, axis=-1, largest=True: np.take(
            np.sort(x, axis),
            range(x.shape[axis] - 1, x.shape[axis] - 1 - k, -1) if largest else range(k),
            axis,
        ),
    ),
    methods=("topk",),
)
def topk(x: Array, k: int, axis: int = -1, largest: bool = True) -> Array:
    """The k largest entries along `axis`, or smallest, the most extreme first: the values alone.

    Raises DomainError where the axis has fewer.
    """
    shape = np.shape(x)
    axis = axis_of("topk", axis, len(shape), shape)
    if not 0 <= k <= shape[axis]:
        raise DomainError(f"topk got k={k}: axis {axis} of shape {shape} has {shape[axis]} entries")
    order = np.argsort(-plain(x) if largest else plain(x), axis, kind="stable")
    return take_along_axis(x, np.take(order, range(k), axis), axis)
