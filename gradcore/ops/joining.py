"""Arrays joined, and taken apart."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import operand
from gradcore.errors import ShapeError
from gradcore.names import with_pytorchs_names
from gradcore.op import Array, composed, op
from gradcore.ops.axes import axis_of, new_places, unsqueeze
from gradcore.ops.index import getitem
from gradcore.ops.shape import reshape
from gradcore.spec import Axis, Derived, OneOf, OpSpec, case, reals
from gradcore.tensor import FUNCTIONS, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _concatenate_rule(gy: Array, _y: Array, *arrays: Array, axis: int = 0) -> tuple[Array, ...]:
    axis %= gy.ndim
    before = (slice(None),) * axis
    cotangents = []
    start = 0
    for x in arrays:
        stop = start + x.shape[axis]
        cotangents.append(gy[(*before, slice(start, stop))])
        start = stop
    return tuple(cotangents)


def _concatenated_by_rows(*arrays: Any, axis: int = 0) -> Any:
    rows = [row for x in arrays for row in np.moveaxis(x, axis, 0)]
    rest = np.moveaxis(arrays[0], axis, 0).shape[1:]
    return np.moveaxis(np.array(rows).reshape((len(rows), *rest)), 0, axis)


@op(
    name="concatenate",
    vjp=_concatenate_rule,
    spec=OpSpec(
        case(reals("n"), variadic=(1, 3), params={"axis": OneOf(0, -1)}),
        case(reals("n m k"), variadic=(1, 3), params={"axis": Axis()}),
        case(reals("n m"), reals("k m"), params={"axis": OneOf(0, -2)}),
        case(reals("m n"), reals("m 1"), reals("m k"), params={"axis": OneOf(1, -1)}),
        reference=_concatenated_by_rows,
    ),
)
def concatenate_op(*arrays: Array, axis: int = 0) -> Array:
    """`concatenate` with the arrays as arguments of their own."""
    axis = operator.index(axis)  # None would flatten
    try:
        return np.concatenate(arrays, axis)
    except ValueError as error:
        raise ShapeError(
            f"can't concatenate the shapes {[a.shape for a in arrays]} along axis {axis}: they must agree in every "
            f"other axis ({error})"
        ) from None


@with_pytorchs_names
def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays joined along an axis that they have: `concatenate([x, y], axis=1)`."""
    return concatenate_op(*arrays, axis=axis)


FUNCTIONS[np.concatenate] = concatenate


def _alike(arrays: Sequence[Any]) -> list[Any]:
    """Numbers and lists as arrays; beside a Tensor in its dtype, as in arithmetic."""
    like = next((x.dtype for x in arrays if type(x) is Tensor), None)
    return [
        x if isinstance(x, Tensor | np.ndarray) else np.asarray(x) if like is None else operand(x, like)
        for x in arrays
    ]


def _stacked_by_loop(*arrays: Any, axis: int = 0) -> Any:
    return np.moveaxis(
        np.array([x.tolist() for x in arrays]).reshape((len(arrays), *arrays[0].shape)), 0, axis
    )


@composed(
    name="stack",
    spec=OpSpec(
        case(reals(), variadic=(1, 3), params={"axis": Derived(new_places)}),
        reference=_stacked_by_loop,
    ),
)
def _stack(*arrays: Array, axis: int = 0) -> Array:
    """`stack` with the arrays as arguments of their own."""
    arrays = tuple(_alike(arrays))
    shapes = {x.shape for x in arrays}
    if len(shapes) != 1:
        raise ShapeError(
            f"stack got the shapes {[x.shape for x in arrays]}: they must be equal; concatenate joins along an axis"
        )
    (shape,) = shapes
    axis = axis_of("stack", axis, len(shape) + 1, shape)
    return concatenate_op(*[unsqueeze(x, axis) for x in arrays], axis=axis)


@with_pytorchs_names
def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis: `stack([x, y], axis=-1)`. Raises ShapeError where shapes differ."""
    return _stack(*arrays, axis=axis)


def _widened(x: Array, ndim: int) -> Array:
    """With axes of size 1 up to `ndim`: of a vector one in front, others behind, as `np.atleast_3d` puts them."""
    shape = np.shape(x)
    if len(shape) >= ndim:
        return x
    if len(shape) == 1:
        shape = (1, *shape)
    return reshape(x, (*shape, *(1,) * (ndim - len(shape))))


@composed(
    name="hstack",
    spec=OpSpec(
        case(reals(), variadic=(1, 3)),
        case(reals("m n"), reals("m k")),
        reference=lambda *arrays: np.hstack(arrays),
    ),
)
def _hstack(*arrays: Array) -> Array:
    """`hstack` with the arrays as arguments of their own."""
    arrays = tuple([_widened(x, 1) for x in _alike(arrays)])
    return concatenate_op(*arrays, axis=0 if len(arrays[0].shape) == 1 else 1)


def hstack(arrays: Sequence[Array]) -> Array:
    """Arrays side by side: joined along axis 1, vectors along their only axis."""
    return _hstack(*arrays)


@composed(
    name="vstack",
    spec=OpSpec(
        case(reals(), variadic=(1, 3)),
        case(reals("n m"), reals("k m")),
        reference=lambda *arrays: np.vstack(arrays),
    ),
)
def _vstack(*arrays: Array) -> Array:
    """`vstack` with the arrays as arguments of their own."""
    return concatenate_op(*[_widened(x, 2) for x in _alike(arrays)], axis=0)


def vstack(arrays: Sequence[Array]) -> Array:
    """Arrays on top of each other: joined along axis 0, vectors as rows."""
    return _vstack(*arrays)


@composed(
    name="dstack",
    spec=OpSpec(
        case(reals(), variadic=(1, 3)),
        case(reals("n m k"), reals("n m j")),
        reference=lambda *arrays: np.dstack(arrays),
    ),
)
def _dstack(*arrays: Array) -> Array:
    """`dstack` with the arrays as arguments of their own."""
    return concatenate_op(*[_widened(x, 3) for x in _alike(arrays)], axis=2)


def dstack(arrays: Sequence[Array]) -> Array:
    """Arrays one behind the other: joined along axis 2."""
    return _dstack(*arrays)


@composed(
    name="column_stack",
    spec=OpSpec(
        case(reals("n"), variadic=(1, 3)),
        case(reals("n"), reals("n m"), reals("n")),
        case(reals("n m k"), reals("n j k")),
        reference=lambda *arrays: np.column_stack(arrays),
    ),
)
def _column_stack(*arrays: Array) -> Array:
    """`column_stack` with the arrays as arguments of their own."""
    return concatenate_op(*[x if x.ndim > 1 else reshape(x, (-1, 1)) for x in _alike(arrays)], axis=1)


def column_stack(arrays: Sequence[Array]) -> Array:
    """Arrays side by side: joined along axis 1, vectors as columns."""
    return _column_stack(*arrays)


@composed(
    spec=OpSpec(
        case(reals("n"), reals("m"), params={"axis": OneOf(None, 0)}),
        case(reals("n m"), reals("k"), params={"axis": OneOf(None)}),
        case(reals("n m k"), reals("n m j"), params={"axis": OneOf(2, -1)}),
        reference=lambda x, values, axis=None: np.append(x, values, axis),
    ),
    numpy=(np.append,),
)
def append(x: Array, values: Array, axis: int | None = None) -> Array:
    """`values` behind x: along an axis that both have, or both as vectors where there is none."""
    x, values = _alike((x, values))
    if axis is None:
        return concatenate_op(reshape(x, (-1,)), reshape(values, (-1,)))
    return concatenate_op(x, values, axis=axis)


def _atleast(ndim: int) -> Callable[..., Any]:
    def atleast(*arrays: Array) -> Any:
        found = tuple([_widened(x, ndim) for x in arrays])
        return found[0] if len(found) == 1 else found

    atleast.__name__ = f"atleast_{ndim}d"
    atleast.__doc__ = f"The array with {ndim} axes or more, or a tuple of several: new ones have size 1, and stand where NumPy puts them."
    return atleast


atleast_1d, atleast_2d, atleast_3d = _atleast(1), _atleast(2), _atleast(3)


def array_split(x: Array, sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """As `split`, for a number of parts that need not divide the size: the first ones are longer by one."""
    shape = np.shape(x)
    axis = axis_of("array_split", axis, len(shape), shape)
    if isinstance(sections, int | np.integer):
        if sections < 1:
            raise ShapeError(f"array_split got {sections} sections: at least one is needed")
        size, longer = divmod(shape[axis], int(sections))
        ends = [k * size + min(k, longer) for k in range(1, int(sections))]
    else:
        ends = list(sections)
    before = (slice(None),) * axis
    return [
        getitem(x, (*before, slice(start, stop)))
        for start, stop in zip([0, *ends], [*ends, None], strict=True)
    ]


def split(x: Array, sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """The parts of x along `axis`: a number of equal ones, or cut before each index listed, as NumPy's.

    Raises ShapeError where the number does not divide the size; `array_split` takes it.
    """
    shape = np.shape(x)
    axis = axis_of("split", axis, len(shape), shape)
    if isinstance(sections, int | np.integer) and (sections < 1 or shape[axis] % sections):
        raise ShapeError(
            f"split can't cut axis {axis} of shape {shape} into {sections} equal parts: array_split cuts into unequal ones, "
            "and a list of indices says where to cut"
        )
    return array_split(x, sections, axis)


def hsplit(x: Array, sections: int | Sequence[int]) -> list[Array]:
    """`split` along axis 1, of a vector along its only axis."""
    return split(x, sections, 0 if np.ndim(x) == 1 else 1)


def vsplit(x: Array, sections: int | Sequence[int]) -> list[Array]:
    """`split` along axis 0 of an array of 2 axes or more."""
    return _split_of("vsplit", x, sections, 0, 2)


def dsplit(x: Array, sections: int | Sequence[int]) -> list[Array]:
    """`split` along axis 2 of an array of 3 axes or more."""
    return _split_of("dsplit", x, sections, 2, 3)


def _split_of(name: str, x: Array, sections: int | Sequence[int], axis: int, least: int) -> list[Array]:
    if np.ndim(x) < least:
        raise ShapeError(
            f"{name} got the shape {np.shape(x)}: it needs {least} axes or more; split takes any, by axis="
        )
    return split(x, sections, axis)


FUNCTIONS.update(
    {
        np.stack: stack,
        np.hstack: hstack,
        np.vstack: vstack,
        np.dstack: dstack,
        np.column_stack: column_stack,
        np.split: split,
        np.array_split: array_split,
        np.hsplit: hsplit,
        np.vsplit: vsplit,
        np.dsplit: dsplit,
        np.atleast_1d: atleast_1d,
        np.atleast_2d: atleast_2d,
        np.atleast_3d: atleast_3d,
    }
)
