"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed
from gradcore.ops.choice import where
from gradcore.ops.index import scatter_add
from gradcore.ops.rearrange import rearranged
from gradcore.ops.reduce import sum
from gradcore.spec import Axis, Env, OneOf, OpSpec, case, reals

_OFFSETS = OneOf(0, 1, -1, 3)


_PLANE = {"offset": _OFFSETS, "axis1": Axis(), "axis2": Axis()}


def _a_plane(e: Env) -> bool:
    ndim = len(e.shapes[0])
    return bool(e["axis1"] % ndim != e["axis2"] % ndim)


_PLANES = (
    case(reals("n m"), params={"offset": _OFFSETS}),
    case(reals("n m k"), params=_PLANE, where=_a_plane),
)


def _diagonal_by_loop(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    planes = np.moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = planes.shape[-2:]
    places = [(i, i + offset) for i in range(rows) if 0 <= i + offset < columns]
    return (
        np.array([planes[..., i, j] for i, j in places])
        .reshape((len(places), *planes.shape[:-2]))
        .transpose((*range(1, planes.ndim - 1), 0))
    )


@composed(spec=OpSpec(*_PLANES, reference=_diagonal_by_loop), numpy=(np.diagonal,), methods=("diagonal",))
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The diagonal of each matrix that the two axes span, as the last axis; `offset` > 0 above the main one."""
    return rearranged(x, lambda places: np.diagonal(places, offset, axis1, axis2))


@composed(
    spec=OpSpec(
        *_PLANES,
        reference=lambda x, offset=0, axis1=0, axis2=1: _diagonal_by_loop(x, offset, axis1, axis2).sum(-1),
    ),
    numpy=(np.trace,),
    methods=("trace",),
)
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The sum of the diagonal of each matrix that the two axes span."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


@composed(
    spec=OpSpec(
        case(reals("n"), params={"k": _OFFSETS}),
        case(reals("n m"), params={"k": _OFFSETS}),
        reference=lambda x, k=0: np.array(np.diag(x, k)),
    ),
    numpy=(np.diag,),
    methods=("diag",),
)
def diag(x: Array, k: int = 0) -> Array:
    """A matrix with the vector x as its diagonal number k, or that diagonal of a matrix."""
    shape = np.shape(x)
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ShapeError(f"diag takes a vector or a matrix, and got shape {shape}: diagonal takes more axes")
    n = shape[0] + abs(k)
    rows, columns = np.nonzero(np.eye(n, k=k, dtype=bool))
    return scatter_add(x, (rows, columns), (n, n))


def _triangle_by_loop(keep: Any) -> Any:
    def reference(x: Any, k: int = 0) -> Any:
        y = np.array(x)
        for *_, i, j in np.ndindex(*x.shape):
            if not keep(i, j, k):
                y[..., i, j] = 0.0
        return y

    return reference


def _below(name: str, x: Array, k: int) -> Array:
    """True on diagonal number k of a matrix of x's size, and below it."""
    shape = np.shape(x)
    if len(shape) < 2:
        raise ShapeError(f"{name} takes matrices (..., m, n), and got shape {shape}")
    return np.tri(shape[-2], shape[-1], k, bool)


_MATRICES = (case(reals("n m"), params={"k": _OFFSETS}), case(reals("b n m"), params={"k": _OFFSETS}))


@composed(
    spec=OpSpec(*_MATRICES, reference=_triangle_by_loop(lambda i, j, k: j - i <= k)),
    numpy=(np.tril,),
    methods=("tril",),
)
def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle of each matrix, zeros above its diagonal number k."""
    return where(_below("tril", x, k), x, np.zeros((), np.result_type(x)))


@composed(
    spec=OpSpec(*_MATRICES, reference=_triangle_by_loop(lambda i, j, k: j - i >= k)),
    numpy=(np.triu,),
    methods=("triu",),
)
def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle of each matrix, zeros below its diagonal number k."""
    return where(_below("triu", x, k - 1), np.zeros((), np.result_type(x)), x)
