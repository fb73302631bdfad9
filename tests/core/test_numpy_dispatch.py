"""NumPy's own functions, called on Tensors."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import GraphError
from gradcore.tensor import UFUNCS


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


X = np.array([[0.5, 1.5], [2.0, 0.25]])
MASK = np.array([[True, False], [False, True]])
CALLS = {
    "exp": (lambda x: np.exp(x), lambda v: np.exp(v)),
    "expm1": (lambda x: np.expm1(x), lambda v: np.exp(v)),
    "log": (lambda x: np.log(x), lambda v: 1 / v),
    "log1p": (lambda x: np.log1p(x), lambda v: 1 / (1 + v)),
    "sin": (lambda x: np.sin(x), lambda v: np.cos(v)),
    "cos": (lambda x: np.cos(x), lambda v: -np.sin(v)),
    "sqrt": (lambda x: np.sqrt(x), lambda v: 0.5 / np.sqrt(v)),
    "tanh": (lambda x: np.tanh(x), lambda v: 1 - np.tanh(v) ** 2),
    "negative": (lambda x: np.negative(x), lambda v: -np.ones_like(v)),
    "absolute": (lambda x: np.absolute(-x), lambda v: np.ones_like(v)),
    "fabs": (lambda x: np.fabs(-x), lambda v: np.ones_like(v)),
    "add": (lambda x: np.add(X, x), lambda v: np.ones_like(v)),
    "subtract": (lambda x: np.subtract(X, x), lambda v: -np.ones_like(v)),
    "multiply": (lambda x: np.multiply(x, X), lambda v: X),
    "divide": (lambda x: np.divide(1.0, x), lambda v: -1 / v**2),
    "power": (lambda x: np.power(x, 3.0), lambda v: 3 * v**2),
    "float_power": (lambda x: np.float_power(x, 3.0), lambda v: 3 * v**2),
    "matmul": (lambda x: np.matmul(X, x), lambda v: X.T @ np.ones_like(v)),
    "maximum": (lambda x: np.maximum(x, 1.0), lambda v: (v > 1) * 1.0),
    "minimum": (lambda x: np.minimum(1.0, x), lambda v: (v < 1) * 1.0),
    "where": (lambda x: np.where(MASK, x, 0.0), lambda v: MASK * 1.0),
    "sum": (lambda x: np.sum(x, axis=0), lambda v: np.ones_like(v)),
    "sum by keyword": (lambda x: np.sum(x, axis=(0, 1), keepdims=True), lambda v: np.ones_like(v)),
    "add.reduce": (lambda x: np.add.reduce(x), lambda v: np.ones_like(v)),
    "add.reduce over all": (lambda x: np.add.reduce(x, axis=None), lambda v: np.ones_like(v)),
    "mean": (lambda x: np.mean(x), lambda v: np.full_like(v, 0.25)),
    "max": (lambda x: np.max(x, axis=1), lambda v: (v == v.max(1, keepdims=True)) * 1.0),
    "amax": (lambda x: np.amax(x, 1), lambda v: (v == v.max(1, keepdims=True)) * 1.0),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=1), lambda v: (v == v.max(1, keepdims=True)) * 1.0),
    "min": (lambda x: np.min(x), lambda v: (v == v.min()) * 1.0),
    "amin": (lambda x: np.amin(x), lambda v: (v == v.min()) * 1.0),
    "reshape": (lambda x: np.reshape(x, (4,)), lambda v: np.ones_like(v)),
    "transpose": (lambda x: np.transpose(x), lambda v: np.ones_like(v)),
    "squeeze": (lambda x: np.squeeze(x[:, :1], axis=1), lambda v: np.array([[1.0, 0.0], [1.0, 0.0]])),
    "expand_dims": (lambda x: np.expand_dims(x, 1), lambda v: np.ones_like(v)),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), lambda v: np.ones_like(v)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (3, 2, 2)), lambda v: np.full_like(v, 3.0)),
    "concatenate": (lambda x: np.concatenate([x, X, x], axis=1), lambda v: np.full_like(v, 2.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_numpy_function_of_a_tensor_is_numpys_value_with_a_gradient(name):
    call, derivative = CALLS[name]
    x = leaf(X)
    y = call(x)
    expected = np.asarray(call(X))
    assert type(y) is Tensor
    assert y.requires_grad
    np.testing.assert_allclose(y.data, expected, rtol=1e-15)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, derivative(X), rtol=1e-14)


def test_every_registered_ufunc_gives_a_tensor_and_never_an_object_array():
    for ufunc in UFUNCS:
        y = ufunc(*[leaf([1.5 if ufunc is np.arccosh else 0.5])] * ufunc.nin)
        assert type(y) is Tensor
        assert y.dtype == np.float64
        assert y.requires_grad


@pytest.mark.parametrize(
    "function",
    [
        np.isfinite,
        np.isnan,
        np.sign,
        np.floor,
        np.rint,
        np.logical_not,
        np.round,
        np.around,
        np.fix,
        np.argmax,
        np.argsort,
    ],
)
def test_functions_without_derivative_give_plain_results_alike(function):
    y = function(leaf([0.5, -1.5]))
    assert type(y) is type(function(np.array([0.5, -1.5])))
    np.testing.assert_array_equal(y, function(np.array([0.5, -1.5])))


@pytest.mark.parametrize("function", [np.greater, np.less_equal, np.equal])
def test_functions_that_operators_stand_for_give_tensors_on_either_side(function):
    for y in (function(leaf([0.5, 2.0]), np.ones(2)), function(np.ones(2), leaf([0.5, 2.0]))):
        assert type(y) is Tensor
        assert (y.dtype, y.requires_grad) == (np.bool_, False)


def test_functions_of_the_values_alone_give_plain_results():
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    assert np.argmax(x) == 3
    assert np.argmin(x, axis=1).tolist() == [1, 0]
    assert np.argsort(x, axis=1).tolist() == [[1, 0], [0, 1]]
    assert np.shape(x) == (2, 2)
    assert np.allclose(x, x.data)
    assert np.array_equal(x, x)
    assert np.all(x > 0)
    assert type(np.zeros_like(x)) is np.ndarray
    assert np.count_nonzero(x > 1.5) == 3


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.nextafter(x, x), "np.nextafter"),
        (lambda x: np.add.accumulate(x), "np.add.accumulate"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer"),
        (lambda x: np.linalg.eigvals(x), r"np\.linalg\.eigvals"),
        (lambda x: np.unwrap(x), r"np\.unwrap"),
        (lambda x: np.trapezoid(x), "^np.trapezoid"),
    ],
)
def test_a_numpy_function_without_a_rule_is_refused_by_name_and_told_the_ways_out(call, name):
    with pytest.raises(GraphError, match=name + r" has no derivative rule.*register an op.*x\.data"):
        call(leaf(X))


def test_out_is_refused_and_the_array_left_alone():
    out = np.zeros((2, 2))
    with pytest.raises(GraphError, match=r"np\.exp can't write into out=.*use the value that it returns"):
        np.exp(leaf(X), out=out)
    assert not out.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add(x, x, dtype=np.float32),
        lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.sum(x, initial=3.0),
    ],
)
def test_an_option_that_is_not_carried_over_is_refused_rather_than_ignored(call):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        call(leaf(X))


def test_concatenating_along_no_axis_is_refused_at_once():
    with pytest.raises(TypeError, match="'NoneType' object cannot be interpreted as an integer"):
        np.concatenate([leaf(X), leaf(X)], axis=None)


def test_ops_of_arrays_are_arrays():
    for y in (
        gradcore.relu(X),
        gradcore.add(X, 1.0),
        gradcore.matmul(X, X),
        gradcore.softmax(X),
        gradcore.concatenate([X, X]),
    ):
        assert type(y) is np.ndarray
    assert not isinstance(gradcore.sum(X), Tensor)


def test_ops_of_lists_are_those_of_arrays_not_of_lists():
    assert gradcore.add([1, 2], [3, 4]).tolist() == [4, 6]
    assert gradcore.mul([1, 2], 2).tolist() == [2, 4]
    assert gradcore.matmul([[1, 2]], [[3], [4]]).tolist() == [[11]]
    assert gradcore.reshape([1, 2, 3, 4], (2, 2)).tolist() == [[1, 2], [3, 4]]
    assert gradcore.linear([[1.0, 2.0]], [[1.0], [1.0]], [0.5]).tolist() == [[3.5]]


UNARY = ["neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu"]
TWO = ["add", "sub", "mul", "div", "pow", "maximum", "matmul"]


@pytest.mark.parametrize("name", UNARY + TWO)
@pytest.mark.parametrize("recorded", [True, False])
def test_the_short_way_of_a_method_gives_what_the_op_gives(name, recorded):
    # Methods without static parameters spell Op.__call__ out for speed: both must leave the same node.
    made = gradcore.registry.ops[name]
    numbers = [] if name == "matmul" else [2.0]
    for partner in (leaf(X), Tensor(X), X, [[1.0, 2.0], [3.0, 4.0]], *numbers):
        x = Tensor(X, recorded)
        others = () if name in UNARY else (partner,)
        short, full = getattr(x, name)(*others), made(x, *others)
        np.testing.assert_array_equal(short.data, full.data)
        assert short.dtype == full.dtype
        assert short.requires_grad == full.requires_grad
        assert short._op is full._op
        assert short.grad is full.grad is None
        for attribute in ("_parents", "_arrays"):
            a, b = getattr(short, attribute), getattr(full, attribute)
            assert (a is None) == (b is None)
            assert a is None or len(a) == len(b)
        if short._parents:
            assert [id(p) for p in short._parents] == [id(p) for p in full._parents]
        with gradcore.no_grad():
            assert not getattr(x, name)(*others).requires_grad
