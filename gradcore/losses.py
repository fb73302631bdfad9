"""Losses as functions: mean squared error and cross-entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradcore.convert import as_array, plain
from gradcore.errors import DomainError, DtypeError, ShapeError
from gradcore.op import Array, op
from gradcore.ops.reduce import mean, sum
from gradcore.registry import loss
from gradcore.spec import LossSpec, OneOf, OpSpec, case, indices, interval, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = {"reduction": OneOf("mean", "sum", "none")}


def reduced(values: Array, reduction: Reduction) -> Array:
    """`values` averaged, summed, or as they are; DomainError for another reduction."""
    if reduction == "mean":
        return mean(values)
    if reduction == "sum":
        return sum(values)
    if reduction == "none":
        return values
    raise DomainError(f"reduction={reduction!r} must be 'mean', 'sum' or 'none'")


def _reduced_by_list(values: list[float], shape: tuple[int, ...], reduction: str) -> Any:
    if reduction == "none":
        return np.array(values).reshape(shape)
    return np.array(math.fsum(values) / (len(values) if reduction == "mean" else 1))


@loss(
    spec=LossSpec(
        case(
            reals("n c"),
            reals("n c"),
            params=_REDUCTIONS,
            sizes={"n": (0, 5), "c": (1, 4)},
            where=lambda e: e["reduction"] != "mean" or e["n"] > 0,
        ),
        case(
            reals("n"),
            reals("n"),
            params=_REDUCTIONS,
            sizes={"n": (0, 6)},
            where=lambda e: e["reduction"] != "mean" or e["n"] > 0,
        ),
        reference=lambda y, t, reduction="mean": _reduced_by_list(
            [(a - b) ** 2 for a, b in zip(y.ravel().tolist(), t.ravel().tolist(), strict=True)],
            y.shape,
            reduction,
        ),
    )
)
def mse_loss(prediction: Array, target: Array, reduction: Reduction = "mean") -> Array:
    """Squared error (prediction - target)^2, averaged over all entries, summed, or as it is.

    Raises ShapeError where the shapes differ: a broadcast here is nearly always a mistake.
    """
    prediction, target = _array(prediction), _array(target)
    if prediction.shape != target.shape:
        raise ShapeError(
            f"mse_loss got a prediction of shape {prediction.shape} and a target of shape {target.shape}: they must be "
            "equal (reshape one of them)"
        )
    difference = prediction - target
    return reduced(difference * difference, reduction)


def _array(value: Any) -> Any:
    return value if hasattr(value, "shape") else as_array(value)


def _entropy_by_loop(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    rows = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        top = sorted(row)[-1]
        rows.append(math.log(math.fsum(math.exp(v - top) for v in row)) + (top - row[label]))
    return _reduced_by_list(rows, labels.shape, reduction)


_LABELLED = case(
    interval(-1.5, 1.5, "n c"),
    indices("c", "n"),
    params=_REDUCTIONS,
    sizes={"n": (0, 6), "c": (1, 5)},
    where=lambda e: e["reduction"] != "mean" or e.sizes["n"] > 0,
)


def _entropy_rule(gy: Array, _y: Array, logits: Array, labels: Array, reduction: Reduction = "mean") -> Array:
    # Not e^(logits - y - logits[label]): where logits are far apart, the rounding of y swamps the smaller of them.
    exponentials = np.exp(logits - _top(plain(logits)))
    probabilities = exponentials / np.add.reduce(exponentials, axis=1, keepdims=True)
    hit = labels[:, None] == np.arange(logits.shape[1])
    if reduction == "none":
        gy = gy[:, None]
    elif reduction == "mean":
        gy = gy / len(labels)
    return gy * (probabilities - hit)


def _top(logits: Any) -> Any:
    """The largest logit of each row, which takes no part in the derivative: it cancels out of the loss."""
    return np.maximum.reduce(logits, axis=1, keepdims=True)


@op(
    name="cross_entropy",
    vjp=(_entropy_rule, lambda *_, **__: None),
    spec=OpSpec(_LABELLED, reference=_entropy_by_loop),
)
def cross_entropy_op(logits: Array, labels: Array, /, reduction: Reduction = "mean") -> Array:
    """`cross_entropy` of labels that are known to fit."""
    shifted = logits - _top(logits)
    rows = np.log(np.add.reduce(np.exp(shifted), axis=1)) - shifted[np.arange(len(labels)), labels]
    if reduction == "mean" and len(rows):
        return np.add.reduce(rows) / len(rows)
    return reduced(rows, reduction)


@loss(spec=LossSpec(_LABELLED, reference=_entropy_by_loop))
def cross_entropy(logits: Array, labels: Array, reduction: Reduction = "mean") -> Array:
    """Cross-entropy of integer labels under softmax(logits), from the logits by log-sum-exp: finite for logits of any size.

    logits: (n, classes); labels: (n,) whole numbers from 0 to classes - 1. Averaged over rows, summed, or as it is.
    loss_i = log sum_j e^(logits_ij) - logits_i,label.
    Raises ShapeError, DtypeError or DomainError where logits, labels or their values do not fit.

    >>> float(cross_entropy(np.array([[1e4, 0.0]]), np.array([1])))
    10000.0
    """
    logits = _array(logits)
    labels = _labels(logits, labels)
    return cross_entropy_op(logits, labels, reduction=reduction)


def _labels(logits: Any, labels: Any) -> NDArray[np.integer[Any]]:
    array = np.asarray(plain(labels))
    if len(logits.shape) != 2:
        raise ShapeError(f"cross_entropy takes logits of shape (n, classes), and got {logits.shape}")
    if array.shape != logits.shape[:1]:
        raise ShapeError(
            f"cross_entropy got logits of shape {logits.shape} and labels of shape {array.shape}: one label per row, "
            f"of shape ({logits.shape[0]},), would fit (integers, not one-hot)"
        )
    if array.dtype.kind not in "iu":
        raise DtypeError(
            f"cross_entropy takes whole numbers as labels, and got {array.dtype}: convert with labels.astype(int)"
        )
    classes = logits.shape[1]
    if array.size and not (np.minimum.reduce(array) >= 0 and np.maximum.reduce(array) < classes):
        wrong = np.flatnonzero((array < 0) | (array >= classes))
        raise DomainError(
            f"{len(wrong)} of {len(array)} labels are out of range, the first at row {wrong[0]}: {array[wrong[0]]}; with "
            f"logits of {classes} classes, labels go from 0 to {classes - 1}"
        )
    return array
