"""Functions of MyGrad's tensors: what is judged, and the verdicts on right and wrong operations."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest

mg = pytest.importorskip("mygrad", reason="MyGrad is not installed")

from mygrad.operation_base import Operation  # noqa: E402

from gradcheck import CallError, GradientError, gradcheck, gradgradcheck, verify  # noqa: E402

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


class Product(Operation):
    factor = 1.0

    def __call__(self, x, y):
        self.variables = x, y
        return x.data * y.data

    def backward_var(self, grad, index, **_):
        x, y = self.variables
        return grad * y.data if index == 0 else grad * x.data * self.factor


class Doubled(Product):
    factor = 2.0


def product(x, y):
    return mg.execute_op(Product, x, y)


def doubled(x, y):
    return mg.execute_op(Doubled, x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [product, mg.multiply, lambda x, y: x * y])
def test_right_functions_pass(f, dtype):
    report = gradcheck(f, (mg.tensor(X.astype(dtype)), mg.tensor(X[1].astype(dtype))))
    assert report.gradient == f"MyGrad's derivative of {report.name}"
    assert [i.path for i in report.inputs] == ["inputs[0]", "inputs[1]"]


def test_a_wrong_operation_is_located_and_the_code_runs():
    inputs = mg.tensor(X), mg.tensor(X[1])
    report = gradcheck(doubled, inputs, raise_exception=False)
    assert [(f.cause, f.input) for f in report.faults] == [("factor", "inputs[1]")]
    heard = io.StringIO()
    with redirect_stdout(heard), pytest.raises(GradientError):
        exec(compile(report.snippet, "snippet", "exec"), {"doubled": doubled})
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-4)
    assert gradcheck(doubled, (inputs[0], mg.tensor(X[1], constant=True)))
    assert not verify(doubled, like=inputs, raise_exception=False, max_examples=5)


def test_several_outputs_and_tensors_in_two_places():
    x = mg.tensor(X)
    report = gradcheck(lambda a, b: {"dot": a @ b.T, "more": (a[0] * b, None)}, (x, x))
    assert report.verdict.value == "pass"
    assert gradcheck(mg.nnet.softmax, mg.tensor(X)).contracts


def test_a_lost_gradient_is_reported_with_where_to_look():
    report = gradcheck(lambda x: mg.tensor(x.data) * 2, mg.tensor(X), raise_exception=False)
    assert report.causes == ("missing",)
    assert "x.data, float(x), constant=True" in report.faults[0].text


def test_a_forward_that_writes_into_its_input_is_detected():
    def shifted(x):
        x.data[...] += 1
        return x * 1.0

    assert "forward_keeps_inputs" in gradcheck(shifted, mg.tensor(X), raise_exception=False).causes


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: gradgradcheck(mg.sin, mg.tensor(X)),
            "second order is not supported for functions of MyGrad",
        ),
        (
            lambda: gradcheck(mg.sin, mg.tensor(X.astype(np.float16))),
            r"is float16, .* x.astype\(np.float32\)",
        ),
        (lambda: gradcheck(mg.sin, mg.tensor(X, constant=True)), "none of the tensors requires a gradient"),
    ],
)
def test_a_wrong_call_says_what_to_do(call, sentence):
    with pytest.raises(CallError, match=sentence):
        call()
