"""The suite can fail: each mistake below is detected by the very check that the suite runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck import gradcheck
from gradcheck.strategies import cotangents, examples
from gradcheck.verification import (
    CHANGES,
    Tally,
    VerificationError,
    broken,
    cases,
    check_fast_method,
    check_gradient,
    check_recording,
    check_second_order,
    check_value,
    like,
    positions,
)
from gradcheck.verification.planted import SEEK, detected
from gradcore import Op, Tensor, registry

OPS = registry.ops
RULES = [(e, i) for e in OPS.values() if isinstance(e, Op) for i in positions(e)]


def of(entry, **more):
    return st.sampled_from(entry.spec.cases).flatmap(lambda case: examples(case, **more))


# --- every rule of every op -------------------------------------------------------------------------------------------


@pytest.mark.nightly(each_time=52)
@pytest.mark.parametrize("change", ["sign", "factor 1.001"])
@pytest.mark.parametrize(("entry", "position"), RULES, ids=[f"{e.name}-{i}" for e, i in RULES])
def test_a_broken_rule_is_detected_whatever_the_op(entry, position, change):
    wrong = broken(entry, position, CHANGES[change])
    detected(of(entry), lambda example: check_gradient(wrong, example))


# --- gradients --------------------------------------------------------------------------------------------------------


def rule(name, position, new):
    """The op of this name with another rule for the array at `position`."""
    rules = list(OPS[name].rules)
    rules[position] = new
    return like(OPS[name], vjp=tuple(rules))


def overwritten(gy, y, x, index):
    gx = np.zeros_like(x)
    gx[index] = gy
    return gx


def in_place(gy, y, x):
    gy *= y
    return gy


class Remembers:
    """A forward that keeps its result for the rule: wrong as soon as it is called twice before the rule runs."""

    def __call__(self, x, /):
        self.y = np.exp(x)
        return self.y.copy()

    def rule(self, gy, y, x):
        return gy * self.y


def remembering():
    pair = Remembers()
    return like(OPS["exp"], forward=pair.__call__, vjp=pair.rule)


WRONG_GRADIENTS = {
    "a factor forgotten": lambda: rule("sqrt", 0, lambda gy, y, x: gy / y),
    "a term dropped": lambda: rule("tanh", 0, lambda gy, y, x: gy),
    "the other operand": lambda: rule("mul", 0, lambda gy, y, a, b: gy * a),
    "a sign in one of two": lambda: rule("sub", 1, lambda gy, y, a, b: gy),
    "not transposed": lambda: rule("matmul", 0, lambda gy, y, a, b: gy @ b if a.ndim == b.ndim == 2 else gy),
    "another axis": lambda: rule(
        "softmax", 0, lambda gy, y, x, axis=-1: y * (gy - np.sum(gy * y, axis=0, keepdims=True))
    ),
    "the sum dropped": lambda: rule("log_softmax", 0, lambda gy, y, x, axis=-1: gy - np.exp(y) * gy),
    "broadcast not undone": lambda: like(OPS["add"], broadcasts=False),
    "another dtype": lambda: rule("exp", 0, lambda gy, y, x: gy.astype(np.float64) * y),
    "NaN where gy is zero": lambda: rule("neg", 0, lambda gy, y, x: -gy * (gy / gy)),
    "not linear in gy": lambda: rule("neg", 0, lambda gy, y, x: -gy * np.abs(np.sign(gy)) - 1e-3 * gy * gy),
    "overwritten, not accumulated": lambda: rule("getitem", 0, overwritten),
    "gy changed in place": lambda: rule("exp", 0, in_place),
    "state kept between calls": remembering,
    "one entry off": lambda: broken(OPS["mul"], 1, CHANGES["one entry by 0.1 %"]),
}


@pytest.mark.parametrize("mistake", WRONG_GRADIENTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_gradient_is_detected(mistake):
    wrong = WRONG_GRADIENTS[mistake]()
    dtypes = st.sampled_from([np.float64, np.float32])
    message = detected(
        dtypes.flatmap(lambda dtype: of(wrong, dtype=dtype)), lambda example: check_gradient(wrong, example)
    )
    assert wrong.name in message


WRONG_AT_KINKS = {
    "twice the slope": lambda: rule("relu", 0, lambda gy, y, x: gy * (x > 0) + 2 * gy * (x == 0)),
    "a sign": lambda: rule("abs", 0, lambda gy, y, x: gy * np.where(x == 0, -1.5, np.sign(x))),
    "all of it for both": lambda: rule("maximum", 0, lambda gy, y, a, b: gy * ((a > b) + 1.5 * (a == b))),
}


@pytest.mark.parametrize("mistake", WRONG_AT_KINKS)
def test_a_value_outside_the_slopes_of_a_kink_is_detected(mistake):
    wrong = WRONG_AT_KINKS[mistake]()
    detected(of(wrong, mode="kinks"), lambda example: check_gradient(wrong, example))


def test_a_rule_that_is_right_but_not_differentiable_is_detected_in_second_order():
    wrong = rule("mul", 0, lambda gy, y, a, b: gy * getattr(b, "data", b))
    detected(of(wrong), lambda example: check_second_order(wrong, example))


def test_a_rule_that_gives_something_else_when_it_is_recorded_is_detected_in_second_order():
    """Its derivative is right: that of what the recorded rule gives."""
    wrong = rule("exp", 0, lambda gy, y, x: gy * y if type(x) is np.ndarray else gy * y * 1.001)
    message = detected(of(wrong), lambda example: check_second_order(wrong, example))
    assert "recorded for a second order, it is not what training computes" in message


# --- values -----------------------------------------------------------------------------------------------------------

WRONG_VALUES = {
    "a little off": lambda: like(OPS["add"], forward=lambda x, y, /: (x + y) * (1 + 1e-12)),
    "less precise inside": lambda: like(
        OPS["exp"], forward=lambda x, /: np.exp(x.astype(np.float32)).astype(x.dtype)
    ),
    "another dtype": lambda: like(OPS["exp"], forward=lambda x, /: np.exp(x.astype(np.float64))),
    "keepdims ignored": lambda: like(
        OPS["sum"], forward=lambda x, /, axis=None, keepdims=False: np.sum(x, axis=axis)
    ),
    "wrong only at a special value": lambda: like(
        OPS["sigmoid"], forward=lambda x, /: np.where(x == 0, 0, OPS["sigmoid"](x))
    ),
    "NaN for far entries": lambda: like(OPS["tanh"], forward=lambda x, /: np.sinh(x * 9) / np.cosh(x * 9)),
}


@pytest.mark.parametrize("mistake", WRONG_VALUES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_value_is_detected(mistake):
    wrong = WRONG_VALUES[mistake]()
    dtypes = st.sampled_from([np.float64, np.float32])
    message = detected(
        dtypes.flatmap(lambda dtype: of(wrong, dtype=dtype)),
        lambda example: check_value(wrong, example, wrong.name),
    )
    assert message.startswith(f"{wrong.name} on (float")


# --- recording --------------------------------------------------------------------------------------------------------


class WrongOnTensors(Op):
    """An Op whose recorded form is another than its pair."""

    def __call__(self, *args, **params):
        return super().__call__(*args, **params) * 1.0000001


def test_a_recording_that_is_not_the_pair_is_detected():
    mul = OPS["mul"]
    wrong = WrongOnTensors(mul.forward, mul.rules, mul.spec, name="mul", broadcasts=True)

    def check(drawn):
        example, data = drawn
        y = mul.forward(*example.arrays)
        check_recording(wrong, example, data.draw(cotangents(np.shape(y))), "mul")

    assert "on Tensors it gives" in detected(st.tuples(of(mul), st.data()), check)


def test_a_fast_method_that_records_something_else_is_detected(monkeypatch):
    module = "gradcheck.verification.recorded.binary_method"
    monkeypatch.setattr(module, lambda op, swapped=False: lambda x, y: op(Tensor(getattr(x, "data", x)), y))
    detected(of(OPS["mul"]), lambda example: check_fast_method(OPS["mul"], example))


# --- checks that decide nothing ---------------------------------------------------------------------------------------


def test_a_contract_that_was_never_examined_is_detected():
    tally = Tally("sin")
    for names in (["linear", "stateless"], ["deterministic"]):
        tally.add(gradcheck(OPS["sin"], (np.array([0.5, 2.0]),), contracts=names))
    with pytest.raises(VerificationError, match=r"^sin: no example showed whether any_layout, .* holds"):
        tally.conclude()


# --- and nothing is detected where nothing is wrong -------------------------------------------------------------------


def test_a_copy_without_a_mistake_passes():
    for name in ("mul", "matmul", "softmax", "batch_norm"):
        copy = like(OPS[name])

        @settings(SEEK, max_examples=15)
        @given(of(copy))
        def holds(example):
            check_gradient(copy, example)
            check_value(copy, example, name)

        holds()


def test_every_unit_has_an_id_of_its_own():
    ids = [u.id for units in (cases.ops(), cases.layers(), cases.losses()) for u in units]
    assert len(
        {(u.kind, u.id) for units in (cases.ops(), cases.layers(), cases.losses()) for u in units}
    ) == len(ids)
