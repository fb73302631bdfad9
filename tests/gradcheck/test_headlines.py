"""The headline of a fail beside the values names its cause; what follows from the cause is listed under it."""

import json

import numpy as np
import pytest

from gradcheck import gradcheck, gradgradcheck, verify
from gradcheck.contracts import ON_REQUEST, of_every_subject
from gradcheck.contracts.base import ContractResult
from gradcheck.diagnosis.faults import Fault
from gradcheck.errors import CallError
from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict

X = np.random.default_rng(0).standard_normal((4, 3))


def sine_rule(gy, y, x):
    return gy * np.cos(x)


def failed(f, vjp=sine_rule, inputs=(X,), **more):
    report = gradcheck(f, inputs, vjp=vjp, raise_exception=False, **more)
    assert report.verdict is Verdict.FAIL
    return report


def headline(report):
    return str(report).splitlines()[0].partition(": ")[2]


def random_forward(x):
    return x * np.random.default_rng().random(x.shape)


def changes_its_input(x):
    y = np.sin(x)
    x += 0.25
    return y


def refuses(condition, words):
    def forward(*arrays):
        if any(condition(x) for x in arrays):
            raise ValueError(words)
        return np.sin(arrays[0])

    return forward


def is_turned(x):
    return any(step < 0 for step in x.strides)


STRIDES = "At least one stride in the given numpy array is negative"
turned_refused = refuses(is_turned, STRIDES)


def test_a_random_forward_is_one_fault_and_what_follows_is_listed_under_it():
    report = failed(random_forward, lambda gy, y, x: gy)
    assert headline(report) == (
        "two forward calls on the same inputs gave different outputs; the values of the gradient cannot be judged"
    )
    assert report.causes == report.broken == ("deterministic",)
    lines = str(report).splitlines()
    (under,) = [line for line in lines if "would follow" in line]
    assert under == (
        "    not judged, as they would follow: linear, any_layout, broadcast_views, aliased_arguments"
    )
    assert lines[lines.index(under) - 1].startswith("  deterministic: ")
    assert under.strip() in report._repr_html_()
    because = {c["name"]: c["because"] for c in json.loads(report.to_json())["contracts"]}
    assert because["linear"] == because["any_layout"] == "deterministic"
    assert because["zero_cotangent"] == ""


def test_a_contract_is_judged_by_itself_where_its_cause_is_not_tried():
    report = failed(random_forward, lambda gy, y, x: gy * y / x, contracts=["linear"])
    assert report.broken == ("linear",)


def test_a_forward_that_changes_its_input_is_named_with_the_verdict_on_the_values():
    right = failed(changes_its_input, lambda gy, y, x: gy * np.cos(x - 0.25))
    assert headline(right) == "forward changed inputs[0] in place; the values of the gradient are right"
    wrong = failed(changes_its_input)
    assert headline(wrong) == "forward changed inputs[0] in place; the gradient is wrong"
    assert wrong.causes[0] == "forward_keeps_inputs"


def test_a_rule_that_changes_its_input_is_named_and_its_consequences_are_under_it():
    def rule(gy, y, x):
        gx = gy * np.cos(x)
        x += 0.25
        return gx

    report = failed(np.sin, rule)
    assert headline(report) == "the rule changed inputs[0] in place; the values of the gradient are right"
    assert report.broken == ("vjp_keeps_inputs",)
    under = "not judged, as they would follow: vjp_repeatable, stateless, linear, zero_cotangent"
    assert under in str(report)


def test_contracts_that_a_wrong_value_breaks_are_listed_under_it():
    report = failed(np.sin, lambda gy, y, x: np.cos(x))
    assert report.causes == ("cotangent ignored",)
    assert report.broken == ()
    assert "not judged, as they would follow: linear, zero_cotangent" in str(report)
    clipped = failed(np.sin, lambda gy, y, x: np.clip(gy, -1e3, 1e3) * np.cos(x))
    assert clipped.broken == ("linear",)


def test_only_a_wrong_value_is_called_a_wrong_gradient():
    assert headline(failed(np.sin, lambda gy, y, x: 2 * gy * np.cos(x))) == "the gradient is wrong"


def test_several_causes_are_counted_in_the_headline():
    def rule(gy, y, x):
        gx = gy * np.cos(x)
        gy *= 2
        y *= 2
        return gx

    report = failed(np.sin, rule)
    assert headline(report) == (
        "the rule changed the output y in place, which the caller still uses (and 1 more below); the values of the "
        "gradient are right"
    )


def test_a_wrong_value_that_no_input_is_named_for_is_called_wrong_beside_a_broken_contract():
    faults = (Fault("vjp_keeps_inputs", "the rule changed x in place: copy it"), Fault("value", "text"))
    results = (ContractResult("vjp_keeps_inputs", "broken", faults[0].text),)
    report = Report("f", Verdict.FAIL, (), faults=faults, contracts=results)
    assert headline(report) == "the rule changed x in place; the gradient is wrong"


# --- layouts ----------------------------------------------------------------------------------------------------------


def test_a_forward_that_takes_no_negative_strides_passes_with_a_note():
    report = gradcheck(turned_refused, (X,), vjp=sine_rule)
    assert report.verdict is Verdict.PASS
    assert report.note == (
        f"forward takes no negative strides (ValueError: {STRIDES}): pass contiguous arrays, or "
        "contracts='+negative_strides' to make it count"
    )
    assert verify(turned_refused, like=(X,), vjp=sine_rule, max_examples=30)


def test_a_rule_that_takes_no_negative_strides_passes_with_a_note():
    def rule(gy, y, x):
        if is_turned(gy):
            raise ValueError(STRIDES)
        return gy * np.cos(x)

    report = gradcheck(np.sin, (X,), vjp=rule)
    assert report.note.startswith("the rule takes no negative strides (")
    result = verify(np.sin, like=(X,), vjp=rule, max_examples=60)
    assert (result.verdict, result.edges) == (Verdict.PASS, ())


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_function_of_torch_on_numpy_arrays_passes_with_a_note():
    torch = pytest.importorskip("torch")
    report = gradcheck(lambda x: torch.from_numpy(x).sin().numpy(), (X,), vjp=sine_rule)
    assert "forward takes no negative strides" in report.note


def test_the_refusal_counts_where_it_is_named():
    report = failed(turned_refused, contracts="+negative_strides")
    assert report.broken == ("negative_strides",)
    assert headline(report) == (
        "forward refuses arrays with negative strides; the values of the gradient are right"
    )
    assert report.note == ""
    assert gradcheck(np.sin, (X,), vjp=sine_rule, contracts="+negative_strides")
    names = {c.name for c in report.contracts}
    assert names == of_every_subject()


def test_a_refusal_for_another_reason_is_a_fail_and_its_headline_says_of_what():
    report = failed(refuses(is_turned, "bad array"))
    assert report.broken == ("any_layout",)
    assert headline(report) == (
        "forward refuses arrays with negative strides; the values of the gradient are right"
    )
    assert "it raises ValueError: bad array; contiguous arrays of the same values pass" in str(report)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (lambda x: not x.flags.c_contiguous and 0 not in x.strides, "in Fortran order"),
        (lambda x: not x.flags.forc and 0 not in x.strides, "that are every second entry of a larger one"),
    ],
)
def test_other_layouts_may_not_be_refused_whatever_the_error_says(condition, words):
    report = failed(refuses(condition, "these strides are not supported"))
    assert report.broken[:1] == ("any_layout",)
    assert headline(report).startswith(f"forward refuses arrays {words}")


def test_a_wrong_number_at_negative_strides_is_a_fail():
    report = failed(np.sin, lambda gy, y, x: gy * (np.sin(x) if is_turned(x) else np.cos(x)))
    assert headline(report) == (
        "on arrays with negative strides, the rule gives other values; the values of the gradient are right"
    )


def test_a_wrong_number_for_a_turned_cotangent_is_not_hidden_by_a_forward_that_refuses():
    report = failed(turned_refused, lambda gy, y, x: gy * (np.sin(x) if is_turned(gy) else np.cos(x)))
    assert report.broken == ("any_layout",)
    assert report.note == ""


def test_a_wrong_number_with_gaps_is_not_hidden_by_a_forward_that_refuses():
    def rule(gy, y, x):
        spaced = not gy.flags.forc and 0 < gy.strides[0] < gy.strides[-1]
        return gy * (np.sin(x) if spaced else np.cos(x))

    report = failed(turned_refused, rule)
    assert headline(report).startswith("on arrays in Fortran order, with gaps, the rule gives other values")


def test_read_only_arrays_have_to_be_taken():
    report = failed(refuses(lambda x: not x.flags.writeable, "array is read-only"))
    assert report.broken == ("read_only_arrays",)
    assert headline(report).startswith("on read-only arrays it raises ValueError")


# --- which are tried --------------------------------------------------------------------------------------------------


def tried(contracts):
    return {c.name for c in gradcheck(np.sin, (X,), vjp=sine_rule, contracts=contracts).contracts}


def test_a_contract_is_left_out_by_its_name_with_a_minus():
    usual = of_every_subject() - ON_REQUEST
    assert sorted(ON_REQUEST & of_every_subject()) == ["negative_strides"]
    assert tried(True) == usual
    assert tried("-any_layout") == usual - {"any_layout"}
    assert tried(["-any_layout", "-linear"]) == usual - {"any_layout", "linear"}
    assert tried(["+negative_strides", "-linear"]) == of_every_subject() - {"linear"}
    assert tried(of_every_subject() - {"linear"}) == of_every_subject() - {"linear"}
    refusing = refuses(is_turned, "bad array")
    assert gradcheck(refusing, (X,), vjp=sine_rule, contracts="-any_layout")


@pytest.mark.parametrize(
    ("contracts", "words"),
    [
        (["-linear", "stateless"], "mixes names and changes to the usual ones"),
        ("-purity", r"names \['purity'\], and there is no such contract"),
        (3, "contracts='-forward_keeps_inputs' leaves one out"),
    ],
)
def test_contracts_that_can_not_be_understood_are_refused(contracts, words):
    with pytest.raises(CallError, match=words):
        gradcheck(np.sin, (X,), vjp=sine_rule, contracts=contracts)


def test_the_second_order_takes_the_usual_contracts():
    def double(gy, y, x):
        return gy * 2 * x

    report = gradgradcheck(lambda x: x * x, (X,), vjp=double)
    usual = of_every_subject() - ON_REQUEST
    assert {c.name for c in report.contracts} == usual - {"aliased_arguments"} | {"recorded_gradient"}
