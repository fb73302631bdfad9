"""At second order: the gradient that is recorded to be differentiated is the one that training uses."""

import numpy as np
import pytest

import gradcore
from gradcheck import GradientError, gradcheck, gradgradcheck
from gradcore import Tensor

X = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3))


def status(report):
    return {c.name: c.status for c in report.contracts}.get("recorded_gradient")


def twice_if_recorded(gy, y, x):
    return (2.0 if isinstance(gy, Tensor) else 1.0) * gy * np.cos(x)


def by_another_way(gy, y, x):
    return gy * np.cos(x) if isinstance(gy, Tensor) else gy * np.sin(np.pi / 2 - x)


def test_a_rule_that_gives_other_numbers_on_tensors_is_detected():
    assert gradcheck(np.sin, (X,), vjp=twice_if_recorded)
    report = gradgradcheck(np.sin, (X,), vjp=twice_if_recorded, raise_exception=False)
    assert report.broken == ("recorded_gradient",)
    assert str(report).startswith(
        "FAIL  the gradient of np.sin: recorded for a second order, it is not what training computes; the values"
    )
    assert "on arrays instead of Tensors the same backward pass gives other numbers" in str(report)


def test_another_way_to_the_same_numbers_holds():
    report = gradgradcheck(np.sin, (X,), vjp=by_another_way)
    assert report
    assert status(report) == "held"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_an_error_of_a_millionth_is_detected_at_any_scale(scale):
    def rule(gy, y, x):
        return gy * np.cos(x) * ((1 + 1e-6) if isinstance(gy, Tensor) else 1.0)

    report = gradgradcheck(
        lambda x: scale * np.sin(x), (X,), vjp=lambda gy, y, x: scale * rule(gy, y, x), raise_exception=False
    )
    assert report.broken == ("recorded_gradient",)


def test_rounding_that_the_function_amplifies_is_no_difference():
    def forward(x):
        return ((x + 1e8) - 1e8) ** 2  # the last eight digits of x are lost

    def rule(gy, y, x):
        d = (x + 1e8) - 1e8 if isinstance(gy, Tensor) else (x * 2 + 2e8) / 2 - 1e8
        return 2 * gy * d

    report = gradgradcheck(forward, (X,), vjp=rule, raise_exception=False)
    assert "recorded_gradient" not in report.broken


def test_a_rule_that_raises_only_where_nothing_is_recorded_is_detected():
    def rule(gy, y, x):
        if not isinstance(gy, Tensor):
            raise TypeError("no arrays")
        return gy * np.cos(x)

    report = gradgradcheck(np.sin, (X,), vjp=rule, raise_exception=False)
    assert "recorded_gradient" in report.broken
    assert "no arrays" in str(report)


def test_it_is_not_mentioned_at_first_order():
    assert status(gradcheck(np.sin, (X,), vjp=by_another_way)) is None


def test_a_compositions_second_order_holds_with_inputs_that_have_no_gradient():
    report = gradgradcheck(lambda x, n: gradcore.exp(x)[n] * x[0], (Tensor(X), np.array([1, 0, 1])))
    assert status(report) == "held"


def test_in_pytorch():
    torch = pytest.importorskip("torch")
    from tensors import function, saving

    def sine(factor):
        def backward(ctx, gy):
            return gy * ctx.saved_tensors[0].cos() * (factor if torch.is_grad_enabled() else 1.0)

        return function(saving(torch.sin), backward)

    x = torch.tensor(X, requires_grad=True)
    assert gradcheck(sine(3.0), x)
    assert status(gradgradcheck(sine(1.0), x)) == "held"
    with pytest.raises(GradientError, match="without create_graph the same backward pass"):
        gradgradcheck(sine(3.0), x)


@pytest.mark.parametrize("framework", ["jax.numpy", "autograd.numpy"])
def test_it_holds_in_frameworks_that_know_one_way_only(framework):
    module = pytest.importorskip(framework)
    backend = framework.partition(".")[0]
    report = gradgradcheck(lambda x, y: module.sin(x) * y, (X, X[0]), backend=backend, wrt=0)
    assert status(report) == "held"
