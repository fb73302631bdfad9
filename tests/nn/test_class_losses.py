"""Cross-entropy and negative log-likelihood with weights, shares, smoothing and labels that do not count: values by hand."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError, DtypeError, GraphError, ShapeError

LOGITS = np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
"""Their softmax is what stands here."""

SHARES = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
COST = -np.log([np.sqrt(0.5 * 0.25), 0.75])
BOTH = pytest.mark.parametrize("loss", [gradcore.cross_entropy, gradcore.nll_loss])


def test_shares_are_taken_as_arrays_and_as_tensors_with_weights_and_without():
    for shares in (SHARES, Tensor(SHARES)):
        np.testing.assert_allclose(gradcore.cross_entropy(LOGITS, shares, "none"), COST, rtol=1e-14)
        np.testing.assert_allclose(gradcore.cross_entropy(Tensor(LOGITS), shares, "none"), COST, rtol=1e-14)
        found = gradcore.cross_entropy(LOGITS, shares, "none", weight=[2.0, 2.0, 3.0])
        np.testing.assert_allclose(found, COST * [2, 3], rtol=1e-14)


def test_shares_that_are_smoothed_get_gradients():
    shares = Tensor(SHARES, requires_grad=True)
    loss = gradcore.cross_entropy(LOGITS, shares, "none", label_smoothing=0.25)
    logp = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    np.testing.assert_allclose(loss.data, -((0.75 * SHARES + 0.25 / 3) * logp).sum(1), rtol=1e-14)
    loss.sum().backward()
    np.testing.assert_allclose(shares.grad, -0.75 * logp, rtol=1e-14)


@pytest.mark.parametrize("more", [{}, {"weight": [1.0, 1.0, 1.0]}])
def test_numbers_that_are_neither_labels_nor_shares_are_refused(more):
    with pytest.raises(DtypeError, match="cross_entropy takes whole numbers as labels, and got float64"):
        gradcore.cross_entropy(LOGITS, np.array([0.0, 1.0]), **more)
    for wrong in (np.ones((2, 4)), np.ones((2, 3), int)):
        with pytest.raises(
            ShapeError, match=r"labels of shape .*: one label per row, of shape \(2,\), would fit"
        ):
            gradcore.cross_entropy(LOGITS, wrong, **more)
    assert float(gradcore.cross_entropy(LOGITS, [0, 2], **more)) == pytest.approx(-np.log([0.5, 0.75]).mean())


@BOTH
@pytest.mark.parametrize("more", [{}, {"weight": [1.0, 1.0]}])
def test_logits_of_one_axis_are_refused(loss, more):
    with pytest.raises(
        ShapeError, match=rf"{loss.__name__} takes logits of shape \(n, classes\) or .*, and got \(2,\)"
    ):
        loss(np.zeros(2), np.array([0, 1]), **more)


@BOTH
@pytest.mark.parametrize("ignored", [-100, 7, 1])
def test_a_label_that_does_not_count_may_be_any_number(loss, ignored):
    labels = np.array([ignored, 2])
    assert float(loss(LOGITS, labels, ignore_index=ignored)) == pytest.approx(-np.log(0.75), rel=1e-14)
    np.testing.assert_allclose(
        loss(LOGITS, labels, "none", ignore_index=ignored), [0.0, -np.log(0.75)], rtol=1e-14
    )
    found = loss(LOGITS, labels, ignore_index=ignored, weight=[5.0, 6.0, 7.0])
    assert float(found) == pytest.approx(-np.log(0.75), rel=1e-14)


@BOTH
def test_a_label_that_does_not_count_needs_no_second_class(loss):
    assert float(loss(np.zeros((2, 1)), np.array([0, -1]), ignore_index=-1)) == 0.0


@BOTH
def test_no_label_that_counts_has_no_mean(loss):
    with pytest.raises(ShapeError, match=r"the mean over labels of shape \(2,\) is one of no entries"):
        loss(LOGITS, np.array([1, 1]), ignore_index=1)
    assert float(loss(LOGITS, np.array([1, 1]), "sum", ignore_index=1)) == 0.0


@BOTH
@pytest.mark.parametrize("more", [{}, {"ignore_index": -1}])
def test_labels_out_of_range_are_counted_and_the_first_one_named(loss, more):
    logits = np.zeros((2, 3, 3))
    for first in (3, -2):
        labels = np.array([[0, 1, 2], [first, 5, -1 if more else 1]])
        with pytest.raises(
            DomainError,
            match=rf"^2 of 6 labels are out of range, the first at row 3: {first}; with logits of 3",
        ):
            loss(logits, labels, **more)
    with pytest.raises(DomainError, match=r"^1 of 6 labels are out of range, the first at row 5: -1; "):
        loss(logits, np.array([[0, 1, 2], [0, 1, -1]]))


@BOTH
def test_weights_are_one_number_for_each_class_in_any_form(loss):
    expected = (-2 * np.log(0.5) - 3 * np.log(0.75)) / 5
    for weight in ([2.0, 9.0, 3.0], np.array([2, 9, 3]), Tensor([2.0, 9.0, 3.0])):
        assert float(loss(LOGITS, np.array([0, 2]), weight=weight)) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(
        ShapeError, match=r"weight has shape \(2,\): one number for each class, of shape \(3,\), would fit"
    ):
        loss(LOGITS, np.array([0, 2]), weight=[1.0, 2.0])


@BOTH
def test_weights_that_require_a_gradient_are_refused_as_they_would_get_none(loss):
    weight = Tensor([2.0, 9.0, 3.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"weights of classes get no gradient: pass weight\.detach\(\)"):
        loss(LOGITS, np.array([0, 2]), weight=weight)
    loss(LOGITS, np.array([0, 2]), weight=weight.detach())


def test_log_probabilities_may_be_a_list():
    assert float(gradcore.nll_loss([[-1.0, -2.0], [-3.0, -4.0]], [1, 0])) == 2.5
    assert float(gradcore.nll_loss([[-1.0, -2.0], [-3.0, -4.0]], Tensor(np.array([1, 0])), "sum")) == 5.0
