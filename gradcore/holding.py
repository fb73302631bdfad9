"""Whether an array may be written into: not while anything but its owner holds it, such as a recorded graph.

A graph holds the arrays that its rules need until it is differentiated. Python counts references, so no such array has to
be found or marked: one that only its owner holds is in no graph.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradcore.modes import tracing

if TYPE_CHECKING:
    from numpy.typing import NDArray


class HasData(Protocol):
    """What holds an array as `data`: a Tensor."""

    data: NDArray[Any]


class HasGrad(Protocol):
    """What holds a gradient as `grad`: a Tensor."""

    grad: Any


class _Probe:
    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = np.empty(0)


def _references(owner: HasData) -> int:
    return getrefcount(owner.data)


_ALONE = _references(_Probe())  # how many a call like that one sees differs between versions of Python


def is_held(owner: HasData) -> bool:
    """Whether anything but `owner` may hold its array, or it can't be written to; a view counts as held."""
    return getrefcount(owner.data) > _ALONE or owner.data.base is not None or not owner.data.flags.writeable


def is_grad_held(owner: HasGrad) -> bool:
    """`is_held` of a gradient that is there."""
    grad_is_held = getrefcount(owner.grad) > _ALONE
    return grad_is_held or owner.grad.base is not None or not owner.grad.flags.writeable


def assign(owner: HasData, values: NDArray[Any]) -> None:
    """Give `owner` the values: in its own array, or in a new one of the same dtype where something else holds that."""
    if is_held(owner):
        owner.data = np.array(values, owner.data.dtype)
    else:
        owner.data[...] = values
    trace = tracing()
    if trace is not None:
        trace.assigned(owner, values)
