"""Labels, shares, signs and weights of losses that change from call to call are followed by a replay."""

import numpy as np
import pytest
from both import run_both

import gradcore
from gradcore import Tensor

ROWS, CLASSES = 6, 3


def labels(rng):
    return rng.integers(0, CLASSES, ROWS)


def signs(rng):
    return rng.choice([-1, 1], ROWS)


def shares(rng):
    return rng.dirichlet(np.ones(CLASSES), ROWS)


def entropy(**options):
    return lambda w, target: gradcore.cross_entropy(w, target, **options)


def columns(f):
    """A loss of vectors, of the columns of the parameter."""
    return lambda w, target: f(w[:, 0], w[:, 1], target)


LOSSES = {
    "labels": (entropy(), labels),
    "labels and weights": (entropy(weight=[1.0, 2.0, 0.5]), labels),
    "labels and a Tensor of weights": (entropy(weight=Tensor([1.0, 2.0, 0.5])), labels),
    "labels that are not counted": (entropy(ignore_index=1), labels),
    "labels that are smoothed": (entropy(label_smoothing=0.2), labels),
    "shares": (entropy(), shares),
    "shares that are smoothed": (entropy(label_smoothing=0.2), shares),
    "shares and weights": (entropy(weight=[1.0, 2.0, 0.5]), shares),
    "log-probabilities": (
        lambda w, t: gradcore.nll_loss(gradcore.log_softmax(w, 1), t, ignore_index=2),
        labels,
    ),
    "probabilities": (lambda w, t: gradcore.binary_cross_entropy(gradcore.sigmoid(w), t), shares),
    "logits": (lambda w, t: gradcore.binary_cross_entropy_with_logits(w, t, pos_weight=2.0), shares),
    "divergence": (lambda w, t: gradcore.kl_div(gradcore.log_softmax(w, 1), t), shares),
    "hinge": (lambda w, t: gradcore.hinge_loss(w[:, 0], t), signs),
    "ranks": (columns(gradcore.margin_ranking_loss), signs),
    "angles": (lambda w, t: gradcore.cosine_embedding_loss(w, w * w, t), signs),
    "margins": (lambda w, t: gradcore.multi_margin_loss(w, t), labels),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_target_that_changes_is_followed(name):
    loss_of, draw = LOSSES[name]

    def make():
        w = Tensor(np.random.default_rng(1).standard_normal((ROWS, CLASSES)), requires_grad=True)

        def step(target):
            w.zero_grad()
            loss = loss_of(w, target)
            loss.backward()
            return loss.detach()

        return step, lambda: w.grad

    rng = np.random.default_rng(2)
    captured = run_both(make, [(draw(rng),) for _ in range(8)])
    assert captured.replays >= 5, captured.report()
