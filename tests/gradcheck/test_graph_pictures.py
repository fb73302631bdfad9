"""The picture of explain: the op at fault in red among those around it, and a large graph no larger than a small one."""

import re

import numpy as np
import pytest

import gradcore
from gradcheck import explain
from gradcheck.report import svg_graph
from gradcheck.report.graph import GAP, GraphOp, neighbourhood
from gradcheck.verification import CHANGES, broken
from gradcore import Tensor, registry

WRONG = broken(registry.ops["tanh"], 0, CHANGES["sign"])


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def model(x, w):
    y = WRONG(x @ w)  # here
    return ((y.exp() @ w).sin() * y).sum()


@pytest.fixture(scope="module")
def found():
    return explain(model, (leaf(3, 4), leaf(4, 4, seed=1)))


def states(plan):
    return {box["lines"][0]: box["state"] for box in plan["boxes"]}


def heights(plan):
    """By op, the height of its box."""
    return {box["op"]: box["y"] for box in plan["boxes"]}


def op(name, *takes, state="right", line=""):
    return GraphOp(name, 1, "float64 (3,)", line, takes, state)


def chain(n, wrong):
    return [op("exp", *([k - 1] if k else []), state="wrong" if k == wrong else "right") for k in range(n)]


def test_the_op_at_fault_is_the_only_red_one_and_stands_between_what_it_took_and_what_took_it(found):
    (plan,) = found.plans()
    assert states(plan) == {
        "✓ matmul · call 1": "right", "✗ tanh · call 2": "wrong", "✓ exp · call 3": "right", "✓ matmul · call 4": "right",
        "✓ sin · call 5": "right", "✓ mul · call 6": "right", "✓ sum · call 7": "right", "inputs[0]": "input", "inputs[1]": "input",
    }  # fmt: skip
    high = heights(plan)
    assert high[0] < high[1] < high[2] < high[3] < high[4] < high[5] < high[6]
    (red,) = [box for box in plan["boxes"] if box["state"] == "wrong"]
    assert red["lines"][1] == "float64 (3, 4)"
    assert re.fullmatch(r"test_graph_pictures\.py:\d+: …?", red["lines"][2])
    assert red["words"].endswith(": y = WRONG(x @ w)  # here")


def test_each_line_goes_down_from_one_box_to_another_and_crosses_none(found):
    (plan,) = found.plans()
    assert len(plan["links"]) == 10  # matmul and mul take two each
    for link in plan["links"]:
        for (x, y), (right, down) in zip(link["points"], link["points"][1:], strict=False):
            assert y < down
            for box in plan["boxes"]:
                inside = box["x"] < x < box["x"] + box["w"] and box["y"] < y < box["y"] + box["h"]
                assert not inside, (link, box)
                assert not (x == right and box["x"] < x < box["x"] + box["w"] and y < box["y"] < down), box


def test_boxes_do_not_overlap(found):
    (plan,) = found.plans()
    for a in plan["boxes"]:
        assert 0 <= a["x"] <= a["x"] + a["w"] <= plan["width"]
        assert 0 <= a["y"] <= a["y"] + a["h"] <= plan["height"]
        for b in plan["boxes"]:
            if a is not b and a["y"] == b["y"]:
                assert abs(a["x"] - b["x"]) >= a["w"] + GAP - 1


@pytest.mark.parametrize("n", [200, 10_000])
def test_a_large_graph_is_drawn_around_the_op_and_the_others_are_counted(n):
    plan = neighbourhood(chain(n, wrong=120), 120)
    assert (plan["shown"], plan["ops"]) == (7, n)
    assert [g["lines"] for g in plan["groups"]] == [["… 117 more ops"], [f"… {n - 124:,} more ops"]]
    assert plan["width"] < 300
    assert plan["height"] < 1_000
    assert svg_graph.graph_words(plan).startswith(f"7 of {n:,} ops, those around exp")


def closure(start, follow):
    found, waiting = set(start), list(start)
    while waiting:
        new = [k for k in follow(waiting.pop()) if k not in found]
        found.update(new)
        waiting += new
    return found


@pytest.mark.parametrize("at", [1, 2, 57, 200, 399, 400])
def test_every_op_that_is_left_out_is_counted_once(at):
    rng = np.random.default_rng(0)
    graph = [op("leaf", state="input")]
    graph += [op("op", *{int(k) for k in rng.integers(max(0, n - 12), n, 2)}) for n in range(1, 401)]
    plan = neighbourhood(graph, at)
    counts = [int(re.search(r"\d+", g["lines"][0]).group()) for g in plan["groups"]]
    shown = {box["op"] for box in plan["boxes"]} - {0}
    above = closure(shown, lambda k: graph[k].takes) - {0}
    below = closure({k for k in shown if k >= at}, lambda k: [n for n in range(401) if k in graph[n].takes])
    assert plan["shown"] == len(shown) <= 19
    assert len(shown) + sum(counts) == len(above | below)
    high = heights(plan)
    for k in high:
        assert all(high[t] < high[k] for t in graph[k].takes if t in high)


def test_few_ops_more_than_fit_are_words_in_the_singular():
    graph = [*[op(f"x{k}", state="input") for k in range(4)], op("sum", 0, 1, 2, 3, state="wrong")]
    assert neighbourhood(graph, 4)["groups"] == []
    graph += [op("exp", 4), op("sin", 5), op("cos", 6), op("tan", 7), *[op("apart") for _ in range(4)]]
    found = neighbourhood(graph, 4)["groups"]
    assert [g["lines"] for g in found] == [["… 1 more input"], ["… 1 more op"]]


def test_where_a_derivative_is_lost_the_line_between_both_ops_is_marked():
    found = explain(lambda x: (x.sin() * (x * 2).exp().detach()).sum(), (leaf(3),))
    (plan,) = found.plans()
    (link,) = [link for link in plan["links"] if link["lost"]]
    exp = next(box for box in plan["boxes"] if box["lines"][0] == "? exp")
    mul = next(box for box in plan["boxes"] if box["lines"][0] == "✓ mul · call 2")
    assert exp["y"] + exp["h"] == link["points"][0][1]
    assert exp["x"] < link["points"][0][0] < exp["x"] + exp["w"]
    assert mul["x"] < link["points"][-1][0] < mul["x"] + mul["w"]
    assert ("link lost", svg_graph.LOST) in svg_graph.graph_legend(plan)
    whole = explain(lambda x: ((x * 2).sum(), x.exp().detach()), (leaf(3),)).plans()[0]
    assert "? exp" in states(whole)


def test_without_a_fault_the_result_is_drawn_and_nothing_is_red():
    plan = explain((leaf(3).sin() * 2).sum()).plans()[0]
    assert states(plan) == {
        "✓ sin · call 1": "right",
        "✓ mul · call 2": "right",
        "✓ sum · call 3": "right",
        "a leaf": "input",
    }
    assert "✗ at fault" not in [words for _, words in svg_graph.graph_legend(plan)]


def test_two_faults_far_from_each_other_have_a_graph_each_and_near_ones_share_one():
    y = WRONG(leaf(3))
    near = explain(WRONG(y).sum())
    assert len(near.plans()) == 1
    assert list(states(near.plans()[0]).values()).count("wrong") == 2
    for _ in range(9):
        y = y.sin()
    assert len(explain(WRONG(y).sum()).plans()) == 2


def test_an_unjudged_op_is_marked_as_one():
    plan = explain(lambda x: (gradcore.checkpoint(lambda z: z.sin())(x) * x).sum(), (leaf(3),)).plans()[0]
    assert "unjudged" in states(plan).values()


def test_the_rule_of_a_pair_is_drawn_with_its_inputs():
    found = explain(np.multiply, (np.ones(2), np.ones(2)), vjp=lambda gy, y, a, b: (gy * b, gy * 2 * a))
    assert set(states(found.plans()[0])) == {"✗ np.multiply · call 1", "inputs[0]", "inputs[1]"}


def test_the_page_has_the_graph_with_its_description_before_the_numbers(found):
    text = found.to_html()
    places = [
        text.index(part)
        for part in ("<h1>", 'id="graph"', "<svg", "All 7 ops", 'id="failures"', "the rule gives")
    ]
    assert places == sorted(places)
    assert text.count('class="o o-wrong" x=') == 2  # the box, and the mark in the legend
    assert "<title>tanh, call 2\nfloat64 (3, 4)\n" in text
    assert "<dt>seed</dt><dd>0</dd>" in text
    assert 'role="img" aria-label="All 7 ops' in text
    assert " style=" not in text


def test_an_op_with_an_odd_name_becomes_no_markup():
    odd = "<img src=x onerror=alert(1)>"
    drawn = svg_graph.graph(neighbourhood([op(odd, line=odd, state="wrong")], 0))
    assert "<img" not in drawn
    assert "&lt;img" in drawn


def test_a_page_is_written_whole(found, tmp_path):
    found.save_html(tmp_path / "e.html")
    assert (tmp_path / "e.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(gradcore.errors.OutputError, match="can't be written"):
        found.save_html(tmp_path / "missing" / "e.html")


def test_a_figure_has_a_thick_red_box_around_the_op_at_fault(found, tmp_path):
    pytest.importorskip("matplotlib")
    figure = found.plot()
    (ax,) = figure.axes
    texts = [t.get_text() for t in ax.texts]
    assert "✗ tanh · call 2" in texts
    assert "inputs[1]" in texts
    widths = sorted([p.get_linewidth() for p in ax.patches if hasattr(p, "get_boxstyle")])
    assert widths[-1] > 2 > widths[-2]
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"✗ at fault", "✓ verified", "input"}
    assert figure.get_suptitle().startswith("FAIL  model: the rule of tanh is wrong")
    figure.savefig(tmp_path / "g.png")
    explain(leaf(3).sin().sum()).plot().savefig(tmp_path / "right.svg")


def joined(plan, first, second):
    """Whether a line leads from one box to another, by the beginnings of their first lines."""
    a, b = (next(x for x in plan["boxes"] if x["lines"][0].startswith(name)) for name in (first, second))

    def touches(point, box, y):
        return point[1] == y and box["x"] < point[0] < box["x"] + box["w"]

    return any(
        touches(link["points"][0], a, a["y"] + a["h"]) and touches(link["points"][-1], b, b["y"])
        for link in plan["links"]
    )


def test_the_calls_of_pytorch_are_joined_through_modules_custom_functions_and_changes_in_place():
    torch = pytest.importorskip("torch")
    from tensors import Sine

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(3, 4)

        def forward(self, x):
            y = Sine.apply(self.first(x))
            y.mul_(2.0)
            return (y.exp() + x.detach().sum()).sum()

    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    plan = explain(Model().double(), (x,)).plans()[0]
    assert states(plan)["✗ detach()"] == "wrong"
    assert joined(plan, "✗ detach()", "sum()")
    sine = explain(lambda x: Sine.apply(x * 2).mul_(2.0).exp().sum(), (x,)).plans()[0]
    for first, second in (
        ("inputs[0]", "mul()"),
        ("mul()", "✓ Sine"),
        ("✓ Sine", "mul_()"),
        ("mul_()", "exp()"),
    ):
        assert joined(sine, first, second), (first, second)
    assert not joined(sine, "mul()", "exp()")
    assert "test_graph_pictures.py:" in str(sine["boxes"])


def test_the_equations_of_jax_are_joined_within_jit():
    jax = pytest.importorskip("jax")

    def square(x):
        return x * x

    rule = jax.custom_vjp(square)
    rule.defvjp(lambda x: (x * x, x), lambda x, gy: (gy * x,))
    x = jax.numpy.array([0.5, -1.0])
    found = explain(
        lambda d: jax.jit(lambda z: jax.numpy.exp(rule(jax.numpy.sin(z))))(d["x"]).sum(), ({"x": x},)
    )
    plan = found.plans()[0]
    assert [(b.op, found.graph[b.at].name) for b in found.blamed] == [("square", "square")]
    for first, second in (
        ("inputs[0]['x']", "sin"),
        ("sin", "✗ square"),
        ("✗ square", "exp"),
        ("exp", "reduce_sum"),
    ):
        assert joined(plan, first, second), (first, second)
    assert not joined(plan, "sin", "exp")
