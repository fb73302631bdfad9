"""Entries in another order, repeated or padded: each takes its entries from places that NumPy itself works out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.op import Array, composed
from gradcore.ops.axes import axis_of, every_axis
from gradcore.ops.index import getitem, scatter_add
from gradcore.ops.shape import reshape, transpose
from gradcore.spec import Axis, Derived, Env, OneOf, OpSpec, case, reals
from gradcore.tensor import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcore.attached import Axes


def rearranged(x: Array, move: Callable[[Any], Any]) -> Array:
    """`move(x)` for a function that moves, drops or repeats entries: x's entries at what it makes of their places."""
    shape = np.shape(x)
    size = math.prod(shape)
    return getitem(reshape(x, (size,)), move(np.arange(size).reshape(shape)))


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Axis(many=True, none=True)}),
        reference=lambda x, axis=None: np.array(np.flip(x, axis)),
    ),
    numpy=(np.flip,),
    methods=("flip",),
)
def flip(x: Array, axis: Axes = None) -> Array:
    """The entries along `axis` in reverse: all axes by default."""
    shape = np.shape(x)
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    turned = {axis_of("flip", a, len(shape), shape) for a in axes}
    return getitem(x, tuple([slice(None, None, -1 if i in turned else None) for i in range(len(shape))]))


@composed(spec=OpSpec(case(reals("n m ...")), reference=lambda x: np.array(np.fliplr(x))), numpy=(np.fliplr,))
def fliplr(x: Array) -> Array:
    """The entries along axis 1 in reverse."""
    return flip(x, 1)


@composed(spec=OpSpec(case(reals("n ...")), reference=lambda x: np.array(np.flipud(x))), numpy=(np.flipud,))
def flipud(x: Array) -> Array:
    """The entries along axis 0 in reverse."""
    return flip(x, 0)


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Axis(none=True), "shift": OneOf(0, 1, -2, 5)}),
        case(reals("n m"), params={"axis": OneOf((0, 1), (-1, 0)), "shift": OneOf(1, (2, -1))}),
        reference=lambda x, shift, axis=None: np.roll(x, shift, axis),
    ),
    numpy=(np.roll,),
    methods=("roll",),
)
def roll(x: Array, shift: int | tuple[int, ...], axis: Axes = None) -> Array:
    """The entries moved on by `shift` along `axis`, round the end; without an axis, in row-major order."""
    return rearranged(x, lambda places: np.roll(places, shift, axis))


@composed(
    spec=OpSpec(
        case(reals("n m ..."), params={"k": OneOf(1, 0, 2, 3, -1, 5), "axes": OneOf((0, 1), (1, 0))}),
        reference=lambda x, k=1, axes=(0, 1): np.array(np.rot90(x, k, axes)),
    ),
    numpy=(np.rot90,),
)
def rot90(x: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Turned by k right angles in the plane of two axes, from the first towards the second."""
    return rearranged(x, lambda places: np.rot90(places, k, axes))


@composed(
    spec=OpSpec(
        case(reals(), params={"source": Derived(every_axis), "destination": Derived(every_axis)}),
        case(
            reals("n m k"), params={"source": OneOf((0, 1), (-1, 0)), "destination": OneOf((1, 2), (0, -1))}
        ),
        reference=lambda x, source, destination: np.array(np.moveaxis(x, source, destination)),
    ),
    numpy=(np.moveaxis,),
    methods=("moveaxis", "movedim"),
)
def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """With axes moved to other places, the others in their order."""
    shape = np.shape(x)
    places = np.empty(
        tuple(range(len(shape)))
    )  # axis i is i long, so that the shape says where each one went
    return transpose(x, np.moveaxis(places, source, destination).shape)


def rollaxis(x: Array, axis: int, start: int = 0) -> Array:
    """With one axis in front of the one at `start`, as `np.rollaxis`; `moveaxis` says it more clearly."""
    ndim = np.ndim(x)
    return transpose(x, np.rollaxis(np.empty(tuple(range(ndim))), axis, start).shape)


FUNCTIONS[np.rollaxis] = rollaxis


@composed(
    spec=OpSpec(case(reals()), reference=lambda x: np.array(x.tolist()).reshape(-1)),
    numpy=(np.ravel,),
    methods=("ravel",),
)
def ravel(x: Array) -> Array:
    """All entries in row-major order, along one axis."""
    return reshape(x, (math.prod(np.shape(x)),))


def _repeats(env: Env) -> list[Any]:
    (shape,) = env.shapes
    axis = env["axis"]
    n = math.prod(shape) if axis is None else shape[axis]
    return [2, 0, 1, tuple([k % 3 for k in range(n)])]


@composed(
    spec=OpSpec(
        case(reals(), params={"axis": Axis(none=True), "repeats": Derived(_repeats)}),
        reference=lambda x, repeats, axis=None: np.repeat(x, repeats, axis),
    ),
    numpy=(np.repeat,),
)
def repeat(x: Array, repeats: int | Sequence[int], axis: int | None = None) -> Array:
    """Each entry along `axis` several times in a row, as NumPy's; without an axis, in row-major order.

    `x.repeat` of PyTorch is `tile`.
    """
    return rearranged(x, lambda places: np.repeat(places, repeats, axis))


@composed(
    spec=OpSpec(
        case(reals(), params={"reps": OneOf(2, 0, (2, 1), (1, 3), (2, 1, 2))}),
        reference=lambda x, reps: np.tile(x, reps),
    ),
    numpy=(np.tile,),
    methods=("tile",),
)
def tile(x: Array, reps: int | tuple[int, ...]) -> Array:
    """The whole array several times along each axis; `reps` is filled up with ones from the left."""
    return rearranged(x, lambda places: np.tile(places, reps))


def _widths(env: Env) -> list[Any]:
    (shape,) = env.shapes
    ragged = tuple([(1, 2) if i % 2 else (0, 1) for i in range(len(shape))])
    return [1, 0, (2, 1), ragged] if shape else [0]


def _padded(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    more = {"constant_values": constant_values} if mode == "constant" else {}
    return np.pad(x, pad_width, mode, **more)  # type: ignore[call-overload]


_FROM_INSIDE = ("reflect", "symmetric", "edge", "wrap")


@composed(
    spec=OpSpec(
        case(
            reals(),
            params={
                "pad_width": Derived(_widths),
                "mode": OneOf("constant"),
                "constant_values": OneOf(0.0, 2.5),
            },
        ),
        case(
            reals(),
            params={"pad_width": Derived(_widths), "mode": OneOf(*_FROM_INSIDE)},
            where=lambda e: 0 not in e.shapes[0],
        ),
        reference=_padded,
    ),
    numpy=(np.pad,),
)
def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Array:
    """Longer at both ends of each axis, as NumPy's: pad_width is n, (before, after), or such a pair for each axis.

    mode: "constant" puts `constant_values` there; "reflect", "symmetric", "edge" and "wrap" put entries of x. Raises
    DomainError for another mode, such as NumPy's "mean".
    """
    if mode in _FROM_INSIDE:
        return rearranged(x, lambda places: np.pad(places, pad_width, mode))  # type: ignore[call-overload]
    if mode != "constant":
        raise DomainError(f"pad got mode={mode!r}: it is 'constant', {', '.join(map(repr, _FROM_INSIDE))}")
    shape = np.shape(x)
    inside = np.pad(np.ones(shape, bool), pad_width)  # NumPy reads the widths
    widths = np.broadcast_to(pad_width, (len(shape), 2))
    where = tuple([slice(int(before), int(before) + n) for (before, _), n in zip(widths, shape, strict=True)])
    y = scatter_add(x, where, inside.shape)
    return y if constant_values == 0 else y + np.where(inside, 0, constant_values).astype(y.dtype)
