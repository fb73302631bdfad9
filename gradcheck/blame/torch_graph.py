"""The calls that were recorded in PyTorch as a graph, for a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradcheck.blame.torch_calls import Event
from gradcheck.report.graph import GraphOp, State


def ordered(events: Sequence[Event], calls: Sequence[Event]) -> list[Event]:
    """All events, the calls with a gradient first: the order of the graph."""
    known = {id(event) for event in calls}
    return [*calls, *[event for event in events if id(event) not in known]]


def graph_of(
    events: Sequence[Event], calls: Sequence[Event], states: Mapping[int, State], inputs: Mapping[str, Any]
) -> tuple[GraphOp, ...]:
    """The events in that order, then the inputs. states: of calls by identity, where they are not PyTorch's own. inputs: by name."""
    order = ordered(events, calls)
    index = {id(event): k for k, event in enumerate(order)}
    paths = {id(x): len(order) + k for k, x in enumerate(inputs.values())}
    maker, by_node, takes = dict(paths), dict[Any, int](), {}
    for event in events:
        found = [
            maker.get(id(x), by_node.get(x.grad_fn) if x.grad_fn is not None else None) for x in event.given
        ]
        takes[id(event)] = tuple(dict.fromkeys([k for k in found if k is not None]))
        k = index[id(event)]
        maker.update({id(x): k for x in event.made})
        by_node.update({node: k for node in (event.node, *event.history) if node is not None})
    ops = [
        GraphOp(
            event.title,
            k + 1 if k < len(calls) else 0,
            ", ".join([_shape(x) for x in event.made]) or "no tensor",
            "" if event.source is None else event.source.short,
            takes[id(event)],
            states.get(id(event), "trusted"),
        )
        for k, event in enumerate(order)
    ]
    return (*ops, *[GraphOp(name, 0, _shape(x), "", (), "input") for name, x in inputs.items()])


def _shape(x: Any) -> str:
    return f"{str(x.dtype).rpartition('.')[2]} {tuple(x.shape)}"
