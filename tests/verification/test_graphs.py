"""Random graphs of everything registered: by the numbers, against the pairs alone, and what the engine promises."""

import heapq
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import gradcore
from gradcheck import GradientError
from gradcheck.graphs import Graph, Leaf, Node, classes, differentiable_ops, graphs
from gradcheck.graphs.steps import entry_of
from gradcheck.verification import (
    CHANGES,
    VerificationError,
    broken,
    check_graph_backward,
    check_graph_gradient,
    check_graph_promises,
    check_graph_second_order,
    like,
)
from gradcore import graph as engine
from gradcore import registry
from gradcore.errors import GraphError

OPS = differentiable_ops()
DIFFERENTIABLE_TWICE = [name for name in OPS if entry_of(name).spec.second_order]
STRUCTURES = [
    "fan-out",
    "diamond",
    "used twice",
    "broadcast left",
    "broadcast right",
    "view",
    "several outputs",
]


def backward(graph):
    """All that is required of a graph's backward pass; the report on its gradient."""
    check_graph_backward(graph)
    check_graph_promises(graph)
    return check_graph_gradient(graph)


@pytest.mark.checks("graphs")
# Each op is verified by itself each time, and most graphs hold others as well.
@pytest.mark.nightly(each_time=46)
@pytest.mark.parametrize("name", OPS)
def test_graphs_that_contain_the_op_go_backward_as_they_should(name, verify):
    verify(graphs(containing=name), backward, share=0.5).conclude(everything=False)


@pytest.mark.checks("graphs", kind="structure")
@pytest.mark.parametrize("structure", STRUCTURES)
def test_graphs_of_this_structure_go_backward_as_they_should(structure, verify):
    of_it = graphs().filter(lambda graph: structure in classes(graph))
    verify(of_it, backward, share=0.5).conclude(everything=False)


@pytest.mark.checks("graphs 2nd")
@pytest.mark.nightly(each_time=36)
@pytest.mark.parametrize("name", DIFFERENTIABLE_TWICE)
def test_small_graphs_that_contain_the_op_can_be_differentiated_twice(name, verify):
    small = graphs(containing=name, dtype="float64", most=3)
    verify(small, check_graph_second_order, share=0.25).conclude(everything=False)


# --- planted mistakes -------------------------------------------------------------------------------------------------

TENSOR = sys.modules["gradcore.tensor"]  # gradcore.tensor is the function
SHRINK = settings(
    max_examples=150,
    phases=[Phase.generate, Phase.shrink],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


class Found(BaseException):
    """Ends Hypothesis's search: it lets pass what is no Exception."""


def shrunk(check, nodes, strategy=None):
    """The first graph on which the check raises and that is as small as wanted, as Hypothesis shrinks those that it finds."""

    @SHRINK
    @given(graphs() if strategy is None else strategy)
    def holds(graph):
        try:
            check(graph)
        except (VerificationError, GradientError):
            if is_small(graph, nodes):
                raise Found(graph) from None
            raise

    with pytest.raises(Found) as caught:
        holds()
    return caught.value.args[0]


def overwrites(monkeypatch):
    monkeypatch.setattr(engine, "_summed", lambda entry, gy: (entry[0], gy, False))


def adds_in_place(monkeypatch):
    def summed(entry, gy):
        node, total, ours = entry
        if not total.flags.writeable:
            return node, total + gy, ours
        np.add(total, gy, out=total)  # which others may have been given as well
        return entry

    monkeypatch.setattr(engine, "_summed", summed)


def unbroadcast_with(monkeypatch, wrong):
    genuine = engine.unbroadcast
    monkeypatch.setattr(
        engine,
        "unbroadcast",
        lambda gx, shape: wrong(gx, shape) if type(gx) is np.ndarray else genuine(gx, shape),
    )


def sums_nothing(monkeypatch):
    unbroadcast_with(monkeypatch, lambda gx, shape: np.resize(gx, shape))


def sums_the_last_axis(monkeypatch):
    unbroadcast_with(monkeypatch, lambda gx, shape: np.resize(gx.sum(axis=-1), shape))


def leaves_the_shape(monkeypatch):
    unbroadcast_with(monkeypatch, lambda gx, shape: gx)


def oldest_first(monkeypatch):
    monkeypatch.setattr(engine, "heappush", lambda heap, order: heapq.heappush(heap, -order))
    monkeypatch.setattr(engine, "heappop", lambda heap: -heapq.heappop(heap))
    monkeypatch.setattr(engine, "heappushpop", lambda heap, order: -heapq.heappushpop(heap, -order))


def one_output_only(monkeypatch):
    genuine = engine.backward_pass
    monkeypatch.setattr(engine, "backward_pass", lambda roots, **more: genuine(list(roots)[:1], **more))


def frees_nothing(monkeypatch):
    genuine = engine.backward_pass
    monkeypatch.setattr(
        TENSOR, "backward_pass", lambda roots, **more: genuine(roots, **{**more, "retain_graph": True})
    )


def frees_everything(monkeypatch):
    genuine = engine.backward_pass
    monkeypatch.setattr(TENSOR, "backward_pass", lambda roots, **more: genuine(roots))


def keeps_the_cotangent(monkeypatch):
    def receive(self, gx, ours):
        self.grad = gx if self.grad is None else self.grad + gx

    monkeypatch.setattr(gradcore.Tensor, "_receive", receive)


def replaces_the_grad(monkeypatch):
    def receive(self, gx, ours):
        self.grad = np.array(gx)

    monkeypatch.setattr(gradcore.Tensor, "_receive", receive)


def changes_a_held_grad(monkeypatch):
    genuine = gradcore.Tensor._receive

    def receive(self, gx, ours):
        if self.grad is None:
            genuine(self, gx, ours)
        else:
            self.grad += gx

    monkeypatch.setattr(gradcore.Tensor, "_receive", receive)


def records_always(monkeypatch):
    monkeypatch.setattr(gradcore.no_grad, "_value", True)


def grad_for_nodes(monkeypatch):
    genuine = gradcore.Tensor.backward

    def backward(self, gy=None, *, retain_graph=False):
        genuine(self, gy, retain_graph=retain_graph)
        self.grad = np.array(gy)

    monkeypatch.setattr(gradcore.Tensor, "backward", backward)


def keeps_every_node(monkeypatch):
    genuine, kept = engine.backward_pass, []

    def backward_pass(roots, **more):
        kept.append(list(roots))
        return genuine(kept[-1], **more)

    monkeypatch.setattr(TENSOR, "backward_pass", backward_pass)


def adds_before_it_raises(monkeypatch):
    genuine, last = engine.backward_pass, []

    def backward_pass(roots, **more):
        try:
            last[:] = genuine(roots, **more)
        except GraphError:
            for leaf, _ in last:
                leaf.grad = leaf.grad + 1
            raise
        return list(last)

    monkeypatch.setattr(TENSOR, "backward_pass", backward_pass)


def forgets_a_leaf(monkeypatch):
    genuine = engine.backward_pass
    monkeypatch.setattr(TENSOR, "backward_pass", lambda roots, **more: genuine(roots, **more)[1:])


def moves_the_leaf(monkeypatch):
    genuine = gradcore.Tensor._receive

    def receive(self, gx, ours):
        genuine(self, gx, ours)
        self.data += 0.5

    monkeypatch.setattr(gradcore.Tensor, "_receive", receive)


def changes_the_cotangent(monkeypatch):
    genuine = gradcore.Tensor._cotangent

    def cotangent(self, gy):
        found = genuine(self, gy)
        gy *= 2.0
        return found

    monkeypatch.setattr(gradcore.Tensor, "_cotangent", cotangent)


# mistake, the check that detects it, and the most nodes that the smallest graph may have; one or two would do
ENGINE_MISTAKES = [
    (overwrites, check_graph_backward, 3),
    (adds_in_place, check_graph_backward, 3),
    (sums_nothing, check_graph_backward, 5),
    (leaves_the_shape, check_graph_backward, 5),
    (sums_the_last_axis, check_graph_backward, 3),
    (oldest_first, check_graph_backward, 4),
    (one_output_only, check_graph_backward, 4),
    (frees_nothing, check_graph_promises, 1),
    (frees_everything, check_graph_promises, 1),
    (keeps_the_cotangent, check_graph_promises, 1),
    (replaces_the_grad, check_graph_backward, 4),
    (changes_a_held_grad, check_graph_promises, 1),
    (records_always, check_graph_promises, 1),
    (grad_for_nodes, check_graph_promises, 1),
    (keeps_every_node, check_graph_promises, 1),
    (adds_before_it_raises, check_graph_promises, 1),
    (forgets_a_leaf, check_graph_backward, 1),
    (moves_the_leaf, check_graph_promises, 1),
    (changes_the_cotangent, check_graph_promises, 1),
]


def chain(*names):
    """A graph in which each op takes the one before it."""
    nodes = [Node(name, (i,), {}) for i, name in enumerate(names)]
    return Graph((Leaf(np.array([0.5, 1.25])), *nodes), (len(names),), (np.array([1.0, -0.75]),))


def is_small(graph, nodes):
    return len(graph.nodes) <= nodes and all(
        leaf.array.size <= 16 for leaf in graph.steps if isinstance(leaf, Leaf)
    )


def check_that_it_runs(graph):
    names = {}
    exec(str(graph), names)
    assert all(names[f"x{i}"].grad is not None for i in graph.wanted if i in graph.reached())


@pytest.mark.parametrize(
    ("plant", "check", "nodes"), ENGINE_MISTAKES, ids=[p.__name__ for p, _, _ in ENGINE_MISTAKES]
)
def test_a_mistake_of_the_engine_is_detected_in_a_small_graph_whose_code_runs(
    plant, check, nodes, monkeypatch
):
    with monkeypatch.context() as planted:
        plant(planted)
        graph = shrunk(check, nodes)
    check(graph)  # it was the mistake that made it fail
    check_that_it_runs(graph)


@pytest.mark.parametrize(
    ("name", "change"),
    [("exp", "factor 1.001"), ("mul", "sign"), ("matmul", "one entry by 0.1 %"), ("transpose", "zero")],
)
def test_a_wrong_rule_of_one_op_is_detected_in_a_small_graph_that_has_it(name, change, monkeypatch):
    with monkeypatch.context() as planted:
        planted.setitem(registry.ops, name, broken(registry.ops[name], 0, CHANGES[change]))
        graph = shrunk(check_graph_gradient, 3, graphs(containing=name))
        assert name in [graph.steps[i].op for i in graph.nodes]
        assert f'registry.ops["{name}"]' in str(graph)  # so that the code shows it again
        with pytest.raises(GradientError) as caught:
            check_graph_gradient(graph)
        assert fault_of(caught.value).startswith(f"at fault: {name} (step ")
    check_graph_gradient(graph)
    check_that_it_runs(graph)


def fault_of(error):
    """The note on what is at fault."""
    (note,) = [n for n in error.__notes__ if "fault" in n or "engine" in n]
    return note


def test_all_wrong_ops_are_named_and_no_right_one(monkeypatch):
    graph = chain("sin", "exp", "tanh", "sin")
    for name in ("sin", "tanh"):
        monkeypatch.setitem(registry.ops, name, broken(registry.ops[name], 0, CHANGES["sign"]))
    with pytest.raises(GradientError) as caught:
        check_graph_gradient(graph)
    assert (
        fault_of(caught.value)
        == "at fault: sin (step 1), tanh (step 3), sin (step 4), wrong by themselves for what comes in here"
    )


def test_where_every_op_is_right_by_itself_the_engine_is_named(monkeypatch):
    x, twice = Leaf(np.array([0.5, 2.0])), Node("mul", (0, 0), {})
    overwrites(monkeypatch)
    with pytest.raises(GradientError) as caught:
        check_graph_gradient(Graph((x, twice), (1,), (np.ones(2),)))
    assert fault_of(caught.value).startswith("no op is wrong by itself for what it gets in this graph")


def as_a_constant(gy, y, x):
    return gy * np.exp(x.data if isinstance(x, gradcore.Tensor) else x)


def test_a_rule_wrong_only_when_differentiated_is_named_at_second_order(monkeypatch):
    graph = chain("sin", "exp")
    monkeypatch.setitem(registry.ops, "exp", like(registry.ops["exp"], vjp=as_a_constant))
    check_graph_gradient(graph)
    with pytest.raises(GradientError) as caught:
        check_graph_second_order(graph)
    assert fault_of(caught.value) == "at fault: exp (step 2), wrong by itself for what comes in here"


def test_a_rule_that_cannot_be_differentiated_itself_is_detected(monkeypatch):
    with monkeypatch.context() as planted:
        planted.setitem(registry.ops, "exp", like(registry.ops["exp"], vjp=as_a_constant))
        graph = shrunk(check_graph_second_order, 2, graphs(containing="exp", dtype="float64", most=3))
    check_graph_second_order(graph)
    check_that_it_runs(graph)
