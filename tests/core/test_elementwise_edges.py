"""Activations and choices at their kinks, where numbers are missing or overflow, and what they refuse."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError, ShapeError
from gradcore.ops import special


def slopes(f, *values):
    """What each of the arrays gets for a cotangent of 2 everywhere."""
    leaves = [Tensor(np.array(value, np.float64), requires_grad=True) for value in values]
    y = f(*leaves)
    y.backward(np.full(y.shape, 2.0))
    return [leaf.grad.tolist() for leaf in leaves]


# --- kinks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (gradcore.relu, 0.0, 0.0),
        (lambda x: gradcore.leaky_relu(x, slope=0.25), 0.0, 0.25),
        (lambda x: gradcore.prelu(x, np.array([0.25])), 0.0, 0.25),
        (lambda x: gradcore.elu(x, alpha=0.25), 0.0, 0.25),
        (lambda x: gradcore.celu(x, alpha=0.25), 0.0, 1.0),
    ],
)
def test_the_derivative_at_a_kink_is_the_one_that_is_documented(f, at, slope):
    assert slopes(f, [at]) == [[2 * slope]]
    assert float(f(np.array([at]))[0]) == 0.0


@pytest.mark.parametrize(
    "f", [gradcore.elu, gradcore.celu, gradcore.selu, gradcore.softplus, gradcore.logsigmoid]
)
def test_nothing_overflows_where_the_function_is_finite(f):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sign in (1, -1):
            x = np.array([sign * 1e4])
            assert np.isfinite(f(x)).all()
            assert np.isfinite(slopes(f, x)).all()


def test_fmax_and_fmin_give_the_cotangent_to_the_number_beside_a_missing_one():
    x, y = [1.0, np.nan, 3.0, np.nan], [np.nan, 5.0, 4.0, np.nan]
    assert slopes(gradcore.fmax, x, y)[0][:3] == [2.0, 0.0, 0.0]
    assert slopes(gradcore.fmax, x, y)[1][:3] == [0.0, 2.0, 2.0]
    assert slopes(gradcore.fmin, x, y)[0][:3] == [2.0, 0.0, 2.0]
    assert slopes(gradcore.fmin, x, y)[1][:3] == [0.0, 2.0, 0.0]


def test_a_tie_gives_each_half():
    for f in (gradcore.maximum, gradcore.minimum, gradcore.fmax, gradcore.fmin):
        assert slopes(f, [3.0], [3.0]) == [[1.0], [1.0]]


# --- prelu ------------------------------------------------------------------------------------------------------------


def test_a_weight_of_prelu_is_one_number_or_one_for_each_channel():
    x = np.array([[-1.0, -2.0], [3.0, -4.0]])
    for one in (np.array(0.5), np.array([0.5]), Tensor([0.5])):
        np.testing.assert_array_equal(np.asarray(gradcore.prelu(x, one)), [[-0.5, -1.0], [3.0, -2.0]])
    np.testing.assert_array_equal(gradcore.prelu(x, np.array([0.5, 0.25])), [[-0.5, -0.5], [3.0, -1.0]])
    np.testing.assert_array_equal(
        gradcore.prelu(x[..., None], np.array([0.5, 0.25]))[..., 0], [[-0.5, -0.5], [3.0, -1.0]]
    )
    np.testing.assert_array_equal(gradcore.prelu(x[0], np.array([0.5])), [-0.5, -1.0])


@pytest.mark.parametrize(
    ("x", "weight", "would"),
    [
        ((2, 3), (2,), r"\(3,\), one for each channel, or \(1,\) would fit"),
        ((2, 3, 4), (4,), r"\(3,\), one for each channel, or \(1,\) would fit"),
        ((3,), (3,), r"weight of shape \(3,\): \(1,\) would fit"),
        ((2, 3), (3, 1), r"weight of shape \(3, 1\): \(3,\), one for each channel, or \(1,\) would fit"),
        ((2, 3), (1, 3), r"weight of shape \(1, 3\): \(3,\), one"),
        ((), (2,), r"x of shape \(\) and a weight of shape \(2,\): \(1,\) would fit"),
        ((2, 3), (0,), r"\(3,\), one for each channel"),
    ],
)
def test_a_weight_of_prelu_that_does_not_fit_is_refused(x, weight, would):
    with pytest.raises(ShapeError, match=would):
        gradcore.prelu(np.ones(x), np.ones(weight))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: gradcore.celu(x, 0), DomainError, r"celu got alpha=0, by which it divides: relu\(x\) is its limit"),
        (lambda x: gradcore.softplus(x, 0.0), DomainError, r"softplus got beta=0\.0: it must be above 0"),
        (lambda x: gradcore.softplus(x, -1.0), DomainError, r"softplus got beta=-1\.0: it must be above 0"),
        (lambda x: gradcore.gelu(x, approximate="erf"), DomainError, r"gelu got approximate='erf': it is 'none' or 'tanh'"),
        (lambda x: gradcore.glu(x), ShapeError, r"glu halves axis 1 of shape \(2, 3\), whose size 3 is odd"),
        (lambda x: gradcore.glu(x, -1), ShapeError, r"glu halves axis 1 of shape \(2, 3\), whose size 3 is odd"),
        (lambda x: gradcore.unsqueeze(x), ShapeError, r"unsqueeze needs the place of the new axis: write x\.unsqueeze\(0\)"),
        (lambda x: gradcore.unsqueeze(x, (0, -4)), ShapeError, r"unsqueeze got axes \(0, -4\), two of which are the same place"),
        (lambda x: gradcore.unsqueeze(x, [1, 1]), ShapeError, r"unsqueeze got axes \(1, 1\), two of which are the same place"),
        (lambda x: gradcore.unsqueeze(x, 3), ShapeError, r"unsqueeze"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_what_would(call, error, message):
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)))):
        with pytest.raises(error, match=message):
            call(x)
    assert gradcore.unsqueeze(np.ones((2, 3)), (0, 2)).shape == (1, 2, 1, 3)
    assert gradcore.glu(np.ones((2, 3)), 0).shape == (1, 3)


def test_the_series_of_polygamma_has_bernoullis_numbers():
    """Of which the sum of C(n + 1, k) B_k over k <= n is 0 for every n from 1 on."""
    numbers = [Fraction(1)]
    for n in range(1, 2 * len(special._BERNOULLI) + 1):
        numbers.append(-sum(math.comb(n + 1, k) * b for k, b in enumerate(numbers)) / Fraction(n + 1))
    assert list(special._BERNOULLI) == [float(b) for b in numbers[2::2]]
