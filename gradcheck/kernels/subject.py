"""The kernel under check, run in its own dtype: numbers go in and come out in float64, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gradcheck.backends.dtypes import is_extended
from gradcheck.backends.pair import Pair
from gradcheck.backends.protocol import Array, Input
from gradcheck.backends.tree import described, leaves, name_of, rebuild, replaced
from gradcheck.errors import CallError, RuleError
from gradcheck.kernels.formats import Format, format_of

LAYOUTS = ("gaps", "transposed", "broadcast")
"""Memory layouts of a cotangent beside C order: every second entry; axes stored in the other order; strides of 0."""


@dataclass(frozen=True, slots=True)
class Value:
    """An array among the inputs or outputs: its numbers in float64 (integers as they are), and what they are stored in."""

    path: str
    array: Array
    format: Format | None
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """One call: the outputs, and for each input its cotangent, None for none; what was written into by the call."""

    outputs: list[Value]
    pulled: list[Value | None]
    changed: str = ""


class Kernel(Protocol):
    """A function of arrays in low precision with its own derivative."""

    name: str
    gradient: str
    inputs: tuple[Value, ...]
    given: list[Any] | None
    """The caller's cotangents, for the layout "given"."""
    layouts: tuple[str, ...]
    """Those of a cotangent, beside "dense", that it may get."""

    def value(self, path: str, leaf: Any) -> Value:
        """The numbers of an array of the kernel's kind."""

    def outputs(self) -> list[Value]:
        """Forward alone."""

    def run(self, gys: Sequence[Array | None] | None, layout: str = "dense") -> Ran:
        """Forward, and backward for cotangents in this layout. Raises `RuleError` where backward does."""

    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        """The arguments of the reference, with these in the places of the inputs' arrays."""


class Arguments:
    """The arguments of a kernel, taken apart: which of them are arrays of its framework, and others in their places.

    kind: "an array" or "a tensor", for messages.
    """

    given: list[Any] | None = None
    kind = "an array"
    name: str

    def __init__(self, template: tuple[Any, ...], owns: Callable[[Any], bool]) -> None:
        named = list(leaves(template, "inputs"))
        self._template, self._owns = template, owns
        self._flat = [leaf for _, leaf in named]
        self._places = [i for i, leaf in enumerate(self._flat) if owns(leaf)]
        self._own = [named[i] for i in self._places]

    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        """The template with other arrays in their places."""
        return list(rebuild(self._template, iter(replaced(self._flat, self._places, arrays))))

    def _returned(self, result: Any) -> list[tuple[str, Any]]:
        """The arrays that a function returned, with their names; CallError where something else is among them."""
        found = [(path, y) for path, y in leaves(result, "output") if y is not None]
        for path, y in found:
            if not self._owns(y):
                raise CallError(
                    f"{self.name} returned {described(y)} ({path}): return {self.kind}, or a tuple or dict of them"
                )
        return found


class NumPyKernel(Arguments):
    """`f(*inputs)` and `rule(gy, y, *inputs)` on arrays of NumPy and ml_dtypes."""

    layouts: tuple[str, ...] = LAYOUTS

    def __init__(
        self,
        f: Callable[..., Any],
        rule: Callable[..., Any] | None,
        template: tuple[Any, ...],
        params: Mapping[str, Any],
    ) -> None:
        super().__init__(template, lambda leaf: isinstance(leaf, np.ndarray | np.floating))
        found = [(path, np.asarray(leaf)) for path, leaf in self._own]
        self.name = name_of(f)
        self.inputs = tuple([value_of(path, a, wanted=True) for path, a in found])
        self._arrays = [a for _, a in found]
        items = tuple([Input(v.path, a, v.wanted) for v, a in zip(self.inputs, self._arrays, strict=True)])
        self._pair = Pair(f, rule or _no_rule, template, items, self._places, params)
        self.gradient = self._pair.gradient if rule is not None else f"the forward values of {self.name}"

    def value(self, path: str, leaf: Any) -> Value:
        """The numbers of an array."""
        return value_of(path, np.asarray(leaf))

    def outputs(self) -> list[Value]:
        """Forward alone."""
        return self.run(None).outputs

    def run(self, gys: Sequence[Array | None] | None, layout: str = "dense") -> Ran:
        """Forward on copies of the inputs, and backward."""
        own = [_copied(a) for a in self._arrays]
        run = self._pair.run(own)
        paths = self._pair.output_paths
        outputs = [value_of(path, np.array(y)) for path, y in zip(paths, run.outputs, strict=True)]
        if gys is None:
            return Ran(outputs, [])
        given = [
            None if gy is None else laid_out(gy.astype(y.dtype), layout)
            for gy, y in zip(gys, run.outputs, strict=True)
        ]
        if layout == "given" and self.given is not None:
            given = self.given
        before = [None if gy is None else np.array(gy) for gy in given]
        found = run.pull(given)
        changed = [v.path for v, a, b in zip(self.inputs, own, self._arrays, strict=True) if not _same(a, b)]
        changed += ["the cotangent gy"] * any(
            a is not None and not _same(a, b) for a, b in zip(given, before, strict=True)
        )
        pulled = [
            None if gx is None or not v.wanted else value_of(v.path, gx)
            for gx, v in zip(found, self.inputs, strict=True)
        ]
        return Ran(outputs, pulled, ", ".join(changed))


def _copied(array: Array) -> Array:
    """A copy with the same strides, where none is 0 or negative."""
    if array.size == 0 or any(s <= 0 for s in array.strides):
        return array.copy(order="K")
    last = sum([(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)])
    memory = np.zeros(last + array.itemsize, np.uint8)
    found = np.ndarray(array.shape, array.dtype, memory, strides=array.strides)
    found[...] = array
    return found


def _no_rule(*_: Any) -> None:
    raise RuleError("no rule")


def _same(a: Any, b: Any) -> bool:
    return bool(
        np.array_equal(np.ascontiguousarray(a).view(np.uint8), np.ascontiguousarray(b).view(np.uint8))
    )


def value_of(path: str, array: Array, *, wanted: bool = False) -> Value:
    """An array of NumPy or ml_dtypes among the inputs or outputs. Raises `CallError` where it holds no real numbers."""
    if array.dtype.kind == "f" or is_extended(array.dtype):
        return Value(path, array.astype(np.float64), format_of(array.dtype, path), wanted)
    if array.dtype.kind not in "iub":
        raise CallError(f"{path} is an array of {array.dtype}: a kernel takes and returns real numbers")
    return Value(path, array, None)


def laid_out(array: Array, layout: str) -> Array:
    """The same values in another memory layout; "broadcast" wants rows that are all alike."""
    if layout == "gaps" and array.ndim:
        larger = np.full((*array.shape[:-1], 2 * array.shape[-1]), 7, array.dtype)
        larger[..., ::2] = array
        return larger[..., ::2]
    if layout == "transposed" and array.ndim > 1:
        return np.array(array.T, order="C").T
    if layout == "broadcast" and array.ndim and array.size:
        return np.broadcast_to(array[:1], array.shape)
    return array
