"""The graph that gradcore recorded, for a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradcheck.report.graph import GraphOp, State
from gradcore.tensor import Tensor
from gradcore.tracing import source_of


def indices(nodes: Sequence[Tensor]) -> dict[int, int]:
    """By identity, the index in the graph of each node, and behind them of each leaf that one took."""
    found = {id(node): k for k, node in enumerate(nodes)}
    for node in nodes:
        for parent in node._parents:
            if parent is not None:
                found.setdefault(id(parent), len(found))
    return found


def graph_of(
    nodes: Sequence[Tensor], states: Sequence[State], others: Sequence[Tensor], names: Mapping[int, str]
) -> tuple[GraphOp, ...]:
    """The nodes with their states, then others that were recorded, then leaves. names: of leaves, by identity."""
    every = [*nodes, *others]
    index = indices(every)
    leaves = {
        id(p): p for node in every for p in node._parents if p is not None and index[id(p)] >= len(every)
    }
    found = []
    for k, node in enumerate(every):
        source = source_of(node)
        found.append(
            GraphOp(
                node._op.name,
                k + 1 if k < len(nodes) else 0,
                f"{node.dtype} {node.shape}",
                "" if source is None else source.short,
                tuple([index[id(p)] for p in node._parents if p is not None]),
                states[k] if k < len(nodes) else "unjudged",
            )
        )
    for key, leaf in leaves.items():
        found.append(GraphOp(names.get(key, "a leaf"), 0, f"{leaf.dtype} {leaf.shape}", "", (), "input"))
    return tuple(found)
