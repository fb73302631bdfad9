"""Random graphs: what is drawn, that all of it is reached, that it shrinks, and that its code runs."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.vendor.pretty import pretty

import gradcore
from gradcheck.graphs import CLASSES, Graph, Leaf, Node, classes, differentiable_ops, graphs
from gradcheck.graphs.build import BIGGEST, Builder
from gradcheck.graphs.fit import LARGEST, bind, fits
from gradcheck.graphs.steps import entry_of
from gradcheck.strategies.shapes import Unfit
from gradcheck.verification import check_graph_backward, check_graph_gradient
from gradcheck.verification.reverse import Tape
from gradcore import registry
from gradcore.spec import OpSpec, case, interval, reals

QUIET = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
OPS = differentiable_ops()


def drawn(strategy, count):
    found = []

    @settings(max_examples=count, phases=[Phase.generate], **QUIET)
    @given(strategy)
    def collect(graph):
        found.append(graph)

    collect()
    return found


@pytest.fixture(scope="module")
def some():
    return drawn(graphs(), 200)


# --- what is drawn ----------------------------------------------------------------------------------------------------


def test_every_special_class_is_reached_within_a_default_run(some):
    counts = Counter(label for graph in some for label in classes(graph))
    assert set(counts) == set(CLASSES)


def test_many_ops_are_reached_within_a_default_run_without_being_requested(some):
    """Each op has a test of its own that requests it; a default run of 200 graphs goes back to what it has drawn before."""
    reached = {graph.steps[i].op for graph in some for i in graph.reached() if i in graph.nodes}
    assert len(reached) > 0.35 * len(OPS)


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize("name", OPS)
def test_every_registered_op_is_reached_on_the_way_to_an_output_with_others_before_and_behind_it(name):
    def neighbours(graph):
        reached = graph.reached()
        places = [i for i in graph.nodes if graph.steps[i].op == name and i in reached]
        assert places
        before = {type(graph.steps[j]) for i in places for j in graph.steps[i].inputs if j is not None}
        behind = {j in reached for i in places for j in graph.consumers()[i]}
        return {"before": Node in before, "behind": True in behind}

    for side in ("before", "behind"):
        find(
            graphs(containing=name),
            lambda graph, side=side: neighbours(graph)[side],
            settings=settings(max_examples=300, phases=[Phase.generate], **QUIET),
        )


def test_values_are_finite_of_moderate_size_and_small_enough_to_be_printed(some):
    for graph in some:
        for i, value in enumerate(graph.run()):
            if i in graph.nodes:
                assert value.size <= BIGGEST
                assert (np.abs(value) <= LARGEST).all()


def test_outputs_are_nodes_with_a_gradient_and_cotangents_of_their_shape_and_dtype(some):
    for graph in some:
        values, needs = graph.run(), graph.needs()
        assert graph.outputs
        for i, gy in zip(graph.outputs, graph.gys, strict=True):
            assert i in graph.nodes
            assert needs[i]
            assert (gy.shape, gy.dtype) == (values[i].shape, values[i].dtype)


def test_a_requested_dtype_is_that_of_every_leaf():
    for graph in drawn(graphs(dtype="float32", most=3), 30):
        floats = [s.array.dtype for s in graph.steps if isinstance(s, Leaf) and s.array.dtype.kind == "f"]
        assert set(floats) == {np.dtype("float32")}


def test_an_op_that_nobody_registered_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"containing='expp' is no registered op with a gradient: use one of \["
    ):
        find(graphs(containing="expp"), lambda graph: True)


def test_an_op_that_is_registered_later_takes_part_by_itself(monkeypatch):
    spec = OpSpec(
        case(reals("n h", distinct=True), interval(0.5, 2.0, "n h-1", kinks=(1.0,)), sizes={"h": (2, 4)}),
        reference=lambda x, w: None,
    )
    later = gradcore.Op(
        lambda x, w, /: x[:, 1:] * w,
        (
            lambda gy, _y, x, w: np.concatenate([np.zeros_like(x[:, :1]), gy * w], axis=1),
            lambda gy, _y, x, _w: gy * x[:, 1:],
        ),
        spec,
        name="later",
    )
    monkeypatch.setitem(registry.ops, "later", later)
    inputs = []
    for graph in drawn(graphs(containing="later", most=4), 40):
        check_graph_backward(graph)
        check_graph_gradient(graph)
        values = graph.run()
        for i in graph.nodes:
            if graph.steps[i].op == "later":
                x, w = (values[j] for j in graph.steps[i].inputs)
                assert (np.diff(np.sort(x, axis=None)) > 1e-2).all()
                assert ((w >= 0.5) & (w <= 2.0) & (np.abs(w - 1.0) > 1e-2)).all()
                inputs += [graph.steps[j] for j in graph.steps[i].inputs]
    assert sum(isinstance(step, Node) for step in inputs) > 10


@pytest.mark.parametrize(
    ("tokens", "shape", "expected"),
    [
        ("n m", (2, 3), ({"n": 2, "m": 3}, None)),
        ("n n", (2, 3), None),
        ("n 3", (2, 3), ({"n": 2}, None)),
        ("n 4", (2, 3), None),
        ("2*n n", (4, 2), ({"n": 2}, None)),
        ("2*n", (3,), None),
        ("h-1 h", (2, 3), ({"h": 3}, None)),
        ("~n m", (1, 3), ({"m": 3}, None)),
        ("~n m", (4, 3), ({"n": 4, "m": 3}, None)),
        ("...", (2, 3), ({}, (2, 3))),
        ("n ... m", (2, 5, 3), ({"n": 2, "m": 3}, (5,))),
        ("~...", (1, 3), ({}, (1, 3))),
        ("n m k", (2, 3), None),
        ("n ... m", (2,), None),
        ("a*b", (6,), None),
        ("n", (9,), None),
    ],
)
def test_tokens_are_bound_to_a_shape_where_they_can_stand_for_it(tokens, shape, expected):
    assert bind(tokens, shape, case(reals(tokens))) == expected


@pytest.mark.parametrize(
    ("tokens", "shape", "expected"),
    [
        ("n m", (2, 3), True),
        ("n m", (3, 2), False),
        ("~n m", (1, 3), True),
        ("n ~m", (2, 2), False),
        ("...", (5, 4), True),
        ("...", (4,), False),
        ("~...", (4,), True),
        ("~...", (1, 4), True),
        ("~...", (), True),
        ("~...", (5,), False),
        ("2*n", (4,), True),
    ],
)
def test_a_shape_fits_tokens_whose_letters_are_known(tokens, shape, expected):
    assert fits(tokens, shape, {"n": 2, "m": 3}, (5, 4)) is expected


# --- plain data -------------------------------------------------------------------------------------------------------


def made(*steps, outputs, gys):
    return Graph(steps, outputs, gys)


def cube():
    """x * x * x at 3, and a product that reaches no output."""
    return made(
        Leaf(np.array(3.0)),
        Node("mul", (0, 0), {}),
        Node("mul", (1, 0), {}),
        Leaf(np.array([2.0], np.float32), "array"),
        Node("mul", (0, 3), {}),
        outputs=(2,),
        gys=(np.array(1.0),),
    )


def test_a_graph_runs_on_arrays_and_on_tensors():
    graph = cube()
    assert [float(np.squeeze(v)) for v in graph.run()] == [3, 9, 27, 2, 6]
    (y,) = graph.function()(gradcore.Tensor(np.array(2.0), requires_grad=True))
    assert (y.item(), y.requires_grad) == (8.0, True)


@pytest.mark.parametrize("kind", ["array", "constant"])
def test_constants_come_along_where_a_graph_is_run_in_a_narrower_dtype_and_else_stay(kind):
    for own, dtype, squared in (("d", "f", "f"), ("f", "e", "e"), ("f", "d", "f"), ("d", "d", "d")):
        leaf, third = np.array(1.0, own), np.array(1 / 3).astype(own)
        square, product = Node("mul", (1, 1), {}), Node("mul", (0, 2), {})
        graph = Graph((Leaf(leaf), Leaf(third, kind), square, product), outputs=(3,), gys=(leaf,))
        (y,) = graph.function()(gradcore.Tensor(leaf.astype(dtype)))
        assert (y.dtype, y.item()) == (np.dtype(dtype), float(np.square(third.astype(squared))))


def test_a_graph_knows_its_structure():
    graph = cube()
    assert graph.consumers() == [[1, 1, 2, 4], [2], [], [4], []]
    assert graph.reached() == {0, 1, 2}
    assert graph.needs() == [True, True, True, False, True]
    assert classes(graph) == {
        "used twice", "fan-out", "diamond", "dead branch", "plain array", "float64",
    }  # fmt: skip


def test_reverse_accumulation_without_the_engine_gives_what_is_known_by_hand():
    assert Tape(cube()).pulled([(2, np.array(1.0))]) == {0: 27.0}
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    graph = made(
        Leaf(x),
        Leaf(np.array([5.0])),
        Node("mul", (0, 1), {}),
        Node("mean", (2,), {}),
        outputs=(3,),
        gys=(np.array(4.0),),
    )
    found = Tape(graph).pulled([(3, graph.gys[0])])
    assert found[0].tolist() == [[5, 5], [5, 5]]
    assert found[1].tolist() == [10]


# --- code -------------------------------------------------------------------------------------------------------------


def test_the_code_of_a_graph_runs_and_leaves_the_gradients_that_the_graph_has(some):
    for graph in some[:100]:
        names = {}
        exec(str(graph).replace("print(", "repr("), names)
        tensors = graph.tensors()
        values = graph.run(tensors)
        for i, gy in zip(graph.outputs, graph.gys, strict=True):
            values[i].backward(gy, retain_graph=True)
        for i in graph.wanted:
            assert np.array_equal(names[f"x{i}"].data, tensors[i].data)
            assert np.array_equal(names[f"x{i}"].grad, tensors[i].grad) or tensors[i].grad is None


def test_the_code_reads_like_a_script():
    assert str(cube()) == (
        "from numpy import array, float32\n\n"
        "import gradcore\n\n"
        "x0 = gradcore.tensor(array(3.), requires_grad=True)\n"
        "y1 = gradcore.mul(x0, x0)\n"
        "y2 = gradcore.mul(y1, x0)\n"
        "c3 = array([2.], dtype=float32)\n"
        "y4 = gradcore.mul(x0, c3)  # reaches no output\n"
        "y2.backward(array(1.))\n"
        "print(x0.grad)\n"
    )


def test_the_code_names_what_is_not_public_and_keeps_everything_of_several_outputs():
    graph = made(
        Leaf(np.zeros((0, 2))),
        Leaf(np.full((1, 2), math.inf), "constant"),
        Node("concatenate", (0, 1), {"axis": 0}),
        Node("getitem", (2,), {"index": (slice(None, None, -1), np.array([0, 1]))}),
        outputs=(2, 3),
        gys=(np.ones((1, 2)), np.ones((1, 2))),
    )
    code = str(graph)
    assert 'y2 = gradcore.registry.ops["concatenate"](x0, x1, axis=0)' in code
    assert "y2.backward(array([[1., 1.]]), retain_graph=True)" in code
    exec(code, names := {})
    assert names["x0"].grad.shape == (0, 2)


def test_a_failing_graph_is_shown_as_its_code():
    assert "    x0 = gradcore.tensor(array(3.), requires_grad=True)\n" in pretty(cube())


# --- shrinking --------------------------------------------------------------------------------------------------------


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("structure", ["used twice", "view"])
def test_the_smallest_graph_of_a_structure_has_hardly_more_nodes_than_it_takes(structure):
    smallest = find(
        graphs(), lambda graph: structure in classes(graph), settings=settings(max_examples=100, **QUIET)
    )
    assert len(smallest.nodes) <= 3


def test_the_smallest_graph_with_an_op_is_that_op_on_new_leaves():
    for name in ("exp", "losses.mse_loss"):
        smallest = find(
            graphs(containing=name), lambda graph: True, settings=settings(max_examples=20, **QUIET)
        )
        assert [smallest.steps[i].op for i in smallest.nodes] == [name]
        assert all(leaf.array.size <= 1 for leaf in smallest.steps if isinstance(leaf, Leaf))


def test_whatever_has_a_gradient_is_drawn_losses_too():
    assert {"add", "mean", "conv2d", "losses.mse_loss", "losses.cross_entropy"} <= set(OPS)
    assert all(any(a.takes_gradient for c in entry_of(n).spec.cases for a in c.arrays) for n in OPS)


def test_a_place_where_little_moves_the_result_far_is_not_among_the_graphs():
    builder = Builder(("float64",), "plain", 0)
    x = builder.given(np.array([[1.5], [1.5]]))  # a variance of zero, with eps=1e-5 under a root
    one = builder.given(np.array([1.0]))
    with pytest.raises(Unfit):
        builder.node("batch_norm", (x, one, one), {})
    x = builder.given(np.array([[1.5], [2.5]]))
    assert builder.node("batch_norm", (x, one, one), {}) == 3
