"""gradcheck from end to end: pairs, Ops, functions of Tensors; structures, dtypes, sizes and scales; second order."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import gradcore
from gradcheck import GradientError, Report, Verdict, gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((5, 3)), RNG.standard_normal((3, 4))
OPS = gradcore.registry.ops


def cosine(gy, y, x):
    return gy * np.cos(x)


def test_importing_the_package_loads_neither_numpy_nor_a_framework_nor_hypothesis():
    code = (
        "import sys, gradcheck; loaded = {m.split('.')[0] for m in sys.modules}; "
        "print(sorted(loaded & {'numpy', 'gradcore', 'hypothesis', 'torch', 'jax'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_checking_loads_no_framework_and_no_hypothesis():
    code = (
        "import sys, numpy as np; from gradcheck import gradcheck; "
        "gradcheck(np.sin, (np.ones(3),), vjp=lambda gy, y, x: gy * np.cos(x)); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'hypothesis', 'torch', 'jax', 'pytest'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_pair_of_numpy_functions_passes():
    report = gradcheck(np.sin, (X,), vjp=cosine)
    assert isinstance(report, Report)
    assert report
    assert report.verdict is Verdict.PASS
    assert report.sensitivity < 1e-9


def test_a_wrong_rule_raises_an_error_that_carries_the_report():
    with pytest.raises(GradientError) as caught:
        gradcheck(np.sin, (X,), vjp=lambda gy, y, x: -gy * np.cos(x))
    assert caught.value.report.causes[0] == "sign"
    assert not caught.value.report
    assert isinstance(caught.value, AssertionError)


def test_a_wrong_rule_only_reports_where_no_exception_is_wanted():
    assert gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy, raise_exception=False).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("exp", (X,)), ("mul", (X, X[:1])), ("matmul", (X, W)), ("softmax", (X, 0)), ("add", (X, X))],
)
def test_an_op_passes_in_both_orders(name, inputs):
    assert gradcheck(OPS[name], inputs, order=2)


def test_static_parameters_of_an_op_come_by_keyword_by_position_or_in_a_partial():
    assert gradcheck(OPS["softmax"], (X,), params={"axis": 0})
    assert gradcheck(partial(OPS["softmax"], axis=0), (X,))
    assert gradcheck(OPS["softmax"], (X, 0))


def test_an_op_whose_rule_is_wrong_fails():
    op = OPS["exp"]
    broken = gradcore.Op(op.forward, lambda gy, y, x: gy * x, op.spec, name="broken exp")
    report = gradcheck(broken, (X,), raise_exception=False)
    assert report.verdict is Verdict.FAIL
    assert report.name == "broken exp"


def test_a_function_of_tensors_passes_whether_or_not_its_tensors_require_gradients():
    def f(x, w):
        return gradcore.tanh(x @ w).sum()

    assert gradcheck(f, (gradcore.Tensor(X), W), order=2)
    assert gradcheck(f, (gradcore.Tensor(X, requires_grad=True), gradcore.Tensor(W, requires_grad=True)))


def test_a_tensor_that_needs_no_gradient_is_a_constant_next_to_one_that_does():
    def f(x, w):
        return x * gradcore.Tensor(w.data)  # no gradient reaches w

    report = gradcheck(f, (gradcore.Tensor(X, requires_grad=True), gradcore.Tensor(X + 1)))
    assert [i.path for i in report.inputs] == ["inputs[0]"]
    assert gradcheck(f, (gradcore.Tensor(X), X + 1), raise_exception=False).causes == ("missing",)


def test_a_function_that_drops_the_graph_misses_its_gradient():
    report = gradcheck(lambda x: gradcore.Tensor(x.data * 2), (gradcore.Tensor(X),), raise_exception=False)
    assert report.causes == ("missing",)


def test_wrt_leaves_out_what_it_does_not_name():
    def wrong_in_b(gy, y, a, b):
        return gy * b, -gy * a

    assert gradcheck(np.multiply, (X, X + 1), vjp=wrong_in_b, wrt=0)
    assert (
        gradcheck(np.multiply, (X, X + 1), vjp=wrong_in_b, wrt=-1, raise_exception=False).verdict
        is Verdict.FAIL
    )
    report = gradcheck(
        lambda d: d["a"] * d["b"],
        ({"a": X, "b": X},),
        vjp=lambda gy, y, d: {"a": gy * d["b"]},
        wrt="inputs[0]['a']",
    )
    assert [i.path for i in report.inputs] == ["inputs[0]['a']"]


def test_nested_inputs_and_outputs_keep_their_structure():
    def f(pair, factors):
        a, b = pair
        return {"product": a * b, "more": (a.sum() * factors["s"], [np.sin(b)])}

    def rule(gy, y, pair, factors):
        a, b = pair
        g, (h, (k,)) = gy["product"], gy["more"]
        return (g * b + h * factors["s"], g * a + k * np.cos(b)), {"s": h * a.sum()}

    report = gradcheck(f, ((X, X + 1), {"s": np.array(2.0)}), vjp=rule)
    assert [i.path for i in report.inputs] == ["inputs[0][0]", "inputs[0][1]", "inputs[1]['s']"]


def test_static_values_are_passed_through_and_their_cotangents_may_be_left_out():
    def f(x, exponent, mode):
        assert mode == "same"
        return x**exponent

    x = np.abs(X) + 0.5
    assert gradcheck(f, (x, 3, "same"), vjp=lambda gy, y, x, n, mode: gy * n * x ** (n - 1))
    assert gradcheck(f, (x, 3, "same"), vjp=lambda gy, y, x, n, mode: (gy * n * x ** (n - 1), None, None))


def test_an_output_of_integers_gets_no_cotangent():
    def rule(gy, y, x):
        assert gy[1] is None
        return 2 * gy[0]

    assert gradcheck(lambda x: (2 * x, np.argsort(x)), (X,), vjp=rule)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (1, 1), (2, 1, 3)])
def test_arrays_of_every_rank_and_size_pass(shape):
    report = gradcheck(np.sin, (np.full(shape, 0.3),), vjp=cosine, order=2)
    assert report
    assert bool(report.vacuous) == (0 in shape)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_every_floating_dtype_passes_and_a_wrong_entry_shows(dtype):
    x = X.astype(dtype)
    assert gradcheck(np.sin, (x,), vjp=cosine)

    def wrong(gy, y, x):
        gx = cosine(gy, y, x)
        gx[2, 1] *= gx.dtype.type(1.01)
        return gx

    report = gradcheck(np.sin, (x,), vjp=wrong, raise_exception=False)
    assert report.faults[0].index == (2, 1)


def test_a_coarse_dtype_is_judged_in_double_precision_as_well():
    report = gradcheck(np.sin, (X.astype(np.float16),), vjp=cosine)
    assert report.sensitivity < 1e-8


def test_a_rule_that_loses_digits_in_its_own_dtype_only_is_a_matter_of_precision():
    def forward(x):
        return np.log1p(x)

    def cancelling(gy, y, x):
        return gy / ((1 + x) * x) * ((1 + x) - 1)  # 1 + x rounds x away in float32

    x = np.full(4, 3e-6, np.float32)
    report = gradcheck(forward, (x,), vjp=cancelling, raise_exception=False)
    assert report.causes == ("precision",)
    assert gradcheck(forward, (x.astype(np.float64),), vjp=cancelling)


def test_complex_cotangents_hold_the_derivatives_by_the_real_and_the_imaginary_part():
    z = X + 1j * X[::-1]
    assert gradcheck(np.square, (z,), vjp=lambda gy, y, z: gy * np.conj(2 * z))
    assert gradcheck(lambda z: np.abs(z) ** 2, (z,), vjp=lambda gy, y, z: 2 * gy * z)
    assert (
        gradcheck(np.square, (z,), vjp=lambda gy, y, z: gy * 2 * z, raise_exception=False).verdict
        is Verdict.FAIL
    )


@pytest.mark.nightly(each_time=5)
@pytest.mark.parametrize("n", [1, 30, 1000, 100_000])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_same_relative_error_in_one_entry_shows_at_every_size_and_scale(n, scale):
    x = np.random.default_rng(n).uniform(0.5, 2, n) * scale

    def wrong(gy, y, x):
        gx = 2 * gy * x
        gx[n // 2] *= 1.001
        return gx

    assert gradcheck(np.square, (x,), vjp=lambda gy, y, x: 2 * gy * x)
    report = gradcheck(np.square, (x,), vjp=wrong, raise_exception=False)
    assert report.faults[0].index == (n // 2,)


@pytest.mark.parametrize("n", [1, 100, 100_000])
def test_a_smooth_function_passes_in_at_most_30_forward_evaluations(n):
    calls = []

    def forward(a, b):
        calls.append(1)
        return np.tanh(a * b)

    def rule(gy, y, a, b):
        return gy * (1 - y * y) * b, gy * (1 - y * y) * a

    a, b = np.random.default_rng(1).standard_normal((2, n))
    report = gradcheck(forward, (a, b), vjp=rule)
    assert report
    assert report.evaluations == len(calls) <= 30


def test_an_input_that_others_drown_is_judged_by_itself():
    def f(a, b):
        return 1e12 * a + b

    report = gradcheck(
        f, (X, X + 1), vjp=lambda gy, y, a, b: (1e12 * gy, np.zeros_like(b)), raise_exception=False
    )
    verdicts = {i.path: i.verdict for i in report.inputs}
    assert verdicts["inputs[0]"] is Verdict.PASS
    assert verdicts["inputs[1]"] is not Verdict.PASS


def test_an_input_without_influence_passes_vacuously_and_is_named():
    report = gradcheck(lambda a, b: a * 1.0, (X, X), vjp=lambda gy, y, a, b: (gy, np.zeros_like(b)))
    assert report.vacuous == ("inputs[1]",)


def test_a_kink_accepts_what_lies_between_the_slopes_and_nothing_else():
    x = np.array([-1.0, 0.0, 2.0])
    for slope, verdict in ((-1.0, "subgradient"), (0.0, "subgradient"), (1.0, "subgradient"), (1.1, "fail")):
        report = gradcheck(
            np.abs,
            (x,),
            vjp=lambda gy, y, x, s=slope: gy * np.where(x == 0, s, np.sign(x)),
            raise_exception=False,
        )
        assert report.verdict.value == verdict


def test_a_jump_is_inconclusive_with_a_reason():
    report = gradcheck(np.floor, (np.array([1.0, 2.0]),), vjp=lambda gy, y, x: gy * 0)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert not report
    assert "no step shows a slope" in report.reason


def test_an_entry_at_an_infinite_slope_is_left_out_and_the_others_are_judged():
    x = np.array([0.0, 1.0, 4.0])
    report = gradcheck(np.sqrt, (x,), vjp=lambda gy, y, x: gy / (2 * y))
    assert report
    assert "1 entry of the inputs was left out" in report.note
    wrong = gradcheck(np.sqrt, (x,), vjp=lambda gy, y, x: gy / (3 * y), raise_exception=False)
    assert wrong.verdict is Verdict.FAIL


def test_nan_is_no_gradient_where_the_truth_is_finite():
    report = gradcheck(
        np.square, (np.array([0.0, 1.0]),), vjp=lambda gy, y, x: 2 * gy * y / x, raise_exception=False
    )
    assert report.causes[0] == "nonfinite"
    assert report.faults[0].index == (0,)


def test_a_rule_that_raises_fails():
    report = gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy @ x, raise_exception=False)
    assert report.causes == ("raises",)
    assert "raised ValueError: matmul" in str(report)


def test_the_inputs_of_the_caller_are_never_changed():
    x = X.copy()

    def careless(x):
        x += 1.0
        return x * 2

    gradcheck(careless, (x,), vjp=lambda gy, y, x: 2 * gy, raise_exception=False)
    assert np.array_equal(x, X)


def test_the_second_order_of_a_wrong_rule_fails_where_the_first_does_not_show_it():
    op = OPS["exp"]
    # Right values, but a Tensor's history is dropped on the way: the gradient's own gradient misses a term.
    forgetful = gradcore.Op(
        op.forward, lambda gy, y, x: gy * getattr(y, "data", y), op.spec, name="forgetful"
    )
    assert gradcheck(forgetful, (X,))
    report = gradgradcheck(forgetful, (X,), raise_exception=False)
    assert report.verdict is Verdict.FAIL
    assert report.order == 2
    assert gradcheck(forgetful, (X,), order=2, raise_exception=False).verdict is Verdict.FAIL


def test_the_second_order_of_a_pair_runs_its_rule_on_tensors():
    report = gradgradcheck(np.matmul, (X, W), vjp=lambda gy, y, a, b: (gy @ b.T, a.T @ gy))
    assert [i.path for i in report.inputs] == ["inputs[0]", "inputs[1]", "gy"]


def test_the_same_seed_gives_the_same_report():
    first, second = (gradcheck(np.sin, (X,), vjp=cosine, seed=7).to_json() for _ in range(2))
    assert first == second


def test_contracts_can_be_chosen_by_name_or_left_out():
    assert gradcheck(np.sin, (X,), vjp=cosine, contracts=False).contracts == ()
    names = [c.name for c in gradcheck(np.sin, (X,), vjp=cosine, contracts=["linear"]).contracts]
    assert names == ["linear"]


def mislead(monkeypatch, times):
    """The first so many numeric derivatives come out wrong; returns the list of all that were taken."""
    from gradcheck.verdict import observation

    genuine, taken = observation.derivative, []

    def mistaken_at_first(f, x, v, **more):
        found = genuine(f, x, v, **more)
        taken.append(more.get("thorough", False))
        if len(taken) <= times:
            object.__setattr__(found, "flat_value", found.flat_value * 1.5)
        return found

    monkeypatch.setattr(observation, "derivative", mistaken_at_first)
    return taken


def test_a_fail_that_the_same_direction_does_not_show_with_more_steps_is_none(monkeypatch):
    taken = mislead(monkeypatch, 2)  # the first direction, as if the function had misled both derivatives
    assert gradcheck(np.sin, (X,), vjp=cosine).verdict is Verdict.PASS
    assert taken == [False, False, False, True]


def test_a_fail_is_reported_only_after_a_second_measurement_has_confirmed_it(monkeypatch):
    taken = mislead(monkeypatch, 4)  # with more steps as well
    report = gradcheck(np.sin, (X,), vjp=cosine)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "a second measurement, with other directions and steps, did not confirm" in report.reason
    assert len(taken) > 4


def test_an_entry_that_is_small_next_to_the_others_in_and_out_is_named():
    x = np.geomspace(1e-2, 1e2, 200)

    def wrong(gy, y, x):
        gx = 3 * gy * x * x
        gx[0] *= 1.01
        return gx

    report = gradcheck(lambda x: x**3, (x,), vjp=wrong, raise_exception=False)
    assert report.causes == ("value",)
    assert report.faults[0].index == (0,)  # right in ten digits of the whole


def test_an_output_entry_without_a_derivative_is_left_out_and_the_others_are_judged():
    x = np.array([2.0, 0.5, 1.5])

    def forward(x):
        return np.concatenate([np.sin(x), np.floor(x[:1])])

    def rule(factor):
        return lambda gy, y, x: factor * gy[:3] * np.cos(x)

    report = gradcheck(forward, (x,), vjp=rule(1.0))
    assert report.verdict is Verdict.PASS
    assert "1 of 4 output entries were left out" in report.note
    assert gradcheck(forward, (x,), vjp=rule(1.01), raise_exception=False).causes == ("factor",)


def test_one_array_in_two_places_of_a_tensor_function_is_one_tensor():
    from gradcheck.backends import Call, as_subject

    subject = as_subject(Call(lambda a, b: gradcore.mul(a, b), (gradcore.Tensor(X), X + 1)))
    run = subject.run([X, X])
    assert run.pull([np.ones_like(X)])[1] is None
    assert np.array_equal(run.pull([np.ones_like(X)])[0], 2 * X)
