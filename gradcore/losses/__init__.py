"""Losses as functions; `gradcore.nn` has them as modules."""

from gradcore.losses.binary import binary_cross_entropy, binary_cross_entropy_with_logits
from gradcore.losses.classes import cross_entropy, nll_loss
from gradcore.losses.ctc import ctc_loss
from gradcore.losses.divergence import kl_div
from gradcore.losses.margins import (
    cosine_embedding_loss,
    hinge_loss,
    margin_ranking_loss,
    multi_margin_loss,
    triplet_margin_loss,
)
from gradcore.losses.reductions import Reduction as Reduction
from gradcore.losses.regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy",
    "ctc_loss", "hinge_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "nll_loss", "smooth_l1_loss", "triplet_margin_loss",
]  # fmt: skip
