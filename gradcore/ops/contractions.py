"""Products of vectors and of arrays over chosen axes, composed of matmul."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed
from gradcore.ops.axes import axis_of
from gradcore.ops.products import matmul
from gradcore.ops.rearrange import ravel
from gradcore.ops.shape import reshape, transpose
from gradcore.spec import OneOf, OpSpec, case, reals


def _contracted_by_loop(a: Any, b: Any, left: Sequence[int], right: Sequence[int]) -> Any:
    """The entries of the result one by one: the sum over the axes `left` of a and `right` of b."""
    left, right = [i % a.ndim for i in left], [i % b.ndim for i in right]
    rows = np.moveaxis(a, left, range(len(left)))
    columns = np.moveaxis(b, right, range(len(right)))
    inner = rows.shape[: len(left)]
    out = np.zeros(rows.shape[len(left) :] + columns.shape[len(right) :])
    for i in np.ndindex(*rows.shape[len(left) :]):
        for j in np.ndindex(*columns.shape[len(right) :]):
            out[i + j] = math.fsum([rows[k + i] * columns[k + j] for k in np.ndindex(*inner)])
    return out


def _axes_of(axes: Any, a: Any, b: Any) -> tuple[list[int], list[int]]:
    """What `axes` of tensordot means, as the axes of a and of b, from the front."""
    shapes = np.shape(a), np.shape(b)
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= min(len(shapes[0]), len(shapes[1])):
            raise ShapeError(
                f"tensordot got axes={axes} for the shapes {shapes[0]} and {shapes[1]}: one has too few axes"
            )
        return list(range(len(shapes[0]) - axes, len(shapes[0]))), list(range(axes))
    pair = [entry if isinstance(entry, Sequence) else (entry,) for entry in axes]
    left, right = (
        [axis_of("tensordot", axis, len(shape), shape) for axis in entry]
        for entry, shape in zip(pair, shapes, strict=True)
    )
    return left, right


def _by_loop(a: Any, b: Any, axes: Any = 2) -> Any:
    left, right = (range(-axes, 0), range(axes)) if isinstance(axes, int) else map(np.atleast_1d, axes)
    return _contracted_by_loop(a, b, [i % a.ndim for i in left], [i % b.ndim for i in right])


@composed(
    spec=OpSpec(
        case(reals("i j k"), reals("j k l"), params={"axes": OneOf(2, ((1, 2), (0, 1)), ((2, -2), (1, 0)))}),
        case(reals("i j"), reals("j k"), params={"axes": OneOf(1, (1, 0), ((-1,), (0,)))}),
        case(reals("i j k"), reals("k l"), params={"axes": OneOf(1, ((2,), (0,)))}),
        case(reals("i"), reals("j k"), params={"axes": OneOf(0)}),
        reference=_by_loop,
    ),
    numpy=(np.tensordot,),
)
def tensordot(x: Array, y: Array, axes: Any = 2) -> Array:
    """Sums of products over axes of x and of y: the last and first n for a number n, or a pair of lists of axes.

    Raises ShapeError where the axes are not there, or differ in size.
    """
    left, right = _axes_of(axes, x, y)
    a, b = np.shape(x), np.shape(y)
    inner = [a[i] for i in left]
    if inner != [b[i] for i in right]:
        raise ShapeError(
            f"tensordot got the shapes {a} and {b}, whose axes {left} and {right} differ in size"
        )
    rows = [i for i in range(len(a)) if i not in left]
    columns = [i for i in range(len(b)) if i not in right]
    shape = [a[i] for i in rows], [b[i] for i in columns]
    n = math.prod(inner)
    product = matmul(
        reshape(transpose(x, (*rows, *left)), (math.prod(shape[0]), n)),
        reshape(transpose(y, (*right, *columns)), (n, math.prod(shape[1]))),
    )
    return reshape(product, (*shape[0], *shape[1]))


def _dot_by_loop(a: Any, b: Any) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return _contracted_by_loop(a, b, [-1], [-1 if b.ndim == 1 else -2])


@composed(
    spec=OpSpec(
        case(reals("k"), reals("k")),
        case(reals("m k"), reals("k n")),
        case(reals("m k"), reals("k")),
        case(reals("k"), reals("b k n")),
        case(reals("m k"), reals("b k n")),
        case(reals("m k"), reals("")),
        reference=_dot_by_loop,
    ),
    numpy=(np.dot,),
    methods=("dot",),
)
def dot(x: Array, y: Array) -> Array:
    """NumPy's dot: the sum over x's last axis and y's last but one, or its only one; a product where either is a number.

    Of matrices it is x @ y, which broadcasts other leading axes where dot combines each with each.
    """
    if not np.shape(x) or not np.shape(y):
        return x * y
    return tensordot(x, y, ((-1,), (-1 if len(np.shape(y)) == 1 else -2,)))


@composed(
    spec=OpSpec(
        case(reals("k"), reals("k")),
        case(reals("m k"), reals("n k")),
        case(reals("k"), reals("a b k")),
        reference=lambda a, b: _contracted_by_loop(a, b, [-1], [-1]),
    ),
    numpy=(np.inner,),
)
def inner(x: Array, y: Array) -> Array:
    """The sum of products over the last axes."""
    return tensordot(x, y, ((-1,), (-1,)))


@composed(
    spec=OpSpec(
        case(reals("n"), reals("m")),
        case(reals("n k"), reals("m")),
        reference=lambda a, b: np.array([[p * q for q in b.ravel()] for p in a.ravel()]).reshape(
            a.size, b.size
        ),
    ),
    numpy=(np.outer,),
)
def outer(x: Array, y: Array) -> Array:
    """Each entry of x times each of y: (x.size, y.size)."""
    return reshape(x, (math.prod(np.shape(x)), 1)) * ravel(y)


def _kron_by_loop(a: Any, b: Any) -> Any:
    ndim = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    out = np.zeros([p * q for p, q in zip(a.shape, b.shape, strict=True)])
    for i in np.ndindex(*a.shape):
        for j in np.ndindex(*b.shape):
            out[tuple(p * n + q for p, q, n in zip(i, j, b.shape, strict=True))] = a[i] * b[j]
    return out


_SMALL = {"sizes": {"n": (0, 3), "m": (0, 3), "k": (0, 2), "l": (0, 2)}}


@composed(
    spec=OpSpec(
        case(reals("n m"), reals("k l"), **_SMALL),
        case(reals("n"), reals("k l"), **_SMALL),
        case(reals("n"), reals("k"), **_SMALL),
        reference=_kron_by_loop,
    ),
    numpy=(np.kron,),
)
def kron(x: Array, y: Array) -> Array:
    """Kronecker's product: each entry of x times all of y."""
    a, b = np.shape(x), np.shape(y)
    ndim = max(len(a), len(b))
    a, b = (1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b
    spread = [n for size in a for n in (size, 1)], [n for size in b for n in (1, size)]
    product = reshape(x, tuple(spread[0])) * reshape(y, tuple(spread[1]))
    return reshape(product, tuple([p * q for p, q in zip(a, b, strict=True)]))


@composed(
    spec=OpSpec(
        case(reals("n 3"), reals("n 3"), params={"axis": OneOf(-1, 1)}),
        case(reals("3 m"), reals("3 m"), params={"axis": OneOf(0, -2)}),
        case(reals("n 3"), reals("3"), params={"axis": OneOf(-1)}),
        reference=lambda a, b, axis=-1: np.cross(a, b, axis=axis),
    ),
    numpy=(np.cross,),
)
def cross(x: Array, y: Array, axis: int = -1) -> Array:
    """The vector product of vectors of 3 along `axis`. Raises ShapeError for another size."""
    shapes = np.shape(x), np.shape(y)
    places = [axis_of("cross", axis, len(shape), shape) for shape in shapes]
    if any(shape[place] != 3 for shape, place in zip(shapes, places, strict=True)):
        raise ShapeError(
            f"cross got the shapes {shapes[0]} and {shapes[1]}: axis {axis} has to have 3 entries"
        )

    def turned(v: Array, by: int, place: int) -> Array:
        return v[(slice(None),) * place + (np.roll(np.arange(3), by),)]

    return turned(x, -1, places[0]) * turned(y, 1, places[1]) - turned(x, 1, places[0]) * turned(
        y, -1, places[1]
    )


@composed(
    spec=OpSpec(
        case(reals("n"), reals("n")),
        case(reals("n m"), reals("n m")),
        reference=lambda a, b: np.array(math.fsum([p * q for p, q in zip(a.flat, b.flat, strict=True)])),
    ),
    numpy=(np.vdot,),
)
def vdot(x: Array, y: Array) -> Array:
    """The sum of products of all entries."""
    return tensordot(ravel(x), ravel(y), 1)
