"""Hypothesis strategies of calls: from a spec, from the domain around an example, from a strategy of input tuples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.backends.tree import described, leaves
from gradcheck.backends.values import array_in
from gradcheck.errors import CallError
from gradcheck.explore.domain import Around, Leaf
from gradcheck.explore.resized import FAR, drawn_floats, drawn_integers, resized
from gradcheck.explore.simpler import Allows
from gradcheck.strategies import COTANGENTS, Example, Mode
from gradcheck.strategies.choice import Chooser
from gradcheck.strategies.examples import allowed, drawn_example
from gradcheck.strategies.values import tied_to
from gradcore.spec import Case


@dataclass(frozen=True)
class DrawnCall:
    """One call to be checked: inputs, static parameters, by what to differentiate, and which cotangent is tried besides.

    cotangent: one of `COTANGENTS`, made from `seed` once the output's shape is known. plan: how it was made from an example,
    None where it was not. allows: which other inputs its domain has, None where that is not known.
    """

    inputs: tuple[Any, ...]
    params: dict[str, Any]
    wrt: Any
    cotangent: str
    seed: int
    plan: Plan | None = field(default=None, repr=False)
    allows: Allows | None = field(default=None, repr=False, compare=False)


def of_cases(
    cases: Sequence[Case], params: Mapping[str, Any], wrt: Any = None
) -> st.SearchStrategy[DrawnCall]:
    """Calls of what the cases describe, at smooth points and at kinks, in double and in single precision."""

    @st.composite
    def calls(draw: st.DrawFn) -> DrawnCall:
        choose = Chooser(draw)
        case = choose.pick(cases)
        dtype = choose.pick([np.float64] * 3 + [np.float32])
        modes: tuple[Mode, ...] = ("smooth", "smooth", "kinks")
        kind = choose.pick(COTANGENTS)
        mode = choose.pick(modes)
        example = drawn_example(choose, case, dtype, mode)
        return DrawnCall(
            example.arrays,
            {**example.params, **params},
            _wanted(example, wrt),
            kind,
            choose.seed(),
            allows=lambda arrays: allowed(case, example, arrays, mode),
        )

    return calls()


def _wanted(example: Example, wrt: Any) -> Any:
    """What to differentiate by: the caller's choice without arrays that are left out, or all that take a gradient."""
    if wrt is None:
        return tuple([i for i, takes in enumerate(example.takes_gradient) if takes])
    absent = [i for i, array in enumerate(example.arrays) if array is None]
    gone = {*absent, *[i - len(example.arrays) for i in absent], *[f"inputs[{i}]" for i in absent]}
    names = tuple(wrt) if isinstance(wrt, list | tuple | set | frozenset) else (wrt,)
    return tuple([name for name in names if name not in gone]) or names


def of_tuples(
    strategy: st.SearchStrategy[Any], params: Mapping[str, Any], wrt: Any
) -> st.SearchStrategy[DrawnCall]:
    """Calls with inputs from a strategy of tuples, or of `gradcheck.strategies.Example`."""

    @st.composite
    def calls(draw: st.DrawFn) -> DrawnCall:
        inputs = draw(strategy)
        if isinstance(inputs, Example):
            return _call(draw, inputs.arrays, {**inputs.params, **params}, _wanted(inputs, wrt))
        if not isinstance(inputs, tuple):
            raise CallError(
                f"the strategy drew {described(inputs)}: it has to draw tuples with the arguments of f, such as "
                "st.tuples(arrays(float, 3))"
            )
        return _call(draw, inputs, dict(params), wrt)

    return calls()


def _call(draw: st.DrawFn, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> DrawnCall:
    choose = Chooser(draw)
    return DrawnCall(inputs, params, wrt, choose.pick(COTANGENTS), choose.seed())


@dataclass(frozen=True)
class Plan:
    """A call around an example, before its arrays are made: all of it choices, so that each can be simplified alone.

    form: which of `domain.every_form()`. layout: in which memory layout a kernel gets its inputs.
    """

    sizes: tuple[int, ...]
    statics: tuple[tuple[int | str, Any], ...]
    styles: tuple[str, ...]
    tied: bool
    seed: int
    cotangent: str
    form: int = 0
    layout: str = "dense"

    def call(self, domain: Around, wrt: Any) -> DrawnCall:
        """The call that it stands for."""
        changed: dict[int, Any] = {}
        form = domain.every_form()[self.form]
        for i, (leaf, style) in enumerate(zip(form.arrays, self.styles, strict=True)):
            rng = np.random.default_rng([self.seed, i])
            array = _values(leaf, leaf.shape(self.sizes), style, self.sizes, rng)
            changed[leaf.place] = tied_to(array, list(changed.values()), rng) if self.tied else array
        inputs, params = domain.call(changed, dict(self.statics))
        return DrawnCall(inputs, params, wrt, self.cotangent, self.seed, self, self._allows(form.arrays))

    def _allows(self, arrays: Sequence[Leaf]) -> Allows:
        """Values that the example shows, in the arrays that are not meant to lie far from it."""
        near = [leaf for leaf, style in zip(arrays, self.styles, strict=True) if style not in FAR]
        far = [leaf for leaf, style in zip(arrays, self.styles, strict=True) if style in FAR]

        def allows(flat: Sequence[Any]) -> bool:
            return all(leaf.shows(flat[leaf.place], self.sizes) for leaf in near)

        return (lambda _: False) if far else allows

    def cuts(self, domain: Around, call: DrawnCall) -> Iterator[DrawnCall]:
        """The call with one axis less wide: a single entry along all axes of a letter."""
        form = domain.every_form()[self.form]
        flat = [leaf for _, leaf in leaves(call.inputs, "")]
        for letter, size in enumerate(self.sizes):
            cut = replace(self, sizes=(*self.sizes[:letter], 1, *self.sizes[letter + 1 :]))
            for k in range(size if 1 < size <= CUTS else 0):
                changed = {}
                for leaf in form.arrays:
                    array = np.asarray(array_in(flat[leaf.place]))
                    for axis, of in enumerate(leaf.axes):
                        array = array.take([k], axis=axis) if of == letter else array
                    changed[leaf.place] = array
                yield replace(
                    call,
                    inputs=domain.call(changed, dict(self.statics))[0],
                    plan=cut,
                    allows=cut._allows(form.arrays),
                )

    def is_edge(self, domain: Around) -> bool:
        """Whether it lies beyond what the example shows: sizes of 0, far values, static numbers of another sign or size."""
        statics = [(domain.statics[name][0], value) for name, value in self.statics]
        return (
            0 in self.sizes
            or any(style in FAR for style in self.styles)
            or any(_is_far(given, value) for given, value in statics)
            or domain.every_form()[self.form].edge
        )

    def is_new(self, domain: Around) -> bool:
        """Whether its shapes or static values are others than the example's: what a rule may refuse."""
        given = tuple([(name, values[0]) for name, values in domain.statics.items()])
        return self.form > 0 or self.sizes != tuple(domain.sizes) or self.statics != given


CUTS = 7
"""Along a wider axis, entries are not tried one by one."""


def _is_far(given: Any, value: Any) -> bool:
    """Whether a static number has another sign than the example's, or is not within a decade of it."""
    if not isinstance(given, float) or not isinstance(value, float) or value == given:
        return False
    return not (given * value > 0 and 0.1 <= value / given <= 10.0)


def sweep(domain: Around, count: int, seed: int) -> Iterator[Plan]:
    """Plans that reach each special class: every static value and every form, with values at large and with small whole ones;
    one large array; then forms, sizes, styles, static values and cotangents, each in a cycle of its own, so that each is met
    before any comes again.
    """
    rng = np.random.default_rng([seed, 11])
    forms, names = domain.every_form(), tuple(domain.statics)
    given = tuple([values[0] for values in domain.statics.values()])

    def named(statics: Sequence[Any]) -> tuple[tuple[int | str, Any], ...]:
        return tuple(zip(names, statics, strict=True))

    first = [
        (tuple(domain.sizes), (*given[:place], value, *given[place + 1 :]), 0)
        for place, name in enumerate(names)
        for value in domain.statics[name][1:]
    ]
    first += [(form.sizes, given, k) for k, form in enumerate(forms) if k]
    made = 0
    for sizes, statics, form in first:
        for style in ("given",) if forms[form].edge else ("integers", "given"):
            if made < count // 2:
                yield Plan(sizes, named(statics), _all(domain, style), False, made, "dense", form)
                made += 1
    if domain.large is not None and made < count:
        yield Plan(domain.large, named(given), _all(domain, "random"), False, made, "dense")
        made += 1
    options, form_of = _cycle(_size_options(domain), rng), _cycle(_forms(domain), rng)
    cots, ties = _cycle(COTANGENTS, rng), _cycle((False, False, True), rng)
    styled = [_cycle(_near(leaf), rng) for leaf in domain.arrays]
    far = _cycle(_far(domain) or [None], rng)
    values = [_cycle((*v[:1] * len(v), *v[1:]), rng) for v in domain.statics.values()]
    for k in range(made, count):
        form = next(form_of)
        yield Plan(
            (*next(options), *forms[form].sizes[len(domain.sizes) :]),
            named([next(v) for v in values]),
            _one_far([next(s) for s in styled], next(far) if k % SELDOM == 0 else None),
            next(ties),
            k,
            next(cots),
            form,
        )


SELDOM = 6
"""One call in so many has an array of values that lie far from the example's."""


def _near(leaf: Leaf) -> list[str]:
    return [style for style in leaf.styles if style not in FAR]


def _far(domain: Around) -> list[tuple[int, str]]:
    """Each array with each style of values far from the example's that it takes."""
    return [(i, style) for i, leaf in enumerate(domain.arrays) for style in leaf.styles if style in FAR]


def _one_far(styles: Sequence[str], far: tuple[int, str] | None) -> tuple[str, ...]:
    return tuple([far[1] if far is not None and i == far[0] else style for i, style in enumerate(styles)])


def _forms(domain: Around) -> tuple[int, ...]:
    """Numbers of the forms that are no edges, the example's own as often as all others together."""
    others = [k for k, form in enumerate(domain.every_form()) if k and not form.edge]
    return (0,) * max(1, len(others)) + tuple(others)


def _all(domain: Around, style: str) -> tuple[str, ...]:
    """This style for every array that takes it, the example's values for the others."""
    return tuple([style if style in leaf.styles else "given" for leaf in domain.arrays])


def _cycle(options: Sequence[Any], rng: np.random.Generator) -> Iterator[Any]:
    """All of the options in a random order, then all of them in another, without end."""
    while True:
        for i in rng.permutation(len(options)):
            yield options[i]


def _size_options(domain: Around) -> list[tuple[int, ...]]:
    """The example's sizes, more often than others; one letter 1; all 1; odd and even ones; one letter 0."""
    n = len(domain.sizes)
    given = tuple(domain.sizes)
    found = [given] * 4
    if n:
        found += [(1,) * n, tuple([s + 1 for s in given]), tuple([max(1, s - 1) for s in given])]
        found += [tuple([(2, 3, 5, 7)[(i + k) % 4] for i in range(n)]) for k in range(3)]
        found += [(*given[:i], 1, *given[i + 1 :]) for i in range(n)]
        found += [(*given[: n - 1], 0), (0, *given[1:])]
    return found


def around_example(domain: Around, wrt: Any) -> st.SearchStrategy[DrawnCall]:
    """Calls around an example: other sizes, values in every style, other static values."""

    @st.composite
    def calls(draw: st.DrawFn) -> DrawnCall:
        choose = Chooser(draw)
        form, far = choose.pick(_forms(domain)), _far(domain)
        plan = Plan(
            (*_sizes(choose, domain), *domain.every_form()[form].sizes[len(domain.sizes) :]),
            tuple([(name, choose.pick(values)) for name, values in domain.statics.items()]),
            _one_far(
                [choose.pick(_near(leaf)) for leaf in domain.arrays],
                choose.pick(far) if far and choose.between(1, SELDOM) == SELDOM else None,
            ),
            choose.pick((False, False, False, True)),
            choose.seed(),
            choose.pick(COTANGENTS),
            form,
        )
        return plan.call(domain, wrt)

    return calls()


def near(plan: Plan, domain: Around, wrt: Any) -> st.SearchStrategy[DrawnCall]:
    """Calls that are simpler than a plan's: smaller sizes, plainer values, fewer static values off the example's."""

    @st.composite
    def calls(draw: st.DrawFn) -> DrawnCall:
        simpler = Plan(
            tuple([draw(st.integers(min(n, 1), n)) for n in plan.sizes]),
            tuple(
                [
                    (name, draw(st.sampled_from([domain.statics[name][0], value])))
                    for name, value in plan.statics
                ]
            ),
            tuple(
                [
                    draw(st.sampled_from([*([s for s in SIMPLE if s in leaf.styles and s != style]), style]))
                    for leaf, style in zip(domain.arrays, plan.styles, strict=True)
                ]
            ),
            draw(st.booleans()) and plan.tied,
            draw(st.one_of(st.just(plan.seed), st.integers(0, 99))),
            draw(st.sampled_from(["dense", plan.cotangent])),
            draw(st.sampled_from([0, plan.form])) if len(plan.sizes) == len(domain.sizes) else plan.form,
            plan.layout if plan.layout == "dense" else draw(st.sampled_from(["dense", plan.layout])),
        )
        return simpler.call(domain, wrt)

    return calls()


def as_it_is(domain: Around) -> Plan:
    """The plan of the example itself."""
    statics = tuple([(name, values[0]) for name, values in domain.statics.items()])
    return Plan(tuple(domain.sizes), statics, ("given",) * len(domain.arrays), False, 0, "dense")


SIMPLE = ("plain", "integers")
"""Styles that read well, simplest first."""


def _sizes(choose: Chooser, domain: Around) -> list[int]:
    """The example's sizes; or others from 1 to 7, odd and even; seldom 0."""
    how = choose.between(0, 7)
    if how >= 5:
        return list(domain.sizes)
    if how == 4:
        return [choose.pick((n, 1, 0)) for n in domain.sizes]
    return [choose.pick(sorted({1, 2, 3, 5, 7, n, n + 1, max(1, n - 1)})) for n in domain.sizes]


def _values(
    leaf: Leaf, shape: tuple[int, ...], style: str, sizes: Sequence[int], rng: np.random.Generator
) -> Any:
    if leaf.array.dtype.kind == "b":
        made = resized(leaf.array, shape)
        if style == "rows":  # some rows of which all is false
            return made & (rng.random((*shape[:-1], 1)) < 0.5)
        return made if style == "given" else rng.random(shape) < rng.choice([0.0, 0.5, 1.0])
    if leaf.array.dtype.kind in "iu":
        return drawn_integers(
            leaf.array, shape, style, None if leaf.below is None else sizes[leaf.below], rng
        )
    return drawn_floats(leaf.array, shape, style, leaf.signs, rng)
