"""Losses: values, reductions, huge logits, errors."""

import math

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn
from gradcore.errors import DomainError, DtypeError, ShapeError

LABELS = np.array([2, 0])
LOGITS = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))
# -log(5/8) and -log(3/8)
ROWS = [math.log(8 / 5), math.log(8 / 3)]


def test_mse_by_hand():
    prediction, target = [[1.0, 2.0], [3.0, 5.0]], [[1.0, 0.0], [0.0, 4.0]]
    assert gradcore.mse_loss(Tensor(prediction), Tensor(target)).item() == (0 + 4 + 9 + 1) / 4
    assert gradcore.mse_loss(Tensor(prediction), target, reduction="sum").item() == 14
    assert gradcore.mse_loss(Tensor(prediction), target, reduction="none").tolist() == [[0, 4], [9, 1]]


def test_the_gradient_of_mse_goes_to_both_sides():
    prediction = Tensor(np.array([1.0, 4.0]), requires_grad=True)
    target = Tensor(np.array([2.0, 1.0]), requires_grad=True)
    gradcore.mse_loss(prediction, target).backward()
    assert prediction.grad.tolist() == [-1, 3]
    assert target.grad.tolist() == [1, -3]


@pytest.mark.parametrize("loss", [gradcore.mse_loss, lambda *both: nn.MSELoss()(*both)])
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((2, 3), (3,)), ((2,), (3,))])
def test_mse_refuses_shapes_that_differ_even_where_they_would_broadcast(shapes, loss):
    prediction, target = (Tensor(np.zeros(s)) for s in shapes)
    with pytest.raises(
        ShapeError, match=r"a prediction of shape .* they must be equal \(reshape one of them\)"
    ) as caught:
        loss(prediction, target)
    assert f"prediction of shape {shapes[0]} and a target of shape {shapes[1]}:" in str(caught.value)


def test_cross_entropy_and_its_reductions_by_hand():
    logits = Tensor(LOGITS)
    np.testing.assert_allclose(gradcore.cross_entropy(logits, LABELS).item(), sum(ROWS) / 2, rtol=1e-15)
    np.testing.assert_allclose(
        gradcore.cross_entropy(logits, LABELS, reduction="sum").item(), sum(ROWS), rtol=1e-15
    )
    np.testing.assert_allclose(
        gradcore.cross_entropy(logits, LABELS, reduction="none").data, ROWS, rtol=1e-15
    )


@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(np.uint8), Tensor(LABELS), [2, 0]])
def test_labels_may_be_of_any_whole_number_type(labels):
    np.testing.assert_allclose(
        gradcore.cross_entropy(Tensor(LOGITS), labels).item(), sum(ROWS) / 2, rtol=1e-15
    )


def test_losses_take_lists():
    assert gradcore.mse_loss([1.0, 2.0], [1.0, 0.0]) == 2
    np.testing.assert_allclose(gradcore.cross_entropy(LOGITS.tolist(), [2, 0]), sum(ROWS) / 2, rtol=1e-6)


def test_losses_of_arrays_are_plain_numbers():
    assert not isinstance(gradcore.cross_entropy(LOGITS, LABELS), Tensor)
    assert gradcore.mse_loss(np.ones(2), np.zeros(2)) == 1


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_gradient_of_each_reduction_weighs_the_rows_accordingly(reduction):
    logits = Tensor(LOGITS, requires_grad=True)
    loss = gradcore.cross_entropy(logits, LABELS, reduction)
    loss.backward(np.array([1.0, 10.0]) if reduction == "none" else None)
    weights = {"mean": [0.5, 0.5], "sum": [1, 1], "none": [1, 10]}[reduction]
    rows = np.array([[1 / 8, 2 / 8, 5 / 8 - 1], [3 / 8 - 1, 3 / 8, 2 / 8]])
    np.testing.assert_allclose(logits.grad, rows * np.reshape(weights, (2, 1)), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_cross_entropy_of_huge_logits_is_finite_and_right_with_its_gradient(dtype, size, label):
    # Two logits share the probability, the third has none of it: e^-size is 0.
    logits = Tensor(np.array([[size, size, -size / 3]], dtype), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.array([label]))
    loss.backward()
    expected = math.log(2) + (0 if label < 2 else size + size / 3)
    np.testing.assert_allclose(loss.item(), expected, rtol=4 * np.finfo(dtype).eps)
    target = np.eye(3)[label]
    np.testing.assert_allclose(logits.grad, [np.array([0.5, 0.5, 0]) - target], rtol=1e-6)
    assert logits.grad.dtype == dtype


def test_gradients_of_a_row_add_up_to_zero_for_logits_of_every_scale():
    rng = np.random.default_rng(0)
    for size in (1e-3, 1.0, 1e3, 1e6, 1e20):
        logits = Tensor((rng.normal(size=(40, 7)) * size).astype(np.float32), requires_grad=True)
        gradcore.cross_entropy(logits, rng.integers(0, 7, 40), "sum").backward()
        np.testing.assert_allclose(logits.grad.sum(1), 0, atol=1e-6)
        assert np.abs(logits.grad).max() <= 1


def test_a_logit_of_minus_infinity_rules_a_class_out():
    logits = Tensor(np.array([[0.0, 0.0, -np.inf]]), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.array([0]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), math.log(2), rtol=1e-15)
    assert logits.grad.tolist() == [[-0.5, 0.5, 0]]


def test_a_label_that_is_ruled_out_costs_infinity_and_its_gradient_is_still_finite():
    logits = Tensor(np.array([[0.0, 0.0, -np.inf]]), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.array([2]))
    loss.backward()
    assert loss.item() == np.inf
    assert logits.grad.tolist() == [[0.5, 0.5, -1]]


def test_one_class_costs_nothing():
    logits = Tensor(np.array([[3.0], [-5.0]]), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.array([0, 0]))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (np.zeros(3), [0], ShapeError, r"logits of shape \(n, classes\) or \(n, classes, ...\), and got \(3,\)"),
        (np.zeros((2, 3)), [0], ShapeError, r"\(2, 3\) and labels of shape \(1,\).*\(2,\), would fit \(integers, not one-hot"),
        (np.zeros((2, 3)), np.eye(3, dtype=int)[:2], ShapeError, r"labels of shape \(2, 3\)"),
        (np.zeros((2, 3)), np.zeros(2), DtypeError, r"whole numbers as labels, and got float64.*labels\.astype\(int\)"),
        (np.zeros((2, 3)), [True, False], DtypeError, "got bool"),
        (np.zeros((2, 3)), Tensor(np.zeros(2), requires_grad=True), DtypeError, "got float64"),
        (np.zeros((2, 3)), [0, 3], DomainError, r"1 of 2 labels are out of range, the first at row 1: 3;.* from 0 to 2"),
        (np.zeros((3, 3)), [0, -1, -1], DomainError, "2 of 3 labels are out of range, the first at row 1: -1"),
        (np.zeros((0, 3)), np.zeros(0, int), ShapeError, "no entries"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused_with_what_would(logits, labels, error, message):
    with pytest.raises(error, match=message):
        gradcore.cross_entropy(Tensor(logits), labels)


def test_no_rows_cost_nothing_in_sum():
    logits = Tensor(np.zeros((0, 3)), requires_grad=True)
    loss = gradcore.cross_entropy(logits, np.zeros(0, int), "sum")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 3)


@pytest.mark.parametrize("loss", [gradcore.mse_loss, gradcore.cross_entropy])
def test_an_unknown_reduction_is_refused_with_those_that_there_are(loss):
    target = np.zeros((2, 2)) if loss is gradcore.mse_loss else np.zeros(2, int)
    with pytest.raises(DomainError, match=r"reduction='average' must be 'mean', 'sum' or 'none'"):
        loss(Tensor(np.zeros((2, 2))), target, "average")


def test_losses_as_modules_do_what_the_functions_do():
    logits = Tensor(LOGITS)
    assert nn.CrossEntropyLoss()(logits, LABELS).item() == gradcore.cross_entropy(logits, LABELS).item()
    assert (
        nn.CrossEntropyLoss("sum")(logits, LABELS).item()
        == gradcore.cross_entropy(logits, LABELS, "sum").item()
    )
    assert nn.MSELoss("none")(logits, LOGITS).tolist() == np.zeros((2, 3)).tolist()
    assert repr(nn.MSELoss()) == "MSELoss(reduction='mean')"
    assert repr(nn.CrossEntropyLoss("sum")) == "CrossEntropyLoss(reduction='sum')"


def test_losses_keep_float32():
    logits = Tensor(LOGITS.astype(np.float32), requires_grad=True)
    for loss in (
        gradcore.cross_entropy(logits, LABELS),
        gradcore.mse_loss(logits, np.zeros((2, 3), np.float32)),
    ):
        assert loss.dtype == np.float32
        logits.zero_grad()
        loss.backward()
        assert logits.grad.dtype == np.float32
