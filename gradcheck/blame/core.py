"""Which op of a graph that gradcore recorded is wrong."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends import Call, as_subject
from gradcheck.backends.core import Core, as_tensors
from gradcheck.backends.protocol import Array
from gradcheck.blame.core_graph import graph_of, indices
from gradcheck.blame.core_lost import lost, recorded
from gradcheck.blame.single import blame_of, judged, judged_whole, shapes_of
from gradcheck.errors import CallError
from gradcheck.report.explanation import Blame, Explanation
from gradcheck.report.graph import State
from gradcore.graph import backward_pass, walk
from gradcore.modes import Trace
from gradcore.nn.module import Module, functional_call
from gradcore.op import Op
from gradcore.tensor import Tensor
from gradcore.tracing import source_of

UNLIKE = 1.25
"""Inputs times this, and a little more, are other inputs: a rule that gives the same for them does not read them."""


_NO_NAMES: Mapping[int, str] = {}

WHOLE = "what it computes is not recorded op by op: explain the function without gradcore.checkpoint"


def of_graph(root: Tensor, gy: Any, seed: int) -> Explanation:
    """Every recorded op behind `root`, verified by itself at the values that it saw."""
    nodes = [node for node in walk(root) if node._op is not None]
    if not nodes:
        raise CallError(
            "nothing was recorded behind this tensor: it is a leaf, or was computed of tensors none of which requires a gradient, "
            "or under no_grad(). Make an input with requires_grad=True"
        )
    if any(node._arrays is None for node in nodes):
        raise CallError(
            "the graph behind this tensor was freed by its backward pass: call explain before backward(), or pass "
            "retain_graph=True to it"
        )
    return of_nodes(nodes, [root], gy, seed, f"the graph behind {nodes[-1]._op.name}")


def of_function(call: Call) -> Explanation:
    """The same for the graph that a function records; where every op is right and the whole is not, where that is lost."""
    call = _by_parameters(call) if isinstance(call.f, Module) else call
    subject = as_subject(call)
    if not isinstance(subject, Core):
        raise CallError(f"{subject.name} is no function of gradcore Tensors")
    with np.errstate(all="ignore"):
        here = recorded(subject, [np.array(item.array) for item in subject.inputs])
        roots = [y for y in here.outputs if y.requires_grad]
        behind = {node._order for root in roots for node in walk(root)}
        nodes = [node for node in here.nodes if node._order in behind]
        others = [node for node in here.nodes if node._order not in behind]
        names = {id(x): item.path for x, item in zip(here.leaves, subject.inputs, strict=True)}
        found = of_nodes(nodes, roots, call.gy, call.seed, subject.name, others, names)
        if found.blamed:
            return found
        whole = judged_whole(call)
        if whole.report is None:
            return replace(found, whole_right=whole.right, note=whole.reason)
        index = indices([*nodes, *others])
        blamed, note = lost(subject, here, nodes, _cotangents(roots, call.gy), call.seed, index)
    return replace(found, whole=whole.report, blamed=blamed, note=note)


def _by_parameters(call: Call) -> Call:
    """A module as a function of its parameters and inputs, each call on a copy: running averages and masks are those of now."""
    module: Module = call.f  # type: ignore[assignment]
    parameters = dict(module.named_parameters())
    shared = {id(p): p for p in parameters.values()}

    def function(held: dict[str, Tensor], *inputs: Any) -> Any:
        return functional_call(copy.deepcopy(module, dict(shared)), held, *inputs)

    function.__name__ = type(module).__name__
    values = {name: p.detach() for name, p in parameters.items() if p.requires_grad}
    return replace(call, f=function, inputs=(values, *as_tensors(call.arguments)))


def of_nodes(
    nodes: Sequence[Tensor],
    roots: Sequence[Tensor],
    gy: Any,
    seed: int,
    name: str,
    others: Sequence[Tensor] = (),
    names: Mapping[int, str] = _NO_NAMES,
) -> Explanation:
    """These nodes, each verified by itself. others: what was recorded besides. names: of leaves, by identity."""
    cotangents = _cotangents(roots, gy)
    blamed: list[Blame] = []
    unjudged, states = [], list[State]()
    changed = _changed(nodes)
    for place, node in enumerate(nodes, 1):
        title, source, shapes = node._op.name, source_of(node), shapes_of(node._arrays, [node.data])
        if node._order in changed:
            blamed.append(
                Blame(
                    "changed",
                    title,
                    place,
                    changed[node._order],
                    "changed in place",
                    str(source or ""),
                    shapes,
                    at=place - 1,
                )
            )
        if not isinstance(node._op, Op):
            unjudged.append(f"{title} (call {place}): {WHOLE}")
            states.append("unjudged")
            continue
        own = cotangents.get(node._order)
        found = judged(call_of(node, seed), () if own is None else (own,))
        if found.report is not None:
            blamed.append(blame_of(found.report, title, place, source, shapes))
        elif found.reason:
            unjudged.append(f"{title} (call {place}): {found.reason}")
        wrong = found.report is not None or node._order in changed
        states.append("wrong" if wrong else "right" if found.right else "unjudged")
    return Explanation(
        name,
        len(nodes),
        states.count("right"),
        tuple(blamed),
        tuple(unjudged),
        seed=seed,
        graph=graph_of(nodes, states, others, names),
    )


def call_of(node: Tensor, seed: int) -> Call:
    """The op of a node on its arrays, to be differentiated by those that have a gradient."""
    wrt = [i for i, parent in enumerate(node._parents) if parent is not None]
    return Call(node._op, tuple(node._arrays), wrt=wrt, params=node._params, seed=seed)


class _Cotangents(Trace):
    """Keeps the cotangent that each op's rule got."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, Array] = {}

    def pulled(self, node: Any, gy: Any, index: int, gx: Any) -> None:
        """Keep the cotangent of the node."""
        if node._order not in self.found:
            self.found[node._order] = np.array(gy)


def _cotangents(roots: Sequence[Tensor], gy: Any) -> dict[int, Array]:
    """The cotangent of each node in a backward pass, as far as it gets: a wrong rule may raise."""
    rng = np.random.default_rng(0)
    given = [*gy] if isinstance(gy, tuple | list) else [gy] * len(roots)
    trace = _Cotangents()
    try:
        pairs = [
            (
                root,
                root._cotangent(rng.standard_normal(root.shape) if one is None and root.size != 1 else one),
            )
            for root, one in zip(roots, given, strict=True)
        ]
        with trace, np.errstate(all="ignore"):
            backward_pass(pairs, retain_graph=True)
    except Exception:  # noqa: BLE001 - a rule may raise whatever it does: judging that rule by itself says so
        return trace.found
    return trace.found


def _changed(nodes: Sequence[Tensor]) -> dict[int, str]:
    """By creation number, the nodes whose arrays or values are no longer those of the forward, with a sentence.

    An op is a pure function: run again on the arrays that it kept, it gives the values that it gave, to the bit.
    """
    unlike = {node._order: node for node in nodes if isinstance(node._op, Op) and not _as_recorded(node)}
    found: dict[int, str] = {}
    own: set[int] = set()
    for order in sorted(unlike):
        node = unlike[order]
        if any(p is not None and p._order in own for p in node._parents):
            continue  # follows from the change of what it took
        users = [user for user in unlike.values() if any(p is node for p in user._parents)]
        if users and not any(_common(node, user) for user in users):
            own.add(order)
            found[order] = (
                f"what {node._op.name} returned was changed in place afterwards, and {users[0]._op.name} took it as it was before: "
                "work on a copy (y.data.copy())"
            )
        else:
            found[order] = _of_input(node)
    return {order: text for order, text in found.items() if _matters(unlike[order], nodes)}


def _common(node: Tensor, user: Tensor) -> bool:
    """Whether both took one array that no op made, and that could be changed: a change of it explains both."""
    made = [id(x) for x, p in zip(user._arrays, user._parents, strict=True) if p is None or p._op is None]
    return any(id(x) in made and x.flags.writeable for x in node._arrays if x is not None)


def _of_input(node: Tensor) -> str:
    leaves = [f"input {i}" for i, p in enumerate(node._parents) if p is None or p._op is None]
    which = " or ".join(leaves) if leaves else "an input or the result"
    return (
        f"run again on the arrays that it kept, {node._op.name} gives other values than it gave in the forward pass: {which} was "
        "changed in place after it, and its rule works with the new values. Change arrays before the forward pass or after "
        "backward(), or work on a copy. (An op that draws random numbers or keeps a state of its own does so too)"
    )


def _as_recorded(node: Tensor) -> bool:
    """Whether forward gives the node's values for the arrays that it kept."""
    try:
        with np.errstate(all="ignore"):
            again = np.asarray(node._op.forward(*node._arrays, **(node._params or {})))
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return False
    return again.shape == node.data.shape and np.array_equal(
        again, node.data, equal_nan=again.dtype.kind in "fc"
    )


def _matters(node: Tensor, nodes: Sequence[Tensor]) -> bool:
    """Whether a rule reads the values that were changed: those of its own op's arrays and result, or of what took its result."""
    users = [user for user in nodes if any(p is node for p in user._parents)]
    return any(not isinstance(n._op, Op) or _reads_values(n) for n in (node, *users))


def _reads_values(node: Tensor) -> bool:
    """Whether the rule gives something else for other arrays."""
    op, arrays, params = node._op, node._arrays, node._params or {}
    if any(a is not None and a.dtype.kind not in "fc" for a in arrays):
        return True
    gy = np.ones_like(node.data)
    other = [a if a is None else a * a.dtype.type(UNLIKE) + a.dtype.type(0.5) for a in arrays]
    try:
        with np.errstate(all="ignore"):
            here = op.vjp(gy, node.data, *arrays, **params)
            there = op.vjp(
                gy, node.data * node.data.dtype.type(UNLIKE) + node.data.dtype.type(0.5), *other, **params
            )
            return not all(
                a is b or np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
                for a, b in zip(here, there, strict=True)
            )
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        return True
