"""Every snippet that a failed check prints runs as it stands, and prints the derivative that was reported."""

from __future__ import annotations

import ast
import io
from collections import namedtuple
from contextlib import redirect_stdout
from functools import partial

import numpy as np
import pytest
from programs import module

import gradcore
from gradcheck import GradientError, gradcheck, gradgradcheck

sets = module("ci.catalogue.mistakes.sets")

X = np.random.default_rng(0).standard_normal((4, 3))
MISTAKES = {f"{which}: {m[0]}": m for which in ("own", "heldout") for m in sets.mistakes(which)}

AT_THE_EXAMPLE = """
    own: zero entries of gy|own: the cotangent scaled in place if flat|heldout: ddof not looked at
    heldout: variance divided by the whole size|heldout: one of two middle entries|heldout: sorted back by the same order
    heldout: padding is only cut off|heldout: rolled the same way|heldout: tile summed as a repeat
    heldout: repeat averaged|heldout: kron in the other order|heldout: what was overwritten keeps its gradient
    heldout: the diagonal is not halved|heldout: not symmetrised|heldout: solved without the transpose
    heldout: the inverse untransposed|heldout: eigenvectors by rows|heldout: a repeated label broadcast
    heldout: a batch of one not summed|heldout: bias summed over leading axes|heldout: remainder truncated
    heldout: the size in a byte|heldout: the first cotangent for all|heldout: strides of the cotangent assumed
    heldout: a buffer for each shape|heldout: summed in half precision|heldout: rounded to single precision
    heldout: the other gelu|heldout: softmax summed over the last axis|heldout: ignored targets in the denominator
    heldout: ignored targets get a gradient|heldout: class weights forgotten|heldout: keys not scaled
    heldout: softmax inside attention, diagonal only|heldout: layer norm's unbiased variance
    heldout: batch norm over the batch alone|heldout: rms norm without 1/n|heldout: another mask
    heldout: the kernel not flipped|heldout: groups interleaved|heldout: padding counted in the mean
    heldout: exp not conjugated|heldout: product not conjugated|heldout: imaginary part turned back
    heldout: real part of the modulus only|own: round handed on|own: floor handed on|own: a quantisation handed on
    own: an argmax handed on|own: the bucket handed on beside a sine|own: gaps in the other order
    own: both halves of a symmetric gradient|own: zero times infinity|own: a mask that multiplies
"""
"""Mistakes of the catalogue, besides the table's, that show at their example inputs."""

SHOWN = [n for n in MISTAKES if n.removeprefix("own: ") in {m.name for m in sets.table.MISTAKES}]
SHOWN += [name for line in AT_THE_EXAMPLE.strip().splitlines() for name in line.strip().split("|")]

LARGE = {"heldout: the size in a byte"}
"""Their inputs have too many entries to be written out."""


def bound_to(report, f, rule):
    """The names that the user of these functions has: theirs, and `f` and `rule` for what has none."""
    names = {"f": f, "rule": rule}
    for function in (f, rule):
        name = getattr(function, "__name__", "<lambda>")
        if not isinstance(function, np.ufunc) and name.isidentifier():
            names[name] = function
    return names


def run(report, names):
    """What the snippet prints before the check that it ends with raises."""
    heard = io.StringIO()
    with redirect_stdout(heard), np.errstate(all="ignore"), pytest.raises(GradientError) as caught:
        exec(compile(report.snippet, "snippet", "exec"), dict(names))
    assert caught.value.report.faults[0].cause == report.faults[0].cause
    return heard.getvalue()


def imported_and_used(code):
    tree = ast.parse(code)
    aliases = [a for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return {a.asname or a.name for a in aliases}, loaded


def fault_shown(report):
    """The fault whose derivative the snippet prints: the first one with an entry."""
    return next((f for f in report.faults if f.index is not None), None)


def check_snippet(report, names, *, entry=True):
    imported, used = imported_and_used(report.snippet)
    assert imported <= used, f"imported and not used: {imported - used}"
    printed = run(report, names)
    fault = fault_shown(report)
    assert bool(printed) == (entry and fault is not None), report.snippet
    if printed:
        within = float((report.snippet.partition("within ")[2] or "0").split()[0])
        wrong_by = abs(fault.numeric - (fault.analytic if np.isfinite(fault.analytic) else 0))
        assert abs(complex(printed) - fault.numeric) <= within, printed
        assert within <= max(fault.bound, 1e-3 * wrong_by)
    return printed


@pytest.mark.nightly(each_time=45)
@pytest.mark.parametrize("name", SHOWN)
def test_the_snippet_of_a_planted_mistake_runs_and_prints_the_derivative(name):
    _, _, make, inputs, params, _ = MISTAKES[name]
    f, rule = make()
    report = gradcheck(f, inputs, vjp=rule, params=params, raise_exception=False)
    assert report.faults, name
    if name in LARGE:
        assert "inputs = ...  # as passed" in report.snippet
        compile(report.snippet, "snippet", "exec")
        return
    f, rule = make()  # some keep state
    check_snippet(report, bound_to(report, f, rule))


def failed(f, inputs, rule, **more):
    return gradcheck(f, inputs, vjp=rule, raise_exception=False, **more)


def doubled(rule):
    def wrong(gy, *args, **params):
        found = rule(gy, *args, **params)
        return 2 * found if isinstance(found, np.ndarray | np.generic) else tuple(2 * g for g in found)

    return wrong


def test_static_parameters_are_passed():
    def power(x, *, n=2):
        return x**n

    wrong = doubled(lambda gy, y, x, n: gy * n * x ** (n - 1))
    report = failed(power, (X,), wrong, params={"n": 3})
    assert "power(x, n=3)" in report.snippet
    assert check_snippet(report, {"power": power, "wrong": wrong})


def test_parameters_without_a_literal_are_named():
    def activated(x, *, by, dtype, table):
        return by(x).astype(dtype) * table.scale

    class Table:
        scale = 2.0

    params = {"by": np.tanh, "dtype": np.float64, "table": Table()}
    report = failed(
        activated, (X,), lambda gy, y, x, by, dtype, table: gy * (1 - np.tanh(x) ** 2), params=params
    )
    assert "params = ..." in report.snippet
    assert not fault_shown(report) or "def value" not in report.snippet
    compile(report.snippet, "snippet", "exec")
    del params["table"]
    activated = lambda x, *, by, dtype: by(x).astype(dtype)  # noqa: E731
    wrong = doubled(lambda gy, y, x, by, dtype: gy * (1 - np.tanh(x) ** 2))
    report = failed(activated, (X,), wrong, params=params)
    assert "f(x, by=np.tanh, dtype=np.float64)" in report.snippet
    assert check_snippet(report, {"f": activated, "wrong": wrong})


def test_the_arguments_of_a_partial_are_passed():
    def power(x, n):
        return x**n

    wrong = doubled(lambda gy, y, x: 3 * gy * x**2)
    report = failed(partial(power, n=3), (X,), wrong)
    assert check_snippet(report, {"power": power, "wrong": wrong})


def test_a_method_and_a_callable_object_are_called_f():
    class Layer:
        def __call__(self, x):
            return np.sin(x)

        def forward(self, x):
            return np.sin(x)

    wrong = doubled(lambda gy, y, x: gy * np.cos(x))
    for f in (Layer(), Layer().forward):
        assert check_snippet(failed(f, (X,), wrong), {"f": f, "wrong": wrong})


@pytest.mark.parametrize("sign", [1, -1])
def test_at_the_edge_of_the_domain_the_difference_goes_inward(sign):
    def root(x):  # x^(3/2) for x >= 0, mirrored with sign -1
        return np.sqrt(sign * x) * sign * x + 3 * x

    wrong = doubled(lambda gy, y, x: gy * (1.5 * np.sqrt(sign * x) * sign + 3))
    report = failed(root, (np.array([0.0]),), wrong)
    assert "nan" not in check_snippet(report, {"root": root, "wrong": wrong})


def test_at_the_edge_of_a_domain_that_raises_the_difference_goes_inward():
    def positive(x):
        if (x < 1).any():
            raise ValueError("x is below 1")
        return x**2

    wrong = doubled(lambda gy, y, x: 2 * gy * x)
    assert check_snippet(failed(positive, (np.array([1.0]),), wrong), {"positive": positive, "wrong": wrong})


def test_the_output_of_a_structure_is_selected():
    def both(x):
        return {"sum": x.sum(0), "places": np.argsort(x), "squares": (x * x, np.array(2.0) * x[0, 0])}

    def wrong(gy, y, x):
        gx = gy["sum"] + 3 * x * gy["squares"][0]
        gx[0, 0] += 2 * gy["squares"][1]
        return gx

    report = failed(both, (X,), wrong)
    assert check_snippet(report, {"both": both, "wrong": wrong})


def test_inputs_in_structures_are_rebuilt():
    Point = namedtuple("Point", "x y")

    def f(p, point, n, more):
        return np.sin(p["w"]) * p["b"] * point.y * n + more[0][0]

    def wrong(gy, y, p, point, n, more):
        return {"w": -gy * np.cos(p["w"]), "b": None}, Point(None, None), None, None

    f.__name__ = "structured"
    inputs = ({"w": X, "b": np.array(2.0)}, Point(1, np.array(3.0)), 3, ([X[0].astype(np.float32)],))
    report = gradcheck(f, inputs, vjp=wrong, wrt="inputs[0]['w']", raise_exception=False)
    assert check_snippet(report, {"structured": f, "wrong": wrong, "Point": Point})


def test_a_static_value_before_the_array_does_not_shift_it():
    f, wrong = lambda n, x: x**n, doubled(lambda gy, y, n, x: gy * n * x ** (n - 1))
    report = failed(f, (3, X), wrong)
    assert check_snippet(report, {"f": f, "wrong": wrong})


def test_a_zero_dimensional_input():
    wrong = doubled(lambda gy, y, x: gy * np.cos(x))
    for x in (np.array(0.5), np.float64(0.5), np.float32(0.5)):
        assert check_snippet(failed(np.sin, (x,), wrong), {"wrong": wrong})
    assert check_snippet(failed(np.sin, np.array(0.5), wrong), {"wrong": wrong})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_inputs_are_differentiated_in_double_precision(dtype):
    a, b = X.astype(dtype), np.abs(X).astype(dtype) + dtype(1)
    f, wrong = lambda a, b: np.sin(a) / b, lambda gy, y, a, b: (gy * np.cos(a) / b, gy * y / b)
    report = failed(f, (a, b), wrong)
    assert check_snippet(report, {"f": f, "rule": wrong})


def test_complex_inputs_print_both_parts():
    z = X + 1j * X[::-1]
    for dtype in (complex, np.complex64):
        wrong = doubled(lambda gy, y, z: gy * np.conj(2 * z))
        report = failed(np.square, (z.astype(dtype),), wrong)
        assert "j" in check_snippet(report, {"wrong": wrong})
    modulus = lambda z: np.abs(z) ** 2  # noqa: E731
    rule = lambda gy, y, z: 2 * gy * np.conj(z)  # noqa: E731
    assert "j" in check_snippet(failed(modulus, (z,), rule), {"f": modulus, "rule": rule})


def test_functions_of_tensors():
    def f(x, w):
        return gradcore.Tensor(gradcore.exp(x).data) + w * 2.0

    x = gradcore.Tensor(X.astype(np.float32), requires_grad=True)
    w = gradcore.Tensor(X)
    assert check_snippet(gradcheck(f, (x, w), raise_exception=False), {"f": f})
    plain = (gradcore.Tensor(X), gradcore.Tensor(X))
    assert check_snippet(gradcheck(f, plain, raise_exception=False), {"f": f})


def test_tiny_and_huge_entries():
    wrong = doubled(lambda gy, y, x: gy / x)
    for x in (1e-12, 1e12, 3e-200):
        report = failed(np.log, (np.array([x, 1.0]),), wrong)
        assert check_snippet(report, {"wrong": wrong})


def test_a_small_error_shows_in_the_difference_without_the_checker():
    wrong = lambda gy, y, x: gy * y * (1 + 1e-9)  # noqa: E731
    report = failed(np.exp, (X,), wrong)
    assert check_snippet(report, {"rule": wrong})


def test_cotangents_of_the_caller_and_directions_chosen_are_passed():
    wrong = doubled(lambda gy, y, a, b: (gy * b, gy * a))
    report = failed(np.multiply, (X, X + 1), wrong, wrt=1, gy=np.asfortranarray(X))
    check_snippet(report, {"wrong": wrong})


def test_large_arrays_are_named_only():
    big = np.ones(10_000)
    f, wrong = lambda x, *, w: x * w, lambda gy, y, x, w: -gy * w
    for inputs, w in (((big,), 2.0), ((np.array(2.0),), big)):
        report = failed(
            f,
            inputs,
            lambda gy, y, x, w: (-(gy * w)).sum() if x.ndim == 0 else wrong(gy, y, x, w),
            params={"w": w},
        )
        assert "a float64 array of shape (10000,)" in report.snippet
        assert "def value" not in report.snippet
        assert len(report.snippet) < 600
        compile(report.snippet, "snippet", "exec")


def test_a_check_of_the_second_order_reproduces_itself():
    def wrong(gy, y, x):
        return gradcore.Tensor(gy.data) * np.cos(x) if isinstance(gy, gradcore.Tensor) else gy * np.cos(x)

    report = gradgradcheck(np.sin, (X,), vjp=wrong, raise_exception=False)
    imported, used = imported_and_used(report.snippet)
    assert imported <= used
    assert "gradgradcheck" in imported
    run(report, {"wrong": wrong})


def test_an_op_is_called_by_its_name():
    exp = gradcore.registry.ops["exp"]
    for name, bound in (("my_exp", "my_exp"), ("broken exp", "f")):
        broken = gradcore.Op(exp.forward, lambda gy, y, x: gy * x, exp.spec, name=name)
        assert check_snippet(gradcheck(broken, (X,), raise_exception=False), {bound: broken})
        tensor = gradcore.Tensor(X, requires_grad=True)
        assert check_snippet(gradcheck(broken, (tensor,), raise_exception=False), {bound: broken})


def test_a_registered_op_is_named_by_its_module():
    from gradcheck.diagnosis.snippet import function_text

    assert function_text(gradcore.exp, "f") == "gradcore.exp"
    assert function_text(partial(gradcore.sum, axis=0), "f") == "partial(gradcore.sum, axis=0)"
    assert function_text(np.sin, "f") == "np.sin"
    assert function_text(lambda x: x, "f") == "f"


def test_a_callable_that_cannot_be_hashed_gets_a_snippet():
    class Scaled:
        __hash__ = None

        def __call__(self, x):
            return 2 * x

    report = gradcheck(Scaled(), (np.array([1.0, 2.0]),), vjp=lambda gy, y, x: gy, raise_exception=False)
    assert report.causes == ("factor",)
    assert "inputs = (array([1., 2.]),)" in report.snippet
