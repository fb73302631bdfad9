"""Variances, quantiles and averages at the ends of what they take; angles and lengths at the origin; sinc next to 0."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError, ShapeError

X = np.random.default_rng(0).standard_normal((2, 5))


def test_a_correction_is_the_array_apis_name_of_ddof():
    for f, g in ((gradcore.var, np.var), (gradcore.std, np.std)):
        np.testing.assert_allclose(f(X, 1, correction=1), g(X, 1, ddof=1), rtol=1e-14)
        np.testing.assert_allclose(f(X, 1, correction=2.5), g(X, 1, ddof=2.5), rtol=1e-14)
    assert gradcore.var(X, 1, ddof=1)[0] != gradcore.var(X, 1)[0]


@pytest.mark.parametrize("ddof", [5, 6])
def test_a_variance_of_as_many_entries_as_are_taken_off_is_refused(ddof):
    for f in (gradcore.var, gradcore.std):
        with pytest.raises(
            DomainError, match=rf"divides by {5 - ddof}, with ddof={ddof}: it needs more entries"
        ):
            f(X, 1, ddof=ddof)
    assert gradcore.var(X, 1, ddof=4).shape == (2,)


@pytest.mark.parametrize("q", [-0.01, 1.01, [0.5, 1.5], [-0.5, 0.5], [[0.5]], float("nan")])
def test_a_share_that_is_none_is_refused(q):
    with pytest.raises(DomainError, match=r"quantile got q=.*: a number from 0 to 1, or a list of such"):
        gradcore.quantile(X, q)


def test_shares_may_be_whole_numbers_and_float32_and_there_have_to_be_entries():
    for q in (0, 1, np.int64(1), [0, 1]):
        np.testing.assert_array_equal(gradcore.quantile(X, q, 1), np.quantile(X, q, 1))
    share = np.float32(0.3)
    np.testing.assert_array_equal(gradcore.quantile(X, share), gradcore.quantile(X, float(share)))
    for f in (lambda x: gradcore.quantile(x, 0.5, 1), lambda x: gradcore.median(x, 1)):
        with pytest.raises(ShapeError, match=r"quantile over axis=1 of shape \(2, 0\): there are no entries"):
            f(np.zeros((2, 0)))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 2)])
def test_several_shares_are_the_first_axis_of_the_result(axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    for keepdims in (False, True):
        expected = np.quantile(x, [0.1, 0.5, 0.7, 0.9], axis, keepdims=keepdims)
        np.testing.assert_allclose(
            gradcore.quantile(x, [0.1, 0.5, 0.7, 0.9], axis, keepdims), expected, rtol=1e-13
        )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_ranges_are_numpys(axis, keepdims):
    np.testing.assert_array_equal(gradcore.ptp(X, axis, keepdims), np.ptp(X, axis, keepdims=keepdims))


def test_weights_of_one_axis_count_for_every_entry_along_the_others():
    weights = np.array([1.0, 2.0, 0.5, 3.0, 0.25])
    for w, axis in ((weights, 1), (weights, -1), (weights[:2], 0)):
        np.testing.assert_allclose(gradcore.average(X, axis, w), np.average(X, axis, weights=w), rtol=1e-14)
    whole = np.average(X, weights=np.broadcast_to(weights, X.shape))
    assert float(gradcore.average(X, weights=weights)) == pytest.approx(whole, rel=1e-14)


def test_angles_and_lengths_have_a_slope_of_zero_at_the_origin():
    for f in (gradcore.arctan2, gradcore.hypot):
        x, y = (Tensor(np.array([0.0, 3.0]), requires_grad=True) for _ in range(2))
        f(x, y).backward(np.array([2.0, 2.0]))
        assert (x.grad[0], y.grad[0]) == (0.0, 0.0)
        assert np.isfinite([*x.grad, *y.grad]).all()
        assert x.grad[1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_slope_of_sinc_is_right_on_both_sides_of_where_its_series_ends(dtype):
    x = np.concatenate([np.linspace(0.3, 0.5, 200), np.linspace(0.5, 1.2, 200)]).astype(dtype)
    wide = x.astype(np.longdouble)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    truth = (np.cos(pi * wide) - np.sin(pi * wide) / (pi * wide)) / wide
    leaf = Tensor(x, requires_grad=True)
    gradcore.sinc(leaf).backward(np.ones_like(x))
    far = np.abs(leaf.grad - truth.astype(np.float64)) / np.finfo(dtype).eps
    assert far.max() < 8


def test_a_mean_of_a_list_or_a_number_is_numpys():
    assert gradcore.mean([[1.0, 2.0], [3.0, 6.0]]) == 3.0
    assert gradcore.mean([[1.0, 2.0], [3.0, 6.0]], 0).tolist() == [2, 4]
    assert gradcore.mean(2.5) == 2.5
    assert gradcore.mean([1, 2]) == 1.5


@pytest.mark.parametrize("order", [np.inf, -np.inf, 1, 2, 3, 0.5])
def test_a_norm_of_vectors_keeps_their_axes_where_it_is_asked_to(order):
    for axis in (None, 0, 1, (0, 1)):
        for keepdims in (False, True):
            np.testing.assert_allclose(
                gradcore.vector_norm(X, order, axis, keepdims),
                np.linalg.vector_norm(X, ord=order, axis=axis, keepdims=keepdims),
                rtol=1e-13,
            )
