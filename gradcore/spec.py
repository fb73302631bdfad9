"""Domains as plain data: what an op, layer, loss or optimizer takes, and what it is checked against.

This file draws and checks nothing. `gradcheck.strategies` turns these descriptions into Hypothesis strategies; the
registries demand one with every entry.

**Shapes** are strings of tokens, one axis each, separated by spaces:

=============  ========================================================================================
``n``          an axis whose size is the letter's; equal letters are equal sizes throughout one case
``3``          an axis of that size
``h-k+1``      arithmetic on letters (``+ - * //`` and parentheses, written without spaces)
``...``        any number of axes, the same ones wherever it appears in one case
``~n``         an axis of size n, or of size 1: it broadcasts to n
``~...``       any shape that broadcasts to ``...``: axes of size 1 in places, leading axes left out
=============  ========================================================================================

**Bounds** are numbers, or arithmetic on letters: ``"n-1"``. They are inclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from gradcore.errors import SpecError
from gradcore.record import Record

Bound = float | str | None
Kind = Literal["float", "complex", "int", "bool"]
_NONE: Mapping[str, Any] = MappingProxyType({})
Structure = Literal["", "symmetric", "spd", "invertible", "orthogonal", "lower", "upper"]


def _ordered(what: str, low: Bound, high: Bound) -> None:
    if not (isinstance(low, str | None) or isinstance(high, str | None) or low <= high):
        raise SpecError(f"the bounds of {what} are {low} and {high}: give the lower one first")


class Array(Record):
    """The domain of one array argument.

    low, high: inclusive bounds of the values. kinks: values at which the function has no derivative in this argument;
    smooth checks stay away from them, subgradient checks seek them. specials: values to be drawn on purpose besides
    random ones. distinct: no two entries may be closer than the checker can tell apart (an argmax must not change within
    a step); ties are drawn on purpose elsewhere.
    scale: the range from which one factor for the whole array is drawn. structure: for the last two axes of a matrix.
    differentiable: False for a float or complex array that gets no gradient. optional: None may be passed in its place.
    """

    shape: str = "..."
    low: Bound = None
    high: Bound = None
    dtype: Kind = "float"
    kinks: tuple[float, ...] = ()
    specials: tuple[float, ...] = (0.0, 1.0, -1.0)
    distinct: bool = False
    scale: tuple[float, float] = (1e-2, 1e2)
    structure: Structure = ""
    differentiable: bool = True
    optional: bool = False

    def _check(self) -> None:
        _ordered("an array's values", self.low, self.high)
        _ordered("an array's scale", *self.scale)

    @property
    def takes_gradient(self) -> bool:
        """Whether a vjp returns a cotangent for this argument."""
        return self.dtype in ("float", "complex") and self.differentiable


def reals(shape: str = "...", **more: Any) -> Array:
    """Any real numbers."""
    return Array(shape, **more)


def complexes(shape: str = "...", **more: Any) -> Array:
    """Complex numbers; bounds, kinks and special values are those of both parts."""
    return Array(shape, dtype="complex", **more)


def positives(shape: str = "...", low: float = 1e-3, **more: Any) -> Array:
    """Numbers above zero, from `low` up."""
    return Array(shape, low=low, **{"specials": (1.0,), **more})


def interval(low: Bound, high: Bound, shape: str = "...", **more: Any) -> Array:
    """Real numbers between two bounds, both included."""
    return Array(shape, low=low, high=high, **{"scale": (1.0, 1.0), **more})


def integers(low: Bound, high: Bound, shape: str = "...", **more: Any) -> Array:
    """Whole numbers between two bounds, both included; they get no gradient."""
    return Array(shape, low=low, high=high, dtype="int", **{"specials": (), **more})


def indices(below: str | int, shape: str = "...", **more: Any) -> Array:
    """Indices into an axis of size `below` (a letter or a number), repeats included."""
    return integers(0, f"{below}-1", shape, **more)


def booleans(shape: str = "...", **more: Any) -> Array:
    """True and False; they get no gradient."""
    return Array(shape, dtype="bool", **{"specials": (), **more})


class OneOf(Record):
    """One of the values listed."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        super().__init__(values)


class Integers(Record):
    """A whole number between two bounds, both included; bounds may be arithmetic on letters."""

    low: Bound
    high: Bound

    def _check(self) -> None:
        _ordered("Integers", self.low, self.high)


class Floats(Record):
    """A real number between two bounds, with some values drawn on purpose; `log`: uniform in its logarithm."""

    low: float
    high: float
    specials: tuple[float, ...] = ()
    log: bool = False

    def _check(self) -> None:
        _ordered("Floats", self.low, self.high)


class Size(Record):
    """The size of an axis: the parameter is the letter's value (`in_features` is the `i` of the input's shape)."""

    letter: str


class Axis(Record):
    """An axis of argument number `of`, counted from either end.

    many: a tuple of distinct axes may be drawn as well. none: None (all axes) may be drawn as well.
    """

    of: int = 0
    many: bool = False
    none: bool = False


class Permutation(Record):
    """A permutation of the axes of argument number `of`, with axes of either sign."""

    of: int = 0
    none: bool = False


class Derived(Record):
    """One of several values computed from what was drawn before.

    `options` gets an `Env` and returns the sequence to choose from; an empty one sets the example aside.
    """

    options: Callable[[Env], Any]


Param = OneOf | Integers | Floats | Size | Axis | Permutation | Derived


def flags() -> OneOf:
    """True or False."""
    return OneOf(False, True)


class Env(Record):
    """What has been drawn so far: `sizes` of the letters, `shapes` of the arrays, static `params` by name."""

    sizes: Mapping[str, int]
    shapes: tuple[tuple[int, ...], ...]
    params: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.params[name] if name in self.params else self.sizes[name]


class Case(Record):
    """One way to call: positional arrays, static parameters by name, and what must hold between them.

    variadic: the last array may be repeated (each repetition drawn anew). sizes: bounds (low, high) of a letter, else
    0..6. where: a predicate on shapes and parameters. values_where: a predicate on the drawn arrays and parameters
    (`values_where(*arrays, **params)`), for conditions on values. smooth_where: the same, for points at which the
    function has a derivative (no tie between two arrays, say); smooth checks demand it, subgradient checks don't.
    """

    arrays: tuple[Array, ...]
    params: Mapping[str, Param] = _NONE
    sizes: Mapping[str, tuple[int, int]] = _NONE
    variadic: tuple[int, int] | None = None
    where: Callable[[Env], bool] | None = None
    values_where: Callable[..., bool] | None = None
    smooth_where: Callable[..., bool] | None = None


def case(*arrays: Array, **more: Any) -> Case:
    """A `Case` written briefly: `case(reals("m k"), reals("k n"))`; keywords are the other fields of `Case`."""
    return Case(arrays, **more)


def pair(domain: Array) -> tuple[Case, Case]:
    """Two arrays of one domain that broadcast against each other: the second to the first, and the other way round."""
    whole, part = domain.replaced(shape="..."), domain.replaced(shape="~...")
    return case(whole, part), case(part, whole)


class _Cases(Record):
    """What every spec has: at least one case."""

    cases: tuple[Case, ...]

    def _check(self) -> None:
        name = type(self).__name__
        if not self.cases:
            raise SpecError(
                f"{name} has no case: describe what may be passed, such as "
                f'{name}(case(reals("n k")), reference=...)'
            )
        for entry in self.cases:
            if not isinstance(entry, Case):
                raise SpecError(
                    f"{name} takes cases, made by gradcore.spec.case(...): {entry!r} is not a case"
                )


class OpSpec(_Cases):
    """The domain of an op or a loss.

    reference: an independent way to the same value, on float64 arrays, with forward's signature. It shares no code with
    forward: loops, `math`, or another formula. second_order: whether the rule itself is differentiable.
    """

    reference: Callable[..., Any]
    second_order: bool = True

    def __init__(self, *cases: Case, reference: Callable[..., Any], second_order: bool = True) -> None:
        Record.__init__(self, cases, reference, second_order)


LossSpec = OpSpec


class LayerSpec(_Cases):
    """The domain of a layer: a case's params are the constructor's arguments, its arrays the inputs of `forward`.

    reference: `reference(state, training, *arrays, **params)`, with `state` the layer's parameters and buffers by name
    before the call; returns the output (or a tuple, as `forward` does) on float64 arrays, by another route than the
    layer's own.
    initial: `initial(rng, **params)`, the parameters and buffers of a new layer by name, as arrays, with `rng` the
    generator that a constructor's `rng` is; None: it has neither.
    state_after: `state_after(state, *arrays, **params)`, what a forward pass in training changes, by name: buffers as
    float64 arrays (NaN where the arrays do not determine it, which the layer must refuse), the generator as a `numpy`
    Generator. None: nothing is changed.
    inputs: `inputs(*arrays)`, the arguments of `forward` where they are not the arrays as they stand (a pair of states).
    second_order: whether the gradient is itself differentiable.
    share: the part of the usual number of examples that it is verified on, for a layer made of many others.
    """

    reference: Callable[..., Any]
    initial: Callable[..., Mapping[str, Any]] | None
    state_after: Callable[..., Mapping[str, Any]] | None
    inputs: Callable[..., tuple[Any, ...]] | None
    second_order: bool
    share: float

    def __init__(
        self,
        *cases: Case,
        reference: Callable[..., Any],
        initial: Callable[..., Mapping[str, Any]] | None = None,
        state_after: Callable[..., Mapping[str, Any]] | None = None,
        inputs: Callable[..., tuple[Any, ...]] | None = None,
        second_order: bool = True,
        share: float = 1.0,
    ) -> None:
        Record.__init__(self, cases, reference, initial, state_after, inputs, second_order, share)


class OptimizerSpec(Record):
    """The domain of an optimizer: its hyperparameters, and a reference trajectory that is derived differently.

    reference: `reference(p0, gradients, factors, **params)`, which yields the parameter after each step. `gradients` are
    functions of the parameter (so that weight decay and momentum meet a moving target), one for each step in which the
    parameter has a gradient; `factors` are what a schedule makes of `lr` at those steps. It writes each running average as
    the explicit sum over past gradients, not as the recurrence that the optimizer keeps. least_ndim: how many axes a
    parameter must have.
    """

    params: Mapping[str, Param]
    reference: Callable[..., Any]
    least_ndim: int = 0
