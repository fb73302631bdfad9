"""The divergence between two distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.losses.reductions import REDUCTIONS, Reduction, matched, reduced, reduced_by_list, some_entries
from gradcore.modes import repeated
from gradcore.op import Array
from gradcore.ops.choice import where
from gradcore.ops.exponential import exp, log
from gradcore.registry import loss
from gradcore.spec import LossSpec, OneOf, case, interval
from gradcore.tensor import Tensor


def _divergence_by_loop(log_p: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    def value(v: float, t: float) -> float:
        return math.exp(t) * (t - v) if log_target else t * math.log(t / math.exp(v))

    rows = [value(*pair) for pair in zip(log_p.ravel().tolist(), target.ravel().tolist(), strict=True)]
    return reduced_by_list(rows, log_p.shape, reduction)


_DISTRIBUTIONS = {"sizes": {"n": (0, 5), "c": (1, 4)}, "where": some_entries("n")}


@loss(
    spec=LossSpec(
        case(
            interval(-3.0, 0.0, "n c"),
            interval(0.05, 1.0, "n c", specials=(0.5, 1.0)),
            params={"log_target": OneOf(False), **REDUCTIONS},
            **_DISTRIBUTIONS,
        ),
        case(
            interval(-3.0, 0.0, "n c"),
            interval(-3.0, 0.0, "n c"),
            params={"log_target": OneOf(True), **REDUCTIONS},
            **_DISTRIBUTIONS,
        ),
        reference=_divergence_by_loop,
    )
)
def kl_div(log_p: Array, target: Array, reduction: Reduction = "mean", log_target: bool = False) -> Array:
    """target (log target - log p), entry by entry: the terms of the Kullback-Leibler divergence of p from the target.

    log_p: log-probabilities; target: probabilities of the same shape, or their logarithms with log_target=True. The divergence
    itself is the sum; the mean is over all entries, as in PyTorch. Raises ShapeError where the shapes differ.
    """
    log_p, target = matched("kl_div", log_p, target)
    if log_target:
        return reduced(exp(target) * (target - log_p), reduction)
    some = repeated(np.greater, target.data if type(target) is Tensor else target, 0)
    return reduced(target * (log(where(some, target, 1.0)) - log_p), reduction)
