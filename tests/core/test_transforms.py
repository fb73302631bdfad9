"""grad, vjp, jvp, jacobian, hessian, hvp and checkpoint: against the numeric derivative, nested, and where calls do not fit."""

from collections import namedtuple

import numpy as np
import pytest

import gradcore
from gradcheck.numeric import derivative
from gradcore import Tensor, checkpoint, grad, hessian, hvp, jacobian, jvp, nn, value_and_grad, vjp
from gradcore.errors import ArgumentError, DtypeError, GraphError, ShapeError

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]])
W = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]])

FUNCTIONS = {
    "tanh of a product": lambda x: np.tanh(x @ W),
    "softmax": lambda x: gradcore.softmax(x, axis=1),
    "powers": lambda x: x**3 + 2.0 * x,
    "a reduction": lambda x: (x * x).sum(axis=0),
    "an index": lambda x: x[0] * x[1, ::-1],
    "one number": lambda x: np.exp(x).mean(),
}


def measured(f, x, v):
    """The numeric derivative along v, and its bound, as arrays."""
    found = derivative(lambda a: f(Tensor(a)).data, x, v)
    return found.value, found.bound


def directions():
    rng = np.random.default_rng(3)
    return [rng.integers(-3, 4, X.shape) / 2.0 for _ in range(3)]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("remade", [lambda f: f, checkpoint], ids=["plain", "checkpointed"])
def test_jvp_vjp_and_jacobian_are_the_numeric_derivative(name, remade):
    f = FUNCTIONS[name]
    made = remade(f)
    for v in directions():
        value, bound = measured(f, X, v)
        y, dy = jvp(made, (X,), (v,))
        assert np.array_equal(y.data, f(Tensor(X)).data)
        assert (np.abs(dy.data - value) <= bound).all()
        full = jacobian(made)(X)
        assert full.shape == (*y.shape, *X.shape)
        assert (np.abs((full * v).sum(axis=(-2, -1)) - value) <= bound).all()
        gy = np.cos(np.arange(y.size)).reshape(y.shape)
        (gx,) = vjp(made, X)[1](gy)
        assert abs((gx * v).sum() - (gy * value).sum()) <= (np.abs(gy) * bound).sum()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("remade", [lambda f: f, checkpoint], ids=["plain", "checkpointed"])
def test_hessian_and_hvp_are_the_numeric_derivative_of_the_gradient(name, remade):
    f = FUNCTIONS[name]

    def loss(x):
        return (f(x) ** 2).sum()

    full, times = hessian(remade(loss))(X), hvp(remade(loss))
    assert full.shape == (*X.shape, *X.shape)
    for v in directions():
        value, bound = measured(lambda x: Tensor(grad(loss)(x.data)), X, v)
        assert (np.abs((full * v).sum(axis=(-2, -1)) - value) <= bound).all()
        assert (np.abs(times(X, v) - value) <= bound).all()


def test_higher_derivatives_of_a_power():
    f, expected = (lambda x: x**5), [5 * 3.0**4, 20 * 3.0**3, 60 * 3.0**2, 120 * 3.0, 120.0, 0.0]
    for value in expected:
        f = grad(f)
        assert float(f(3.0)) == pytest.approx(value, rel=1e-14)


def test_two_variables_that_are_the_same_number_are_not_confused():
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0) == 6.0  # the inner one is x
    assert grad(lambda x: grad(lambda y: y * y * x)(x))(3.0) == 12.0  # 2 y x at y = x is 2 x^2


def test_a_gradient_can_be_differentiated_by_what_the_function_closes_over():
    w = gradcore.tensor(np.array(2.0), requires_grad=True)
    gx = grad(lambda x: w * x * x)(np.array(3.0))
    assert gx.item() == 12.0
    gx.backward()
    assert w.grad == 6.0
    with gradcore.no_grad():
        assert type(grad(lambda x: w * x * x)(np.array(3.0))) is not Tensor


def test_a_step_of_learning_is_differentiable():
    def after_one_step(lr):
        w = np.array([1.0, -2.0])
        return ((w - lr * grad(lambda w: (w**4).sum())(w)) ** 2).sum()

    value, bound = measured(after_one_step, np.array(0.1), np.array(1.0))
    assert abs(grad(after_one_step)(np.array(0.1)) - value) <= bound


def test_gradients_come_back_as_the_arguments_came():
    Pair = namedtuple("Pair", "a b")
    parameters = {"w": np.ones(2), "rest": [Tensor(np.full(2, 3.0)), Pair(2.0, np.ones(2))]}

    def loss(p, x):
        return (p["w"] * p["rest"][0] * p["rest"][1].a * p["rest"][1].b * x).sum()

    gp = grad(loss)(parameters, 5.0)
    assert gp["w"].tolist() == [30.0, 30.0]
    assert type(gp["rest"][0]) is Tensor
    assert gp["rest"][0].tolist() == [10.0, 10.0]
    assert type(gp["rest"][1]) is Pair
    assert gp["rest"][1].a == 30.0
    value, (gp, gx) = value_and_grad(loss, argnums=(0, 1))(parameters, 5.0)
    assert value.item() == 60.0
    assert gx == 12.0
    assert grad(loss, argnums=-1)(parameters, 5.0) == 12.0


def test_what_a_function_does_not_use_has_a_gradient_of_zeros():
    assert grad(lambda x, y: (x * 2.0).sum(), argnums=1)(X, W).tolist() == np.zeros_like(W).tolist()
    assert grad(lambda x: 3.0)(X).tolist() == np.zeros_like(X).tolist()
    assert jacobian(lambda x: np.ones(2))(X).shape == (2, 2, 3)


def test_aux_is_handed_on():
    gx, aux = grad(lambda x: ((x * x).sum(), "more"), has_aux=True)(X)
    assert np.array_equal(gx, 2 * X)
    assert aux == "more"


def test_pull_may_be_called_again_and_takes_the_containers_of_the_output():
    y, pull = vjp(lambda a, b: {"product": a * b, "sums": (a.sum(), b.sum())}, np.ones(2), np.full(2, 3.0))
    assert y["product"].tolist() == [3.0, 3.0]
    for _ in range(2):
        ga, gb = pull({"product": np.ones(2), "sums": (1.0, 10.0)})
        assert (ga.tolist(), gb.tolist()) == ([4.0, 4.0], [11.0, 11.0])


def test_no_leaf_gets_a_grad_from_a_transform():
    x = gradcore.tensor(np.ones(2), requires_grad=True)
    grad(lambda w: (w * x).sum())(x)
    hessian(lambda w: (w * w * x).sum())(np.ones(2))
    assert x.grad is None


def test_a_checkpoint_gives_parameters_their_gradients_and_keeps_less():
    model = nn.mlp((3, 8, 2), rng=0)
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    grads = []
    for f in (lambda x: model(x).tanh(), checkpoint(lambda x: model(x).tanh())):
        x = gradcore.tensor(X, requires_grad=True)
        model.zero_grad()
        y = f(x * 2.0)
        nodes = len(gradcore.graph.walk(y))
        (y * y).sum().backward()
        grads.append((nodes, [x.grad, *[p.grad for p in model.parameters()]]))
    (nodes, plain), (fewer, again) = grads
    assert fewer < nodes
    assert all(np.array_equal(a, b) for a, b in zip(plain, again, strict=True))


def test_a_checkpoint_that_changes_is_refused():
    rng = np.random.default_rng(0)
    y = checkpoint(lambda x: x * rng.random())(gradcore.tensor(X, requires_grad=True))
    with pytest.raises(GraphError, match=r"gave other values when it was evaluated again.*masks outside"):
        y.sum().backward()


def test_a_checkpoint_takes_integers_and_one_tensor_twice():
    table = gradcore.tensor(X, requires_grad=True)
    checkpoint(lambda t, u, i: (t[i] * u[i]).sum())(table, table, np.array([0, 0])).backward()
    assert table.grad.tolist() == [[2.0, -4.0, 8.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: grad(lambda x: x * 2.0)(X), ShapeError, r"returned an array of shape \(2, 3\): reduce it"),
        (lambda: grad(lambda x: "x")(X), ArgumentError, "returns one number, and <lambda> returned 'x'"),
        (lambda: grad(lambda x: x)(3), DtypeError, r"got 3 \(int64\): write 3.0 for 3"),
        (
            lambda: grad(lambda x: x, argnums=1)(1.0),
            ArgumentError,
            "by argument 1, and <lambda> got 1 positional",
        ),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), ArgumentError, "returns a pair"),
        (
            lambda: jvp(lambda x: x, (X,), (W,)),
            ShapeError,
            r"tangents of shapes \[\(3, 2\)\], and the arguments have",
        ),
        (
            lambda: vjp(lambda x: x, X)[1](W),
            ShapeError,
            r"cotangents of shapes \[\(3, 2\)\], and the outputs have",
        ),
        (lambda: jacobian(lambda x: (x, x))(X), ArgumentError, "takes or returns containers"),
        (lambda: jacobian(lambda x: x[0])([X]), ArgumentError, "takes or returns containers"),
        (lambda: checkpoint(lambda x: (x, x))(X), ArgumentError, "returns one Tensor, and <lambda> gave"),
    ],
)
def test_wrong_calls_are_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()
