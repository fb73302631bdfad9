"""Which op of a graph is at fault where the graph's gradient is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcheck.backends.core import as_tensors
from gradcheck.check import gradcheck, gradgradcheck
from gradcheck.errors import CallError
from gradcheck.graphs.graph import Graph
from gradcheck.graphs.steps import Leaf, Node
from gradcheck.verdict.compare import Verdict

if TYPE_CHECKING:
    from typing import Any

ENGINE = "no op is wrong by itself for what it gets in this graph: look at how the engine puts them together"


def ops_at_fault(graph: Graph, *, order: int = 1) -> list[tuple[int, str]]:
    """The nodes whose op is wrong by itself for what it gets in this graph, each as (step, name of the op)."""
    values = graph.run()
    return [
        (i, step.op)
        for i, (step, needs) in enumerate(zip(graph.steps, graph.needs(), strict=True))
        if isinstance(step, Node) and needs and _wrong(_alone(graph, step, values), order)
    ]


def words(graph: Graph, *, order: int = 1) -> str:
    """The same as a line for the message."""
    found = ops_at_fault(graph, order=order)
    if not found:
        return ENGINE
    names = ", ".join(f"{op} (step {i})" for i, op in found)
    return (
        f"at fault: {names}, wrong by {'itself' if len(found) == 1 else 'themselves'} for what comes in here"
    )


def _alone(graph: Graph, node: Node, values: list[Any]) -> Graph:
    """One node as a graph of its own, with a leaf for each input: one that comes in twice is two."""
    needs = graph.needs()
    leaves: list[Leaf] = []
    places: list[int | None] = []
    for j in node.inputs:
        if j is None:
            places.append(None)
            continue
        step = graph.steps[j]
        kind = "gradient" if needs[j] else step.kind if isinstance(step, Leaf) else "constant"
        places.append(len(leaves))
        leaves.append(Leaf(np.array(values[j]), kind))
    y = node.entry(*[None if j is None else values[j] for j in node.inputs], **node.params)
    alone = Node(node.op, tuple(places), node.params)
    return Graph((*leaves, alone), (len(leaves),), (np.ones_like(y),))


def _wrong(graph: Graph, order: int) -> bool:
    check = gradcheck if order == 1 else gradgradcheck
    try:
        report = check(graph.function(), as_tensors(graph.point), contracts=False, raise_exception=False)
    except CallError:
        return False
    return report.verdict is Verdict.FAIL
