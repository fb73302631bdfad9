"""verify: a gradient over a whole domain, and the smallest example that shows it wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

import gradcore
from gradcheck import CallError, ForwardError, GradientError, Verdict, gradcheck, verify
from gradcore.graph import unbroadcast
from gradcore.spec import Integers, OneOf, OpSpec, case, complexes, reals

X = np.array([[0.5, -1.0, 2.0], [0.25, 3.0, -0.75]])
MATRIX = case(reals("n m"))


def sine_rule(gy, y, x):
    return gy * np.cos(x)


def sign_wrong(gy, y, x):
    return -gy * np.cos(x)


def pooled(x, *, stride=2):
    n = len(x) // stride
    return x[: n * stride].reshape(n, stride).mean(1)


def remainder_dropped(gy, y, x, *, stride=2):
    return np.repeat(gy / stride, stride)


# --- the three ways to define what is drawn ---------------------------------------------------------------------------


def test_a_right_gradient_passes_over_a_case_and_every_example_is_counted():
    result = verify(np.sin, MATRIX, vjp=sine_rule, max_examples=30)
    assert result
    assert result.verdict is Verdict.PASS
    assert result.examples + result.set_aside == 30 == sum(result.verdicts.values()) + result.set_aside
    assert result.sensitivity < 1e-3
    assert not result.vacuous


def test_a_spec_and_several_cases_are_domains_as_well():
    spec = OpSpec(MATRIX, case(reals("k")), reference=np.sin)
    assert verify(np.sin, spec, vjp=sine_rule, max_examples=20)
    assert verify(np.sin, [MATRIX, case(reals("k"))], vjp=sine_rule, max_examples=20)


def test_an_op_brings_its_own_domain():
    result = verify(gradcore.registry.ops["tanh"], max_examples=20)
    assert result
    assert result.name == "tanh"


def test_a_function_of_tensors_is_verified_from_an_example():
    assert verify(lambda x, w: (x * w).sum(), like=(gradcore.Tensor(X), X + 1), max_examples=20)


def test_a_hypothesis_strategy_of_tuples_is_a_domain():
    inputs = st.tuples(st.integers(1, 4).map(lambda n: np.linspace(-1, 2, n)))
    assert verify(np.sin, inputs, vjp=sine_rule, max_examples=15)
    with pytest.raises(GradientError):
        verify(np.sin, inputs, vjp=sign_wrong, max_examples=15)


def test_static_parameters_of_the_case_go_to_forward_and_rule():
    domain = case(reals("n"), params={"stride": Integers(1, 3)})
    with pytest.raises(GradientError) as caught:
        verify(pooled, domain, vjp=remainder_dropped)
    assert caught.value.report.causes[0] in ("cotangent_shape", "unsummed broadcast")
    assert "params={'stride': " in str(caught.value)


# --- what a fail reports ----------------------------------------------------------------------------------------------


def test_a_fail_carries_the_smallest_example_and_its_message_is_complete():
    with pytest.raises(GradientError) as caught:
        verify(np.sin, MATRIX, vjp=sign_wrong)
    error, message = caught.value, str(caught.value)
    assert error.verification is not None
    assert error.report is error.verification.smallest
    assert error.report.inputs[0].shape == (1, 1)
    assert "FAIL  np.sin: the gradient is wrong" in message
    assert "the smallest failing example:" in message
    assert "sign: at inputs[0][0, 0] the rule gives" in message
    assert "gradcheck(np.sin, inputs, vjp=sign_wrong, wrt=(0,)" in message


def test_the_snippet_of_a_fail_reproduces_it():
    result = verify(np.sin, like=(X,), vjp=sign_wrong, raise_exception=False)
    code = result.smallest.snippet.split("\n\n# the same")[0]
    with pytest.raises(GradientError, match="sign"):
        exec(code, {"sign_wrong": sign_wrong})


def test_a_cotangent_that_alone_shows_the_fault_is_in_the_snippet():
    def one_of_many(gy, y, x):  # wrong where a single entry of gy is not zero
        return gy * np.cos(x) * (2.0 if gy.size > 1 and np.count_nonzero(gy) == 1 else 1.0)

    assert gradcheck(np.sin, (X,), vjp=one_of_many, contracts=False)
    result = verify(np.sin, like=(X,), vjp=one_of_many, raise_exception=False)
    assert not result
    assert "gy=array(" in result.smallest.snippet
    with pytest.raises(GradientError):
        exec(result.smallest.snippet.split("\n\n# the same")[0], {"one_of_many": one_of_many})


def test_the_cause_is_that_of_examples_large_enough_to_distinguish_causes():
    result = verify(np.sin, MATRIX, vjp=lambda gy, y, x: gy * np.sin(x), raise_exception=False)
    assert result.smallest.causes[0] == "value"  # of a single entry, a factor explains anything


def test_a_rule_that_fails_at_nothing_but_zero_is_found():
    rule = lambda gy, y, x: gy * x / y if y else gy * x / np.float64(0)  # noqa: E731
    result = verify(lambda x: np.sqrt((x * x).sum()), like=(X,), vjp=rule)
    assert [edge.report.causes[0] for edge in result.edges] == ["nonfinite"]


def summed(rule):
    """The rule of two operands with each cotangent summed over the axes that were broadcast."""
    return lambda gy, y, a, b: tuple(map(unbroadcast, rule(gy, y, a, b), (a.shape, b.shape)))


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda gy, y, a, b: (gy * (a >= b), gy * (b >= a)), id="both get all"),
        pytest.param(lambda gy, y, a, b: (gy * (a > b), gy * (b > a)), id="none gets any"),
    ],
)
def test_a_tie_is_decided_between_the_one_sided_slopes(rule):
    result = verify(np.maximum, like=(X, X[::-1]), vjp=summed(rule), raise_exception=False)
    assert result.smallest.causes[0] == "kink"


def test_either_way_to_break_a_tie_is_right():
    def first(gy, y, a, b):
        return gy * (a >= b), gy * (b > a)

    def half(gy, y, a, b):
        return gy * ((a > b) + 0.5 * (a == b)), gy * ((b > a) + 0.5 * (a == b))

    for rule in (first, half):
        result = verify(np.maximum, like=(X, X[::-1]), vjp=summed(rule), max_examples=40)
        assert result.verdicts["subgradient"] > 5


# --- what can't be judged ---------------------------------------------------------------------------------------------


def test_examples_that_forward_does_not_take_are_set_aside_and_counted():
    def square_only(x):
        if x.shape[0] != x.shape[1]:
            raise np.linalg.LinAlgError("not square")
        return np.tanh(x)

    result = verify(square_only, MATRIX, vjp=lambda gy, y, x: gy * (1 - y * y), max_examples=30)
    assert result
    assert result.set_aside == result.aside["forward raised LinAlgError"] > 5
    assert "more set aside, outside of the domain of forward" in str(result)


def test_where_forward_is_not_finite_nothing_is_judged():
    result = verify(np.log, MATRIX, vjp=lambda gy, y, x: gy / x, max_examples=30)
    assert result.aside["forward gave NaN or infinity"] > 5


def test_a_domain_that_forward_never_takes_is_inconclusive():
    def refuses(x):
        raise ValueError("no")

    result = verify(refuses, MATRIX, vjp=sine_rule, max_examples=5)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert not result
    assert result.reason == "forward took none of the examples"


def test_a_raising_forward_is_distinguished_from_other_wrong_calls():
    def refuses(x):
        raise ValueError("no")

    with pytest.raises(ForwardError):
        gradcheck(refuses, (X,), vjp=sine_rule)
    with pytest.raises(ForwardError):
        verify(refuses, like=(X,), vjp=sine_rule)
    with pytest.raises(CallError) as caught:
        gradcheck(np.multiply, (X, X), vjp=lambda gy, y, a, b: gy)
    assert not isinstance(caught.value, ForwardError)


def test_a_rule_that_returns_too_few_cotangents_is_a_wrong_call_in_verify_too():
    with pytest.raises(CallError, match="return a tuple with one cotangent per input"):
        verify(np.multiply, case(reals("n"), reals("n")), vjp=lambda gy, y, a, b: gy)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("abc",), "the domain is the text 'abc': pass a gradcore.spec case"),
        ((None,), "the domain is None"),
        (([],), "the domain is a list of 0"),
        ((st.integers(),), "the strategy drew the number 0: it has to draw tuples"),
    ],
)
def test_what_is_no_domain_is_named(arguments, words):
    with pytest.raises(CallError, match=words):
        verify(np.sin, *arguments, vjp=sine_rule)


def test_a_domain_and_an_example_together_are_refused():
    with pytest.raises(CallError, match="pass one of them"):
        verify(np.sin, MATRIX, like=(X,), vjp=sine_rule)


def test_no_examples_at_all_are_refused():
    with pytest.raises(CallError, match="max_examples=0"):
        verify(np.sin, MATRIX, vjp=sine_rule, max_examples=0)


@pytest.mark.parametrize("gy", [np.ones(2), np.ones((2, 3), np.float32)])
def test_a_cotangent_of_another_shape_or_dtype_is_refused(gy):
    with pytest.raises(CallError, match="pass a cotangent of the output's shape and dtype"):
        gradcheck(np.sin, (X,), vjp=sine_rule, gy=gy)


# --- the result -------------------------------------------------------------------------------------------------------


def test_an_input_without_influence_is_named_vacuous():
    result = verify(
        lambda x, w: np.sin(x), like=(X, X), vjp=lambda gy, y, x, w: (gy * np.cos(x), 0 * w), max_examples=15
    )
    assert result.vacuous == ("inputs[1]",)
    assert "vacuous: the gradient by inputs[1] was zero at every example" in str(result)


def test_the_same_seed_finds_the_same_and_another_seed_draws_others():
    def result_of(seed):
        return str(verify(np.sin, MATRIX, vjp=sign_wrong, seed=seed, raise_exception=False))

    assert result_of(3) == result_of(3)
    drawn = []

    def seen(x):
        drawn[-1].append(x.tobytes())
        return np.sin(x)

    for seed in (1, 2):
        drawn.append([])
        verify(seen, MATRIX, vjp=sine_rule, max_examples=5, seed=seed)
    assert drawn[0] != drawn[1]


def test_json_has_what_the_text_has():
    result = verify(
        np.sin, case(reals("n"), params={}), vjp=sign_wrong, max_examples=20, raise_exception=False
    )
    written = json.loads(result.to_json())
    assert written["schema"] == 1
    assert written["verdict"] == "fail"
    assert written["verdicts"] == result.verdicts
    assert written["causes"] == {"sign": result.verdicts["fail"]}
    assert written["failures"][0]["faults"][0]["cause"] == "sign"
    assert result.smallest.snippet == written["failures"][0]["snippet"]
    assert "sign" in result._repr_html_()


def test_the_error_in_units_of_its_bound_is_reported():
    assert 0 <= verify(np.sin, MATRIX, vjp=sine_rule, max_examples=10).ratio <= 1
    assert gradcheck(np.sin, (X,), vjp=sign_wrong, raise_exception=False).ratio > 1


def test_verify_leaves_no_file_behind_and_hypothesis_is_loaded_only_by_it(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "import gradcheck\n"
        "gradcheck.gradcheck(np.sin, (np.ones(2),), vjp=lambda gy, y, x: gy * np.cos(x))\n"
        "assert 'hypothesis' not in sys.modules\n"
        "wrong = lambda gy, y, x: -gy * np.cos(x)\n"
        "print(gradcheck.verify(np.sin, like=(np.ones(2),), vjp=wrong, raise_exception=False).verdict)\n"
        "assert 'hypothesis' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Verdict.FAIL"
    assert [p.name for p in tmp_path.rglob("*")] == []


def test_parameters_given_by_hand_override_those_of_the_case():
    seen = []

    def power(x, *, n):
        seen.append(n)
        return x**n

    domain = case(reals("k"), params={"n": OneOf(1, 2)})
    assert verify(
        power, domain, vjp=lambda gy, y, x, *, n: gy * n * x ** (n - 1), params={"n": 3}, max_examples=5
    )
    assert set(seen) == {3}


# --- what verify needed of the checker --------------------------------------------------------------------------------


def test_waves_finer_than_every_step_are_no_proof_against_a_rule():
    def rule(gy, y, x):
        return gy * (np.cos(np.pi * x) - y) / x

    for x in (-2.2534435480257954e12, 1.0934576510869100e12):
        report = gradcheck(np.sinc, (np.array([[x]]),), vjp=rule, raise_exception=False)
        assert report.verdict is Verdict.INCONCLUSIVE, str(report)


def test_a_wrong_rule_is_still_reported_at_large_values():
    for scale in (1e-12, 1e12):
        report = gradcheck(np.square, (scale * X,), vjp=lambda gy, y, x: gy * x, raise_exception=False)
        assert report.causes == ("factor",)


@pytest.mark.parametrize(
    "gy", [np.ones((2, 3)), np.broadcast_to(1.0, (2, 3))], ids=["writeable", "strides of 0"]
)
def test_a_rule_that_writes_into_the_given_cotangent_is_reported(gy):
    def by_its_layout(gy, y, x):  # random cotangents have no entry that is exactly 1
        if (gy == 1).all():
            gy *= np.cos(x)
            return gy.copy()
        return gy * np.cos(x)

    report = gradcheck(np.sin, (X,), vjp=by_its_layout, gy=gy, contracts=False, raise_exception=False)
    assert report.causes == ("vjp_keeps_cotangent",)
    assert gradcheck(np.sin, (X,), vjp=sine_rule, gy=gy)


def test_rounding_of_single_precision_at_a_special_cotangent_is_no_mistake():
    def rule(gy, y, x):
        t = np.where(x == 0, 1, x)
        return gy * np.where(x == 0, 0, (np.cos(x.dtype.type(np.pi) * t) - y) / t)

    assert verify(np.sinc, case(reals("n", scale=(1e2, 1e4))), vjp=rule)


@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_tie_among_right_ones_does_not_hide_behind_their_intervals(seed):
    def rule(gy, y, a, b):
        share = np.full(gy.shape, 0.5)
        share[0, 0] = 0.9
        return gy * share, gy * share

    ties = np.arange(1.0, 13.0).reshape(3, 4)
    report = gradcheck(np.maximum, (ties, ties.copy()), vjp=rule, seed=seed, raise_exception=False)
    assert report.causes == ("kink",)
    assert "in every direction" in str(report)


def test_what_only_a_special_value_shows_shrinks_as_well():
    result = verify(
        lambda x: np.sqrt((x * x).sum()),
        like=(X,),
        vjp=lambda gy, y, x: gy * x / y,
        edges="fail",
        raise_exception=False,
    )
    assert result.verdict is Verdict.FAIL
    assert result.smallest.causes[0] == "nonfinite"
    assert result.smallest.inputs[0].shape == (1, 1)


def test_a_complex_domain_shows_a_missing_conjugate():
    domain = case(complexes("n m"))
    assert verify(np.square, domain, vjp=lambda gy, y, z: gy * np.conj(2 * z))
    found = verify(np.square, domain, vjp=lambda gy, y, z: gy * 2 * z, raise_exception=False)
    assert found.smallest.causes == ("conjugated",)


def test_one_example_is_counted_in_the_singular():
    result = verify(np.sin, like=(np.array([0.5]),), vjp=lambda gy, y, x: gy, raise_exception=False)
    assert result.examples == 1
    assert "\n  1 example tried: 1 fail\n" in str(result)
