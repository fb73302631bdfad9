"""CTC: forms of its targets, what has no alignment, long sequences, planted mistakes, and messages."""

import numpy as np
import pytest

import gradcore
from gradcheck import gradcheck
from gradcheck.strategies import examples
from gradcheck.verification import check_gradient, check_second_order, check_value, like
from gradcheck.verification.planted import detected
from gradcore import Tensor, nn
from gradcore.convert import plain
from gradcore.errors import DomainError, DtypeError, ShapeError
from gradcore.graph import backward_pass
from gradcore.losses import ctc
from gradcore.losses.ctc import ctc_op

RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((6, 3, 4))
TARGETS = np.array([[1, 2, 2], [3, 9, 9], [-1, -1, -1]])
INPUTS, LENGTHS = np.array([6, 4, 5]), np.array([3, 1, 0])


def loss_and_gradient(scores, *rest, **options):
    x = Tensor(np.asarray(scores), requires_grad=True)
    y = gradcore.ctc_loss(x, *rest, **options)
    y.sum().backward()
    return y.data, x.grad


def test_all_forms_of_targets_and_lengths_are_the_same_loss_and_padding_does_not_count():
    rows = gradcore.ctc_loss(SCORES, TARGETS, INPUTS, LENGTHS, reduction="none")
    for targets in ([1, 2, 2, 3], Tensor(TARGETS)):
        np.testing.assert_array_equal(
            rows, gradcore.ctc_loss(SCORES, targets, INPUTS.tolist(), tuple(LENGTHS), reduction="none")
        )
    changed = SCORES.copy()
    changed[4:, 1] = 100.0
    np.testing.assert_array_equal(
        rows, gradcore.ctc_loss(changed, TARGETS, INPUTS, LENGTHS, reduction="none")
    )
    for n, row in enumerate(rows):
        for targets in (TARGETS[n], TARGETS[n, : LENGTHS[n]]):
            alone = gradcore.ctc_loss(SCORES[:, n], targets, INPUTS[n], LENGTHS[n], reduction="none")
            assert np.shape(alone) == ()
            np.testing.assert_allclose(alone, row, rtol=1e-14)


def test_the_mean_is_of_each_loss_over_the_length_of_its_target():
    rows = gradcore.ctc_loss(SCORES, TARGETS, INPUTS, LENGTHS, reduction="none")
    expected = (rows[0] / 3 + rows[1] + rows[2]) / 3
    np.testing.assert_allclose(gradcore.ctc_loss(SCORES, TARGETS, INPUTS, LENGTHS), expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_target_without_alignment_has_a_loss_of_infinity_and_no_gradient(dtype):
    given = [[[1, 1], [1, 2]], [2, 2], [2, 2]]
    scores = SCORES[:2, :2].astype(dtype)
    y, gx = loss_and_gradient(scores, *given, reduction="none")
    assert (y[0], y.dtype, gx.dtype) == (np.inf, dtype, dtype)
    np.testing.assert_allclose(y[1], -(scores[0, 1, 1] + scores[1, 1, 2]), rtol=1e-6)
    zeroed, gz = loss_and_gradient(scores, *given, reduction="none", zero_infinity=True)
    assert zeroed.tolist() == [0.0, y[1]]
    for g in (gx, gz):
        np.testing.assert_allclose(g[:, 0], 0)
        np.testing.assert_allclose(g[:, 1], [[0, -1, 0, 0], [0, 0, -1, 0]], rtol=1e-6)


def test_a_class_without_probability_takes_part_in_no_alignment():
    p = np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])
    scores = np.log(p, where=p > 0, out=np.full(p.shape, -np.inf))
    y, gx = loss_and_gradient(scores, [1], 2, 1, reduction="sum")
    paths = {(1, 1): 0.375, (0, 1): 0.375, (1, 0): 0.125}
    total = sum(paths.values())
    np.testing.assert_allclose(y, -np.log(total), rtol=1e-14)
    np.testing.assert_allclose(gx, [[-0.375 / total, -0.5 / total, 0], [-0.125 / total, -0.75 / total, 0]])
    assert gradcore.ctc_loss(scores, [2], 2, 1) == np.inf


def test_no_steps_read_as_no_labels_and_nothing_else():
    y, gx = loss_and_gradient(SCORES[:0], TARGETS[:, :1], [0] * 3, [0, 1, 0], reduction="none")
    assert (y.tolist(), gx.shape) == ([0.0, np.inf, 0.0], (0, 3, 4))


def test_a_thousand_steps_of_sure_scores_are_finite():
    # Each step's best class is e^200 times as likely as any other: probabilities would be too small for a number.
    targets = RNG.integers(1, 4, 400)
    best = np.zeros(1000, int)
    best[1:801:2] = targets
    scores = np.where(np.eye(4, dtype=bool)[best], 0.0, -200.0).astype(np.float32)
    y, gx = loss_and_gradient(scores, targets, 1000, 400, reduction="sum")
    assert y == 0
    np.testing.assert_array_equal(gx, -np.eye(4, dtype=np.float32)[best])
    y, gx = loss_and_gradient(np.roll(scores, 3, 0), targets[::-1].copy(), 1000, 400, reduction="sum")
    assert 200 * 100 < y < 200 * 1000
    np.testing.assert_allclose(gx.sum(1), -1, rtol=1e-3)


def test_the_gradient_for_three_labels_is_the_numeric_one():
    gradcheck(lambda x: gradcore.ctc_loss(x, TARGETS, INPUTS, LENGTHS), (Tensor(SCORES),))
    gradcheck(
        lambda x: gradcore.ctc_loss(x, [[3, 2, 2], [2, 2, 1], [1, 2, 3]], [6] * 3, [3] * 3), (Tensor(SCORES),)
    )


def recorded_gradient(scores, *rest):
    x = Tensor(np.asarray(scores), requires_grad=True)
    y = gradcore.ctc_loss(x, *rest, reduction="none")
    gy = np.linspace(1.0, 2.0, y.size).reshape(y.shape)
    ((leaf, plain_gx),) = backward_pass([(y, gy)], retain_graph=True)
    ((same, gx),) = backward_pass([(y, Tensor(gy))], record=True)
    assert leaf is same is x
    return plain_gx, gx.data


@pytest.mark.parametrize("shift", [0.0, 2000.0, -2000.0])
@pytest.mark.parametrize("spread", [1.0, 800.0])
def test_a_recorded_gradient_is_the_same_for_scores_of_any_size(shift, spread):
    expected, found = recorded_gradient(spread * SCORES + shift, TARGETS, INPUTS, LENGTHS)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_recorded_gradient_is_the_same_where_there_is_no_alignment_and_no_probability():
    scores = SCORES[:2, :2].copy()
    scores[0, 1, 3] = -np.inf
    expected, found = recorded_gradient(scores, [[1, 1], [1, 2]], [2, 2], [2, 2])
    assert not expected[:, 0].any()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    empty, none = recorded_gradient(SCORES[:0], TARGETS[:, :1], [0] * 3, [0, 1, 0])
    assert empty.shape == none.shape == (0, 3, 4)


def test_lists_and_numbers_of_one_axis_are_taken():
    alone = gradcore.ctc_loss(SCORES[:, 0].tolist(), [1, 2, 2], 6, 3)
    for inputs, lengths in ((np.int64(6), np.int64(3)), ([6], [3]), (np.array(6), Tensor(np.array([3])))):
        assert float(gradcore.ctc_loss(SCORES[:, 0].astype(np.float32), [1, 2, 2], inputs, lengths)) == float(
            alone
        )
    small = [np.asarray(v, np.uint8) for v in ([[1, 2, 2], [3, 9, 9], [0, 0, 0]], INPUTS, LENGTHS)]
    np.testing.assert_array_equal(
        gradcore.ctc_loss(SCORES, *small, reduction="none"),
        gradcore.ctc_loss(SCORES, TARGETS, INPUTS, LENGTHS, reduction="none"),
    )
    empty = gradcore.ctc_loss(SCORES, [], INPUTS, [0, 0, 0], reduction="none")
    np.testing.assert_allclose(empty, [-SCORES[:t, n, 0].sum() for n, t in enumerate(INPUTS)])


def test_lengths_of_few_bits_are_as_long_as_they_are():
    """Twice 150 and one are more than 255."""
    scores = gradcore.log_softmax(np.random.default_rng(0).normal(size=(200, 1, 3)))
    labels = np.arange(150)[None] % 2 + 1
    usual = gradcore.ctc_loss(scores, labels, [200], [150])
    few = [np.asarray(v, np.uint8) for v in (labels, [200], [150])]
    assert np.isfinite(usual)
    assert float(gradcore.ctc_loss(scores, *few)) == float(usual)


def test_the_module_has_the_order_of_pytorch():
    module = nn.CTCLoss(3, "sum", True)
    assert module(SCORES, [[1], [2], [0]], INPUTS, [1, 1, 1]) == gradcore.ctc_loss(
        SCORES, [[1], [2], [0]], INPUTS, [1, 1, 1], 3, "sum"
    )
    assert repr(module) == "CTCLoss(reduction='sum', blank=3, zero_infinity=True)"


# --- planted mistakes -------------------------------------------------------------------------------------------------

DRAWN = examples(ctc_op.spec.cases[0])
RIGHT, ONWARD, STATES = ctc_op.rules[0], ctc._onward, ctc._states


def never_over_a_blank(states, skips):
    return ONWARD(states, np.full_like(skips, -np.inf))


def over_every_blank(targets, lengths, blank, dtype):
    """From a label to the next one, though it is the same."""
    classes, skips, ends = STATES(targets, lengths, blank, dtype)
    return classes, np.where((classes != blank) & (np.arange(classes.shape[1]) > 1), 0, skips), ends


def last_state_only(targets, lengths, blank, dtype):
    """As if every alignment ended with a blank."""
    classes, skips, ends = STATES(targets, lengths, blank, dtype)
    number = np.arange(classes.shape[1])
    return classes, skips, np.where(number == 2 * lengths[:, None], ends, -np.inf)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("_onward", never_over_a_blank), ("_states", over_every_blank), ("_states", last_state_only)],
)
def test_alignments_that_are_left_out_or_too_many_are_detected(monkeypatch, name, mistake):
    monkeypatch.setattr(ctc, name, mistake)
    detected(DRAWN, lambda e: check_value(ctc_op, e, "ctc_loss"))


def all_steps(gy, y, x, targets, inputs, lengths, blank=0):
    return RIGHT(gy, y, x, targets, inputs * 0 + len(x), lengths, blank=blank)


def of_probabilities(gy, y, x, targets, inputs, lengths, blank=0):
    """What PyTorch gives, right behind `log_softmax` alone."""
    return RIGHT(gy, y, x, targets, inputs, lengths, blank=blank) + gy[:, None] * np.exp(x)


def constant(gy, y, x, *rest, **options):
    return RIGHT(gy, y, plain(x), *rest, **options)


@pytest.mark.parametrize(
    ("mistake", "check"),
    [(all_steps, check_gradient), (of_probabilities, check_gradient), (constant, check_second_order)],
)
def test_a_wrong_rule_is_detected(mistake, check):
    wrong = like(ctc_op, vjp=(mistake, *ctc_op.rules[1:]))
    detected(DRAWN, lambda e: check(wrong, e))


# --- messages ---------------------------------------------------------------------------------------------------------

MESSAGES = {
    "shape": ((SCORES[0, 0], [1], 1, 1), ShapeError, r"ctc_loss takes log-probabilities .* got \(4,\)"),
    "dtype": ((SCORES.astype(int), TARGETS, INPUTS, LENGTHS), DtypeError, r"ctc_loss takes floating-point .* got int64"),
    "blank": ((SCORES, TARGETS, INPUTS, LENGTHS, 4), DomainError, r"blank=4: with 4 classes it is one from 0 to 3"),
    "fractions": ((SCORES, TARGETS + 0.5, INPUTS, LENGTHS), DtypeError, r"whole numbers as targets, and got float64"),
    "count": ((SCORES, TARGETS, INPUTS[:2], LENGTHS), ShapeError, r"input_lengths of shape \(2,\): one for each sequence, of shape \(3,\)"),
    "steps": ((SCORES, TARGETS, INPUTS + 1, LENGTHS), DomainError, r"input_lengths of \[7, 5, 6\]: they go from 0 to 6"),
    "labels": ((SCORES, TARGETS, INPUTS, [4, 0, 0]), DomainError, r"target_lengths of \[4, 0, 0\]: they go from 0 to 3"),
    "below": ((SCORES, TARGETS, INPUTS, [-1, 0, 0]), DomainError, r"target_lengths of \[-1, 0, 0\]: they go from 0 to 3"),
    "no class below": ((SCORES, TARGETS, INPUTS, [3, 1, 1]), DomainError, r"the label -1: with 4 classes and blank=0"),
    "no class above": ((SCORES, TARGETS + 1, INPUTS, [3, 1, 0]), DomainError, r"the label 4: with 4 classes and blank=0"),
    "a number of many": ((SCORES, TARGETS, 6, LENGTHS), ShapeError, r"input_lengths of shape \(\): one for each sequence, of shape \(3,\)"),
    "two lengths of one": ((SCORES[:, 0], [1, 2], [6, 6], 2), ShapeError, r"input_lengths of shape \(2,\): one for each sequence, of shape \(1,\)"),
    "rows": ((SCORES, TARGETS[:2], INPUTS, LENGTHS), ShapeError, r"targets of shape \(2, 3\) for 3 sequences"),
    "in all": ((SCORES, [1, 2, 2], INPUTS, LENGTHS), ShapeError, r"pass \(3, s\), or \(4,\), one after another"),
    "a class": ((SCORES, TARGETS, INPUTS, [3, 2, 0]), DomainError, r"the label 9: with 4 classes and blank=0, labels are the other"),
    "the blank": ((SCORES, TARGETS, INPUTS, LENGTHS, 2), DomainError, r"the label 2: with 4 classes and blank=2"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_what_does_not_fit_is_refused_with_what_would(name):
    given, error, message = MESSAGES[name]
    with pytest.raises(error, match=message):
        gradcore.ctc_loss(*given)
