"""A captured step is to the bit what it is eagerly: for every op, loss and layer of the registries, and random graphs."""

import pytest
from both import moved, outcome, run_both
from hypothesis import given, settings

from gradcheck.graphs import graphs
from gradcheck.verification import cases
from gradcheck.verification.drawing import inputs, layer_calls
from gradcheck.verification.layer_call import arguments
from gradcore import Tensor, optim
from gradcore.variables import leaves_of

# Those that make arrays in plain NumPy of indices that they are handed, or look at values: they run eagerly in a captured
# step, at least for some arguments.
EAGER = {
    "cross", "ctc_loss", "cummax", "cummin", "diag", "diagonal", "interpolate", "matrix_power", "median", "multi_margin_loss",
    "nan_to_num", "pad", "prelu", "quantile", "repeat", "roll", "rot90", "scaled_dot_product_attention", "scatter_add",
    "solve_triangular", "sort", "take", "take_along_axis", "tile", "topk", "trace", "tril", "triu",
}  # fmt: skip
EAGER_LAYERS = {"MultiheadAttention", "TransformerEncoderLayer", "Upsample"}  # some masks; interpolate
QUIET = pytest.mark.filterwarnings("ignore::RuntimeWarning")
STEPS = 6


def tensors(arrays, domains):
    return [
        a if a is None or not d.array.takes_gradient else Tensor(a, requires_grad=a.dtype.kind == "f")
        for a, d in zip(arrays, domains, strict=True)
    ]


def differentiated(outputs):
    """The outputs without their graphs, after a backward pass from each."""
    found = []
    for y in leaves_of(outputs):
        if type(y) is Tensor and y.requires_grad:
            (y if y.size == 1 else (y * y).sum()).backward()
        found.append(y.detach() if type(y) is Tensor else y)
    return found


def step_of(unit, example):
    def step(*arrays):
        given = tensors(arrays, example.domains)
        found = differentiated(unit.entry(*given, **example.params))
        return [found, [t.grad if type(t) is Tensor else None for t in given]]

    return step


@QUIET
@pytest.mark.nightly(each_time=108)
@pytest.mark.parametrize("unit", cases.ops() + cases.losses(), ids=lambda u: u.id)
@settings(max_examples=3)
@given(data=pytest.importorskip("hypothesis.strategies").data())
def test_ops_and_losses(unit, data):
    example = data.draw(inputs(unit))
    calls = [[moved(a, k) for a in example.arrays] for k in range(STEPS)]
    captured = run_both(lambda: (step_of(unit, example), lambda: None), calls)
    failed = isinstance(outcome(step_of(unit, example), *calls[0]), Exception)
    assert captured.replays or failed or unit.name in EAGER, captured.report()


@QUIET
@pytest.mark.nightly(each_time=48)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("unit", cases.layers(), ids=lambda u: u.id)
@settings(max_examples=2)
@given(data=pytest.importorskip("hypothesis.strategies").data())
def test_layers(unit, training, data):
    call, example = data.draw(layer_calls(unit, training))

    def make():
        layer = call.layer(call.dtype)
        for name, p in layer.named_parameters():
            p.data = call.parameters[name].copy()
        parameters = list(layer.parameters())
        optimizer = optim.SGD(parameters, lr=0.01) if parameters else None

        def step(*arrays):
            if optimizer is not None:
                optimizer.zero_grad()
            given = tensors(arrays, example.domains)
            found = differentiated(layer(*arguments(unit.entry, given)))
            if optimizer is not None:
                optimizer.step()
            return [found, [t.grad if type(t) is Tensor else None for t in given]]

        return step, layer.state_dict

    captured = run_both(make, [[moved(a, k) for a in example.arrays] for k in range(STEPS)])
    failed = isinstance(outcome(make()[0], *[moved(a, 0) for a in example.arrays]), Exception)
    assert captured.replays or failed or unit.name in EAGER_LAYERS, captured.report()


@QUIET
@settings(max_examples=25)
@given(graph=graphs())
def test_random_graphs(graph):
    wanted = graph.wanted

    def step(*leaves):
        given = {i: Tensor(a, requires_grad=True) for i, a in zip(wanted, leaves, strict=True)}
        values = graph.run({**others, **given})
        for i, gy in zip(graph.outputs, graph.gys, strict=True):
            values[i].backward(gy, retain_graph=True)
        return [values[i].detach() for i in graph.outputs], [x.grad for x in given.values()]

    others = {i: t for i, t in graph.tensors().items() if i not in wanted}
    run_both(lambda: (step, lambda: None), [[moved(a, k) for a in graph.point] for k in range(STEPS)])


def test_most_ops_are_replayed():
    assert len(EAGER) < len({u.name for u in cases.ops() + cases.losses()}) / 6
    assert {u.name for u in cases.ops() + cases.losses()} >= EAGER
