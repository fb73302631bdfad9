"""A function of one example as a function of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradcore import registry
from gradcore.errors import ArgumentError, ShapeError
from gradcore.op import Op
from gradcore.ops.axes import axis_of
from gradcore.ops.index import getitem
from gradcore.ops.joining import stack
from gradcore.ops.rearrange import moveaxis
from gradcore.ops.shape import reshape
from gradcore.tensor import Tensor
from gradcore.variables import filled, leaves_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["vmap"]

AxesOf: TypeAlias = Any
"""An axis, or None; or the containers of the tree that it is for, with axes in the places of some parts."""

ELEMENTWISE = frozenset(
    [
        "abs",
        "add",
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctan2",
        "arctanh",
        "cbrt",
        "cos",
        "cosh",
        "digamma",
        "div",
        "erf",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "fmax",
        "fmin",
        "fmod",
        "hypot",
        "lgamma",
        "log",
        "log10",
        "log1p",
        "log2",
        "logaddexp",
        "logaddexp2",
        "maximum",
        "minimum",
        "mul",
        "neg",
        "pow",
        "reciprocal",
        "relu",
        "remainder",
        "sigmoid",
        "sin",
        "sinc",
        "sinh",
        "sqrt",
        "square",
        "sub",
        "tan",
        "tanh",
        "where",
    ]
)
"""Ops whose entries depend on the same entries of what they get, so that axes in front change nothing."""

OF_MATRICES = frozenset(["cholesky", "det", "inv", "logabsdet", "pinv"])
"""Ops of one array whose last two axes are a matrix, one for each place in the axes in front."""


def vmap(f: Callable[..., Any], in_axes: AxesOf = 0, out_axes: AxesOf = 0) -> Callable[..., Any]:
    """The function that applies f to each example of a batch, and stacks what it returns.

    in_axes: the axis of the examples, for all arguments; or a tuple with one for each, None for an argument that is the same
    for all; a container of arguments may have a container of axes. out_axes: where the examples go in what f returns. f gets
    each example as the argument came, a Tensor or an array, and keywords as they are.
    f is called once for each example, whatever it does. Where it is itself a function of NumPy or of gradcore that acts on each
    entry or matrix by itself, as np.exp or gradcore.inv, it is called once. A loop's time is the loop's: write x @ w for a
    batch where that is all there is to do.
    Raises ArgumentError or ShapeError where axes and arguments do not fit, or f returns other shapes or containers.

    >>> vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        leaves, axes = leaves_of(args), _in_axes(f, in_axes, args)
        n = _count(f, leaves, axes)
        if not kwargs and len(leaves) == len(args) and _acts_alone(f, leaves):
            found = f(*_aligned(leaves, axes))
            return moveaxis(found, 0, _axes_by_leaf("out_axes", out_axes, found)[0])
        rows = [
            [leaf] * n if axis is None else _rows(leaf, axis, n)
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        results = [f(*filled(args, iter(row)), **kwargs) for row in zip(*rows, strict=True)]
        return _stacked(f, results, out_axes)

    return function


def _axes_by_leaf(what: str, axes: AxesOf, tree: Any) -> list[Any]:
    """The axis of each leaf of a tree: an axis, or None, stands for all leaves of the part that it is for."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves_of(tree))
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [axis for key in tree for axis in _axes_by_leaf(what, axes[key], tree[key])]
    both = isinstance(axes, tuple | list) and isinstance(tree, tuple | list)
    if both and len(axes) == len(tree):
        return [
            axis for part, inner in zip(axes, tree, strict=True) for axis in _axes_by_leaf(what, part, inner)
        ]
    raise ArgumentError(
        f"{what}={axes!r} does not fit {_sketch(tree)}: give one axis, or a container of the same form with axes (or None) in it"
    )


def _sketch(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {sorted(map(str, tree))}"
    if isinstance(tree, tuple | list):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}"


def _in_axes(f: Any, in_axes: AxesOf, args: tuple[Any, ...]) -> list[int | None]:
    """For each leaf the axis of the examples, from the front."""
    found = []
    for axis, leaf in zip(_axes_by_leaf("in_axes", in_axes, args), leaves_of(args), strict=True):
        if axis is not None and not np.ndim(leaf):
            raise ShapeError(
                f"vmap of {name_of(f)} got {leaf!r:.40}, which has no axis of examples: say None for it in in_axes"
            )
        found.append(None if axis is None else axis_of("vmap", axis, np.ndim(leaf), np.shape(leaf)))
    return found


def _count(f: Any, leaves: list[Any], axes: list[int | None]) -> int:
    """How many examples there are."""
    counts = [np.shape(leaf)[axis] for leaf, axis in zip(leaves, axes, strict=True) if axis is not None]
    if not counts:
        raise ArgumentError(
            f"vmap of {name_of(f)} got no argument with an axis of examples: in_axes names one for one argument at least"
        )
    if len(set(counts)) > 1:
        raise ShapeError(
            f"vmap of {name_of(f)} got arguments of {counts} examples along their axes: they must be equally many"
        )
    if not counts[0]:
        raise ShapeError(
            f"vmap of {name_of(f)} got no examples: what it returns for one is not known without calling it"
        )
    return int(counts[0])


def _rows(x: Any, axis: int, n: int) -> list[Any]:
    """Each example. Of Tensors by halves, as the rule of each index makes an array of the size of what it picks from."""
    if type(x) is not Tensor:
        moved = np.moveaxis(np.asarray(x), axis, 0)
        return [moved[i, ...] for i in range(n)]
    parts = [moveaxis(x, axis, 0)]
    while len(parts) < n:
        parts = [half for part in parts for half in _halves(part)]
    return [getitem(part, 0) for part in parts]


def _halves(x: Tensor) -> list[Any]:
    middle = len(x) // 2
    return [getitem(x, slice(None, middle)), getitem(x, slice(middle, None))] if middle else [x]


def _stacked(f: Any, results: list[Any], out_axes: AxesOf) -> Any:
    """What f returned for the examples, in its containers, along axes of their own."""
    first, each = results[0], [leaves_of(result) for result in results]
    for result in results[1:]:
        if filled(result, iter(range(len(leaves_of(result))))) != filled(first, iter(range(len(each[0])))):
            raise ArgumentError(
                f"vmap of {name_of(f)} got {_sketch(first)} for the first example and {_sketch(result)} for another: it must "
                "return the same containers for all"
            )
    axes = _axes_by_leaf("out_axes", out_axes, first)
    if None in axes:
        raise ArgumentError(f"out_axes={out_axes!r}: what f returns has an axis of examples in every part")
    columns = zip(*each, strict=True)
    leaves = [
        stack([leaf if type(leaf) is Tensor else np.asarray(leaf) for leaf in column], axis)
        for column, axis in zip(columns, axes, strict=True)
    ]
    return filled(first, iter(leaves))


# --- where one call does for all --------------------------------------------------------------------------------------


def _acts_alone(f: Any, leaves: list[Any]) -> bool:
    """Whether f is an elementwise function, or an op of one matrix, and nothing else."""
    if isinstance(f, np.ufunc):
        return f.signature is None and f.nout == 1
    if not isinstance(f, Op) or f not in registry.ops.values():
        return False
    return f.name in ELEMENTWISE or (f.name in OF_MATRICES and np.ndim(leaves[0]) > 2)


def _aligned(leaves: list[Any], axes: list[int | None]) -> list[Any]:
    """With the examples in front, and behind them axes of size 1 up to the most that an example has."""
    most = max(np.ndim(leaf) - (axis is not None) for leaf, axis in zip(leaves, axes, strict=True))
    found = []
    for leaf, axis in zip(leaves, axes, strict=True):
        if axis is None:
            found.append(leaf)
            continue
        moved = moveaxis(leaf, axis, 0)
        n, *rest = np.shape(moved)
        found.append(reshape(moved, (n, *[1] * (most - len(rest)), *rest)))
    return found
