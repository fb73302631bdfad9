"""Whole graphs: their gradients numerically, and what the engine promises about `backward`."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.core import as_tensors
from gradcheck.check import gradcheck, gradgradcheck
from gradcheck.report.failure import GradientError
from gradcheck.verification import at_fault
from gradcheck.verification.outcome import VerificationError
from gradcheck.verification.reverse import Tape
from gradcore import graph as engine
from gradcore import modes
from gradcore.errors import GradcoreError, GraphError
from gradcore.ops import add, mul
from gradcore.ops import sum as total_of
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gradcheck.graphs import Graph
    from gradcheck.report.report import Report

    Cotangents = Mapping[int, Any]


# --- by the numbers ---------------------------------------------------------------------------------------------------


def check_graph_gradient(graph: Graph, *, seed: int = 0) -> Report:
    """The gradient of all outputs by all leaves against numeric derivatives. Raises `GradientError`, with the op at fault.

    With those contracts that stay at the point: domains inside a graph hold near the values of its leaves only.
    """
    try:
        return gradcheck(
            graph.function(), as_tensors(graph.point), gy=graph.gys, contracts=CONTRACTS, seed=seed
        )
    except GradientError as error:
        error.add_note(at_fault.words(graph))
        raise


CONTRACTS = (
    "cotangent_shape",
    "cotangent_dtype",
    "forward_keeps_inputs",
    "vjp_keeps_inputs",
    "vjp_keeps_output",
    "vjp_keeps_cotangent",
    "vjp_repeatable",
    "linear",
    "zero_cotangent",
    "no_shared_memory",
    "read_only_arrays",
)
"""What else is required of the gradient of a graph."""


def check_graph_second_order(graph: Graph, *, seed: int = 0) -> Report:
    """The recorded backward pass as a function of its own: derivatives of `(leaves, gy) -> gx`. Raises as well."""
    try:
        return gradgradcheck(graph.function(), as_tensors(graph.point), contracts=False, seed=seed)
    except GradientError as error:
        error.add_note(at_fault.words(graph, order=2))
        raise


# --- against reverse accumulation without the engine --------------------------------------------------------------------


class _Recorded:
    """A graph run on new Tensors."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.leaves = graph.tensors()
        self.values = graph.run(self.leaves)
        self.roots = [(self.values[i], gy) for i, gy in zip(graph.outputs, graph.gys, strict=True)]

    def grads(self) -> Cotangents:
        """What is in the `grad` of the leaves, copied."""
        return {i: x.grad.copy() for i, x in self.leaves.items() if x.grad is not None}


def check_graph_backward(graph: Graph) -> None:
    """Values, and cotangents of every leaf, are those of the ops' pairs without the engine, to the last bit.

    From all outputs in one pass, recorded and not; by one `backward` for each output, in both orders; and by one from the
    sum of them all. Raises `VerificationError`.
    """
    tape = Tape(graph)
    pairs = list(zip(graph.outputs, graph.gys, strict=True))
    at_once = tape.pulled(pairs)
    run = _Recorded(graph)
    for i in graph.nodes:
        y = run.values[i].data if isinstance(run.values[i], Tensor) else run.values[i]
        _same(graph, f"the value of step {i}", {i: y}, {i: tape.values[i]})
    for record in (False, True):
        gys = [(y, Tensor(gy) if record else gy) for y, gy in run.roots]
        found = _tried(graph, engine.backward_pass, gys, retain_graph=True, record=record)
        expected_now = tape.pulled(pairs, record=record)
        _same(graph, f"a pass from all outputs, record={record}", _by_leaf(run, found), expected_now)
    for order in (1, -1):
        run = _Recorded(graph)
        expected: dict[int, Any] = {}
        for number, (i, gy) in enumerate(pairs[::order]):
            last = number == len(pairs) - 1
            _tried(graph, run.values[i].backward, gy, retain_graph=not last)
            for j, gx in tape.pulled([(i, gy)]).items():
                expected[j] = expected[j] + gx if j in expected else gx
        _same(graph, f"backward() from {list(graph.outputs)[::order]} one by one", run.grads(), expected)
    run = _Recorded(graph)
    parts = [total_of(mul(y, gy)) for y, gy in run.roots]
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    _tried(graph, total.backward)
    _same(graph, "backward() from the sum of <gy, y> over the outputs", run.grads(), at_once)


def _by_leaf(run: _Recorded, found: Any) -> Cotangents:
    places = {id(x): i for i, x in run.leaves.items()}
    return {places[id(leaf)]: gx.data if isinstance(gx, Tensor) else gx for leaf, gx in found}


def _tried(graph: Graph, act: Callable[..., Any], *args: Any, **more: Any) -> Any:
    try:
        return act(*args, **more)
    except (GradcoreError, ValueError, TypeError, LookupError) as error:
        raise _wrong(graph, f"backward raised {type(error).__name__}: {error}") from error


def _same(graph: Graph, what: str, found: Cotangents, expected: Cotangents) -> None:
    if found.keys() != expected.keys():
        raise _wrong(
            graph,
            f"{what} reaches the leaves {sorted(found)}, and should reach {sorted(expected)} (numbers of steps)",
        )
    for i, gx in found.items():
        same = np.array_equal(gx, expected[i], equal_nan=True)
        if not same or gx.dtype != expected[i].dtype or gx.shape != expected[i].shape:
            raise _wrong(
                graph, f"{what} gives {gx!r} for step {i}, and without the engine it is {expected[i]!r}"
            )


def _wrong(graph: Graph, what: str) -> VerificationError:
    return VerificationError(f"{what}\nin the graph\n\n{graph}")


# --- promises ---------------------------------------------------------------------------------------------------------


def check_graph_promises(graph: Graph) -> None:
    """What `backward`, `grad` and the grad modes promise beyond the numbers. Raises `VerificationError`.

    A graph is freed by its backward pass and kept by `retain_graph`; a pass through what is freed raises and adds nothing;
    gradients add up, belong to leaves that require one and are reached, and share memory with nothing; no array is changed;
    `no_grad` records nothing; a graph needs no garbage collector.
    """
    before = {i: np.array(y) for i, y in enumerate(graph.run())}
    gys = [gy.copy() for gy in graph.gys]
    _check_grads(graph)
    _check_freed(graph)
    _check_modes(graph)
    _check_let_go(graph)
    _same(graph, "run again after all, it", dict(enumerate(graph.run())), before)
    _same(graph, "after all, a cotangent", dict(enumerate(graph.gys)), dict(enumerate(gys)))


def _check_grads(graph: Graph) -> None:
    run = _Recorded(graph)
    kept = _arrays(run)
    _backward(graph, run)
    once = run.grads()
    reached = graph.reached()
    expected = [i for i in graph.wanted if i in reached]
    if sorted(once) != expected:
        raise _wrong(
            graph, f"backward left a grad in the leaves {sorted(once)}, and should have in {expected}"
        )
    if any(type(y) is Tensor and y.grad is not None for y in (run.values[i] for i in graph.nodes)):
        raise _wrong(graph, "backward left a grad in a node, and only leaves get one")
    _same(graph, "after backward, it", _arrays(run), kept)
    owned: list[Any] = [*_arrays(run, copy=False).values(), *graph.gys]
    for i in expected:
        gx = run.leaves[i].grad
        if gx is None or not gx.flags.writeable or any(np.shares_memory(gx, other) for other in owned):
            raise _wrong(graph, f"the grad of step {i} is read-only, or shares memory with another array")
        owned.append(gx)
    _backward(graph, run)
    # A sum of several outputs' cotangents need not double to the last bit. One output's does.
    exact = len(graph.outputs) == 1
    if exact:
        _same(graph, "backward() twice", run.grads(), {i: part + part for i, part in once.items()})
    run = _Recorded(graph)
    held = {i: np.full_like(x.data, 2.0) for i, x in run.leaves.items() if i in expected}
    for i, array in held.items():
        run.leaves[i].grad = array
    _backward(graph, run)
    if any((array != 2.0).any() for array in held.values()):
        raise _wrong(graph, "backward changed an array that was a grad before and that others hold")
    if exact:
        _same(graph, "added to a grad of 2, it", run.grads(), {i: 2.0 + part for i, part in once.items()})


def _backward(graph: Graph, run: _Recorded) -> None:
    for y, gy in run.roots:
        _tried(graph, y.backward, gy, retain_graph=True)


def _arrays(run: _Recorded, copy: bool = True) -> dict[int, Any]:
    found = {i: y.data if type(y) is Tensor else y for i, y in enumerate(run.values)}
    return {i: np.array(y) for i, y in found.items()} if copy else found


def _check_freed(graph: Graph) -> None:
    """Each output in turn goes backward, twice: what it visits is freed, and a later one that needs it raises."""
    run = _Recorded(graph)
    ancestors = graph.ancestors()
    nodes = set(graph.nodes)
    freed: set[int] = set()
    touched: set[int] = set()  # a pass that raises has freed some of what is its own
    for i, gy in [*zip(graph.outputs, graph.gys, strict=True)] * 2:
        before = run.grads()
        mine = ancestors[i] & nodes
        try:
            run.values[i].backward(gy)
        except GraphError as error:
            if not mine & touched:
                raise _wrong(
                    graph, f"backward() from step {i}, of which nothing was freed, raised {error}"
                ) from error
            _same(graph, f"after backward() from step {i}, which raised, a grad", run.grads(), before)
            freed.add(i)
        else:
            if mine & freed:
                raise _wrong(
                    graph, f"backward() from step {i} went through freed steps: {sorted(mine & freed)}"
                )
            freed |= mine
        touched |= mine
    for i in nodes - touched:
        y = run.values[i]
        if type(y) is Tensor and y.requires_grad and not y._parents:
            raise _wrong(graph, f"step {i} is freed, and no backward pass visited it")


def _check_modes(graph: Graph) -> None:
    recorded = _Recorded(graph)
    with modes.no_grad():
        plain = _Recorded(graph)
        with modes.enable_grad():
            inside = _Recorded(graph)
    for i in graph.nodes:
        for run, records in ((recorded, True), (plain, False), (inside, True)):
            y = run.values[i]
            if type(y) is Tensor and y.requires_grad is not (records and graph.needs()[i]):
                raise _wrong(graph, f"step {i} has requires_grad={y.requires_grad} with recording={records}")
    _same(graph, "under no_grad, it", _arrays(plain), _arrays(recorded))
    try:
        plain.roots[0][0].backward(graph.gys[0])
    except GraphError:
        pass
    else:
        raise _wrong(graph, "backward() went from a result that was computed under no_grad()")
    for found in (inside, recorded):
        _backward(graph, found)
    _same(graph, "under enable_grad in no_grad, backward()", inside.grads(), recorded.grads())


def _check_let_go(graph: Graph) -> None:
    run = _Recorded(graph)
    nodes = [weakref.ref(run.values[i]) for i in graph.nodes if type(run.values[i]) is Tensor]
    _backward(graph, run)
    del run
    if any(node() is not None for node in nodes):
        raise _wrong(graph, "its nodes outlive the last reference to them: there is a cycle")
