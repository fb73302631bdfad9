"""Where a derivative is lost between ops of gradcore that are right themselves: an array that depends on the inputs, as a constant."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.backends.core import Core
from gradcheck.backends.protocol import Array
from gradcheck.blame.single import near, shapes_of
from gradcheck.report.explanation import Blame
from gradcore.tensor import Tensor
from gradcore.tracing import Sources, source_of

MOVES = (2.0**-20, 2.0**-30)
"""By which part of their size inputs are moved to see what depends on them: smaller where other ops are called then."""

CANCELS = 1e-4
"""Shares of one constant cancel where their sum is this part of their sizes: so does the maximum that a softmax subtracts."""

HINT = "look for detach(), .data, no_grad() or NumPy's rounding and comparisons on the way"


@dataclass(frozen=True, slots=True)
class Recording:
    """One call: the inputs, the nodes in the order in which they were made, and the Tensors that came out."""

    leaves: tuple[Tensor | None, ...]
    nodes: list[Tensor]
    outputs: tuple[Tensor, ...]


class _Nodes(Sources):
    """Keeps every node that is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Tensor] = []

    def recorded(self, node: Any) -> None:
        """Keep the node and its line."""
        super().recorded(node)
        self.nodes.append(node)


def recorded(subject: Core, arrays: Sequence[Array]) -> Recording:
    """A call on these arrays."""
    with _Nodes() as trace:
        run = subject.run(arrays)
    return Recording(tuple(run._tensors), trace.nodes, tuple(run._results))


def lost(
    subject: Core,
    here: Recording,
    nodes: Sequence[Tensor],
    cotangents: Mapping[int, Array],
    seed: int,
    index: Mapping[int, int],
) -> tuple[tuple[Blame, ...], str]:
    """The places at which an op takes as a constant what depends on the inputs, and a note where this can't be found out.

    index: of each Tensor in the graph, by identity.
    """
    there = _near(subject, here, seed)
    if there is None:
        return (
            (),
            "other ops are called for inputs very near, so that nothing can be said of where the derivative is lost",
        )
    other = dict(zip([n._order for n in here.nodes], there.nodes, strict=True))
    found, places = [], {node._order: place for place, node in enumerate(nodes, 1)}
    for group in _constants(nodes, other):
        shares = [_share(node, i, other[node._order], cotangents.get(node._order)) for node, i in group]
        if abs(sum(shares)) <= CANCELS * sum(map(abs, shares)):
            continue
        node, i = group[0]
        maker = _maker(node._arrays[i], node, here)
        words = (
            f"{node._op.name} takes its input {i} as a constant, and its values change with the inputs of {subject.name}"
            f"{maker[1]}: {HINT}"
        )
        found.append(
            Blame(
                "lost",
                f"between {maker[0]} and {node._op.name}",
                places[node._order],
                words,
                "lost",
                str(source_of(node) or ""),
                shapes_of(node._arrays, [node.data]),
                at=index[id(node)],
                origin=index.get(id(maker[2]), -1),
            )
        )
    for y, z in zip(here.outputs, there.outputs, strict=True):
        if not y.requires_grad and y.dtype.kind == "f" and not np.array_equal(y.data, z.data, equal_nan=True):
            maker = _maker(y.data, None, here)
            words = f"the result changes with the inputs of {subject.name}, and nothing was recorded for it{maker[1]}: {HINT}"
            between = f"between {maker[0]} and the result"
            found.append(Blame("lost", between, len(nodes), words, "lost", at=index.get(id(maker[2]), -1)))
    return tuple(found), ""


def _near(subject: Core, here: Recording, seed: int) -> Recording | None:
    """A call at inputs very near that records the same ops."""
    rng = np.random.default_rng(seed)
    for part in MOVES:
        arrays = [
            near(item.array, part, rng) if item.wanted else np.array(item.array) for item in subject.inputs
        ]
        there = recorded(subject, arrays)
        if [n._op for n in there.nodes] == [n._op for n in here.nodes]:
            return there
    return None


def _constants(nodes: Sequence[Tensor], other: Mapping[int, Tensor]) -> Iterator[list[tuple[Tensor, int]]]:
    """Places (node, input) that take a constant which depends on the inputs, those of the same values together."""
    groups: dict[int, list[tuple[Tensor, int]]] = {}
    for node in nodes:
        for i, (parent, x) in enumerate(zip(node._parents, node._arrays, strict=True)):
            if parent is None and x is not None and x.dtype.kind == "f":
                y = other[node._order]._arrays[i]
                if x.shape == y.shape and not np.array_equal(x, y, equal_nan=True):
                    groups.setdefault(zlib.crc32(x.tobytes()), []).append((node, i))
    yield from groups.values()


def _share(node: Tensor, i: int, other: Tensor, gy: Array | None) -> float:
    """By how much the change of a constant changes the result, to first order; infinite where that is unknown."""
    op, arrays = node._op, node._arrays
    if gy is None:
        return float("inf")
    try:
        if op.rules is not None:
            gx = op.rules[i](gy, node.data, *arrays, **(node._params or {}))
        else:
            needs = tuple([k == i for k in range(len(arrays))])
            gx = op.whole_rule(gy, node.data, arrays, node._params or {}, needs)[i]
        moved = np.broadcast_to(other._arrays[i] - arrays[i], np.shape(gx))
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return float("inf")
    return float(np.sum(np.asarray(gx, np.float64) * moved))


def _maker(x: Array, user: Tensor | None, here: Recording) -> tuple[str, str, Tensor | None]:
    """What recorded op or input the values are of: how to call it, its line, and itself; by memory, or else by value."""
    earlier = [n for n in here.nodes if user is None or n._order < user._order]
    leaves = [t for t in here.leaves if t is not None and t.requires_grad]
    for same in (np.may_share_memory, lambda a, b: np.array_equal(a, b)):
        for node in reversed(earlier):
            if same(node.data, x):
                source = source_of(node)
                return (
                    node._op.name,
                    f" (they are the result of {node._op.name}{'' if source is None else f', {source}'})",
                    node,
                )
        for leaf in leaves:
            if same(leaf.data, x):
                return "an input", " (they are those of an input)", leaf
    return "an unrecorded value", "", None
