"""The domain around an example: its arrays, what is known of their axes and values, and the static values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.tree import leaves, rebuild
from gradcheck.backends.values import array_in, as_in
from gradcheck.explore.resized import Signs

Array = NDArray[Any]

Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""Shapes of the floating outputs of a call; none where forward refuses it."""

Accepts: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], Shapes]
Pulls: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], bool]
Values: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Array, ...] | None]
"""What is found out of a function and its rule by a call: the outputs' shapes, that the rule raises nothing, the outputs."""

LETTERS = "nmkpqrstuvwabcdefgh"


@dataclass
class Leaf:
    """One array of the example, and what was learnt about it.

    axes: for each axis the number of its letter, or None where its size can't change. below: for an array of indices the
    letter of the axis that they point into.
    """

    path: str
    place: int
    array: Array
    axes: list[int | None] = field(default_factory=list)
    signs: Signs = "real"
    styles: tuple[str, ...] = ("given",)
    below: int | None = None

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Its shape for these sizes of the letters."""
        pairs = zip(self.axes, self.array.shape, strict=True)
        return tuple([n if letter is None else sizes[letter] for letter, n in pairs])

    def shows(self, array: Array, sizes: Sequence[int]) -> bool:
        """Whether these values are among those that the example shows: its signs, its range, indices of the axis."""
        if array.dtype.kind in "iu":
            below = None if self.below is None else sizes[self.below]
            low, high = (0, below - 1) if below else (self.array.min(initial=0), self.array.max(initial=0))
            return bool(np.all((array >= low) & (array <= high)))
        if self.signs == "real" or array.dtype.kind == "c":
            return True
        if self.signs == "within":
            return bool(np.all((array >= self.array.min()) & (array <= self.array.max())))
        return self.signs != "near" and bool(np.all(array >= 0 if self.signs == "positive" else array <= 0))


@dataclass(frozen=True)
class Form:
    """The arrays of the domain with axes left out, of size 1, or more of them.

    words: what differs from the example, "" for its own form. sizes: of each letter, those of this form last. edge:
    whether it lies beyond what the example shows, or the rule raises for the form as it is.
    """

    words: str
    arrays: tuple[Leaf, ...]
    sizes: tuple[int, ...]
    edge: bool = False


@dataclass
class Around:
    """The domain derived from an example.

    sizes: of each letter, in the example. statics: by place among the leaves, or by name, the values that the function
    takes, the given one first. forms: the other structures of shapes that it takes. large: sizes that make one array
    large, None where none can be in the time there is. left_out: what was not tried, in words.
    """

    inputs: tuple[Any, ...]
    params: dict[str, Any]
    arrays: list[Leaf]
    sizes: list[int]
    statics: dict[int | str, tuple[Any, ...]]
    forms: list[Form] = field(default_factory=list)
    large: tuple[int, ...] | None = None
    left_out: list[str] = field(default_factory=list)

    def every_form(self) -> list[Form]:
        """The example's own form, and the others."""
        return [Form("", tuple(self.arrays), tuple(self.sizes)), *self.forms]

    def call(
        self, changed: Mapping[int, Any], statics: Mapping[int | str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs and parameters with other arrays (by place) and other static values."""
        flat = [leaf for _, leaf in leaves(self.inputs, "inputs")]
        for place, value in statics.items():
            if isinstance(place, int):
                flat[place] = value
        for place, array in changed.items():
            flat[place] = as_in(array, flat[place])
        named = {name: value for name, value in statics.items() if isinstance(name, str)}
        return rebuild(self.inputs, iter(flat)), {**self.params, **named}

    def words(self) -> str:
        """The domain in a few words: "inputs[0] (n, m) real; axis one of 0, 1, -1"."""
        parts = []
        for leaf in self.arrays:
            names = [
                str(n) if letter is None else LETTERS[letter % len(LETTERS)]
                for letter, n in zip(leaf.axes, leaf.array.shape, strict=True)
            ]
            kind = {"f": leaf.signs, "c": "complex", "b": "boolean"}.get(
                leaf.array.dtype.kind, "whole numbers"
            )
            below = "" if leaf.below is None else f" below {LETTERS[leaf.below % len(LETTERS)]}"
            parts.append(f"{leaf.path} ({', '.join(names)}) {kind}{below}")
        paths = [path for path, _ in leaves(self.inputs, "inputs")]
        for place, values in self.statics.items():
            if len(values) > 1:
                name = place if isinstance(place, str) else paths[place]
                parts.append(f"{name} one of {', '.join(map(repr, values))}")
        parts += [form.words for form in self.forms]
        return "; ".join(parts)


def kind_of(leaf: Any) -> str:
    """The kind of an array's or a tensor's dtype, "" for anything else."""
    array = array_in(leaf)
    return "" if array is None else str(array.dtype.kind)


def complexified(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with an imaginary part of the same size as the real one in every floating array."""

    def turned(leaf: Any) -> Any:
        array = array_in(leaf)
        if array is None or array.dtype.kind != "f":
            return leaf
        made = np.asarray(array + 1j * np.roll(array, 1), np.result_type(array.dtype, np.complex64))
        return as_in(made, leaf)

    made: tuple[Any, ...] = rebuild(inputs, (turned(leaf) for _, leaf in leaves(inputs, "inputs")))
    return made


def fresh(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with arrays of their own, so that a forward that writes into them does not change the example."""

    def copied(leaf: Any) -> Any:
        array = None if isinstance(leaf, np.generic) else array_in(leaf)
        return leaf if array is None else as_in(array.copy(), leaf)

    made: tuple[Any, ...] = rebuild(inputs, (copied(leaf) for _, leaf in leaves(inputs, "inputs")))
    return made
