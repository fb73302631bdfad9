"""A pair of plain NumPy functions, `f(*inputs)` and `rule(gy, y, *inputs)`; and a gradcore Op seen as such a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.arguments import plain
from gradcheck.backends.dtypes import is_extended
from gradcheck.backends.protocol import Array, Input, Subject, Traits, differentiable
from gradcheck.backends.registered import children_of
from gradcheck.backends.tree import aligned, described, leaves, name_of, rebuild
from gradcheck.errors import CallError, RuleError
from gradcore.graph import broadcasts_to, unbroadcast
from gradcore.op import Op


def output_arrays(result: Any, name: str) -> tuple[tuple[str, ...], tuple[Array, ...]]:
    """Names and arrays of what a function returned; `CallError` for what is no array."""
    if type(result) is np.ndarray:
        return ("output",), (result,)
    paths, arrays = [], []
    for path, leaf in leaves(result, "output"):
        if leaf is None or not isinstance(leaf, np.ndarray | np.generic | float | int | complex):
            raise CallError(
                f"{name} returned {described(leaf)} ({path}): return an array, or a tuple or dict of arrays. For "
                "a function of gradcore Tensors leave vjp= out; without vjp=, a plain NumPy function needs its rule"
            )
        paths.append(path)
        arrays.append(plain(leaf, f"{path} of {name}", "the rule gets"))
    return tuple(paths), tuple(arrays)


class Pair:
    """`f` and `rule` on NumPy arrays. `params` go to both as keywords."""

    accumulates = False
    primal: Subject | None = None
    composed = False
    traits = Traits()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        f: Callable[..., Any],
        rule: Callable[..., Any],
        template: tuple[Any, ...],
        inputs: tuple[Input, ...],
        places: Sequence[int],
        params: Mapping[str, Any],
    ) -> None:
        self.f, self.rule, self.inputs, self.params = f, rule, inputs, dict(params)
        self.name, known = name_of(f), name_of(rule)
        self.gradient = f"the rule {known} of {self.name}" if known != "f" else f"the rule of {self.name}"
        self.output_paths: tuple[str, ...] = ()
        self._result: Any = None
        self._template = template
        self._flat = [leaf for _, leaf in leaves(template, "")]
        self._places = tuple(places)
        self._nested = any(isinstance(item, tuple | list | dict) or children_of(item) for item in template)
        self._static = [not _has_array(item) for item in template]
        self._arrays_only = not self._nested and len(self._places) == len(self._flat)
        self._sole = self._static.index(False) if self._static.count(False) == 1 else None

    def _arguments(self, arrays: Sequence[Array]) -> Any:
        if self._arrays_only:
            return list(arrays)
        flat = list(self._flat)
        for place, array in zip(self._places, arrays, strict=True):
            flat[place] = array
        return rebuild(self._template, iter(flat)) if self._nested else flat

    def run(self, arrays: Sequence[Array]) -> PairRun:
        """Forward on these arrays, passed on as they are."""
        arguments = self._arguments(arrays)
        y = self.f(*arguments, **self.params)
        self.output_paths, outputs = output_arrays(y, self.name)
        self._result = y
        return PairRun(self, arguments, rebuild(y, iter(outputs)), outputs)  # NumPy's scalars as 0-d arrays

    def values(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The differentiable outputs."""
        y = self.f(*self._arguments(arrays), **self.params)
        if type(y) is np.ndarray and y.dtype.kind in "fc":
            return (y,)
        return differentiable(output_arrays(y, self.name)[1])

    def by_rule(
        self, arrays: Sequence[Array], outputs: Sequence[Array], gys: Sequence[Array | None]
    ) -> list[Array | None]:
        """The rule on arrays and outputs that need not belong together."""
        y = rebuild(self._result, iter(outputs))
        gy = rebuild(self._result, iter(gys))
        return self.cotangents(self.rule(gy, y, *self._arguments(arrays), **self.params))

    def cotangents(self, found: Any) -> list[Array | None]:
        """What the rule returned, as one array or None per input array."""
        template, sole = self._template, self._sole
        if not isinstance(found, (tuple, list)) or (len(found) != len(template) and sole is not None):
            if sole is None:
                raise CallError(
                    f"the rule of {self.name} returned {described(found)}, and there are {len(template)} inputs: "
                    "return a tuple with one cotangent per input, None for one that gets none"
                )
            only, found = found, [None] * len(template)
            found[sole] = only
        if len(found) != len(template):
            if len(found) == self._static.count(False):  # one per array: static values can be left out
                each = iter(found)
                found = tuple([None if s else next(each) for s in self._static])
            else:
                raise CallError(
                    f"the rule of {self.name} returned a tuple of {len(found)} for {len(template)} inputs: return "
                    "one per input, in the order of the inputs, and None for one that gets none"
                )
        flat = list(aligned(template, tuple(found), "inputs", self._returned())) if self._nested else found
        return [
            gx
            if (gx := flat[place]) is None or (type(gx) is np.ndarray and gx.dtype.kind in "fc")
            else _numbers(gx, f"{self._returned()} for {item.path}")
            for place, item in zip(self._places, self.inputs, strict=True)
        ]

    def _returned(self) -> str:
        return f"the cotangent that the rule of {self.name} returned"


def _numbers(gx: Any, what: str) -> Array:
    """A cotangent as an array of numbers."""
    if not isinstance(gx, np.ndarray | np.generic | float | int | complex):
        raise CallError(f"{what} is {described(gx)}: return an array of the input's shape, or None")
    array = plain(gx, what, "the checker compares")
    if array.dtype.kind not in "fciu" and not is_extended(array.dtype):
        raise CallError(
            f"{what} is {described(array)}: return numbers of the input's dtype (a mask times gy, where it is one)"
        )
    return array


def _has_array(item: Any) -> bool:
    """Whether an argument is an array, or holds one."""
    if type(item) is np.ndarray:
        return True
    return any(isinstance(x, (np.ndarray, np.floating, np.complexfloating)) for _, x in leaves(item, ""))


class PairRun:
    """One forward call of a pair, with its arguments and its `y` as the rule will get them."""

    def __init__(self, pair: Pair, arguments: Any, y: Any, outputs: tuple[Array, ...]) -> None:
        self._pair, self._arguments, self.result = pair, arguments, y
        self.outputs = outputs

    def pull(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """One cotangent per input array."""
        pair = self._pair
        gy = gys[0] if type(self.result) is np.ndarray else rebuild(self.result, iter(gys))
        try:
            found = pair.rule(gy, self.result, *self._arguments, **pair.params)
        except CallError:
            raise
        except Exception as error:
            raise RuleError(f"{type(error).__name__}: {error}") from error
        return pair.cotangents(found)

    accumulated = pull


def op_rule(op: Op[..., Any], wanted: Sequence[bool]) -> Callable[..., Any]:
    """The vjp of an Op as a plain rule: called for the requested cotangents only, its broadcasting undone by the engine."""

    def rule(gy: Any, y: Any, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        if op.rules is not None:
            rules = zip(op.rules, wanted, strict=True)
            found = [one(gy, y, *arrays, **params) if want else None for one, want in rules]
        else:
            every = op.whole_rule(gy, y, arrays, params, tuple(wanted))
            found = [gx if want else None for gx, want in zip(every, wanted, strict=True)]
        return tuple([_fitted(op, gx, y, x) for gx, x in zip(found, arrays, strict=True)])

    return rule


def _fitted(op: Op[..., Any], gx: Any, y: Any, x: Any) -> Any:
    """What the engine does to a cotangent: sums over broadcast axes, undoes promotion; leaves all else to be judged."""
    if gx is None or x is None:
        return gx
    if op.broadcasts and gx.shape != x.shape and broadcasts_to(x.shape, gx.shape):
        gx = unbroadcast(gx, x.shape)
    return gx.astype(x.dtype) if gx.dtype != x.dtype and y.dtype != x.dtype else gx
