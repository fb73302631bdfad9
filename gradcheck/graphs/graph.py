"""A computation as plain data: leaves, nodes and outputs, to be run on arrays or on Tensors, looked at, and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradcore import registry
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Kind = Literal["gradient", "constant", "array"]
"""A Tensor that requires a gradient, a Tensor that needs none, a plain array."""


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """A value that the user makes."""

    array: NDArray[Any]
    kind: Kind = "gradient"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A call of a registered op or loss. op: "add", or "losses.mse_loss". inputs: steps, None for an array left out."""

    op: str
    inputs: tuple[int | None, ...]
    params: Mapping[str, Any]

    @property
    def entry(self) -> Any:
        """What the registry holds under that name, now: a mistake planted there is met here."""
        return entry_of(self.op)


def entry_of(op: str) -> Any:
    """The op or loss of this name."""
    name = op.removeprefix("losses.")
    return registry.ops[name] if name == op else registry.losses[name]


def forward_of(entry: Any) -> Callable[..., Any]:
    """The function on arrays: an op's forward, or a composed function itself."""
    found: Callable[..., Any] = getattr(entry, "forward", entry)
    return found


@dataclass(frozen=True, eq=False)
class Graph:
    """Leaves and nodes in the order in which they are made; a value goes by its place in `steps`.

    outputs: the nodes that `backward` starts from, with their cotangents `gys`.
    """

    steps: tuple[Leaf | Node, ...]
    outputs: tuple[int, ...]
    gys: tuple[NDArray[Any], ...]

    @property
    def nodes(self) -> list[int]:
        """The steps that are calls."""
        return [i for i, step in enumerate(self.steps) if isinstance(step, Node)]

    @property
    def wanted(self) -> list[int]:
        """The leaves that require a gradient."""
        return [i for i, s in enumerate(self.steps) if isinstance(s, Leaf) and s.kind == "gradient"]

    def run(self, given: Mapping[int, Any] | None = None) -> list[Any]:
        """The value of every step. given: values of leaves in the place of their arrays, which makes it a run on Tensors.

        On arrays alone ops give arrays, so that plain NumPy is what runs.
        """
        given = given or {}
        values: list[Any] = []
        for i, step in enumerate(self.steps):
            if isinstance(step, Leaf):
                values.append(given.get(i, step.array))
            else:
                inputs = [None if j is None else values[j] for j in step.inputs]
                values.append(step.entry(*inputs, **step.params))
        return values

    def tensors(self) -> dict[int, Tensor]:
        """A new Tensor for each leaf that is to be one, on an array of its own."""
        return {
            i: Tensor(step.array.copy(), requires_grad=step.kind == "gradient")
            for i, step in enumerate(self.steps)
            if isinstance(step, Leaf) and step.kind != "array"
        }

    def function(self) -> Callable[..., tuple[Any, ...]]:
        """The outputs as a function of the leaves that require a gradient."""
        tensors = self.tensors()

        def graph(*leaves: Any) -> tuple[Any, ...]:
            values = self.run({**tensors, **dict(zip(self.wanted, leaves, strict=True))})
            return tuple([values[i] for i in self.outputs])

        return graph

    def consumers(self) -> list[list[int]]:
        """For each step the nodes that take it, once for each time that they do."""
        found: list[list[int]] = [[] for _ in self.steps]
        for i, step in enumerate(self.steps):
            for j in step.inputs if isinstance(step, Node) else ():
                if j is not None:
                    found[j].append(i)
        return found

    def needs(self) -> list[bool]:
        """For each step, whether a gradient flows through it."""
        found: list[bool] = []
        for step in self.steps:
            if isinstance(step, Leaf):
                found.append(step.kind == "gradient")
            else:
                found.append(any(found[j] for j in step.inputs if j is not None))
        return found

    def ancestors(self) -> list[frozenset[int]]:
        """For each step itself and all that it was computed from, as far as a gradient flows."""
        needs = self.needs()
        found: list[frozenset[int]] = []
        for i, step in enumerate(self.steps):
            inputs = step.inputs if isinstance(step, Node) else ()
            below = [found[j] for j in inputs if j is not None]
            found.append(frozenset({i} if needs[i] else ()).union(*below))
        return found

    def reached(self) -> frozenset[int]:
        """The steps that a backward pass from the outputs comes by."""
        ancestors = self.ancestors()
        return frozenset().union(*[ancestors[i] for i in self.outputs])

    def __str__(self) -> str:
        from gradcheck.graphs.code import code_of  # which prints graphs, and so imports this module

        return code_of(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis shows of a failing graph: the code that runs it."""
        lines = str(self).splitlines()
        with printer.group(4, "graph:"):
            for line in lines:
                printer.break_()
                printer.text(line)


def classes(graph: Graph) -> set[str]:
    """The special classes that a graph belongs to, among `CLASSES`; only what a gradient flows through counts."""
    found: set[str] = set()
    needs, reached, ancestors = graph.needs(), graph.reached(), graph.ancestors()
    values = graph.run()
    for i, taken in enumerate(graph.consumers()):
        live = {j for j in taken if j in reached}
        if needs[i] and len(live) > 1:
            found.add("fan-out")
        if i in graph.outputs and live:
            found.add("output inside")
    for i, step in enumerate(graph.steps):
        if isinstance(step, Leaf):
            found.add({"gradient": "", "constant": "constant Tensor", "array": "plain array"}[step.kind])
        elif i not in reached:
            found.add("dead branch" if needs[i] else "no gradient")
        else:
            found |= _classes_of_node(step, i, needs, ancestors, values)
    dtypes = {str(values[i].dtype) for i in graph.nodes}
    found |= dtypes | ({"two dtypes"} if len(dtypes) > 1 else set())
    if len(graph.outputs) > 1:
        found.add("several outputs")
    return found & set(CLASSES)


CLASSES = (
    "fan-out",
    "diamond",
    "used twice",
    "broadcast left",
    "broadcast right",
    "view",
    "several outputs",
    "output inside",
    "dead branch",
    "plain array",
    "constant Tensor",
    "float64",
    "float32",
    "two dtypes",
)
"""A value that two nodes take; two ways from one value that meet again; one value in two places of one call; an
input that is stretched, the first or a later one; a result that shares its input's memory; ..."""


def _classes_of_node(
    node: Node, at: int, needs: Sequence[bool], ancestors: Sequence[frozenset[int]], values: Sequence[Any]
) -> set[str]:
    found = set()
    inputs = [j for j in node.inputs if j is not None]
    live = [j for j in inputs if needs[j]]
    if len(set(live)) < len(live):
        found.add("used twice")
    if any(ancestors[a] & ancestors[b] for a in live for b in live if a < b):
        found.add("diamond")
    if any(np.may_share_memory(values[j], values[at]) for j in live):
        found.add("view")
    if getattr(node.entry, "broadcasts", False) and _elementwise(
        [values[j] for j in inputs], values[at].shape
    ):
        for place, j in enumerate(inputs):
            if needs[j] and values[j].shape != values[at].shape:
                found.add("broadcast right" if place else "broadcast left")
    return found


def _elementwise(arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(*[a.shape for a in arrays]) == shape
    except ValueError:
        return False
