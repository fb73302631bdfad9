"""What the errors of the core say: what came, what was expected, what to do."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, errors
from gradcore.errors import DtypeError, GradcoreError, ShapeError

X = Tensor(np.ones((2, 3)), requires_grad=True)


def everything_in(message):
    """A pattern that demands each part of the message, in order."""
    import re

    return ".*".join(re.escape(part) for part in message)


SHAPES = {
    "matmul, inner sizes": (
        lambda: X @ np.ones((4, 5)),
        ["(2, 3) and (4, 5)", "the last axis of the first is 3 and must equal 4", "shape (..., 2, 4) would fit"],
    ),
    "matmul, a vector on the right": (
        lambda: X @ np.ones(4),
        ["(2, 3) and (4,)", "must equal 4, the only axis of the second"],
    ),
    "matmul, a vector on the left": (
        lambda: Tensor(np.ones(4)) @ X,
        ["(4,) and (2, 3)", "must equal 2", "shape (2, ...) would fit"],
    ),
    "matmul, leading axes": (
        lambda: Tensor(np.ones((2, 1, 3))) @ np.ones((5, 3, 1)),
        ["the leading axes (2,) and (5,) do not broadcast"],
    ),
    "matmul with a number": (lambda: X @ 2.0, ["(2, 3) and ()", "use * instead"]),
    "add": (lambda: X + np.ones(2), ["add got the shapes (2, 3) and (2,)", "equal or 1"]),
    "where": (
        lambda: gradcore.where(np.array([True, False]), X, X),
        ["where got the shapes (2,) and (2, 3) and (2, 3)", "do not broadcast"],
    ),
    "an op on arrays alone": (
        lambda: gradcore.mul(np.ones(2), np.ones(3)),
        ["mul got the shapes (2,) and (3,)", "do not broadcast"],
    ),
    "reshape": (lambda: X.reshape(4, 2), ["6 entries of shape (2, 3) do not fit the shape (4, 2)", "multiply to 6"]),
    "reshape with two unknowns": (lambda: X.reshape(-1, -1), ["do not fit the shape (-1, -1)", "one may be -1"]),
    "transpose": (lambda: X.transpose(0, 0), ["axes=(0, 0) is not a permutation of the 2 axes of shape (2, 3)"]),
    "transpose, too few": (lambda: X.transpose(0), ["axes=(0,) is not a permutation of the 2 axes"]),
    "broadcast_to": (lambda: X.broadcast_to((2, 4)), ["(2, 3) does not broadcast to (2, 4)", "equal or 1"]),
    "concatenate": (
        lambda: gradcore.concatenate([X, np.ones((2, 2))]),
        ["can't concatenate the shapes [(2, 3), (2, 2)] along axis 0", "agree in every other axis"],
    ),
    "concatenate nothing": (lambda: gradcore.concatenate([]), ["can't concatenate the shapes []"]),
    "linear": (
        lambda: gradcore.linear(X, np.ones((4, 5))),
        ["x of shape (2, 3) and a weight of shape (4, 5)", "x of shape (..., 4) would fit"],
    ),
    "linear's bias": (
        lambda: gradcore.linear(X, np.ones((3, 5)), np.ones(4)),
        ["a bias of shape (4,) for a weight of shape (3, 5)", "(1, 5) or (5,) would fit"],
    ),
    "linear's bias by columns": (lambda: gradcore.linear(X, np.ones((3, 5)), np.ones((5, 1))), ["bias of shape (5, 1)"]),
    "the mean of nothing": (lambda: Tensor(np.zeros((0, 3))).mean(0), ["axis=0 of shape (0, 3)", "no entries"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit_are_stated_with_what_would(name):
    call, message = SHAPES[name]
    with pytest.raises(ShapeError, match=everything_in(message)):
        call()


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax"])
def test_an_axis_that_is_not_there_is_named(name):
    with pytest.raises(np.exceptions.AxisError, match="axis 5 is out of bounds for array of dimension 2"):
        getattr(gradcore, name)(X, axis=5)


def test_a_condition_that_is_not_boolean_is_refused_before_the_backward_pass():
    with pytest.raises(
        DtypeError, match="takes a condition of booleans, and got float64: compare first, as in c != 0"
    ):
        gradcore.where(X, X, X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradcore.add(X), "missing a required argument: 'y'"),
        (lambda: gradcore.add(X, X, X), "too many positional arguments"),
        (lambda: gradcore.relu(x=X), "positional.only"),
        (lambda: gradcore.sum(X, axiss=1), "unexpected keyword argument 'axiss'"),
        (lambda: X.sum(0, False, 3), "too many positional arguments"),
    ],
)
def test_wrong_arguments_get_pythons_own_message(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_no_error_of_ours_hides_behind_the_one_that_numpy_raised():
    with pytest.raises(ShapeError) as caught:
        X + np.ones(2)
    assert caught.value.__suppress_context__
    with pytest.raises(ShapeError) as caught:
        X @ np.ones(2)
    assert caught.value.__suppress_context__


def test_a_value_error_that_is_not_about_broadcasting_comes_through_as_it_is():
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        Tensor(np.arange(3)) ** -1


def test_every_error_is_one_of_ours_and_one_of_pythons():
    ours = [
        e
        for e in vars(errors).values()
        if isinstance(e, type) and issubclass(e, Exception) and e is not GradcoreError
    ]
    assert len(ours) > 5
    for error in ours:
        assert issubclass(error, GradcoreError)
        assert [
            base
            for base in error.__mro__
            if base.__module__ == "builtins" and base not in (Exception, BaseException, object)
        ]


def test_an_op_that_may_do_without_an_array_is_not_blamed_for_its_lack():
    def shifted(x, shift=None, /):
        raise TypeError("of its own")

    made = gradcore.Op(shifted, lambda *_: None, gradcore.relu.spec)
    with pytest.raises(TypeError, match=r"^of its own$"):
        made(Tensor([1.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: gradcore.add(x, None),
        lambda x: gradcore.add(None, x),
        lambda x: gradcore.maximum(x, None),
        lambda x: gradcore.exp(None),
        lambda x: x + None,
    ],
)
def test_nothing_in_the_place_of_an_array_is_refused(call):
    for x in (Tensor(np.ones(2)), Tensor(np.ones(2), requires_grad=True)):
        with pytest.raises(DtypeError, match="NoneType None gives the dtype object: pass an array"):
            call(x)
    with pytest.raises(DtypeError, match="NoneType None gives the dtype object"):
        gradcore.add(np.ones(2), None)
