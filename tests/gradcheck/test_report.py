"""The report reads well in a terminal, in a notebook and by a program, and its snippet runs."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from gradcheck import GradientError, gradcheck
from gradcheck.compare import Verdict
from gradcheck.report import ContractResult, Fault, InputResult, Report

X = np.random.default_rng(0).standard_normal((4, 3))


def sin_rule(gy, y, x):
    return gy * np.cos(x)


def wrong(gy, y, x):
    return -gy * np.cos(x)


def failed(**more):
    return gradcheck(np.sin, (X,), vjp=wrong, raise_exception=False, **more)


def test_a_pass_says_how_small_an_error_it_would_have_noticed():
    text = str(gradcheck(np.sin, (X,), vjp=sin_rule))
    assert text.startswith("PASS  np.sin: the gradient is right\n")
    assert "inputs[0]  float64 (4, 3)  pass; an error of " in text
    assert " in one entry would have been noticed" in text
    assert "contracts: 15 held, 0 broken, 2 left out" in text


def test_a_fail_names_the_entry_both_values_the_bound_and_the_cause():
    report = failed()
    fault = report.faults[0]
    at = f"inputs[0][{fault.index[0]}, {fault.index[1]}]"
    assert (
        f"sign: at {at} the rule gives {fault.analytic:.10g}, and the derivative is {fault.numeric:.10g} ± "
        in str(report)
    )
    assert "Every entry has the wrong sign." in str(report)


def test_the_message_of_the_error_is_the_whole_report():
    with pytest.raises(GradientError) as caught:
        gradcheck(np.sin, (X,), vjp=wrong)
    assert str(caught.value) == str(caught.value.report) == str(failed())


def test_the_snippet_reproduces_the_fail_and_shows_the_true_derivative_without_the_checker():
    report = failed()
    heard = io.StringIO()
    names = {"np": np, "wrong": wrong}
    code = report.snippet.replace("seed=0)", "seed=0, raise_exception=False)")
    with redirect_stdout(heard):
        exec(code, names)
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-6)
    with pytest.raises(GradientError):
        exec(report.snippet.split("\n\n#")[0], names)


def test_a_snippet_with_tensors_and_float32_runs():
    import gradcore

    def f(x):
        return gradcore.Tensor(x.data * 2.0)

    x = gradcore.Tensor(X.astype(np.float32), requires_grad=True)
    report = gradcheck(f, (x,), raise_exception=False)
    with redirect_stdout(io.StringIO()) as heard, pytest.raises(GradientError):
        exec(report.snippet, {"np": np, "f": f})
    with redirect_stdout(heard):
        exec(report.snippet.replace("seed=0)", "seed=0, raise_exception=False)"), {"np": np, "f": f})
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-6)


def test_a_snippet_with_an_empty_input_runs():
    def wrong_for_one(gy, y, x, z):
        return gy * 0.5, np.zeros_like(z)

    inputs = (X, np.zeros((0, 3)))
    report = gradcheck(lambda x, z: x + z.sum(), inputs, vjp=wrong_for_one, raise_exception=False)
    names = {}
    exec(report.snippet.split("gradcheck(")[0], names)
    assert [a.shape for a in names["inputs"]] == [X.shape, (0, 3)]


def test_large_inputs_are_named_in_the_snippet_and_not_printed():
    report = gradcheck(np.sin, (np.ones(10_000),), vjp=wrong, raise_exception=False)
    assert "inputs = ...  # as passed: inputs[0]: a float64 array of shape (10000,)" in report.snippet
    assert len(str(report)) < 1500


def test_the_json_has_the_documented_keys_and_the_documented_version():
    told = json.loads(failed().to_json())
    documented = "schema name verdict reason note order seed evaluations pulls sensitivity ratio inputs contracts faults snippet second"
    assert list(told) == documented.split()
    assert all(key in Report.to_json.__doc__ for key in told)
    assert told["schema"] == 1
    assert told["verdict"] == "fail"
    assert list(told["faults"][0]) == ["cause", "text", "input", "index", "analytic", "numeric", "bound"]
    assert list(told["inputs"][0]) == ["path", "shape", "dtype", "verdict", "sensitivity", "vacuous"]
    assert list(told["contracts"][0]) == ["name", "status", "text"]


def test_json_tells_nan_infinity_and_complex_numbers_by_the_letter_of_the_schema():
    fault = Fault("nonfinite", "text", "inputs[0]", (0,), float("nan"), complex(1, float("inf")), 0.5)
    told = json.loads(Report("f", Verdict.FAIL, (), faults=(fault,)).to_json())
    assert told["faults"][0]["analytic"] == "nan"
    assert told["faults"][0]["numeric"] == [1.0, "inf"]
    assert told["sensitivity"] is None


def test_the_html_escapes_what_users_name():
    report = Report(
        "<f>",
        Verdict.FAIL,
        (InputResult("inputs[0]['<a>']", (2,), "float64", Verdict.FAIL, 1.0, False),),
        contracts=(ContractResult("linear", "broken", "x < y"),),
        faults=(Fault("linear", "x < y"),),
    )
    text = report._repr_html_()
    assert "&lt;f&gt;" in text
    assert "&lt;a&gt;" in text
    assert "x &lt; y" in text
    assert "<f>" not in text


def test_the_second_order_is_told_below_the_first_and_the_worse_verdict_counts():
    first = Report("f", Verdict.PASS, ())
    second = Report("the gradient of f", Verdict.FAIL, (), faults=(Fault("sign", "text"),), order=2)
    both = first.with_second(second)
    assert both.verdict is Verdict.FAIL
    assert "PASS  f: the gradient is right" in str(both)
    assert "  FAIL  the gradient of f: the gradient of the gradient is wrong" in str(both)
    assert json.loads(both.to_json())["second"]["order"] == 2


@pytest.mark.parametrize(
    ("verdict", "good"),
    [(Verdict.PASS, True), (Verdict.SUBGRADIENT, True), (Verdict.FAIL, False), (Verdict.INCONCLUSIVE, False)],
)
def test_a_report_is_true_only_where_the_gradient_was_found_right(verdict, good):
    assert bool(Report("f", verdict, ())) is good


def test_a_vacuous_pass_is_named():
    report = gradcheck(lambda x: x * 0, (X,), vjp=lambda gy, y, x: gy * 0)
    assert report.vacuous == ("inputs[0]",)
    assert "pass, but vacuous: gradient and truth are zero at this point" in str(report)


@pytest.mark.parametrize("module", ["check", "snippet", "tree"])
def test_the_examples_in_the_docstrings_hold(module):
    import doctest
    from importlib import import_module

    found = doctest.testmod(import_module(f"gradcheck.{module}"))
    assert found.attempted
    assert not found.failed
