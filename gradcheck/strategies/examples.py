"""Examples: one call of what a case describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from gradcheck.strategies.choice import Chooser
from gradcheck.strategies.layouts import layouts as layout_names
from gradcheck.strategies.layouts import with_layout
from gradcheck.strategies.params import draw_params
from gradcheck.strategies.shapes import Unfit, draw_shape, draw_sizes, evaluate
from gradcheck.strategies.values import STYLES, Domain, draw_values, takes, tied_to
from gradcore.spec import Env

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from gradcheck.strategies.values import Mode
    from gradcore.spec import Case, Param

_Call = tuple[dict[str, int], tuple[Domain, ...], dict[str, Any]]

ATTEMPTS = 12
"""How often shapes and parameters are drawn anew before the example is set aside."""


@dataclass(frozen=True, slots=True)
class Example:
    """One call: `arrays` (None for an optional one left out), static `params`, and the letters' `sizes`.

    domains: the domain of each array, with its bounds as numbers.
    """

    arrays: tuple[NDArray[Any] | None, ...]
    params: dict[str, Any]
    sizes: dict[str, int]
    domains: tuple[Domain, ...] = field(repr=False)

    @property
    def takes_gradient(self) -> tuple[bool, ...]:
        """For each array, whether a vjp returns a cotangent for it."""
        return tuple(
            [a is not None and d.array.takes_gradient for a, d in zip(self.arrays, self.domains, strict=True)]
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis shows of a failing example: the call, without the domains."""
        arrays = ", ".join(f"{a!r}{_strides_of(a)}" for a in self.arrays)
        printer.text("..." if cycle else f"Example(({arrays}), {self.params!r})")

    def astype(self, dtype: DTypeLike) -> tuple[NDArray[Any] | None, ...]:
        """The arrays with floats in another dtype, in the memory layout that they have."""
        return tuple(
            [a if a is None or a.dtype.kind != "f" else a.astype(dtype, copy=False) for a in self.arrays]
        )


def _strides_of(a: NDArray[Any] | None) -> str:
    """The strides, where they are not those of a C-ordered array."""
    if a is None or a.flags.c_contiguous:
        return ""
    return f" with strides {a.strides}"


@st.composite
def examples(
    draw: st.DrawFn,
    case: Case,
    *,
    dtype: DTypeLike = np.float64,
    mode: Mode = "smooth",
    layouts: bool = True,
) -> Example:
    """An `Example` of the case, its float arrays in `dtype`.

    mode: "smooth" keeps away from kinks and ties, "kinks" seeks them. layouts: draw memory layouts as well.
    Where the case's predicates refuse nearly everything, an example is set aside, which Hypothesis reports.
    """
    return drawn_example(Chooser(draw), case, dtype, mode, layouts)


def drawn_example(choose: Chooser, case: Case, dtype: DTypeLike, mode: Mode, layouts: bool = True) -> Example:
    """What `examples` draws, for a strategy that has choices of its own to make."""
    call = _call(choose, case)
    if call is None:
        reject()
    sizes, domains, params = call
    absent = [d.array.optional and choose.pick((False, True)) for d in domains]
    styles = [choose.pick(STYLES) for _ in domains]
    kinds = ["C"] * len(domains)
    if layouts:
        kinds = [choose.pick(layout_names(equal=d.equal or mode == "kinks")) for d in domains]
    arrays = _values(case, domains, params, mode, np.dtype(dtype), styles, kinds, absent, choose.seed())
    if arrays is None:
        reject()
    return Example(arrays, params, sizes, domains)


def allowed(case: Case, example: Example, arrays: Sequence[NDArray[Any] | None], mode: Mode) -> bool:
    """Whether the case has an example with these arrays in place of those that differ from them."""
    for domain, old, new in zip(example.domains, example.arrays, arrays, strict=True):
        changed = old is not new and old is not None and new is not None
        if changed and not takes(domain, np.asarray(new), mode):
            return False
    demands = [case.values_where] + [case.smooth_where] * (mode == "smooth")
    return all(holds is None or holds(*arrays, **example.params) for holds in demands)


@st.composite
def parameters(draw: st.DrawFn, params: Mapping[str, Param]) -> dict[str, Any]:
    """Values for static parameters that depend on no array, such as an optimizer's hyperparameters."""
    try:
        return draw_params(Chooser(draw), params, {}, ())
    except Unfit:
        reject()


def _call(choose: Chooser, case: Case) -> _Call | None:
    """Sizes, domains and parameters that the case's predicate accepts; None where no attempt found any."""
    described = list(case.arrays)
    if case.variadic is not None:
        low, high = case.variadic
        described += described[-1:] * (choose.between(low, high) - 1)
    for _ in range(ATTEMPTS):
        try:
            sizes, block = draw_sizes(choose, case)
            shapes = tuple([draw_shape(choose, array.shape, sizes, block) for array in described])
            params = draw_params(choose, case.params, sizes, shapes)
        except Unfit:
            continue
        if case.where is None or case.where(Env(sizes, shapes, params)):
            domains = [
                Domain(array, shape, evaluate(array.low, sizes), evaluate(array.high, sizes))
                for array, shape in zip(described, shapes, strict=True)
            ]
            return sizes, tuple(domains), params
    return None


def _values(
    case: Case,
    domains: tuple[Domain, ...],
    params: dict[str, Any],
    mode: Mode,
    dtype: np.dtype[Any],
    styles: list[str],
    kinds: list[str],
    absent: list[bool],
    seed: int,
) -> tuple[NDArray[Any] | None, ...] | None:
    """Arrays in the requested styles and layouts; ever simpler values while the predicates refuse them; None if they refuse all."""
    tie = mode == "kinks" and case.smooth_where is not None
    if tie:
        styles = ["plain"] * len(styles)  # halves tie with halves
    demands = [case.values_where] + [case.smooth_where] * (mode == "smooth")
    for attempt in range(24):
        wild = attempt < 8
        try:
            if attempt < 16:
                arrays = [
                    draw_values(
                        d, style if wild else "random", mode, dtype, np.random.default_rng((seed, attempt, i))
                    )
                    for i, (d, style) in enumerate(zip(domains, styles, strict=True))
                ]
            else:
                arrays = _all_apart(domains, mode, dtype, np.random.default_rng((seed, attempt)))
        except Unfit:
            continue
        if tie and wild:
            rng = np.random.default_rng((seed, attempt, len(arrays)))
            for i, d in enumerate(domains[1:], 1):
                arrays[i] = d.clip(tied_to(arrays[i], arrays[:i], rng))
        found = tuple(
            [
                None if left_out else with_layout(array, kind if wild else "C")
                for array, kind, left_out in zip(arrays, kinds, absent, strict=True)
            ]
        )
        if all(holds is None or holds(*found, **params) for holds in demands):
            return found
    return None


def _all_apart(
    domains: tuple[Domain, ...], mode: Mode, dtype: np.dtype[Any], rng: np.random.Generator
) -> list[NDArray[Any]]:
    """Float arrays whose entries are apart from each other's too, for predicates that compare arrays."""
    total = sum(int(np.prod(d.shape)) for d in domains)
    places = rng.permutation(total) + rng.uniform(-0.25, 0.25, total) - total // 2
    arrays, start = [], 0
    for d in domains:
        n = int(np.prod(d.shape))
        if d.array.dtype != "float" or d.array.structure:
            arrays.append(draw_values(d, "random", mode, dtype, rng))
        else:
            arrays.append(d.clip(places[start : start + n].reshape(d.shape).astype(dtype)))
        start += n
    return arrays
