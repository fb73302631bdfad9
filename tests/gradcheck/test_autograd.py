"""Functions written with HIPS autograd: whose derivative is meant, and the verdicts on right and wrong primitives."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest

autograd = pytest.importorskip("autograd", reason="autograd is not installed")

import autograd.builtins as ab  # noqa: E402
import autograd.numpy as anp  # noqa: E402
from autograd.extend import defjvp, defvjp, defvjp_argnums, primitive  # noqa: E402

from gradcheck import CallError, GradientError, gradcheck, gradgradcheck, verify  # noqa: E402

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def product(*vjps, jvps=None):
    made = primitive(lambda x, y: x * y)
    made.__name__ = "product"
    defvjp(made, *vjps)
    if jvps:
        defjvp(made, *jvps)
    return made


BY_X = lambda y, a, b: lambda gy: gy * b  # noqa: E731
BY_Y = lambda y, a, b: lambda gy: gy * a  # noqa: E731
RIGHT = product(BY_X, BY_Y, jvps=(lambda t, y, a, b: t * b, lambda t, y, a, b: t * a))
NEGATED = product(BY_X, lambda y, a, b: lambda gy: -gy * a)


def test_a_primitive_says_whose_derivative_is_meant():
    assert gradcheck(RIGHT, (X, X + 1), order=2).gradient == "autograd's derivative of product"
    report = gradcheck(NEGATED, (X, X + 1), raise_exception=False)
    assert [(fault.cause, fault.input) for fault in report.faults] == [("sign", "inputs[1]")]


def test_functions_of_autograd_itself_and_what_it_wraps_do_too():
    assert gradcheck(anp.tanh, X, order=2)
    assert gradcheck(autograd.grad(lambda x: anp.sum(x**3)), X)


def test_another_function_needs_its_backend_stated():
    def f(x, y):
        return NEGATED(anp.sin(x), y)

    with pytest.raises(CallError, match="add backend='jax' or backend='autograd'"):
        gradcheck(f, (X, X))
    assert gradcheck(f, (X, X), backend="autograd", wrt=0, order=2)
    assert not gradcheck(f, (X, X), backend="autograd", raise_exception=False)
    assert gradgradcheck(f, (X, X), backend="autograd")  # the derivative of the wrong gradient is right
    assert not verify(f, like=(X, X), backend="autograd", max_examples=5, raise_exception=False)


def test_dicts_and_what_autograd_makes_of_them_go_in_and_out():
    def f(p, n):
        traced = ab.dict({"a": anp.tanh(p["w"]) * n, "b": ab.tuple((anp.sum(p["v"]), p["v"] * 2))})
        return {"traced": traced, "at": anp.argmax(p["v"]), "none": None}

    assert gradcheck(f, ({"w": X, "v": X[0]}, 3), backend="autograd", order=2)


def test_complex_functions_are_judged():
    z = X + 1j * X[::-1]
    assert gradcheck(lambda z: anp.exp(z) * anp.conj(z), z, backend="autograd", order=2)


def test_a_wrong_jvp_is_found_and_a_missing_one_is_no_fault():
    wrong = product(BY_X, BY_Y, jvps=(lambda t, y, a, b: t * b, lambda t, y, a, b: -t * a))
    assert gradcheck(wrong, (X, X + 1), raise_exception=False).causes == ("forward_mode",)
    texts = [c.text for c in gradcheck(product(BY_X, BY_Y), (X, X + 1)).contracts if c.name == "forward_mode"]
    assert texts == ["it has no forward-mode derivative"]


def test_a_gradient_that_only_goes_wrong_alone_is_found():
    made = primitive(lambda x, y: x * y)
    defvjp_argnums(
        made, lambda argnums, y, inputs, _: lambda gy: [gy * inputs[1], gy * inputs[0]][: len(argnums)]
    )
    assert not gradcheck(made, (X, X + 1), raise_exception=False)


def test_a_wrong_shape_is_found():
    summed = primitive(lambda x, y: x + y)
    defvjp(summed, lambda y, a, b: lambda gy: gy, lambda y, a, b: lambda gy: gy)
    report = gradcheck(summed, (X, X[0]), raise_exception=False)
    assert report.causes
    assert "inputs[1]" in {fault.input for fault in report.faults}


def test_a_cotangent_that_reaches_two_inputs_is_not_shared_by_them():
    assert gradcheck(anp.add, (X, X + 1))


def test_verify_draws_around_an_example():
    result = verify(anp.logaddexp, like=(X, X + 1), max_examples=20)
    assert result.verdicts["pass"] > 10
    assert "called_by_autograd_dispatcher" not in str(result)


def test_a_snippet_runs_and_prints_the_derivative():
    report = gradcheck(NEGATED, (X, X + 1), raise_exception=False)
    heard = io.StringIO()
    with redirect_stdout(heard), pytest.raises(GradientError):
        exec(compile(report.snippet, "snippet", "exec"), {"product": NEGATED})
    assert float(heard.getvalue()) == pytest.approx(report.faults[0].numeric, rel=1e-6)


def test_the_backend_is_a_part_of_the_snippet():
    f = lambda x: NEGATED(x, x)  # noqa: E731
    report = gradcheck(f, X, backend="autograd", raise_exception=False)
    with redirect_stdout(io.StringIO()), pytest.raises(GradientError) as caught:
        exec(compile(report.snippet, "snippet", "exec"), {"f": f})
    assert caught.value.report.causes == report.causes


def inside(x):
    gradcheck(anp.tanh, x)
    return anp.sum(x)


WRONG = {
    "traced": (lambda: autograd.grad(inside)(X), "is a ArrayBox, traced by autograd.grad"),
    "sixteen bits": (lambda: gradcheck(anp.tanh, X.astype(np.float16)), "is float16, .* x.astype"),
    "no rule": (lambda: gradcheck(primitive(lambda x: x), X), "define it with autograd.extend.defvjp"),
    "number out": (
        lambda: gradcheck(lambda x: 3.0, X, backend="autograd"),
        "returned the number 3.0 .* return an array",
    ),
    "text in": (lambda: gradcheck(anp.tanh, np.array(["a"])), "holds no numbers"),
    "nothing in": (lambda: gradcheck(anp.tanh, 2.0), "no floating array among the inputs"),
    "vjp": (lambda: gradcheck(anp.tanh, X, vjp=lambda gy, y, x: gy), "came together with autograd arrays"),
    "no such backend": (lambda: gradcheck(lambda x: x, X, backend=autograd), "pass the name of a framework"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_to_do(name):
    call, sentence = WRONG[name]
    with pytest.raises(CallError, match=f"(?s){sentence}"):
        call()


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    from gradcheck.backends import framework

    monkeypatch.setattr(framework, "_loaded", lambda name: None)
    with pytest.raises(CallError, match=r"is not installed: pip install 'gradcore\[autograd\]'"):
        gradcheck(lambda x: x, X, backend="autograd")
