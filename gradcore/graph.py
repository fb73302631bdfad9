"""The recorded graph: creation order, the backward pass, and undoing broadcasts.

Every node takes a number when it is made, so an input's number is always below its consumers': visiting pending nodes
from the highest number down is a topological order, with no sort and no recursion.
"""

from __future__ import annotations

import itertools
from heapq import heappop, heappush, heappushpop
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import numpy as np

from gradcore.errors import GraphError
from gradcore.modes import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from gradcore.modes import Trace

next_order = itertools.count(1).__next__


class Node:
    """An array and the record of the op that made it: the op, its arrays and static parameters, and its inputs' nodes.

    A node that no op made is a leaf. `Tensor` is the subclass that users see; this one is what the backward pass reads of it.
    """

    __slots__ = ("__weakref__", "_first", "_left", "_op", "_order", "_right", "_second", "data")

    data: NDArray[Any]
    requires_grad: bool
    _op: Any  # the Op that made it, None for a leaf
    # Of an op of one or two arrays without static parameters: its inputs' nodes, None in place of one that needs no gradient,
    # and its arrays, of which there may be no second. Of any other: all nodes as a tuple on the left, all arrays as a tuple
    # first, and the parameters second. All are None for a leaf, and once freed. Few slots, and no tuples for what nearly
    # every node has: Python's garbage collector visits all of that again and again while a long chain grows.
    _left: Any
    _right: Any
    _first: Any
    _second: Any
    _order: int

    @property
    def _parents(self) -> tuple[Self | None, ...]:
        """For each of the op's arrays the node that it is of, None where that needs no gradient; () once freed."""
        if type(self._first) is tuple:
            parents: tuple[Self | None, ...] = self._left
            return parents
        return (self._left, self._right)[: len(self._arrays or ())]

    @property
    def _arrays(self) -> Any:
        """The op's array arguments; None for a leaf, and once freed."""
        first, second = self._first, self._second
        if first is None or type(first) is tuple:
            return first
        return (first,) if second is None else (first, second)

    @property
    def _params(self) -> dict[str, Any] | None:
        """The op's static parameters; None for none."""
        return self._second if type(self._first) is tuple else None


N = TypeVar("N", bound=Node)

# A node that is still to be visited, its cotangent so far, and whether that is a sum, in an array that the pass made.
_Entry: TypeAlias = "tuple[Any, Any, bool]"


def unbroadcast(gx: Any, shape: tuple[int, ...]) -> Any:
    """Sum `gx` over the axes that broadcasting added or stretched, so that it has `shape` again.

    The transpose of `np.broadcast_to(x, gx.shape)`; works on arrays and on Tensors.

    >>> unbroadcast(np.ones((4, 2, 3)), (2, 1)).tolist()
    [[12.0], [12.0]]
    """
    added = gx.ndim - len(shape)
    axes = [*range(added), *[i for i, n in enumerate(shape, added) if n == 1 and gx.shape[i] != 1]]
    gx = np.add.reduce(gx, axis=tuple(axes), keepdims=True)
    return gx if gx.shape == shape else np.reshape(gx, shape)


def _fitted(gx: Any, node: Node, index: int, x: np.ndarray[Any, Any]) -> Any:
    """`gx` with the shape and dtype of input number `index`: undoes broadcasting and promotion, refuses all else."""
    op = node._op
    if gx.shape != x.shape:
        if not (op.broadcasts and broadcasts_to(x.shape, gx.shape)):
            raise GraphError(
                f"the rule of {op.name} gave a cotangent of shape {gx.shape} for input {index}, whose shape is "
                f"{x.shape}: a vjp returns one cotangent per input, each with its input's shape"
            )
        gx = unbroadcast(gx, x.shape)
    if gx.dtype != x.dtype:
        # float32 + float64 is float64, so the float32 input's cotangent arrives as float64: undone like a broadcast.
        # Where forward promoted nothing, another dtype is the rule's own mistake (a float64 constant, say).
        if node.data.dtype == x.dtype:
            raise GraphError(
                f"the rule of {op.name} gave a {gx.dtype} cotangent for input {index}, which is {x.dtype}: "
                "a rule keeps its input's dtype (look for a constant array or a function that returns float64)"
            )
        gx = gx.astype(x.dtype)
    return gx


def _no_cotangent(op: Any, index: int, gx: Any) -> GraphError:
    return GraphError(
        f"the rule of {op.name} gave {gx!r:.60} for input {index}, which requires a gradient: return an array, of zeros "
        "where the derivative is zero, or detach the input where it has none"
    )


def broadcasts_to(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether an array of the first shape broadcasts to the second one."""
    added = len(large) - len(small)
    if added < 0:
        return False
    for n, m in zip(small, large[added:], strict=True):  # noqa: SIM110, every bias comes by: all(...) takes twice as long
        if n not in (1, m):
            return False
    return True


def _cotangents(node: Node, gy: Any, record: bool) -> Iterator[tuple[int, Any]]:
    """Pairs (input number, cotangent) for the inputs of `node` that need one, as the op's rule gives them."""
    op, parents = node._op, node._parents
    params = node._params
    if record:  # the rule itself is recorded: it runs on Tensors where there are any
        y: Any = node
        arrays: Any = [a if p is None else p for p, a in zip(parents, node._arrays, strict=True)]
    else:
        y, arrays = node.data, node._arrays
    if op.rules is not None:
        for i, parent in enumerate(parents):
            if parent is not None:
                rule = op.rules[i]
                yield i, rule(gy, y, *arrays) if params is None else rule(gy, y, *arrays, **params)
        return
    needs = tuple([p is not None for p in parents])
    found = op.whole_rule(gy, y, arrays, params or {}, needs)
    if len(found) != len(parents):
        raise GraphError(
            f"the rule of {op.name} gave {len(found)} cotangents for {len(parents)} inputs: "
            "a vjp returns one per input, None for an input that gets none"
        )
    for i, parent in enumerate(parents):
        if parent is not None:
            yield i, found[i]


class _Milestone(Node):
    """Pending after the last node that adds to some leaves, though the leaves themselves, made first, come last."""

    __slots__ = ("leaves",)

    def __init__(self) -> None:
        self.leaves: list[Any] = []
        self._op = None


def _milestones(roots: Sequence[tuple[N, Any]]) -> dict[float, _Milestone]:
    """For each leaf behind the roots the moment from which on nothing is added to it, half a number below that node's."""
    last: dict[int, tuple[float, Any]] = {}
    for root, _ in roots:
        for node in walk(root):
            for leaf in (node,) if node is root else node._parents:
                if leaf is not None and leaf._op is None:
                    number = node._order + (0.5 if leaf is root else -0.5)
                    if number < last.get(leaf._order, (np.inf,))[0]:
                        last[leaf._order] = (number, leaf)
    found: dict[float, _Milestone] = {}
    for number, leaf in last.values():
        found.setdefault(number, _Milestone()).leaves.append(leaf)
    return found


def backward_pass(
    roots: Sequence[tuple[N, Any]],
    *,
    retain_graph: bool = False,
    record: bool = False,
    ready: Callable[[N, Any], object] | None = None,
) -> list[tuple[N, Any]]:
    """Pull the cotangents of `roots` back to every leaf that requires a gradient: [(leaf, cotangent), ...].

    Cotangents may be one and the same array, or views of one: x + y passes its own on to both.

    Visits pending nodes from the highest creation number down, and frees each node's inputs once it is done unless
    `retain_graph`. With `record`, cotangents are Tensors and the pass itself can be differentiated, for which the
    graph is kept: the derivative of a rule leads back through the values that the rule used.

    ready: is called with each leaf and its cotangent as soon as that is complete, while the pass goes on to the others.
    It copies what it keeps.
    """
    pending: dict[float, _Entry] = {}  # by creation number
    heap: list[float] = []  # the same numbers, negative
    # The first input of the last node, in neither of them, and its number: in a chain it comes next.
    near: _Entry | None = None
    number = 0.0
    leaves: list[tuple[N, Any]] = []
    trace = tracing()
    slow = record or trace is not None
    if ready is not None:
        for moment, milestone in _milestones(roots).items():
            pending[moment] = (milestone, None, False)
            heappush(heap, -moment)
    for root, gy in roots:
        _add(pending, heap, root, gy, record, trace)
    while near is not None or heap:
        if near is None:
            node, gy, _ = pending.pop(-heappop(heap))
        elif heap and heap[0] < -number:
            pending[number] = near
            node, gy, _ = pending.pop(-heappushpop(heap, -number))
        else:
            node, gy, _ = near
        near = None
        op = node._op
        if op is None:
            if ready is not None and type(node) is _Milestone:
                for leaf in node.leaves:
                    ready(leaf, pending[leaf._order][1])
            else:
                leaves.append((node, gy))
            continue
        first, second = node._first, node._second
        if first is None:
            raise GraphError(
                f"the graph behind this result was freed by an earlier backward pass (at {op.name}): pass "
                "retain_graph=True to the first backward, or compute the result again"
            )
        rules = op.rules
        if not slow and rules is not None:
            # The generator below, spelled out for the common case: this loop decides what small tensors cost.
            y = node.data
            many = type(first) is tuple
            i = 0
            for parent in node._left if many else (node._left, node._right):
                if parent is not None:
                    if many:
                        x = first[i]
                        gx = rules[i](gy, y, *first, **second) if second else rules[i](gy, y, *first)
                    elif second is None:
                        gx, x = rules[0](gy, y, first), first
                    else:
                        gx, x = rules[i](gy, y, first, second), second if i else first
                    try:
                        unfit = gx.shape != x.shape or (gx.dtype is not x.dtype and gx.dtype != x.dtype)
                    except AttributeError:
                        raise _no_cotangent(op, i, gx) from None
                    if unfit:
                        gx = _fitted(gx, node, i, x)
                    order = parent._order
                    entry = pending.get(order)
                    if entry is not None:
                        pending[order] = _summed(entry, gx)
                    elif near is None:
                        near, number = (parent, gx, False), order
                    elif order == number:
                        near = _summed(near, gx)
                    else:
                        pending[order] = (parent, gx, False)
                        heappush(heap, -order)
                i += 1  # noqa: SIM113
        else:
            parents, arrays = node._parents, node._arrays
            for i, gx in _cotangents(node, gy, record):
                x = arrays[i]
                if not hasattr(gx, "dtype"):
                    raise _no_cotangent(op, i, gx)
                if gx.shape != x.shape or gx.dtype != x.dtype:
                    gx = _fitted(gx, node, i, x)
                if trace is not None:
                    trace.pulled(node, gy, i, gx)
                _add(pending, heap, parents[i], gx, record, trace)
        if not (retain_graph or record):
            node._left = node._right = node._first = node._second = None
    return leaves


def _add(
    pending: dict[float, _Entry],
    heap: list[float],
    node: Node,
    gy: Any,
    record: bool,
    trace: Trace | None,
) -> None:
    order = node._order
    entry = pending.get(order)
    if entry is None:
        pending[order] = (node, gy, False)
        heappush(heap, -order)
    elif record:
        pending[order] = (node, entry[1] + gy, False)
    else:
        pending[order] = _summed(entry, gy)
        if trace is not None:
            trace.added(entry[1], gy, pending[order][1])


def _summed(entry: _Entry, gy: Any) -> _Entry:
    """The entry with `gy` added: in a new array the first time (the old one may be shared), then in place."""
    node, total, ours = entry
    if ours:
        np.add(total, gy, total)
        return entry
    total = total + gy
    return node, total, type(total) is np.ndarray


def walk(root: N) -> list[N]:
    """Every node that `root` was computed from and that is still recorded, in creation order, `root` last."""
    seen = {root._order: root}
    todo = [root]
    while todo:
        for parent in todo.pop()._parents:
            if parent is not None and parent._order not in seen:
                seen[parent._order] = parent
                todo.append(parent)
    return [seen[order] for order in sorted(seen)]
