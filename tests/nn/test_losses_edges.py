"""Losses at the edges of their domains, and what they refuse: each value by hand."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.errors import DomainError, ShapeError

TWO = np.array([0.25, 0.5])
ONE = np.array([0.25])


def gradients(loss, *values):
    """The loss of leaves summed, and what each of them gets."""
    leaves = [Tensor(np.array(value), requires_grad=True) for value in values]
    loss(*leaves).sum().backward()
    return [leaf.grad for leaf in leaves]


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "mse_loss",
        "l1_loss",
        "huber_loss",
        "smooth_l1_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div",
    ],
)
def test_a_target_of_another_shape_is_refused_and_the_loss_named(name):
    loss = getattr(gradcore, name)
    for pair in ((TWO, ONE), (ONE, TWO)):
        with pytest.raises(
            ShapeError, match=f"^{name} got a prediction of shape .* and a target of shape .*must be equal"
        ):
            loss(*pair)
    assert float(loss([0.25, 0.5], [0.5, 0.5])) == float(
        loss(np.float32([0.25, 0.5]), np.float32([0.5, 0.5]))
    )


@pytest.mark.parametrize("name", ["cosine_embedding_loss", "margin_ranking_loss"])
def test_a_pair_of_another_shape_is_refused_and_the_loss_named(name):
    target = np.array([1]) if name == "cosine_embedding_loss" else np.array([1, 1])
    x, y = (TWO[None], ONE[None]) if name == "cosine_embedding_loss" else (TWO, ONE)
    with pytest.raises(ShapeError, match=f"^{name} got a prediction of shape"):
        getattr(gradcore, name)(x, y, target)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_of_a_triplet_has_one_shape(place):
    triplet = [TWO[None]] * 3
    triplet[place] = ONE[None]
    with pytest.raises(ShapeError, match=r"^triplet_margin_loss got a prediction of shape"):
        gradcore.triplet_margin_loss(*triplet)


@pytest.mark.parametrize(
    ("name", "inputs", "shape"),
    [
        ("hinge_loss", (TWO,), r"\(2,\)"),
        ("margin_ranking_loss", (TWO, TWO), r"\(2,\)"),
        ("cosine_embedding_loss", (np.ones((2, 3)), np.ones((2, 3))), r"\(2,\)"),
    ],
)
def test_signs_that_do_not_fit_are_refused_and_the_loss_named(name, inputs, shape):
    loss = getattr(gradcore, name)
    with pytest.raises(
        ShapeError, match=rf"^{name} got targets of shape \(3,\): one for each row, of shape {shape}"
    ):
        loss(*inputs, np.array([1, 1, -1]))
    with pytest.raises(
        DomainError, match=rf"^{name} takes targets of 1 for yes and -1 or 0 for no, and got \[1, 2\]"
    ):
        loss(*inputs, np.array([2, 1]))
    for no in (-1, 0):
        np.testing.assert_array_equal(
            loss(*inputs, np.array([1, no])), loss(*inputs, Tensor(np.array([1, 0])))
        )


def test_signs_may_be_a_list():
    assert float(gradcore.hinge_loss([0.25, 0.5], [1, -1], "sum")) == 0.75 + 1.5


@pytest.mark.parametrize("name", ["cosine_embedding_loss", "triplet_margin_loss"])
def test_vectors_may_stand_along_more_axes(name):
    rng = np.random.default_rng(0)
    loss, vectors = getattr(gradcore, name), rng.normal(size=(3, 2, 3, 4))
    given = [*vectors[:2], rng.integers(0, 2, (2, 3))] if name == "cosine_embedding_loss" else list(vectors)
    rows = [v.reshape(6, *v.shape[2:]) for v in given]
    np.testing.assert_array_equal(loss(*given, "none").reshape(6), loss(*rows, "none"))


def test_scores_of_one_axis_are_refused():
    with pytest.raises(
        ShapeError, match=r"^multi_margin_loss takes scores of shape \(n, classes\), and got \(2,\)"
    ):
        gradcore.multi_margin_loss(TWO, np.array([0]))
    with pytest.raises(ShapeError, match=r"^multi_margin_loss got logits of shape"):
        gradcore.multi_margin_loss(TWO[None], np.array([0, 1]))
    with pytest.raises(DomainError, match="labels are out of range"):
        gradcore.multi_margin_loss(TWO[None], np.array([2]))
    assert float(gradcore.multi_margin_loss([[0.25, 0.5]], [1])) == 0.375


# --- probabilities ----------------------------------------------------------------------------------------------------


def test_certain_probabilities_cost_nothing_or_a_hundred():
    p, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(gradcore.binary_cross_entropy(p, t, "none"), [0.0, 0.0, 100.0, 100.0])


def test_a_certain_probability_has_no_slope_and_one_beside_it_has():
    gp, gt = gradients(
        lambda p, t: gradcore.binary_cross_entropy(p, t, "sum"), [0.0, 1.0, 0.5], [1.0, 0.0, 1.0]
    )
    np.testing.assert_array_equal(gp, [0.0, 0.0, -2.0])
    np.testing.assert_array_equal(gt, [100.0, -100.0, 0.0])


def test_a_logarithm_below_minus_a_hundred_counts_as_that_and_has_no_slope():
    tiny = 1e-60
    assert float(gradcore.binary_cross_entropy([tiny], [1.0])) == pytest.approx(100.0)
    p = np.array([tiny])
    assert float(gradcore.binary_cross_entropy(p, np.array([1.0]))) == 100.0
    assert gradients(lambda p: gradcore.binary_cross_entropy(p, np.array([1.0])), p)[0] == [0.0]


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(wrong):
    for p in (np.array([[0.5, wrong], [0.5, 0.5]]), Tensor(np.array([[wrong, 0.5], [0.5, 0.5]]))):
        with pytest.raises(DomainError, match=r"takes probabilities, and got numbers from .*pass sigmoid"):
            gradcore.binary_cross_entropy(p, np.full((2, 2), 0.5))


def test_no_probabilities_cost_nothing():
    assert gradcore.binary_cross_entropy(np.zeros((0, 2)), np.zeros((0, 2)), "sum") == 0


def test_logits_of_any_size_are_finite_and_weighted():
    x, t = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 1.0, 0.0, 0.0])
    loss = gradcore.binary_cross_entropy_with_logits
    np.testing.assert_array_equal(loss(x, t, "none"), [0.0, 1e4, 1e4, 0.0])
    np.testing.assert_array_equal(loss(x, t, "none", pos_weight=3.0), [0.0, 3e4, 1e4, 0.0])


def test_a_target_of_zero_adds_nothing_to_the_divergence():
    log_p, target = np.log([0.5, 0.25]), np.array([0.0, 1.0])
    np.testing.assert_allclose(gradcore.kl_div(log_p, target, "none"), [0.0, np.log(4.0)])
    (slope,) = gradients(lambda t: gradcore.kl_div(log_p, t, "sum"), target)
    np.testing.assert_allclose(slope, [np.log(2.0), 1.0 + np.log(4.0)])


# --- widths and margins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0.0, -1.0])
@pytest.mark.parametrize(("name", "width"), [("huber_loss", "delta"), ("smooth_l1_loss", "beta")])
def test_a_width_of_zero_or_less_is_refused(name, width, wrong):
    with pytest.raises(
        DomainError, match=f"^{name} got {width}={wrong}: it must be above 0; l1_loss is the limit"
    ):
        getattr(gradcore, name)(TWO, TWO, **{width: wrong})


def test_a_share_that_is_smoothed_is_from_0_to_1():
    logits, labels = np.array([[0.0, 1.0]]), np.array([1])
    for wrong in (-0.1, 1.1):
        with pytest.raises(DomainError, match=f"label_smoothing={wrong}: it is a share, from 0 to 1"):
            gradcore.cross_entropy(logits, labels, label_smoothing=wrong)
    even = -np.log(np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()).mean()
    assert float(gradcore.cross_entropy(logits, labels, label_smoothing=1)) == pytest.approx(even, rel=1e-15)
