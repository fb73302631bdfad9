"""The strategy: graphs drawn node by node from the specs of whatever is registered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import reject
from hypothesis import strategies as st

from gradcheck.graphs.build import Builder
from gradcheck.graphs.fit import bind, fits, takes_values, tame
from gradcheck.graphs.graph import Graph
from gradcheck.graphs.steps import entry_of
from gradcheck.strategies.choice import Chooser
from gradcheck.strategies.cotangents import cotangent
from gradcheck.strategies.params import draw_params
from gradcheck.strategies.shapes import SIZES, Shape, Unfit, draw_shape, evaluate, letters_of
from gradcheck.strategies.values import Domain
from gradcore import registry
from gradcore.spec import Env

if TYPE_CHECKING:
    from gradcheck.graphs.steps import Kind
    from gradcore.spec import Array, Case

ATTEMPTS = 4
"""How often shapes and parameters of a node are drawn anew before it is left out."""

OWN = 24
"""Bytes from which a node's own shapes and static parameters are chosen."""

DTYPES = (("float64",),) * 4 + (("float32",),) * 2 + (("float64", "float32"),) * 2
_ANY = st.integers(0, 23)
"""One of a few things, by its remainder: the same choice, however many there are, keeps what shrinks in step."""

KINDS: tuple[Kind, ...] = ("gradient",) * 5 + ("array",) * 2 + ("constant",)


def differentiable_ops() -> list[str]:
    """Names of all registered ops and losses to which a gradient may go through another's result, the simplest first.

    Not to those that take structured matrices alone, such as det: what an op gives is seldom invertible.
    """
    return list(_ranked(_registered())[0])


def _registered() -> tuple[tuple[str, Any], ...]:
    """What is registered now: names and entries."""
    return (*registry.ops.items(), *[(f"losses.{name}", entry) for name, entry in registry.losses.items()])


@lru_cache(maxsize=8)  # every graph asks for it
def _ranked(registered: tuple[tuple[str, Any], ...]) -> tuple[list[str], list[str]]:
    """The names of `differentiable_ops`, and of those among them that join two arrays."""
    found = [n for n, entry in registered if any(takes_values(a) for c in entry.spec.cases for a in c.arrays)]
    found.sort(key=_simplicity)
    return found, [name for name in found if _joins(name)]


def _simplicity(name: str) -> tuple[Any, ...]:
    """Hypothesis shrinks towards what comes first."""
    case = entry_of(name).spec.cases[0]
    plain = all(a.low is None and a.high is None and not a.kinks and not a.distinct for a in case.arrays)
    return bool(case.params), len(case.arrays), not plain, name


def _joins(name: str) -> bool:
    """Whether an op takes two arrays of any shape: such ops are drawn more often, as they make graphs of trees."""
    arrays = entry_of(name).spec.cases[0].arrays
    return len([a for a in arrays if a.takes_gradient and a.shape in ("...", "~...")]) > 1


@st.composite
def graphs(
    draw: st.DrawFn, *, containing: str | None = None, dtype: str | None = None, most: int = 6
) -> Graph:
    """A graph of up to `most` drawn nodes, besides those that bring a value into the domain of the next.

    containing: an op that one node shall be of, on the way to an output, such as "exp" or "losses.mse_loss".
    dtype: of all float leaves; by default "float64" mostly, and "float32" or both sometimes.

    No value is large, near a bound, or near a kink of what takes it. Choices behind a node do not depend on those before
    it, which keeps shrinking sure: nodes drop out, inputs become leaves, shapes and values small.
    """
    ranked, joining = _ranked(_registered())
    names = [*ranked, *joining * 3]
    if containing is not None and containing not in names:
        raise ValueError(
            f"containing={containing!r} is no registered op with a gradient: use one of {ranked}"
        )
    dtypes = (dtype,) if dtype else draw(st.sampled_from(DTYPES))
    made = Builder(dtypes, draw(st.sampled_from(["plain", "random"])), draw(st.integers(0, 2**32 - 1)))
    tried, before = 1, most if containing is None else most // 2 + 1
    while tried < before and draw(_one_more(made, names)):
        tried += 1
    wanted = draw(_node(made, names if containing is None else [containing]))
    if wanted is None:
        reject()
    while containing is not None and tried < most and draw(_one_more(made, names)):
        tried += 1
    outputs = _outputs(draw, made, wanted)
    gys = [cotangent(made.values[i].shape, made.values[i].dtype, "dense", made.seed + i) for i in outputs]
    return Graph(tuple(made.steps), tuple(outputs), tuple(gys))


@st.composite
def _one_more(draw: st.DrawFn, made: Builder, names: list[str]) -> bool:
    """Perhaps another node, and whether it was tried: coin and node in one, so that both go when it shrinks.

    Seldom a leaf with the node's value stands in its place. Shrinking seeks this: whatever comes after stays as it is.
    """
    if draw(st.integers(0, 7)) == 0:
        return False
    length = len(made.steps)
    node = draw(_node(made, names))
    if draw(st.integers(0, 15)) == 0 and node is not None and made.values[node].dtype.name in made.dtypes:
        value = made.values[node]
        made.forget(length)
        made.given(value)
    return True


@st.composite
def _node(draw: st.DrawFn, made: Builder, names: list[str]) -> int | None:
    """A call of one of the ops, added to the graph; None where the values there are and new leaves don't fit."""
    op = names[draw(st.integers(0, len(names) - 1))]
    for _ in range(ATTEMPTS):
        try:
            plan = _plan(draw, made, op)
        except Unfit:
            continue
        for squash, fresh in ((False, False), (True, False), (False, True)):
            length = len(made.steps)
            try:
                found = plan.carried_out(made, squash, fresh)
            except Unfit:
                made.forget(length)
            else:
                return found
    return None


@dataclass(frozen=True)
class _Again:
    place: int


_Source: TypeAlias = _Again | int | None


@dataclass(frozen=True)
class _Plan:
    """A call to be made.

    sources: steps to be taken, `_Again` for what an earlier place of this call takes, None for new leaves, which `kinds`
    are for.
    """

    op: str
    case: Case
    domains: tuple[Domain, ...]
    sources: tuple[_Source, ...]
    kinds: tuple[Kind, ...]
    absent: tuple[bool, ...]
    params: dict[str, Any]

    def carried_out(self, made: Builder, squash: bool, fresh: bool) -> int:
        """The call, with all that it takes. squash: see `Builder.brought`; fresh: from new leaves alone.

        Raises Unfit where the case's predicates or the value forbid it.
        """
        inputs: list[int | None] = []
        flows = any(self._flows(made, place, fresh) for place in range(len(self.domains)))
        for place, domain in enumerate(self.domains):
            source, kind = self.sources[place], self.kinds[place]
            if self.absent[place]:
                inputs.append(None)
            elif isinstance(source, _Again):
                inputs.append(made.taken(inputs[source.place], domain))
            elif source is None or fresh:
                if not flows and takes_values(domain.array):
                    kind, flows = "gradient", True  # where all is constant there is nothing to differentiate
                inputs.append(made.leaf(tame(domain), kind))
            else:
                inputs.append(made.brought(source, domain, squash))
        arrays = [None if j is None else made.values[j] for j in inputs]
        for holds in (self.case.values_where, self.case.smooth_where):
            if holds is not None and not holds(*arrays, **self.params):
                raise Unfit
        return made.node(self.op, tuple(inputs), self.params)

    def _flows(self, made: Builder, place: int, fresh: bool) -> bool:
        """Whether a gradient will flow through the input at `place`, so far as is known before it is made."""
        source = self.sources[place]
        if self.absent[place] or isinstance(source, _Again) or not takes_values(self.domains[place].array):
            return False
        return self.kinds[place] == "gradient" if source is None or fresh else made.needs[source]


def _plan(draw: st.DrawFn, made: Builder, op: str) -> _Plan:
    """What to call the op on: one value that fits a place of one of its cases, and others or new leaves around it."""
    cases, choose = entry_of(op).spec.cases, Chooser(draw)
    values = made.floats()
    anchored_at_all, latest, which = draw(st.integers(0, 3)), draw(_ANY), draw(_ANY)
    anchor = values[latest % len(values)] if values and anchored_at_all else None
    places: list[tuple[Case, int, tuple[dict[str, int], Shape | None]]] = []
    if anchor is not None:
        for case in cases:
            for place, array in enumerate(case.arrays):
                bound = bind(array.shape, made.values[anchor].shape, case) if takes_values(array) else None
                if bound is not None:
                    places.append((case, place, bound))
    if places:
        case, anchored, (sizes, block) = places[which % len(places)]
    else:
        case, anchored, sizes, block = cases[which % len(cases)], -1, {}, None
    described = list(case.arrays)
    if case.variadic is not None:
        low, high = case.variadic
        described += described[-1:] * (draw(st.integers(low, high)) - 1)
    sizes, block = _sizes(
        draw, case, sizes, block, stretch=anchored >= 0 and "~..." in described[anchored].shape
    )
    choose = Chooser(draw, OWN)
    sources: list[_Source] = []
    shapes: list[Shape] = []
    for place, array in enumerate(described):
        source: _Source = anchor if place == anchored else None
        if place != anchored and takes_values(array):
            again = [
                k
                for k in range(place)
                if takes_values(described[k]) and fits(array.shape, shapes[k], sizes, block)
            ]
            source = _source(draw, made, array, sizes, block, again)
        sources.append(source)
        if isinstance(source, _Again):
            shapes.append(shapes[source.place])
        elif source is not None and fits(array.shape, made.values[source].shape, sizes, block):
            shapes.append(made.values[source].shape)
        else:
            shapes.append(draw_shape(choose, array.shape, sizes, block))
    params = draw_params(choose, case.params, sizes, tuple(shapes))
    if case.where is not None and not case.where(Env(sizes, tuple(shapes), params)):
        raise Unfit
    domains = [
        Domain(array, shape, evaluate(array.low, sizes), evaluate(array.high, sizes))
        for array, shape in zip(described, shapes, strict=True)
    ]
    kinds = [
        KINDS[draw(st.integers(0, len(KINDS) - 1))] if takes_values(array) else "array" for array in described
    ]
    absent = [array.optional and draw(st.booleans()) for array in described]
    return _Plan(op, case, tuple(domains), tuple(sources), tuple(kinds), tuple(absent), params)


def _sizes(
    draw: st.DrawFn, case: Case, known: dict[str, int], block: Shape | None, *, stretch: bool
) -> tuple[dict[str, int], Shape]:
    """The letters' sizes and the shape of ``...`` around those that are known; small, so that values fit each other.

    stretch: `block` is the shape of an array that broadcasts to ``...``.
    """
    sizes = dict(known)
    for letter in letters_of(case):
        if letter not in sizes:
            low, high = case.sizes.get(letter, SIZES)
            low = max(low, min(1, high))
            sizes[letter] = draw(st.integers(low, min(high, low + 2)))
    if block is None:
        shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        return sizes, shape[: draw(st.integers(0, 2))]
    if stretch:
        block = tuple([draw(st.integers(1, 3)) if n == 1 else n for n in block])
        block = (2,) * draw(st.integers(0, 1)) + block
    return sizes, block


def _source(
    draw: st.DrawFn, made: Builder, array: Array, sizes: dict[str, int], block: Shape, again: list[int]
) -> _Source:
    """What stands at one place of a call.

    A new leaf; what stands at one of the places `again`; the latest value that fits; any that fits; any at all, to be
    reshaped.
    """
    way, which = draw(st.integers(0, 4)), draw(_ANY)
    if way == 1 and again:
        return _Again(again[which % len(again)])
    values = made.floats()
    if not (way and values):
        return None
    fitting = [i for i in values if fits(array.shape, made.values[i].shape, sizes, block)]
    if way < 3 and fitting:
        return fitting[0]
    chosen = fitting if way == 3 and fitting else values
    return chosen[which % len(chosen)]


def _outputs(draw: st.DrawFn, made: Builder, wanted: int) -> list[int]:
    """Results that no node takes, or some of them, and perhaps one that is taken; `wanted` is on the way to one."""
    graph = Graph(tuple(made.steps), (), ())
    taken, ancestors = graph.consumers(), graph.ancestors()
    nodes = [i for i in graph.nodes if made.needs[i] and made.values[i].dtype.kind == "f"]
    if wanted not in nodes:
        reject()
    ends = [i for i in nodes if not any(j in nodes for j in taken[i])]
    kept = max(i for i in ends if wanted in ancestors[i])
    outputs = {i for i in ends if i == kept or draw(st.integers(0, 3))}
    if draw(st.integers(0, 3)) == 3:
        outputs.add(nodes[draw(_ANY) % len(nodes)])
    return sorted(outputs)
