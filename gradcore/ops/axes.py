"""Axes of size 1 that come and go, and axes that change places: composed of reshape and transpose."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import composed
from gradcore.ops.shape import reshape, transpose
from gradcore.spec import Derived, Env, OpSpec, case, reals

if TYPE_CHECKING:
    from gradcore.attached import Axes
    from gradcore.op import Array


def axis_of(name: str, axis: Any, ndim: int, shape: tuple[int, ...]) -> int:
    """`axis` counted from the front; ShapeError where there is no such axis."""
    found = operator.index(axis)
    if not -ndim <= found < ndim:
        raise ShapeError(f"{name} got axis {found} of shape {shape}: axes go from {-ndim} to {ndim - 1}")
    return found % ndim


def _axes_of_one(env: Env) -> list[Any]:
    (shape,) = env.shapes
    ones = [i for i, n in enumerate(shape) if n == 1]
    return [None, tuple(ones), *ones, *[i - len(shape) for i in ones]]


def every_axis(env: Env) -> list[int]:
    """The axes of the first array, counted from either end."""
    ndim = len(env.shapes[0])
    return list(range(-ndim, ndim))


def new_places(env: Env) -> list[int]:
    """Where a new axis may go, counted from either end."""
    ndim = len(env.shapes[0]) + 1
    return list(range(-ndim, ndim))


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Derived(_axes_of_one)}),
        case(reals("1 n 1 m"), params={"axis": Derived(_axes_of_one)}),
        reference=lambda x, axis=None: np.array(np.squeeze(x, axis)),
    ),
    numpy=(np.squeeze,),
    methods=("squeeze",),
)
def squeeze(x: Array, axis: Axes = None) -> Array:
    """Without the axes of size 1: all of them, or those that `axis` names; ShapeError where such a one is longer."""
    shape = np.shape(x)
    if axis is None:
        return reshape(x, tuple([n for n in shape if n != 1]))
    axes = {
        axis_of("squeeze", a, len(shape), shape)
        for a in (axis if isinstance(axis, tuple | list) else (axis,))
    }
    if longer := [a for a in sorted(axes) if shape[a] != 1]:
        raise ShapeError(
            f"squeeze got axis {longer[0]} of shape {shape}, whose size is {shape[longer[0]]}, not 1"
        )
    return reshape(x, tuple([n for i, n in enumerate(shape) if i not in axes]))


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Derived(new_places)}),
        reference=lambda x, axis=None: np.array(np.expand_dims(x, axis)),
    ),
    numpy=(np.expand_dims,),
    methods=("unsqueeze",),
)
def unsqueeze(x: Array, axis: Axes = None) -> Array:
    """With a new axis of size 1 at `axis`, or several; ShapeError where there is no such place in the result."""
    if axis is None:
        raise ShapeError("unsqueeze needs the place of the new axis: write x.unsqueeze(0)")
    shape = np.shape(x)
    places = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = len(shape) + len(places)
    new = {axis_of("unsqueeze", a, ndim, shape) for a in places}
    if len(new) < len(places):
        raise ShapeError(
            f"unsqueeze got axes {tuple(places)}, two of which are the same place: name each once"
        )
    sizes = iter(shape)
    return reshape(x, tuple([1 if i in new else next(sizes) for i in range(ndim)]))


@composed(
    spec=OpSpec(
        case(reals(), params={"axis1": Derived(every_axis), "axis2": Derived(every_axis)}),
        reference=lambda x, axis1, axis2: np.array(np.swapaxes(x, axis1, axis2)),
    ),
    numpy=(np.swapaxes,),
    methods=("swapaxes",),
)
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """With two axes swapped; ShapeError where there is no such axis."""
    axes = list(range(np.ndim(x)))
    i, j = (axis_of("swapaxes", k, len(axes), np.shape(x)) for k in (axis1, axis2))
    axes[i], axes[j] = axes[j], axes[i]
    return transpose(x, tuple(axes))


@composed(
    spec=OpSpec(
        case(reals("n m")),
        case(reals("b n m")),
        reference=lambda x: (
            np.stack([x[..., j] for j in range(x.shape[-1])], -2) if x.size else x.swapaxes(-1, -2)
        ),
    ),
    numpy=(np.matrix_transpose,),
)
def matrix_transpose(x: Array) -> Array:
    """Each matrix transposed: the last two axes swapped."""
    return swapaxes(x, -1, -2)
