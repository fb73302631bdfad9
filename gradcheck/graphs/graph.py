"""A computation as plain data: leaves, nodes and outputs, to be run on arrays or on Tensors, and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.graphs.code import code_of
from gradcheck.graphs.steps import Leaf, Node
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


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

    @property
    def point(self) -> tuple[NDArray[Any], ...]:
        """Their arrays."""
        return tuple([self.steps[i].array for i in self.wanted])  # type: ignore[union-attr]

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
        """The outputs as a function of the leaves that require a gradient; in a narrower dtype, with all other leaves in it."""
        wanted, tensors = self.wanted, self.tensors()
        own = [tensors[i].dtype for i in wanted]

        def graph(*leaves: Any) -> tuple[Any, ...]:
            given: dict[int, Any] = {**tensors, **dict(zip(wanted, leaves, strict=True))}
            narrow = [x.dtype for x, was in zip(leaves, own, strict=True) if x.dtype.itemsize < was.itemsize]
            if narrow:
                given |= self._constants(narrow[0])
            values = self.run(given)
            return tuple([values[i] for i in self.outputs])

        return graph

    def _constants(self, dtype: Any) -> dict[int, Any]:
        """The floating leaves that require no gradient, in this dtype."""
        return {
            i: step.array.astype(dtype) if step.kind == "array" else Tensor(step.array.astype(dtype))
            for i, step in enumerate(self.steps)
            if isinstance(step, Leaf) and step.kind != "gradient" and step.array.dtype.kind == "f"
        }

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
        """The steps that a backward pass from the outputs visits."""
        ancestors = self.ancestors()
        return frozenset().union(*[ancestors[i] for i in self.outputs])

    def __str__(self) -> str:
        return code_of(self.steps, self.outputs, self.gys, self.reached())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis shows of a failing graph: the code that runs it."""
        lines = str(self).splitlines()
        with printer.group(4, "graph:"):
            for line in lines:
                printer.break_()
                printer.text(line)
