"""Ops that move entries about without computing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, op
from gradcore.spec import Derived, Env, OneOf, OpSpec, Permutation, case, reals
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike


def _shapes_of_same_size(env: Env) -> list[tuple[int, ...]]:
    (shape,) = env.shapes
    size = math.prod(shape)
    found = [(size,), (-1,), (1, size), shape[::-1], (*shape, 1)] if size else [shape[::-1], (0,), (3, 0)]
    return found + [(k, -1) for k in (2, 3) if size and size % k == 0]


@op(
    vjp=lambda gy, _y, x, shape: np.reshape(gy, x.shape),
    spec=OpSpec(
        case(reals(), params={"shape": Derived(_shapes_of_same_size)}),
        reference=lambda x, shape: np.array(x.ravel().tolist()).reshape(shape),
    ),
    numpy=(np.reshape,),
)
def reshape(x: Array, /, shape: tuple[int, ...]) -> Array:
    """The same entries in row-major order under another shape; one axis may be -1."""
    try:
        return x.reshape(shape)
    except ValueError:
        raise ShapeError(
            f"{x.size} entries of shape {x.shape} do not fit the shape {shape}: the sizes must multiply to {x.size} "
            "(one may be -1)"
        ) from None


def _transposed_by_index(x: Any, axes: Sequence[int] | None = None) -> Any:
    order = list(range(x.ndim))[::-1] if axes is None else [a % x.ndim for a in axes]
    out = np.empty([x.shape[a] for a in order])
    for index in np.ndindex(*out.shape):
        source = [0] * x.ndim
        for position, a in zip(index, order, strict=True):
            source[a] = position
        out[index] = x[tuple(source)]
    return out


def _transpose_rule(gy: Array, _y: Array, x: Array, axes: tuple[int, ...] | None = None) -> Array:
    if axes is None:
        return np.transpose(gy)
    normal = [a % x.ndim for a in axes]
    return np.transpose(gy, tuple([normal.index(i) for i in range(x.ndim)]))


@op(
    vjp=_transpose_rule,
    spec=OpSpec(
        case(reals(), params={"axes": Permutation(none=True)}),
        # Equal sizes: only there does a rule that takes `axes` for its inverse give a wrong number, and no wrong shape.
        case(reals("n n n"), params={"axes": Permutation()}, sizes={"n": (2, 3)}),
        reference=_transposed_by_index,
    ),
    numpy=(np.transpose,),
)
def transpose(x: Array, /, axes: tuple[int, ...] | None = None) -> Array:
    """The axes in another order: reversed, or as `axes` lists them (of either sign)."""
    if axes is not None and sorted(a % max(x.ndim, 1) for a in axes) != list(range(x.ndim)):
        raise ShapeError(
            f"axes={axes} is not a permutation of the {x.ndim} axes of shape {x.shape}: name all of them, as NumPy does, or "
            "write x.swapaxes(a, b)"
        )
    return x.transpose(axes)


def _wider_shapes(env: Env) -> list[tuple[int, ...]]:
    (shape,) = env.shapes
    stretched = tuple([3 if n == 1 else n for n in shape])
    return [shape, stretched, (2, *stretched), (1, *shape), (2, 1, *stretched)]


@op(
    vjp=lambda gy, _y, _x, shape: gy,  # the engine sums it back to x's shape
    spec=OpSpec(
        case(reals(), params={"shape": Derived(_wider_shapes)}),
        reference=lambda x, shape: x + np.zeros(shape),
    ),
    broadcasts=True,
    numpy=(np.broadcast_to,),
    methods=("broadcast_to",),
)
def broadcast_to(x: Array, /, shape: tuple[int, ...]) -> Array:
    """x repeated along new axes and axes of size 1, as a read-only view of `shape`."""
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ShapeError(
            f"shape {x.shape} does not broadcast to {shape}: compared from the right, each size must be equal or 1"
        ) from None


@op(
    vjp=lambda gy, _y, _x, dtype: gy,  # the engine casts it back to x's dtype
    spec=OpSpec(
        case(reals(), params={"dtype": OneOf("float64")}),
        reference=lambda x, dtype: np.array(x.tolist(), dtype).reshape(x.shape),
    ),
    methods=("astype",),
)
def astype(x: Array, /, dtype: DTypeLike) -> Array:
    """The same values in another dtype; the gradient comes back in x's own."""
    return x.astype(dtype)


def as_floats(x: Array) -> Array:
    """x in floating point: whole numbers and booleans as float64, as NumPy takes them where it divides."""
    return astype(x, np.float64) if np.result_type(x).kind in "iub" else x


def _reshape_method(self: Tensor, *shape: Any) -> Any:
    """The same entries under another shape: `x.reshape(2, 3)` or `x.reshape((2, 3))`; one axis may be -1."""
    return reshape(self, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)


def _transpose_method(self: Tensor, *axes: Any) -> Any:
    """The axes reversed, or as listed: `x.transpose()`, `x.transpose(1, 0)` or `x.transpose((1, 0))`."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return transpose(self, None if axes[0] is None else tuple(axes[0]))
    return transpose(self, axes or None)


Tensor.reshape = _reshape_method  # type: ignore[assignment]
Tensor.transpose = _transpose_method  # type: ignore[assignment]
Tensor.T = property(transpose, doc="The axes reversed.")  # type: ignore[assignment]
