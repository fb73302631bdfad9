"""Measures each op beside NumPy's function of its name, and its gradient beside its value: `python ci/contents.py --measure`.

Arrays are drawn from the op's spec, in float32, so large that the largest of them and of the results has about 100,000 entries;
parameters are left at their defaults, or are what the spec names. NumPy's function on the arrays, the op on Tensors without
recording, and its recorded value with the gradients of all inputs take turns of 10 ms on one thread; figures are medians of the
rounds' ratios. Nothing is timed before both have given the same values. One process, some minutes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.timing import race
from contents import FIGURES, called_by

import gradcore
from gradcheck.strategies.params import draw_params
from gradcheck.strategies.shapes import Unfit, draw_shape, evaluate, letters_of
from gradcheck.strategies.values import Domain, draw_values
from gradcore import registry
from gradcore.errors import GradcoreError
from gradcore.op import Op
from gradcore.spec import Case, Env

ENTRIES, ROUNDS, SEED = 100_000, 9, 0
# Of the sizes from one attempt to the next; the size of an axis whose letter has no bounds.
GROWTH, AXIS = 1.05, 6

Call = tuple[list[Any], dict[str, Any]]


class First:
    """Chooses what comes first: whole shapes, an axis of its own, the first of some options."""

    def between(self, low: int, _high: int) -> int:
        """The lower bound."""
        return low

    def pick(self, options: Sequence[Any]) -> Any:
        """The first option."""
        return options[0]


class Highest(First):
    """Of whole numbers the highest, such as the last axis or a third power: the lowest often leave nothing to do."""

    def between(self, _low: int, high: int) -> int:
        """The upper bound."""
        return high

    def pick(self, options: Sequence[Any]) -> Any:
        """The highest of whole numbers, else the first option."""
        return max(options) if all(type(option) is int for option in options) else options[0]


def drawn(case: Case, defaults: Mapping[str, Any], factor: float, entries: int) -> Call | None:
    """Arrays and parameters of a case whose sizes are multiplied by a factor; None where the case has no such call.

    What a case demands of values is left aside: it is about derivatives that can be told by numbers.
    Raises TooLargeError for an array of more entries.
    """
    sizes = {}
    for letter in letters_of(case):
        low, high = case.sizes.get(letter, (0, AXIS))
        sizes[letter] = high if low == high else max(low, 1, round(high * factor))
    block = (max(1, round(AXIS * factor)),) * 2
    described = [*case.arrays, *case.arrays[-1:] * (1 if case.variadic else 0)]
    first: Any = First()
    highest: Any = Highest()
    rng = np.random.default_rng(SEED)
    try:
        shapes = tuple([draw_shape(first, array.shape, sizes, block) for array in described])
        left = {name: param for name, param in case.params.items() if name not in defaults}
        params = draw_params(highest, left, sizes, shapes)
        known = {**{name: defaults[name] for name in case.params if name in defaults}, **params}
        if case.where is not None and not case.where(Env(sizes, shapes, known)):
            return None
        at_most(entries, [math.prod(shape) for shape in shapes])
        domains = [
            Domain(array, shape, evaluate(array.low, sizes), evaluate(array.high, sizes))
            for array, shape in zip(described, shapes, strict=True)
        ]
        arrays = [draw_values(d, "random", "smooth", np.dtype(np.float32), rng) for d in domains]
    except (Unfit, KeyError, TypeError):
        return None
    takes = [d.array.takes_gradient for d in domains]
    return [a if yes else Static(a) for a, yes in zip(arrays, takes, strict=True)], params


class TooLargeError(Exception):
    """An array with more entries than are measured."""


def at_most(entries: int, sizes: Sequence[int]) -> None:
    """Raise TooLargeError where one of the sizes is above."""
    if max(sizes) > entries:
        raise TooLargeError


class Static:
    """An array that gets no gradient."""

    def __init__(self, array: Any) -> None:
        self.array = array


def plain(arrays: Sequence[Any]) -> list[Any]:
    """The arrays themselves."""
    return [a.array if isinstance(a, Static) else a for a in arrays]


def tensors(arrays: Sequence[Any], requires_grad: bool) -> list[Any]:
    """Tensors of those that get a gradient, the others as they are."""
    return [
        a.array if isinstance(a, Static) else gradcore.tensor(a, requires_grad=requires_grad) for a in arrays
    ]


def largest(entry: Any, entries: int) -> tuple[Any, dict[str, Any]] | None:
    """The call with the largest arrays whose sizes, and those of the results, are at most so many entries."""
    forward = entry.forward if isinstance(entry, Op) else entry
    signature = inspect.signature(forward).parameters
    defaults = {name: p.default for name, p in signature.items() if p.default is not inspect.Parameter.empty}
    for case in entry.spec.cases:
        for given in (defaults, {}):
            found, factor = None, 0.5
            try:
                while factor < entries:
                    call = drawn(case, given, factor, entries)
                    factor *= GROWTH
                    if call is None:
                        continue
                    try:
                        with gradcore.no_grad():
                            results = flat(entry(*tensors(call[0], False), **call[1]))
                    except GradcoreError:  # the default of a parameter does not go with the first of another
                        continue
                    at_most(entries, [a.size for a in results])
                    found = call
            except TooLargeError:
                pass
            if found is not None:
                return found
    return None


def flat(result: Any) -> list[Any]:
    """The arrays of a result: one, or those of a tuple."""
    parts = result if isinstance(result, tuple | list) else [result]
    return [np.asarray(getattr(part, "data", part)) for part in parts]


def forms(function: Any, arrays: list[Any], params: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """The ways in which NumPy's functions take arrays and parameters."""
    yield lambda: function(*arrays, **params)
    yield lambda: function(arrays, **params)
    yield lambda: function(*params.values(), *arrays)
    yield lambda: function(*arrays, *params.values())


def beside(functions: Sequence[Any], arrays: list[Any], params: dict[str, Any], expected: list[Any]) -> Any:
    """A call of the first of NumPy's functions that gives these results; None where there is none."""
    for function in functions:
        for call in forms(function, arrays, params):
            try:
                found = flat(call())
            except (TypeError, ValueError, IndexError, AttributeError):
                continue
            if len(found) == len(expected) and all(
                a.shape == b.shape and np.allclose(a, b, 1e-3, 1e-4, equal_nan=True)
                for a, b in zip(found, expected, strict=True)
            ):
                return call
    return None


def measured(
    entry: Any, functions: Sequence[Any], entries: int = ENTRIES, rounds: int = ROUNDS
) -> dict[str, Any]:
    """What the table says of an op: `on`, the shapes of its arrays, and the ratios `numpy` and `gradient`, None for none."""
    call = largest(entry, entries)
    if call is None:
        return {"on": None, "numpy": None, "gradient": None}
    inputs, params = call
    values = tensors(inputs, False)

    def forward() -> Any:
        with gradcore.no_grad():
            return entry(*values, **params)

    work: dict[str, Callable[[], Any]] = {"forward": forward}
    theirs = beside(functions, plain(inputs), params, flat(forward()))
    if theirs is not None:
        work["numpy"] = theirs
    leaves = tensors(inputs, True)
    recorded = entry(*leaves, **params)
    recorded = recorded[0] if isinstance(recorded, tuple) else recorded
    if getattr(recorded, "requires_grad", False):
        gy = np.ones(recorded.shape, recorded.dtype)

        def gradient() -> None:
            y = entry(*leaves, **params)
            (y[0] if isinstance(y, tuple) else y).backward(gy)
            for leaf in leaves:
                if isinstance(leaf, gradcore.Tensor):
                    leaf.grad = None

        work["gradient"] = gradient
    times = race(work, rounds)
    return {
        "on": described(plain(inputs), params),
        "numpy": round(times.ratio("forward", "numpy").median, 2) if "numpy" in work else None,
        "gradient": round(times.ratio("gradient", "forward").median, 2) if "gradient" in work else None,
    }


def described(arrays: Sequence[Any], params: Mapping[str, Any]) -> str:
    """The shapes of some arrays, and parameters that are numbers or words."""
    shapes = ["x".join(map(str, a.shape)) or "1" for a in arrays]
    return ", ".join([*shapes, *[f"{k}={v}" for k, v in params.items() if isinstance(v, int | float | str)]])


def main() -> int:
    """Measure, and write the file; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="*", metavar="OP", help="these ops; the others keep what the file has"
    )
    parser.add_argument("--file", type=Path, default=FIGURES)
    options = parser.parse_args()
    names = [name for name in registry.ops if name not in registry.losses]
    if wrong := sorted(set(options.only or []) - set(names)):
        parser.error(f"there is no op {wrong[0]!r}")
    kept = json.loads(options.file.read_text(encoding="utf-8"))["ops"] if options.only else {}
    found = {}
    for name in sorted(names):
        if options.only and name not in options.only:
            if name in kept:
                found[name] = kept[name]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that leave float32's range
            found[name] = measured(registry.ops[name], called_by(name))
        print(f"{name:30} {found[name]}", flush=True)
    page = {"entries": ENTRIES, "numpy": np.__version__, "ops": found}
    lines = json.dumps(page, indent=1).replace('\n   "', ' "').replace("\n  }", " }")
    options.file.write_text(lines + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
