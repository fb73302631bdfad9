"""The special classes that graphs belong to: what a default run has to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.graphs.steps import Leaf, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcheck.graphs.graph import Graph


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
