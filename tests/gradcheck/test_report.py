"""The report reads well in a terminal, in a notebook and by a program, and its snippet runs."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from gradcheck import GradientError, gradcheck
from gradcheck.report.report import ContractResult, Fault, InputResult, Report
from gradcheck.verdict.compare import Verdict

X = np.random.default_rng(0).standard_normal((4, 3))


def sin_rule(gy, y, x):
    return gy * np.cos(x)


def wrong(gy, y, x):
    return -gy * np.cos(x)


def failed(**more):
    return gradcheck(np.sin, (X,), vjp=wrong, raise_exception=False, **more)


def test_a_pass_says_how_small_an_error_it_would_detect():
    text = str(gradcheck(np.sin, (X,), vjp=sin_rule))
    assert text.startswith("PASS  np.sin: the gradient is right\n")
    assert "inputs[0]  float64 (4, 3)  pass; an error of " in text
    assert " of its value would be detected in the median entry, " in text
    assert "contracts: 16 held, 0 broken, 2 left out" in text


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


def test_the_snippet_shows_the_true_derivative_without_the_checker_and_reproduces_the_fail():
    report = failed()
    with redirect_stdout(io.StringIO()) as heard, pytest.raises(GradientError) as caught:
        exec(report.snippet, {"wrong": wrong})
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-6)
    assert str(caught.value) == str(report)


def test_a_snippet_with_tensors_and_float32_runs():
    import gradcore

    def f(x):
        return gradcore.Tensor(x.data * 2.0)

    x = gradcore.Tensor(X.astype(np.float32), requires_grad=True)
    report = gradcheck(f, (x,), raise_exception=False)
    with redirect_stdout(io.StringIO()) as heard, pytest.raises(GradientError):
        exec(report.snippet, {"f": f})
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-6)


def test_a_snippet_with_an_empty_input_runs():
    def wrong_for_one(gy, y, x, z):
        return gy * 0.5, np.zeros_like(z)

    f = lambda x, z: x + z.sum()  # noqa: E731
    report = gradcheck(f, (X, np.zeros((0, 3))), vjp=wrong_for_one, raise_exception=False)
    names = {"f": f, "wrong_for_one": wrong_for_one}
    with redirect_stdout(io.StringIO()), pytest.raises(GradientError):
        exec(report.snippet, names)
    assert [a.shape for a in names["inputs"]] == [X.shape, (0, 3)]


def test_large_inputs_are_named_in_the_snippet_and_not_printed():
    report = gradcheck(np.sin, (np.ones(10_000),), vjp=wrong, raise_exception=False)
    assert "inputs = ...  # as passed: inputs[0]: a float64 array of shape (10000,)" in report.snippet
    assert len(str(report)) < 1500


def test_the_json_has_the_documented_keys_and_the_documented_version():
    written = json.loads(failed().to_json())
    documented = "schema name gradient verdict headline reason note judged order seed evaluations pulls sensitivity worst ratio inputs contracts faults excuses snippet second"
    assert list(written) == documented.split()
    assert all(key in Report.to_json.__doc__ for key in written)
    assert written["schema"] == 1
    assert written["verdict"] == "fail"
    assert list(written["faults"][0]) == ["cause", "text", "input", "index", "analytic", "numeric", "bound"]
    assert list(written["inputs"][0]) == [
        "path",
        "shape",
        "dtype",
        "verdict",
        "sensitivity",
        "worst",
        "zero",
        "vacuous",
        "hidden",
        "text",
    ]
    assert list(written["contracts"][0]) == ["name", "status", "text", "because"]


def test_json_writes_nan_infinity_and_complex_numbers_by_the_letter_of_the_schema():
    fault = Fault("nonfinite", "text", "inputs[0]", (0,), float("nan"), complex(1, float("inf")), 0.5)
    written = json.loads(Report("f", Verdict.FAIL, (), faults=(fault,)).to_json())
    assert written["faults"][0]["analytic"] == "nan"
    assert written["faults"][0]["numeric"] == [1.0, "inf"]
    assert written["sensitivity"] is None


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


def test_the_second_order_is_reported_below_the_first_and_the_worse_verdict_counts():
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


@pytest.mark.parametrize(
    "module", ["check", "diagnosis.snippet", "diagnosis.numbers", "backends.tree", "numeric.perturbation"]
)
def test_the_examples_in_the_docstrings_hold(module):
    import doctest
    from importlib import import_module

    found = doctest.testmod(import_module(f"gradcheck.{module}"))
    assert found.attempted
    assert not found.failed


# --- how much a verdict covers ----------------------------------------------------------------------------------------


def logarithm(x):
    return np.log(x)


def logarithm_rule(gy, y, x):
    return gy / x


def test_a_pass_on_one_output_of_a_thousand_is_none():
    x = np.concatenate([-np.ones(999), [1.0]])
    report = gradcheck(logarithm, (x,), vjp=logarithm_rule)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert not report
    assert "why: only 1 of 1000 output entries could be judged, too few for a verdict on the function" in str(
        report
    )
    assert report.inputs[0].verdict is Verdict.INCONCLUSIVE


def test_a_pass_on_most_of_the_outputs_is_marked_in_its_headline():
    x = np.concatenate([-np.ones(3), np.arange(1.0, 8.0)])
    report = gradcheck(logarithm, (x,), vjp=logarithm_rule)
    first = str(report).splitlines()[0]
    assert (
        first == "PASS  logarithm: the gradient is right for the 7 of 10 output entries that could be judged"
    )
    assert first.partition("logarithm: ")[2] in report._repr_html_()
    assert json.loads(report.to_json())["judged"] == "7 of 10 output entries"
    assert gradcheck(logarithm, (x[3:],), vjp=logarithm_rule).judged == ""


def test_a_wrong_gradient_at_the_few_outputs_that_can_be_judged_is_still_a_fail():
    x = np.concatenate([-np.ones(999), [1.0]])
    report = gradcheck(logarithm, (x,), vjp=lambda gy, y, x: 2 * gy / x, raise_exception=False)
    assert report.verdict is Verdict.FAIL


def test_entries_too_small_to_be_judged_next_to_the_others_are_counted():
    def logsumexp(x):
        return x.max() + np.log(np.exp(x - x.max()).sum())

    def doubled(gy, y, x):  # wrong in an entry whose gradient is 3e-27
        p = np.exp(x - y)
        p[1] *= 2
        return gy * p

    report = gradcheck(logsumexp, (np.array([1.0, -60.0]),), vjp=doubled, raise_exception=False)
    assert report.inputs[0].hidden == 1
    assert "1 of 2 entries are too small to be judged" in str(report)
    rectified = gradcheck(lambda x: np.maximum(x, 0), (X.reshape(-1),), vjp=lambda gy, y, x: gy * (x > 0))
    assert rectified.inputs[0].hidden == 0  # a gradient of zero is judged as any other


def test_an_input_drowned_by_another_is_judged_and_its_entries_are_not_counted_as_hidden():
    report = gradcheck(
        lambda a, b: a.sum() * 1e10 + b.sum(),
        (X, X),
        vjp=lambda gy, y, a, b: (np.full(X.shape, 1e10 * gy), np.full(X.shape, gy)),
        raise_exception=False,
    )
    assert [i.hidden for i in report.inputs if i.verdict is Verdict.PASS] == [0] * sum(
        i.verdict is Verdict.PASS for i in report.inputs
    )


def test_of_very_many_inputs_the_wrong_ones_are_reported_first_and_the_others_counted():
    n = 40
    inputs = tuple(np.full(2, 1.0 + i) for i in range(n))
    report = gradcheck(lambda *a: sum(a), inputs, vjp=lambda gy, y, *a: (gy,) * n, contracts=False)
    lines = str(report).splitlines()
    assert sum(line.startswith("  inputs[") for line in lines) == 12
    assert "  and 28 more inputs: 28 pass" in lines
    assert "and 28 more inputs: 28 pass" in report._repr_html_()
    results = [InputResult(f"inputs[{i}]", (), "float64", Verdict.PASS, 1e-9, False) for i in range(n)]
    results[30] = InputResult("inputs[30]", (), "float64", Verdict.FAIL, 1e-9, False)
    listed = str(Report("f", Verdict.FAIL, tuple(results))).splitlines()
    assert listed[1].startswith("  inputs[30]  float64 ()  fail")


def test_a_rule_that_remembers_an_earlier_input_of_the_shape_is_reported_as_such():
    slopes = {X.shape: np.cos(2 * X)}
    report = gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy * slopes[x.shape], raise_exception=False)
    assert report.causes[0] == "input ignored"
    assert "a cache by shape or by address" in str(report)
    scaled = gradcheck(lambda x: 3 * x, (X,), vjp=lambda gy, y, x: 2.5 * gy, raise_exception=False)
    assert scaled.causes[0] == "factor"  # the derivative is the same everywhere


def test_a_factor_without_its_conjugate_is_reported_as_such():
    z = X + 1j * X[::-1]
    report = gradcheck(np.exp, (z,), vjp=lambda gy, y, z: gy * y, raise_exception=False)
    assert report.causes[0] == "conjugated"
    assert "of what gy is multiplied by is right" in str(report)


def test_a_gradient_of_zero_is_not_called_noise():
    for n in (1, 3):
        report = gradcheck(
            lambda x: x**3, (np.zeros(n),), vjp=lambda gy, y, x: 3 * gy * x * x, raise_exception=False
        )
        if report.verdict is Verdict.INCONCLUSIVE:
            assert (
                "the claimed gradient is zero at this point, and the numbers show no other" in report.reason
            )
            assert "vacuous" not in str(report)
        else:
            assert report.vacuous == ("inputs[0]",)


# --- headlines --------------------------------------------------------------------------------------------------------


def test_the_headline_of_a_rule_that_raises_says_so():
    report = gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy @ x, raise_exception=False)
    assert "FAIL  np.sin: the gradient raises" in str(report)
