"""Losses of a probability, or of its logit, against a target from 0 to 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.losses.reductions import REDUCTIONS, Reduction, matched, reduced, reduced_by_list, some_entries
from gradcore.modes import repeated
from gradcore.op import Array
from gradcore.ops.activations import softplus
from gradcore.ops.choice import clip, where
from gradcore.ops.exponential import log, log1p
from gradcore.registry import loss
from gradcore.spec import LossSpec, OneOf, case, interval
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOWEST = -100.0
"""What the logarithm of a probability of 0 counts as, as in PyTorch."""

_SIZES: dict[str, Any] = {"sizes": {"n": (0, 6), "c": (1, 4)}, "where": some_entries("n")}


def _with_logits_by_loop(x: Any, t: Any, reduction: str = "mean", pos_weight: float = 1.0) -> Any:
    def value(logit: float, target: float) -> float:
        below = math.log1p(math.exp(-math.fabs(logit)))
        return pos_weight * target * (below + max(-logit, 0.0)) + (1 - target) * (below + max(logit, 0.0))

    rows = [value(*pair) for pair in zip(x.ravel().tolist(), t.ravel().tolist(), strict=True)]
    return reduced_by_list(rows, x.shape, reduction)


@loss(
    spec=LossSpec(
        case(
            interval(-5.0, 5.0, "n c"),
            interval(0.0, 1.0, "n c"),
            params={"pos_weight": OneOf(1.0, 3.0, 0.2), **REDUCTIONS},
            **_SIZES,
        ),
        case(interval(-5.0, 5.0, "n"), interval(0.0, 1.0, "n"), params=REDUCTIONS, **_SIZES),
        reference=_with_logits_by_loop,
    )
)
def binary_cross_entropy_with_logits(
    logits: Array, target: Array, reduction: Reduction = "mean", pos_weight: Any = 1.0
) -> Array:
    """-pos_weight t log p - (1 - t) log(1 - p) with p = sigmoid(logit), finite for logits of any size.

    target: from 0 to 1, of the logits' shape. pos_weight: a number, or an array that broadcasts against the target.
    Raises ShapeError where the shapes differ.
    """
    logits, target = matched("binary_cross_entropy_with_logits", logits, target)
    return reduced(target * softplus(-logits) * pos_weight + _rest(target) * softplus(logits), reduction)


def _by_loop(p: Any, t: Any, reduction: str = "mean") -> Any:
    def value(q: float, target: float) -> float:
        return -math.fsum((target * math.log(q), (1 - target) * math.log1p(-q)))

    rows = [value(*pair) for pair in zip(p.ravel().tolist(), t.ravel().tolist(), strict=True)]
    return reduced_by_list(rows, p.shape, reduction)


@loss(
    spec=LossSpec(
        case(
            interval(0.01, 0.99, "n c", specials=(0.5,)),
            interval(0.0, 1.0, "n c"),
            params=REDUCTIONS,
            **_SIZES,
        ),
        case(
            interval(0.01, 0.99, "n", specials=(0.5,)), interval(0.0, 1.0, "n"), params=REDUCTIONS, **_SIZES
        ),
        reference=_by_loop,
    )
)
def binary_cross_entropy(p: Array, target: Array, reduction: Reduction = "mean") -> Array:
    """-t log p - (1 - t) log(1 - p) for probabilities p; a logarithm counts as -100 at least, where it has no slope.

    `binary_cross_entropy_with_logits` takes logits, and loses no digits. Raises ShapeError where the shapes differ,
    DomainError where a probability is below 0 or above 1.
    """
    p, target = matched("binary_cross_entropy", p, target)
    some, rest = repeated(_inside, p.data if type(p) is Tensor else p)
    yes = where(some, log(where(some, p, 1.0)), _LOWEST)
    no = where(rest, log1p(-where(rest, p, 0.0)), _LOWEST)
    # 1 - p is not below the precision of p, so `no` is far above the lowest
    return reduced(-(target * clip(yes, _LOWEST)) - _rest(target) * no, reduction)


def _rest(target: Any) -> Any:
    """What is left of 1."""
    return 1 - target if type(target) is Tensor else repeated(np.subtract, 1, target)


def _inside(values: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which probabilities are above 0, and which below 1."""
    if values.size and not (
        np.minimum.reduce(values, axis=None) >= 0 and np.maximum.reduce(values, axis=None) <= 1
    ):
        raise DomainError(
            f"binary_cross_entropy takes probabilities, and got numbers from {values.min():.6g} to {values.max():.6g}: pass "
            "sigmoid(logits), or the logits to binary_cross_entropy_with_logits"
        )
    return values > 0, values < 1
