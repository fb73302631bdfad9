"""What the checker needs from a framework: a function on flat lists of arrays, and the pullback of one run of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Traits:
    """What the values of a framework can be, and how code names them.

    strides: which ones they can have, "none" where a layout in memory is not for the user to choose. read_only: whether a
    value can forbid to be written into. reads, makes: code with `{}` for a value of the framework, that gives a NumPy array
    of it; and the other way round. lost: what makes a gradient get lost, in words.
    """

    strides: Literal["any", "positive", "none"] = "any"
    read_only: bool = True
    reads: str = "{}"
    makes: str = "{}"
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """One array among the inputs: how the call names it, its value, and whether its gradient is requested."""

    path: str
    array: Array
    wanted: bool

    @property
    def differentiable(self) -> bool:
        """Whether its dtype can carry a gradient."""
        return self.array.dtype.kind in "fc"


class Run(Protocol):
    """One forward call on arrays, from which cotangents can be pulled back, any number of times."""

    @property
    def outputs(self) -> tuple[Array, ...]:
        """Every array that the function returned, in order; those that are not floating or complex included."""

    @property
    def result(self) -> Any:
        """What the function returned, whose structure the cotangents have."""

    def pull(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """One cotangent per input array for the cotangents of all outputs (None for an output that has none).

        The arrays are handed to the rule as they are, and what it returns is not copied. Raises `RuleError` where the
        rule raises, `CallError` where it returns something else than cotangents.
        """

    def accumulated(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """The same as the framework leaves it with its user, such as in `x.grad`: what later passes add to."""


class Subject(Protocol):
    """A function under check, with its gradient, as the checker sees it."""

    name: str
    gradient: str
    """Whose gradient is checked, in words: "the rule softplus_rule of softplus"."""
    inputs: tuple[Input, ...]
    output_paths: tuple[str, ...]
    composed: bool
    """Whether `explain` can look into the function, and say which part of it is wrong."""
    accumulates: bool
    """Whether a run's `accumulated` is kept by the framework, which adds to it later in place."""
    primal: Subject | None
    """The function whose gradient this is, at second order: its inputs are the first of these."""
    traits: Traits
    notes: tuple[str, ...]
    """What the report says of the subject itself, such as an output that is not judged."""

    def run(self, arrays: Sequence[Array]) -> Run:
        """Forward on these arrays, passed on as they are, so that the run can be pulled back."""

    def by_rule(
        self, arrays: Sequence[Array], outputs: Sequence[Array], gys: Sequence[Array | None]
    ) -> list[Array | None] | None:
        """The rule on arrays and outputs that need not belong together; None where there is no rule to call."""

    def values(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The differentiable outputs only, nothing recorded."""


def differentiable(outputs: Sequence[Array]) -> tuple[Array, ...]:
    """Those outputs that can have a cotangent."""
    return tuple([y for y in outputs if y.dtype.kind in "fc"])


def spread(outputs: Sequence[Array], gys: Sequence[Array]) -> list[Array | None]:
    """The cotangents of the differentiable outputs in their places, None for the others."""
    if len(gys) == len(outputs):
        return list(gys)
    remaining = iter(gys)
    return [next(remaining) if y.dtype.kind in "fc" else None for y in outputs]


def wide(array: Array) -> Array:
    """The same values in at least double precision; integers and booleans as they are."""
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        return array.astype(np.float64)
    if array.dtype.kind == "c" and array.dtype.itemsize < 16:
        return array.astype(np.complex128)
    return array
