"""Losses of logits or log-probabilities of classes against labels, or against the probabilities of all classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, DtypeError, GraphError, ShapeError
from gradcore.losses.reductions import (
    REDUCTIONS,
    Reduction,
    as_values,
    reduced,
    reduced_by_list,
    some_entries,
)
from gradcore.modes import repeated
from gradcore.op import Array, op
from gradcore.ops.choice import where
from gradcore.ops.reduce import log_softmax, sum
from gradcore.ops.shape import reshape
from gradcore.registry import loss
from gradcore.spec import LossSpec, OneOf, OpSpec, case, indices, interval
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _entropy_by_loop(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    rows = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        top = sorted(row)[-1]
        rows.append(math.log(math.fsum(math.exp(v - top) for v in row)) + (top - row[label]))
    return reduced_by_list(rows, labels.shape, reduction)


_LABELLED = case(
    interval(-1.5, 1.5, "n c"),
    indices("c", "n"),
    params=REDUCTIONS,
    sizes={"n": (0, 6), "c": (1, 5)},
    where=some_entries("n"),
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


def _by_class(
    logp: Any, labels: Any, reduction: str, weight: Any, label_smoothing: float, ignore_index: int | None
) -> Any:
    """Entry by entry, on log-probabilities (n, classes, ...): the sum over the classes of share x weight x -log p."""
    classes = logp.shape[1]
    weights = [1.0] * classes if weight is None else list(weight)
    soft = np.ndim(labels) == logp.ndim
    moved = np.moveaxis(logp, 1, -1)
    targets = np.moveaxis(labels, 1, -1) if soft else labels
    rows, total = [], []
    for place in np.ndindex(moved.shape[:-1]):
        kept = soft or targets[place] != ignore_index
        shares = targets[place] if soft else [float(k == targets[place]) for k in range(classes)]
        shares = [(1 - label_smoothing) * share + label_smoothing / classes for share in shares]
        parts = [-w * q * v for w, q, v in zip(weights, shares, moved[place].tolist(), strict=True)]
        rows.append(math.fsum(parts) if kept else 0.0)
        total.append((1.0 if soft else weights[targets[place]]) if kept else 0.0)
    if reduction == "mean":
        return np.array(math.fsum(rows) / math.fsum(total))
    return reduced_by_list(rows, moved.shape[:-1], reduction)


def _logs_by_loop(logits: Any) -> Any:
    out = np.empty(logits.shape)
    moved, logs = np.moveaxis(logits, 1, -1), np.moveaxis(out, 1, -1)
    for place in np.ndindex(moved.shape[:-1]):
        row = moved[place].tolist()
        top = sorted(row)[-1]
        logs[place] = [v - top - math.log(math.fsum(math.exp(w - top) for w in row)) for v in row]
    return out


def _weighted_by_loop(
    logits: Any,
    labels: Any,
    reduction: str = "mean",
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Any:
    return _by_class(_logs_by_loop(logits), labels, reduction, weight, label_smoothing, ignore_index)


def _nll_by_loop(
    log_probabilities: Any,
    labels: Any,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
) -> Any:
    return _by_class(log_probabilities, labels, reduction, weight, 0.0, ignore_index)


def _something_kept(_logits: Any, labels: Any, ignore_index: int | None = None, **_: Any) -> bool:
    return bool((labels != ignore_index).any()) or labels.size == 0


_WEIGHTS = {"weight": OneOf((1.0, 2.0, 0.5), None), "ignore_index": OneOf(None, 1)}
_WEIGHTED = {
    "sizes": {"n": (0, 5), "l": (1, 2)},
    "where": some_entries("n"),
    "values_where": _something_kept,
}
_SMOOTHED = {"label_smoothing": OneOf(0.0, 0.2), **REDUCTIONS}


@loss(
    spec=LossSpec(
        _LABELLED,
        case(interval(-1.5, 1.5, "n 3"), indices(3, "n"), params={**_WEIGHTS, **_SMOOTHED}, **_WEIGHTED),
        case(interval(-1.5, 1.5, "n 3 l"), indices(3, "n l"), params={**_WEIGHTS, **REDUCTIONS}, **_WEIGHTED),
        case(
            interval(-1.5, 1.5, "n c"),
            interval(0.0, 1.0, "n c"),
            params=_SMOOTHED,
            sizes={"n": (0, 5), "c": (1, 4)},
            where=some_entries("n"),
        ),
        reference=_weighted_by_loop,
    )
)
def cross_entropy(
    logits: Array,
    labels: Array,
    reduction: Reduction = "mean",
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Array:
    """Cross-entropy of labels under softmax(logits), from the logits by log-sum-exp: finite for logits of any size.

    logits: (n, classes) or (n, classes, ...). labels: (n,) or (n, ...) whole numbers from 0 to classes - 1; or the shares of
    all classes, of the logits' shape. Averaged over rows, summed, or as it is.
    loss_i = log sum_j e^(logits_ij) - logits_i,label.
    weight: one number for each class; the mean of labelled rows is then the weighted one. label_smoothing: the share that is
    spread over all classes (Szegedy et al. 2016, section 7). ignore_index: a label whose rows do not count.
    Raises ShapeError, DtypeError or DomainError where logits, labels or their values do not fit, GraphError for a weight that
    requires a gradient.

    >>> float(cross_entropy(np.array([[1e4, 0.0]]), np.array([1])))
    10000.0
    """
    logits = as_values(logits)
    if weight is None and not label_smoothing and ignore_index is None and len(logits.shape) == 2:
        if _are_shares(logits, labels):
            return _nll(log_softmax(logits, 1), labels, reduction)
        return cross_entropy_op(logits, checked_labels("cross_entropy", logits, labels), reduction=reduction)
    if not 0 <= label_smoothing <= 1:
        raise DomainError(f"cross_entropy got label_smoothing={label_smoothing}: it is a share, from 0 to 1")
    _check_logits("cross_entropy", logits)
    return _nll(
        log_softmax(logits, 1),
        labels
        if _are_shares(logits, labels)
        else checked_labels("cross_entropy", logits, labels, ignore_index),
        reduction,
        weight,
        label_smoothing,
        ignore_index,
    )


@loss(
    spec=LossSpec(
        case(interval(-3.0, 0.0, "n 3"), indices(3, "n"), params={**_WEIGHTS, **REDUCTIONS}, **_WEIGHTED),
        case(interval(-3.0, 0.0, "n 3 l"), indices(3, "n l"), params={**_WEIGHTS, **REDUCTIONS}, **_WEIGHTED),
        reference=_nll_by_loop,
    )
)
def nll_loss(
    log_probabilities: Array,
    labels: Array,
    reduction: Reduction = "mean",
    *,
    weight: Any = None,
    ignore_index: int | None = None,
) -> Array:
    """-log p of the labelled class, from log-probabilities such as those of `log_softmax`; all else as in `cross_entropy`."""
    log_probabilities = as_values(log_probabilities)
    labels = checked_labels("nll_loss", log_probabilities, labels, ignore_index)
    return _nll(log_probabilities, labels, reduction, weight, 0.0, ignore_index)


def _nll(
    logp: Any,
    labels: Any,
    reduction: Reduction,
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Any:
    """The sum over classes of -weight x share x log p; labels that are whole numbers have a share of 1."""
    classes = logp.shape[1]
    by_class = (classes, *(1,) * (len(logp.shape) - 2))
    soft = len(np.shape(labels)) == len(logp.shape)
    weights = repeated(_class_weights, weight, classes, logp.dtype)
    if soft:
        shares = _smoothed(labels, label_smoothing, classes)
    else:
        shares, kept, total = repeated(
            _shares, labels, weights, logp.dtype, by_class, ignore_index, label_smoothing
        )
    rows = -sum(shares * logp * reshape(weights, by_class), 1)
    if soft:
        return reduced(rows, reduction)
    rows = where(kept, rows, 0.0)
    if reduction != "mean":
        return reduced(rows, reduction)
    repeated(_check_total, total, labels.shape)
    return sum(rows) / total


def _shares(
    labels: Any,
    weights: Any,
    dtype: Any,
    by_class: tuple[int, ...],
    ignore_index: int | None,
    label_smoothing: float,
) -> tuple[NDArray[Any], NDArray[Any], Any]:
    """One-hot labels, smoothed, which of them count, and the sum of the weights of those."""
    kept = labels != ignore_index  # all of them where it is None
    labels = np.where(kept, labels, 0)
    shares = (labels[:, None] == np.reshape(np.arange(by_class[0]), by_class)).astype(dtype)
    shares = _smoothed(shares, label_smoothing, by_class[0])
    return shares, kept, np.sum(weights[labels] * kept)


def _smoothed(shares: Any, label_smoothing: float, classes: int) -> Any:
    if type(shares) is not Tensor:
        return repeated(_of_shares, shares, label_smoothing, classes)
    return _of_shares(shares, label_smoothing, classes)


def _of_shares(shares: Any, label_smoothing: float, classes: int) -> Any:
    return shares * (1 - label_smoothing) + label_smoothing / classes


def _check_total(total: Any, shape: tuple[int, ...]) -> None:
    if total == 0:
        raise ShapeError(f"the mean over labels of shape {shape} is one of no entries: none of them counts")


def _class_weights(weight: Any, classes: int, dtype: Any) -> NDArray[Any]:
    if weight is None:
        return np.ones(classes, dtype)
    if type(weight) is Tensor:
        if weight.requires_grad:
            raise GraphError("weights of classes get no gradient: pass weight.detach()")
        weight = weight.data
    found = np.asarray(weight, dtype)
    if found.shape != (classes,):
        raise ShapeError(
            f"weight has shape {found.shape}: one number for each class, of shape ({classes},), would fit"
        )
    return found


def _are_shares(logits: Any, labels: Any) -> bool:
    array = labels.data if type(labels) is Tensor else labels
    return (
        getattr(array, "dtype", None) is not None and array.dtype.kind == "f" and array.shape == logits.shape
    )


def _check_logits(name: str, logits: Any) -> None:
    if len(logits.shape) < 2:
        raise ShapeError(
            f"{name} takes logits of shape (n, classes) or (n, classes, ...), and got {logits.shape}"
        )


def checked_labels(
    name: str, logits: Any, labels: Any, ignore_index: int | None = None
) -> NDArray[np.integer[Any]]:
    """Labels that fit the logits, as an array; ShapeError, DtypeError or DomainError where they do not."""
    array = np.asarray(labels.data if type(labels) is Tensor else labels)
    _check_logits(name, logits)
    fitting = (logits.shape[0], *logits.shape[2:])
    if array.shape != fitting:
        raise ShapeError(
            f"{name} got logits of shape {logits.shape} and labels of shape {array.shape}: one label per row, "
            f"of shape {fitting}, would fit (integers, not one-hot)"
        )
    if array.dtype.kind not in "iu":
        raise DtypeError(
            f"{name} takes whole numbers as labels, and got {array.dtype}: convert with labels.astype(int)"
        )
    repeated(_check_range, array, logits.shape[1], ignore_index)
    return array


def _check_range(array: NDArray[Any], classes: int, ignore_index: int | None) -> None:
    counted = array if ignore_index is None else array[array != ignore_index]
    if counted.size and not (
        np.minimum.reduce(counted, axis=None) >= 0 and np.maximum.reduce(counted, axis=None) < classes
    ):
        flat = array.ravel()
        wrong = np.flatnonzero(((flat < 0) | (flat >= classes)) & (flat != ignore_index))
        raise DomainError(
            f"{len(wrong)} of {flat.size} labels are out of range, the first at row {wrong[0]}: {flat[wrong[0]]}; with "
            f"logits of {classes} classes, labels go from 0 to {classes - 1}"
        )
