"""The simplest values at which a call still fails: zeros and small whole numbers, where they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.tree import leaves, rebuild
from gradcheck.backends.values import array_in, as_in

Array = NDArray[Any]
Allows: TypeAlias = Callable[[Sequence[Any]], bool]
"""Whether the domain has a call with the arrays of these leaves, None for a leaf that has none."""

T = TypeVar("T")

FEW = 16
"""In an array of up to so many entries, each is simplified by itself."""

NEAR = 2
"""Whole numbers of up to this size are tried one by one, those beyond by halves of the distance to the entry."""


class Simpler(Generic[T]):
    """Simplifies the arrays of a call one by one, as long as it fails in the same way.

    fails: the outcome of a call with other inputs where it fails in the same way, None where it does not, or where there
    is no time left.
    """

    def __init__(self, inputs: tuple[Any, ...], allows: Allows, fails: Callable[[tuple[Any, ...]], T | None]):
        self.inputs, self._allows, self._fails = inputs, allows, fails
        self.found: T | None = None

    def run(self) -> T | None:
        """The outcome at the simplest inputs found, None where those given are the simplest."""
        for place, (_, leaf) in enumerate(leaves(self.inputs, "")):
            array = array_in(leaf)
            if array is not None and array.size and array.dtype.kind in "fciu":
                self._simplify(place)
        return self.found

    def _simplify(self, place: int) -> None:
        for whole in _wholes(self._at(place)):
            if np.array_equal(whole, self._at(place)) or self._accepts(place, whole):
                break
        if self._at(place).size > FEW:
            return
        for k in range(self._at(place).size):
            for value in _plainer(self._at(place).flat[k]):
                if self._put(place, k, value):
                    break
            else:
                self._halve(place, k)

    def _halve(self, place: int, k: int) -> None:
        """Towards zero, as far as whole numbers go."""
        value = self._at(place).flat[k]
        if value.imag or not float(value.real).is_integer() or abs(value) <= NEAR:
            return
        sign, low, high = (1 if value.real > 0 else -1), NEAR, int(abs(value))
        while high - low > 1:
            middle = (low + high) // 2
            if self._put(place, k, sign * middle):
                high = middle
            else:
                low = middle

    def _at(self, place: int) -> Array:
        return np.asarray(array_in([leaf for _, leaf in leaves(self.inputs, "")][place]))

    def _put(self, place: int, k: int, value: Any) -> bool:
        changed = np.array(self._at(place), order="C")
        changed.flat[k] = value
        return self._accepts(place, changed)

    def _accepts(self, place: int, array: Array) -> bool:
        """Take this array where the call still fails with it."""
        flat = [leaf for _, leaf in leaves(self.inputs, "")]
        old = self._at(place)
        array = np.asarray(array, old.dtype)
        if np.array_equal(array, old):
            return False
        flat[place] = as_in(array, flat[place])
        if not self._allows([array_in(leaf) for leaf in flat]):
            return False
        inputs = rebuild(self.inputs, iter(flat))
        outcome = self._fails(inputs)
        if outcome is None:
            return False
        self.inputs, self.found = inputs, outcome
        return True


def _wholes(array: Array) -> Iterator[Array]:
    """Whole arrays, the simplest first."""
    yield np.zeros(array.shape)
    yield np.ones(array.shape)
    if array.dtype.kind == "c":
        yield np.full(array.shape, 1 + 1j)
        yield np.rint(array.real) + 1j * np.rint(array.imag)
        return
    signs = np.where(array < 0, -1.0, 1.0)
    yield signs
    yield np.arange(1.0, array.size + 1).reshape(array.shape)
    yield signs * np.arange(1.0, array.size + 1).reshape(array.shape)
    yield np.clip(np.rint(array), -3, 3)
    yield np.rint(array)


def _plainer(value: Any) -> Iterator[complex | float]:
    """Values that are simpler than this one, the simplest first; the whole number next to it last."""
    tried: tuple[complex, ...] = (0, 1, -1, 2, -2)
    if np.iscomplexobj(value):
        tried = (0, 1, 1j, 1 + 1j, complex(round(value.real), round(value.imag)))
    for other in tried:
        if other == value:
            return
        yield other
    if not np.iscomplexobj(value) and np.isfinite(value) and not float(value).is_integer():
        for digits in (0, 1, 2):
            yield round(float(value), digits)
