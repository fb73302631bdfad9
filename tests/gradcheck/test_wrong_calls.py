"""A call that can't be judged gets a sentence with what came and what to pass."""

from __future__ import annotations

import html
import json
import math
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest

import gradcore
from gradcheck import CallError, ForwardError, derivative, gradcheck, gradgradcheck, verify
from gradcore import nn
from gradcore.errors import DtypeError, ShapeError, SpecError
from gradcore.spec import Floats, Integers, case, interval, reals

X = np.array([[0.5, -1.0], [2.0, 0.25]])


def rule(gy, y, x):
    return gy * np.cos(x)


def product_rule(gy, y, a, b):
    return gy * b, gy * a


def refused(*args, **kwargs) -> str:
    with pytest.raises(CallError) as caught:
        gradcheck(*args, **kwargs)
    return str(caught.value)


def test_text_in_place_of_the_function_is_named():
    assert "the first argument is the text 'abc', and it has to be the function" in refused("abc", (X,))


@pytest.mark.parametrize("inputs", ["abc", None, 3.0])
def test_inputs_that_are_no_tuple_are_named_and_a_tuple_is_shown(inputs):
    assert "pass a tuple with the arguments of f, such as gradcheck(f, (x, w))" in refused(
        np.sin, inputs, vjp=rule
    )


def test_text_for_an_array_is_named_with_its_place():
    assert "inputs[0] is the text 'abc'. Pass at least one floating array" in refused(
        np.sin, ("abc",), vjp=rule
    )
    assert "inputs[0] is an array of <U1, which holds no numbers" in refused(
        np.sin, (np.array(["a"]),), vjp=rule
    )


def test_a_list_of_numbers_is_refused_with_the_advice_to_make_it_an_array():
    message = refused(np.sin, ([1.0, 2.0],), vjp=rule)
    assert "inputs[0][0] is the number 1.0" in message
    assert "np.array([1.0, 2.0])" in message


def test_integers_alone_give_nothing_to_differentiate_by():
    message = refused(np.sin, (np.array([1, 2]),), vjp=rule)
    assert "nothing to differentiate by: inputs[0] is an int64 array of shape (2,)" in message


def test_no_input_at_all_is_reported():
    assert "there is no input at all" in refused(np.sin, (), vjp=rule)


def test_a_forward_that_raises_is_reported_with_its_inputs_and_its_own_error():
    message = refused(lambda x: x @ np.ones(3), (X,), vjp=rule)
    assert (
        "f raised ValueError on these inputs (inputs[0] is a float64 array of shape (2, 2)): matmul"
        in message
    )


def test_a_forward_that_raises_only_next_to_the_point_is_reported_as_such():
    def picky(x):
        if x[0, 0] != 0.5:
            raise KeyError("only this")
        return x * 2

    message = refused(picky, (X,), vjp=lambda gy, y, x: 2 * gy)
    assert "picky takes these inputs, and raised KeyError for others very near" in message


def test_too_few_and_too_many_cotangents_are_counted():
    assert "returned a tuple of 1 for 2 inputs: return one per input" in refused(
        np.multiply, (X, X), vjp=lambda gy, y, a, b: (gy * b,)
    )
    assert "returned a tuple of 3 for 2 inputs" in refused(
        np.multiply, (X, X), vjp=lambda gy, y, a, b: (gy * b, gy * a, None)
    )


def test_one_bare_cotangent_for_two_inputs_is_refused():
    message = refused(np.multiply, (X, X), vjp=lambda gy, y, a, b: gy * b)
    assert "returned a float64 array of shape (2, 2), and there are 2 inputs: return a tuple" in message


def test_text_for_a_cotangent_is_refused():
    assert "for inputs[0] is the text 'abc': return an array" in refused(
        np.sin, (X,), vjp=lambda gy, y, x: "abc"
    )


def test_cotangents_of_another_structure_than_the_inputs_are_refused():
    message = refused(lambda d: d["a"] * 2, ({"a": X},), vjp=lambda gy, y, d: ({"b": gy},))
    assert "a dict with the keys ['b'], and inputs[0] is a dict with the keys ['a']" in message


@pytest.mark.parametrize(("result", "words"), [(None, "returned None"), ("y", "returned the text 'y'")])
def test_an_output_that_is_no_array_is_refused(result, words):
    assert words in refused(lambda x: result, (X,), vjp=rule)


def test_an_output_of_integers_alone_has_no_derivative():
    assert "f returned int64, which has no derivative" in refused(lambda x: np.argmax(x, 0), (X,), vjp=rule)


def test_a_function_of_tensors_that_returns_an_array_is_refused_with_the_advice_to_pass_vjp():
    message = refused(lambda x: np.asarray([1.0]), (gradcore.Tensor(X),))
    assert "f returned a float64 array of shape (1,) (output) where gradcore Tensors went in" in message
    assert "pass its rule as vjp=" in message


def test_an_output_that_changes_its_shape_is_refused():
    message = refused(lambda x: x[x > x.mean() + 1e-9], (np.array([1.0, 2.0, 3.0]),), vjp=rule)
    assert "a derivative needs the same output shape everywhere" in message


def test_an_order_that_there_is_not_is_refused():
    assert "order=3: pass 1" in refused(np.sin, (X,), vjp=rule, order=3)


def test_an_unknown_contract_is_refused_with_the_names_that_there_are():
    message = refused(np.sin, (X,), vjp=rule, contracts=["purity"])
    assert "['purity'], and there is no such contract: choose among forward_keeps_inputs" in message


def test_wrt_that_names_no_floating_input_is_refused():
    assert "wrt= names input 3, and there are 2 inputs" in refused(
        np.multiply, (X, X), vjp=product_rule, wrt=3
    )
    message = refused(np.take, (X, np.array([0])), vjp=lambda gy, y, x, i: (x, None), wrt=1)
    assert "that input is an int64 array of shape (1,)" in message


def test_a_vjp_that_is_no_function_is_refused():
    assert "vjp= is the number 3: pass the rule itself" in refused(np.sin, (X,), vjp=3)


def test_an_op_takes_its_arrays_side_by_side():
    message = refused(gradcore.registry.ops["mul"], ((X, X),))
    assert "pass them side by side, not in tuples or dicts" in message


def test_a_rule_that_tensors_cannot_run_is_reported_for_the_second_order():
    with pytest.raises(
        CallError, match=r"the rule of np\.sin can't be run on gradcore Tensors .*gradcheck\(gradient"
    ):
        gradgradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy * np.heaviside(x, 0.5))


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["a", -1, 1.5, None, True])
def test_a_seed_that_repeats_nothing_is_refused_and_not_reported_as_a_fault_of_the_function(seed):
    message = refused(np.sin, (X,), vjp=rule, seed=seed)
    assert message.startswith(f"seed={seed!r}: pass a whole number from 0 up")
    with pytest.raises(CallError, match="pass a whole number from 0 up"):
        gradgradcheck(np.sin, (X,), vjp=rule, seed=seed)


def test_a_whole_number_of_numpys_is_a_seed():
    assert gradcheck(np.sin, (X,), vjp=rule, seed=np.int64(3)).seed == 3


@pytest.mark.parametrize("contracts", [None, 1, [1]])
def test_contracts_that_are_no_names_are_refused(contracts):
    message = refused(np.sin, (X,), vjp=rule, contracts=contracts)
    assert "pass True for all, False for none, or the names of some" in message


@pytest.mark.parametrize("params", [[1], {1: 2}, "axis"])
def test_parameters_without_names_are_refused(params):
    assert "pass a dict with the static parameters by name" in refused(np.sin, (X,), vjp=rule, params=params)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_given_cotangent_that_is_not_finite_is_refused(bad):
    message = refused(np.sin, (X,), vjp=rule, gy=np.array([[bad, 1.0], [1.0, 1.0]]))
    assert "gy= holds NaN or infinity (1 of 4 entries)" in message


@pytest.mark.parametrize(
    ("made", "name"),
    [(X.view(np.matrix), "numpy.matrix"), (np.ma.masked_array(X, X > 0), "numpy.MaskedArray")],
)
def test_arrays_of_another_class_are_refused_wherever_they_come(made, name):
    assert f"inputs[0] is a {name}" in refused(np.sin, (made,), vjp=rule)
    assert f"output of f is a {name}" in refused(lambda x: made, (X,), vjp=rule)
    message = refused(np.sin, (X,), vjp=lambda gy, y, x: made)
    assert f"for inputs[0] is a {name}" in message
    assert "write np.asarray(x) in its place" in message
    assert f"gy is a {name}" in refused(np.sin, (X,), vjp=rule, gy=made)


def test_arrays_in_a_file_are_arrays_as_any(tmp_path):
    stored = np.memmap(tmp_path / "x", np.float64, "w+", shape=(3,))
    stored[:] = [0.5, 1.0, -2.0]
    assert gradcheck(np.sin, (stored,), vjp=rule)


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_rule_with_too_few_parameters_is_refused_with_what_it_is_called_with():
    def short(gy, x):
        return gy * np.cos(x)

    message = refused(np.sin, (X,), vjp=short)
    assert message.startswith("the rule short takes (gy, x), and it is called as rule(gy, y, *inputs)")
    assert message.endswith("define it as rule(gy, y, x)")


def test_where_f_does_not_take_the_inputs_either_the_inputs_are_refused_and_not_the_rule():
    def scaled(x, w):
        return x * w

    message = refused(scaled, (X,), vjp=lambda gy, y, x, w: (gy * w, gy * x))
    assert message.startswith("scaled takes (x, w), and 1 input came (missing a required argument: 'w')")
    assert message.endswith("one input for each of its arguments, and static ones by name in params=")
    message = refused(scaled, (X,), vjp=lambda gy, y, x, w: (gy * w, gy * x), params={"axis": 0})
    assert "1 input came with params (" in message


def test_a_rule_with_too_many_parameters_or_other_keywords_is_refused():
    assert "rule(gy, y, x0, x1)" in refused(np.multiply, (X, X), vjp=lambda gy, y, a, b, c: (gy, gy))
    message = refused(np.sum, (X,), vjp=rule, params={"axis": 0})
    assert "the parameters axis=0" in message
    assert message.endswith("define it as rule(gy, y, x, axis=0)")


def test_a_rule_that_raises_a_type_error_of_its_own_is_still_a_fail():
    report = gradcheck(np.sin, (X,), vjp=lambda gy, y, x: len(3), raise_exception=False)
    assert report.causes == ("raises",)


@pytest.mark.parametrize(
    "gx", [np.full(X.shape, "a"), np.full(X.shape, None), X > 0], ids=["text", "objects", "booleans"]
)
def test_a_cotangent_without_numbers_is_refused(gx):
    message = refused(np.sin, (X,), vjp=lambda gy, y, x: gx)
    assert "return numbers of the input's dtype" in message
    assert str(gx.dtype) in message


# --- forward ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("call", [2, 3, 4, 8, 12])
def test_a_forward_that_raises_on_a_later_call_is_reported(call, dtype):
    calls = []

    def tired(x):
        calls.append(1)
        if len(calls) >= call:
            raise ZeroDivisionError("enough")
        return np.sin(x)

    with pytest.raises(
        ForwardError, match="tired takes these inputs, and raised ZeroDivisionError when it was called"
    ):
        gradcheck(tired, (X.astype(dtype),), vjp=rule)


def test_infinity_among_the_inputs_makes_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradcheck(np.tanh, (np.array([np.inf, 1.0]),), vjp=lambda gy, y, x: gy * (1 - y * y))


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (lambda x: math.sin(x), lambda gy, y, x: gy * math.cos(x)),
        (np.sin, lambda gy, y, x: gy * math.cos(2 * x - x)),
        (np.sin, lambda gy, y, x: gy * np.cos(float(x))),
    ],
    ids=["both", "rule", "float"],
)
def test_a_second_order_through_a_python_number_is_no_wrong_gradient(f, second):
    with pytest.raises(CallError, match=r"makes a Python number of an input, as math\.sin"):
        gradgradcheck(f, (np.array(0.3),), vjp=second)


def test_a_second_order_that_is_wrong_by_itself_is_still_reported():
    report = gradgradcheck(
        lambda x: gradcore.exp(x),
        (np.array(0.3),),
        vjp=lambda gy, y, x: gy * np.exp(x) + 0.0 * x.sum(),
        raise_exception=False,
    )
    assert report
    wrong = gradgradcheck(
        np.sin, (np.array(0.3),), vjp=lambda gy, y, x: gy * np.cos(x.data), raise_exception=False
    )
    assert wrong.causes[0] == "missing"


# --- the other entrances ----------------------------------------------------------------------------------------------


def test_the_derivative_of_no_function_or_in_no_direction_is_refused():
    with pytest.raises(DtypeError, match="f is 'a', and it has to be the function"):
        derivative("a", (X,), (X,))
    with pytest.raises(ShapeError, match="v is None: pass a direction"):
        derivative(np.sin, (X,), None)


def test_bounds_in_the_wrong_order_are_refused():
    for made in (lambda: interval(3, 1), lambda: Integers(3, 1), lambda: Floats(3.0, 1.0)):
        with pytest.raises(SpecError, match=r"are 3.* and 1.*: give the lower one first"):
            made()


# --- whose gradient ---------------------------------------------------------------------------------------------------


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck, lambda f, inputs: verify(f, like=inputs)])
@pytest.mark.parametrize("f", [softplus, np.sin, lambda x: gradcore.tanh(x), nn.ReLU()])
def test_a_forgotten_rule_is_not_replaced_by_gradcores_derivative(check, f):
    with pytest.raises(CallError) as caught:
        check(f, (X,))
    assert "came with plain arrays and without vjp=" in str(caught.value)
    assert (
        "pass vjp=rule to check a rule of yours, or gradcore Tensors to check gradcore's own derivative"
        in str(caught.value)
    )


def test_a_forgotten_rule_is_reported_over_a_domain_too():
    with pytest.raises(CallError, match="pass vjp=rule to check a rule of yours"):
        verify(softplus, case(reals("n")), max_examples=5)


def test_a_spec_says_whose_gradient_it_is():
    assert verify(gradcore.registry.losses["mse_loss"], max_examples=5)


def test_a_missing_hypothesis_is_one_sentence_where_verify_is_called():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from gradcheck import CallError, verify\n"
        "try: verify(abs)\n"
        "except CallError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        "drawing examples needs Hypothesis, which is not installed: pip install 'gradcore[test]'\n"
    )


# --- what the report says about it ------------------------------------------------------------------------------------


def softplus_rule(gy, y, x):
    return gy / (1 + np.exp(-x))


OPS = gradcore.registry.ops


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (lambda: gradcheck(softplus, (X,), vjp=softplus_rule), "the rule softplus_rule of softplus"),
        (lambda: gradcheck(np.sin, (X,), vjp=lambda gy, y, x: gy * np.cos(x)), "the rule of np.sin"),
        (lambda: gradcheck(softplus, (gradcore.Tensor(X),)), "gradcore's derivative of softplus"),
        (lambda: gradcheck(OPS["softmax"], (X, 0)), "the rule of the op softmax"),
        (lambda: gradcheck(partial(OPS["softmax"], axis=0), (X,)), "the rule of the op softmax"),
        (lambda: gradgradcheck(softplus, (gradcore.Tensor(X),)), "gradcore's second derivative of softplus"),
        (lambda: gradgradcheck(OPS["exp"], (X,)), "gradcore's derivative of the rule of the op exp"),
        (
            lambda: gradgradcheck(softplus, (X,), vjp=softplus_rule),
            "gradcore's derivative of the rule softplus_rule of softplus",
        ),
    ],
)
def test_a_report_says_whose_gradient_was_checked(report, words):
    found = report()
    assert f"\n  checked: {words}\n" in str(found)
    assert json.loads(found.to_json())["gradient"] == words
    assert f"Checked: {html.escape(words)}.<" in found._repr_html_()


def test_what_verify_found_says_whose_gradient_was_checked():
    found = verify(softplus, like=(X,), vjp=softplus_rule, max_examples=5)
    assert "\n  checked: the rule softplus_rule of softplus\n" in str(found)
    assert "Checked: the rule softplus_rule of softplus.<" in found._repr_html_()
    assert json.loads(found.to_json())["gradient"] == "the rule softplus_rule of softplus"
