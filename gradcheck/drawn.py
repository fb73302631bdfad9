"""Hypothesis strategies of calls: from a spec, from the domain around an example, from a strategy of input tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import CallError
from gradcheck.like import Around, Leaf
from gradcheck.resized import drawn_floats, drawn_integers, resized
from gradcheck.strategies import COTANGENTS, Example, examples
from gradcheck.tree import described
from gradcore.spec import Case


@dataclass(frozen=True)
class Call:
    """One call to be checked: inputs, static parameters, by what to differentiate, and which cotangent is tried besides.

    cotangent: one of `COTANGENTS`, made from `seed` once the output's shape is known.
    """

    inputs: tuple[Any, ...]
    params: dict[str, Any]
    wrt: Any
    cotangent: str
    seed: int


def of_cases(cases: Sequence[Case], params: Mapping[str, Any]) -> st.SearchStrategy[Call]:
    """Calls of what the cases describe, at smooth points and at kinks, in double and in single precision."""

    @st.composite
    def calls(draw: st.DrawFn) -> Call:
        case = cases[draw(st.integers(0, len(cases) - 1))]
        dtype = draw(st.sampled_from([np.float64] * 3 + [np.float32]))
        mode = draw(st.sampled_from(["smooth", "smooth", "kinks"]))
        example = draw(examples(case, dtype=dtype, mode=mode))
        return _call(draw, example.arrays, {**example.params, **params}, _wanted(example))

    return calls()


def _wanted(example: Example) -> list[int]:
    return [i for i, takes in enumerate(example.takes_gradient) if takes]


def of_tuples(
    strategy: st.SearchStrategy[Any], params: Mapping[str, Any], wrt: Any
) -> st.SearchStrategy[Call]:
    """Calls with inputs from a strategy of tuples, or of `gradcheck.strategies.Example`."""

    @st.composite
    def calls(draw: st.DrawFn) -> Call:
        inputs = draw(strategy)
        if isinstance(inputs, Example):
            return _call(draw, inputs.arrays, {**inputs.params, **params}, _wanted(inputs))
        if not isinstance(inputs, tuple):
            raise CallError(
                f"the strategy drew {described(inputs)}: it has to draw tuples with the arguments of f, such as "
                "st.tuples(arrays(float, 3))"
            )
        return _call(draw, inputs, dict(params), wrt)

    return calls()


def _call(draw: st.DrawFn, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> Call:
    kind = draw(st.sampled_from(COTANGENTS))
    return Call(inputs, params, wrt, kind, draw(st.integers(0, 2**16)))


def of_example(domain: Around, wrt: Any) -> st.SearchStrategy[Call]:
    """Calls around an example: other sizes, values in every style, other static values."""

    @st.composite
    def calls(draw: st.DrawFn) -> Call:
        sizes = _sizes(draw, domain)
        statics = {}
        if draw(st.integers(0, 2)):
            statics = {
                place: values[draw(st.integers(0, len(values) - 1))]
                for place, values in domain.statics.items()
                if len(values) > 1
            }
        styles = [draw(st.sampled_from(leaf.styles)) for leaf in domain.arrays]
        tied = draw(st.integers(0, 5)) == 5
        seed = draw(st.integers(0, 2**32 - 1))
        changed: dict[int, Any] = {}
        for i, (leaf, style) in enumerate(zip(domain.arrays, styles, strict=True)):
            rng = np.random.default_rng([seed, i])
            array = _values(leaf, leaf.shape(sizes), style, sizes, rng)
            if tied:
                array = _tied_to(array, list(changed.values()), rng)
            changed[leaf.place] = array
        return _call(draw, *domain.call(changed, statics), wrt)

    return calls()


def _sizes(draw: st.DrawFn, domain: Around) -> list[int]:
    """The example's sizes; or others from 1 to 7, odd and even; seldom 0."""
    how = draw(st.integers(0, 7))
    if how >= 5:
        return list(domain.sizes)
    if how == 4:
        return [draw(st.sampled_from([n, 1, 0])) for n in domain.sizes]
    return [draw(st.sampled_from(sorted({1, 2, 3, 5, 7, n, n + 1, max(1, n - 1)}))) for n in domain.sizes]


def _values(
    leaf: Leaf, shape: tuple[int, ...], style: str, sizes: list[int], rng: np.random.Generator
) -> Any:
    if leaf.array.dtype.kind == "b":
        made = resized(leaf.array, shape)
        return made if style == "given" else rng.random(shape) < rng.choice([0.0, 0.5, 1.0])
    if leaf.array.dtype.kind in "iu":
        return drawn_integers(
            leaf.array, shape, style, None if leaf.below is None else sizes[leaf.below], rng
        )
    return drawn_floats(leaf.array, shape, style, leaf.signs, rng)


def _tied_to(array: Any, others: list[Any], rng: np.random.Generator) -> Any:
    """Half of the entries equal to those of an earlier array of this shape and dtype."""
    for other in others:
        if other.shape == array.shape and other.dtype == array.dtype:
            return np.where(rng.random(array.shape) < 0.5, array, other)
    return array
