"""Stage 1 can fail: mistakes in losses, each detected by the very check that the suite runs."""

import pytest

from gradcheck.strategies import examples
from gradcheck.verification import (
    VerificationError,
    cases,
    check_gradient,
    check_recording,
    check_second_order,
    check_tensor_method,
    check_value,
    like,
)
from gradcheck.verification.planted import detected
from gradcore import Tensor, cross_entropy, mse_loss, nn, ops, registry
from gradcore.convert import plain
from gradcore.losses.classes import cross_entropy_op

REDUCTIONS = ["mean", "sum", "none"]


def unit(loss, reduction):
    """The suite's unit for this reduction of a loss."""
    return next(u for u in cases.losses() if u.name == loss and u.id.endswith(f"-{reduction}"))


def squares(prediction, target):
    return (prediction - target) * (prediction - target)


def over_rows(prediction, target, reduction="mean"):
    """Averaged over rows, not entries."""
    values = squares(prediction, target)
    return ops.sum(values) / len(values) if reduction == "mean" else mse_loss(prediction, target, reduction)


def averaged_sum(prediction, target, reduction="mean"):
    return mse_loss(prediction, target, "mean" if reduction == "sum" else reduction)


def rows_summed(prediction, target, reduction="mean"):
    """Without a reduction, one value a row."""
    values = mse_loss(prediction, target, reduction)
    return ops.sum(values, -1) if reduction == "none" else values


def halved(prediction, target, reduction="mean"):
    """Half the squares, as some books have it."""
    return mse_loss(prediction, target, reduction) * 0.5


@pytest.mark.parametrize(
    ("mistake", "wrong"),
    [(over_rows, ["mean"]), (averaged_sum, ["sum"]), (rows_summed, ["none"]), (halved, REDUCTIONS)],
)
def test_a_wrong_reduction_is_detected_where_it_is_wrong_and_only_there(mistake, wrong):
    mistake.spec = mse_loss.spec
    for reduction in REDUCTIONS:
        case = unit("mse_loss", reduction).case

        def seek(case=case):
            return detected(examples(case), lambda example: check_value(mistake, example, "mse_loss"))

        if reduction in wrong:
            assert "mse_loss on" in seek()
        else:
            with pytest.raises(VerificationError, match="the mistake was not detected"):
                seek()


def without_target(prediction, target, reduction="mean"):
    """A constant target."""
    return mse_loss(prediction, Tensor(plain(target)) * 1, reduction)


def count_in_the_gradient(prediction, target, reduction="mean"):
    """The right value, and the gradient of a sum."""
    if reduction != "mean":
        return mse_loss(prediction, target, reduction)
    values = squares(prediction, target)
    return ops.sum(values) + plain(ops.mean(values) - ops.sum(values))


@pytest.mark.parametrize("mistake", [without_target, count_in_the_gradient])
def test_a_wrong_gradient_of_a_loss_is_detected(mistake):
    mistake.spec = mse_loss.spec
    message = detected(examples(unit("mse_loss", "mean").case), lambda e: check_gradient(mistake, e))
    assert mistake.__name__ in message


# --- cross-entropy's own rule -----------------------------------------------------------------------------------------

RIGHT = cross_entropy_op.rules[0]


def constant_rule(gy, y, logits, labels, **params):
    """Right, and to whoever differentiates it again, independent of the logits."""
    return RIGHT(gy, y, plain(logits), labels, **params)


def in_place(gy, y, logits, labels, **params):
    gx = RIGHT(gy, y, logits, labels, **params)
    gy *= 0
    return gx


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_rule_that_can_not_be_differentiated_again_is_detected(reduction):
    wrong = like(cross_entropy_op, vjp=(constant_rule, cross_entropy_op.rules[1]))
    detected(examples(unit("cross_entropy", reduction).case), lambda e: check_second_order(wrong, e))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_rule_that_breaks_a_contract_is_detected(reduction):
    wrong = like(cross_entropy_op, vjp=(in_place, cross_entropy_op.rules[1]))
    message = detected(examples(unit("cross_entropy", reduction).case), lambda e: check_gradient(wrong, e))
    assert "vjp_keeps_cotangent" in message


def off_on_tensors(logits, labels, reduction="mean"):
    y = cross_entropy(logits, labels, reduction)
    return y * 1.0000001 if isinstance(y, Tensor) else y


def test_a_loss_that_is_another_on_tensors_is_detected():
    off_on_tensors.spec = cross_entropy.spec

    def check(example):
        gy = plain(cross_entropy(*example.arrays, **example.params)) * 0 + 1
        check_recording(off_on_tensors, example, gy, "cross_entropy")

    assert "on Tensors it gives" in detected(examples(unit("cross_entropy", "sum").case), check)


# --- modules ----------------------------------------------------------------------------------------------------------


class AlwaysTheMean(nn.MSELoss):
    def forward(self, prediction, target):
        return mse_loss(prediction, target)


def test_a_loss_module_that_forgets_its_reduction_is_detected():
    def call(*tensors, reduction):
        return AlwaysTheMean(reduction)(*tensors)

    check = lambda e: check_tensor_method(call, mse_loss, e, "AlwaysTheMean")  # noqa: E731
    detected(examples(unit("mse_loss", "sum").case), check)
    with pytest.raises(VerificationError, match="the mistake was not detected"):
        detected(examples(unit("mse_loss", "mean").case), check)


def test_every_loss_has_a_unit_for_each_reduction():
    for name in registry.losses:
        for reduction in REDUCTIONS:
            assert unit(name, reduction).case.params["reduction"].values == (reduction,)
