"""What the transforms share: containers of arrays, and variables to differentiate by."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DtypeError
from gradcore.modes import is_grad_enabled
from gradcore.ops.shape import astype
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Tree = Any
"""An array, a number or a Tensor, or a tuple, list or dictionary of trees."""


def leaves_of(tree: Tree) -> list[Any]:
    """Its arrays, numbers and Tensors, in order."""
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in leaves_of(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves_of(part)]
    return [tree]


def filled(tree: Tree, leaves: Iterator[Any]) -> Tree:
    """The same containers with other leaves."""
    if isinstance(tree, dict):
        return {key: filled(part, leaves) for key, part in tree.items()}
    if hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*[filled(part, leaves) for part in tree])
    if isinstance(tree, tuple | list):
        return type(tree)([filled(part, leaves) for part in tree])
    return next(leaves)


def variable(value: Any, who: str) -> Tensor:
    """A new Tensor to differentiate by. One that stands for a recorded Tensor leads on to that: see `cut`."""
    if type(value) is Tensor and value.requires_grad and is_grad_enabled():
        linked: Tensor = astype(value, value.dtype)
        return linked
    data = value.data if type(value) is Tensor else np.asarray(value)
    if data.dtype.kind != "f":
        raise DtypeError(
            f"{who} differentiates by floating-point arrays, and got {value!r:.60} ({data.dtype}): write 3.0 for 3, choose "
            "other arguments with argnums=, or bind this one first (lambda x: f(x, n))"
        )
    return Tensor(data, requires_grad=True)


@contextmanager
def cut(nodes: Sequence[Tensor]) -> Iterator[None]:
    """Make leaves of some nodes for a while, so that a backward pass ends there.

    A variable that stands for an outer one is a node of its own, made after it. Within, the derivative is by this node alone;
    afterwards what was computed from it leads on to the outer one. So grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0)
    is 1: the two are not confused where both are the same number.
    """
    kept = [(n._op, n._left, n._right, n._first, n._second) for n in nodes]
    for n in nodes:
        n._op = n._left = n._right = n._first = n._second = None
    try:
        yield
    finally:
        for n, slots in zip(nodes, kept, strict=True):
            n._op, n._left, n._right, n._first, n._second = slots


def name_of(f: Any) -> str:
    """A function's name, for messages."""
    return str(getattr(f, "__name__", type(f).__name__))
