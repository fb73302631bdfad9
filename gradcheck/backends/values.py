"""The arrays within values of any kind: NumPy arrays, gradcore Tensors, and the values of other frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.backends.framework import framework_of
from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import leaves, rebuild
from gradcore.tensor import Tensor


def array_in(leaf: Any) -> Array | None:
    """The numbers of an array, a NumPy scalar, a Tensor or a framework's value; None for anything else."""
    if isinstance(leaf, Tensor):
        return leaf.data
    if isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, np.generic):
        return np.asarray(leaf)
    framework = framework_of(leaf)
    return None if framework is None or not framework.owns(leaf) else framework.array(leaf, "an input")


def as_in(array: Array, leaf: Any) -> Any:
    """The array as a value of the kind of `leaf`, that requires a gradient where that one does."""
    if isinstance(leaf, Tensor):
        return Tensor(array, requires_grad=leaf.requires_grad)
    framework = framework_of(leaf)
    if framework is None or not framework.owns(leaf):
        return array
    floating = array.dtype.kind in "fc"
    with framework.mode([array]):
        return framework.leaf(array, leaf, wanted=floating and bool(framework.trainable(leaf)))


def arrays_of(values: Any) -> Any:
    """The same structure with the arrays in the place of the values that hold them."""

    def plain(leaf: Any) -> Any:
        array = None if isinstance(leaf, np.generic) else array_in(leaf)
        return leaf if array is None else array

    return rebuild(values, (plain(leaf) for _, leaf in leaves(values, "")))


def reading(leaf: Any) -> str:
    """Code with `{}` for the value, that gives its array."""
    if isinstance(leaf, Tensor):
        return "{}.data"
    framework = None if isinstance(leaf, np.ndarray | np.generic) else framework_of(leaf)
    return "{}" if framework is None or not framework.owns(leaf) else framework.traits.reads
