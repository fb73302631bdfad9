"""What a pass would have detected: for each entry, and never more than is true."""

import json

import numpy as np
import pytest

from gradcheck import gradcheck, verify
from gradcheck.backends import Call, as_subject
from gradcheck.report.report import detected
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.coverage import CERTAIN, detectable
from gradcheck.verdict.judge import judge
from gradcheck.verdict.observation import Observation

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4))
WIDE = np.outer(10.0 ** np.arange(-6, 6), np.ones(3)) * (1 + RNG.random((12, 3)))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def softmax_rule(gy, y, x):
    return y * (gy - (gy * y).sum())


def matmul_rule(gy, y, a, b):
    return gy @ b.T, a.T @ gy


FUNCTIONS = {
    "sin": (np.sin, lambda gy, y, x: gy * np.cos(x), (X,)),
    "sin in float32": (np.sin, lambda gy, y, x: gy * np.cos(x), (X.astype(np.float32),)),
    "softmax": (softmax, softmax_rule, (np.array([1.0, -20.0, 3.0, 5.0, -8.0]),)),
    "matmul": (np.matmul, matmul_rule, (WIDE, RNG.normal(size=(3, 2)))),
    "sum": (np.sum, lambda gy, y, x: np.full(x.shape, gy), (np.array([1.0, -60.0, 3e9, 0.5]),)),
    "relu": (lambda x: np.maximum(x, 0), lambda gy, y, x: gy * (x > 0), (X,)),
    "logsumexp": (
        lambda x: x.max() + np.log(np.exp(x - x.max()).sum()),
        lambda gy, y, x: gy * np.exp(x - y),
        (np.array([1.0, -2.0, -60.0, 0.3]),),
    ),
    "complex": (lambda z: z * z, lambda gy, y, z: gy * np.conj(2 * z), (X + 1j * X[::-1],)),
    "drowned": (
        lambda a, b: a.sum() * 1e10 + b.sum(),
        lambda gy, y, a, b: (np.full(X.shape, 1e10 * gy), np.full(X.shape, gy)),
        (X, X),
    ),
}


@np.errstate(all="ignore")
def observed(f, rule, inputs):
    obs = Observation(as_subject(Call(f, inputs, rule)), 0)
    obs.prepare()
    values = judge(obs)
    return obs, values


def entries(f, rule, inputs, i):
    """Entries of an input with the errors that they would show: the median one and the worst, by brute force."""
    obs, values = observed(f, rule, inputs)
    seen = [e for e in obs.evidence if e.comparison.verdict is Verdict.PASS]
    seen += [values.alone[i]] if i in values.alone else []
    shown = {}
    for at in np.ndindex(inputs[i].shape):
        each = []
        for e in seen:
            v, gx = e.v[i][at], e.gx[i][at]
            part = min(abs(v.real), abs(v.imag)) if np.iscomplexobj(v) else abs(v)
            if gx != 0 and part != 0:
                each.append(CERTAIN * e.comparison.bound / (part * abs(gx)))
        if each and min(each) < 1:
            shown[at] = min(each)
    ordered = sorted(shown, key=shown.get)
    return [(at, shown[at]) for at in (ordered[(len(ordered) - 1) // 2], ordered[-1])]


def planted(rule, i, at, error):
    """The rule with one entry of the cotangent of input `i` off by this part of its value."""

    def wrong(gy, y, *inputs):
        gxs = rule(gy, y, *inputs)
        gxs = list(gxs) if isinstance(gxs, tuple) else [gxs]
        gxs[i] = np.array(gxs[i], np.result_type(gxs[i], inputs[i]))
        gxs[i][at] *= 1 + gxs[i].dtype.type(error)
        return tuple(gxs)

    return wrong


CASES = [(name, i) for name, (_, _, inputs) in FUNCTIONS.items() for i in range(len(inputs))]


@pytest.mark.parametrize(("name", "i"), CASES)
def test_an_error_of_twice_the_size_is_detected_in_the_median_and_in_the_worst_entry(name, i):
    f, rule, inputs = FUNCTIONS[name]
    report = gradcheck(f, inputs, vjp=rule, contracts=False)
    found = report.inputs[i]
    median, worst = entries(f, rule, inputs, i)
    assert found.worst == pytest.approx(worst[1])
    assert median[1] <= found.sensitivity * 1.0001
    for at, error in (median, worst):
        for sign in (1, -1):
            wrong = planted(rule, i, at, sign * 2 * max(error, found.sensitivity))
            assert not gradcheck(f, inputs, vjp=wrong, contracts=False, raise_exception=False), (at, error)


@pytest.mark.parametrize("name", ["sin", "softmax", "matmul"])
def test_what_is_stated_is_not_far_above_what_is_detected(name):
    f, rule, inputs = FUNCTIONS[name]
    median, _ = entries(f, rule, inputs, 0)
    assert gradcheck(f, inputs, vjp=planted(rule, 0, median[0], median[1] / 1000), contracts=False)
    assert not gradcheck(
        f, inputs, vjp=planted(rule, 0, median[0], 2 * median[1]), contracts=False, raise_exception=False
    )


def test_an_entry_of_zero_is_stated_relative_to_the_largest_one():
    f, rule, inputs = FUNCTIONS["relu"]
    report = gradcheck(f, inputs, vjp=rule, contracts=False)
    zero = report.inputs[0].zero
    assert 0 < zero < 1e-9
    assert "in those of zero, one of " in str(report)

    def wrong(gy, y, x):
        gx = gy * (x > 0)
        gx[np.unravel_index(np.argmin(x), x.shape)] = 2 * zero * np.abs(gx).max()
        return gx

    assert not gradcheck(f, inputs, vjp=wrong, contracts=False, raise_exception=False)


def test_wide_magnitudes_do_not_read_as_blindness():
    f, rule, inputs = FUNCTIONS["matmul"]
    for i in gradcheck(f, inputs, vjp=rule).inputs:
        assert i.worst < 1e-6
        assert i.hidden == 0


def test_entries_too_small_to_be_judged_are_counted_and_not_stated():
    f, rule, inputs = FUNCTIONS["logsumexp"]
    report = gradcheck(f, inputs, vjp=rule)
    assert report.inputs[0].hidden == 1
    assert report.inputs[0].worst < 1
    assert "; 1 of 4 entries are too small to be judged\n" in str(report)


@np.errstate(all="ignore")
def test_the_entries_that_no_one_can_measure_are_neither_judged_nor_hidden():
    x = np.array([0.0, 4.0, 9.0, 16.0])

    def rule(gy, y, x):
        return gy / (2 * np.sqrt(x))  # infinite at 0, as the derivative

    obs, values = observed(np.sqrt, rule, (x,))
    assert obs.left_out[0] is not None
    found = detectable(obs, 0, values.alone.get(0))
    assert (found.hidden, found.zero) == (0, np.inf)
    assert found.worst < 1e-6


def test_one_size_is_stated_where_all_entries_have_the_same():
    assert detected(1e-9, 3e-6) == (
        "an error of 1e-09 of its value would be detected in the median entry, 3e-06 in the worst"
    )
    assert detected(2.1e-9, 2.8e-9) == "an error of 3e-09 of its value would be detected in any entry"


@pytest.mark.parametrize(
    ("size", "text"), [(3e-10, "3e-10"), (3.01e-10, "4e-10"), (9.2e-3, "1e-02"), (0.5, "5e-01")]
)
def test_a_size_is_never_rounded_down(size, text):
    assert f"an error of {text} of" in detected(size, size)


def test_a_report_states_the_worst_of_its_inputs_and_so_does_its_json():
    f, rule, inputs = FUNCTIONS["drowned"]
    report = gradcheck(f, inputs, vjp=rule)
    assert report.worst == max(i.worst for i in report.inputs) > 100 * min(i.worst for i in report.inputs)
    assert report.sensitivity == max(i.sensitivity for i in report.inputs)
    written = json.loads(report.to_json())
    assert written["worst"] == report.worst
    assert [i["worst"] for i in written["inputs"]] == [i.worst for i in report.inputs]
    assert [i["zero"] for i in written["inputs"]] == [None, None]


def test_an_input_that_was_judged_alone_is_stated_by_that():
    inputs = (np.array([1.0, 2.0, 2.0, 1.0]), np.array([0.5, 2.0]))

    def f(a, b):  # what is large cancels, and drowns b all the same
        return (a[:2].sum() - a[2:].sum()) * 1e14 + b.sum()

    def rule(gy, y, a, b):
        return gy * 1e14 * np.array([1.0, 1.0, -1.0, -1.0]), np.full(b.shape, gy)

    _, values = observed(f, rule, inputs)
    assert list(values.alone) == [1]
    assert gradcheck(f, inputs, vjp=rule, contracts=False).inputs[1].worst < 1e-6


def test_a_fail_states_nothing():
    report = gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy, raise_exception=False)
    assert not np.isfinite(report.inputs[0].worst)
    assert "would be detected" not in str(report)


def test_verify_states_the_median_example_and_the_worst_with_its_inputs():
    result = verify(np.sin, like=(X,), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=30)
    assert result.median_sensitivity < result.sensitivity
    text = str(result)
    assert (
        f"  in a median entry, {detected(result.median_sensitivity, result.sensitivity, 'example')}\n" in text
    )
    assert f"  the worst one: {result.worst.inputs}: inputs[0] float64 (" in text
    assert json.loads(result.to_json())["worst"] == {
        "inputs": result.worst.inputs,
        "reason": result.worst.reason,
    }


def test_of_entries_that_are_left_out_no_error_has_to_show():
    def masked(x):
        return np.where(np.isfinite(x), x, 0.0) * np.array([1.0, 0.0, 1.0, 2.0])

    def rule(gy, y, x):
        return np.where(np.isfinite(x), gy, 0.0) * np.array([1.0, 0.0, 1.0, 2.0])

    (found,) = gradcheck(masked, (np.array([1.0, 2.0, np.inf, 3.0]),), vjp=rule).inputs
    assert found.zero < 1e-9
    assert found.worst < 1e-9
