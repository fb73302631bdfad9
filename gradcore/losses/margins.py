"""Losses that ask for a margin: between classes, angles, or distances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.losses.classes import checked_labels
from gradcore.losses.reductions import (
    REDUCTIONS,
    Reduction,
    as_values,
    matched,
    reduced,
    reduced_by_list,
    some_entries,
)
from gradcore.modes import repeated
from gradcore.op import Array
from gradcore.ops.activations import relu
from gradcore.ops.choice import where
from gradcore.ops.reduce import sum
from gradcore.ops.statistics import vector_norm
from gradcore.registry import loss
from gradcore.spec import Array as Domain
from gradcore.spec import LossSpec, OneOf, case, indices, integers, reals
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGINS = {"margin": OneOf(1.0, 0.2), **REDUCTIONS}
_VECTORS = reals("n d", scale=(0.5, 2.0))


def _signs(shape: str = "n") -> Domain:
    return integers(0, 1, shape)


def _checked_signs(name: str, target: Any, shape: tuple[int, ...]) -> Any:
    """Targets of 1 and 0 (or -1) as booleans."""
    values = np.asarray(target.data if type(target) is Tensor else target)
    if values.shape != shape:
        raise ShapeError(
            f"{name} got targets of shape {values.shape}: one for each row, of shape {shape}, would fit"
        )
    return repeated(_signs_of, name, values)


def _signs_of(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    if not np.isin(values, (-1, 0, 1)).all():
        raise DomainError(
            f"{name} takes targets of 1 for yes and -1 or 0 for no, and got {np.unique(values)[:5].tolist()}"
        )
    positive: NDArray[np.bool_] = values > 0
    return positive


def _hinge_by_loop(y: Any, t: Any, reduction: str = "mean", margin: float = 1.0) -> Any:
    rows = [max(0.0, margin - (a if b > 0 else -a)) for a, b in zip(y.tolist(), t.tolist(), strict=True)]
    return reduced_by_list(rows, y.shape, reduction)


@loss(
    spec=LossSpec(
        case(
            reals("n"),
            _signs(),
            params=_MARGINS,
            sizes={"n": (0, 6)},
            where=some_entries("n"),
            smooth_where=lambda y, t, margin=1.0, **_: bool(np.all(np.abs(np.abs(y) - margin) > 1e-3)),
        ),
        reference=_hinge_by_loop,
    )
)
def hinge_loss(prediction: Array, target: Array, reduction: Reduction = "mean", margin: float = 1.0) -> Array:
    """max(0, margin - t prediction), with t = 1 for a target of 1 and t = -1 for one of -1 or 0.

    Raises ShapeError where the shapes differ, DomainError for other targets.
    """
    prediction = as_values(prediction)
    yes = _checked_signs("hinge_loss", target, prediction.shape)
    return reduced(relu(margin - where(yes, prediction, -prediction)), reduction)


def _angles_by_loop(a: Any, b: Any, t: Any, reduction: str = "mean", margin: float = 0.0) -> Any:
    rows = []
    for x, y, sign in zip(a.tolist(), b.tolist(), t.tolist(), strict=True):
        cosine = math.fsum(p * q for p, q in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)
        rows.append(1 - cosine if sign > 0 else max(0.0, cosine - margin))
    return reduced_by_list(rows, t.shape, reduction)


def _cosine(a: Any, b: Any) -> Any:
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


@loss(
    spec=LossSpec(
        case(
            _VECTORS,
            _VECTORS,
            _signs(),
            params={"margin": OneOf(0.0, 0.3), **REDUCTIONS},
            sizes={"n": (0, 4), "d": (2, 4)},
            where=some_entries("n"),
            values_where=lambda a, b, t, **_: bool(
                np.all(np.abs(a).max(-1, initial=1) > 0.1)
                and (np.abs(a).sum(-1) > 0.1).all()
                and (np.abs(b).sum(-1) > 0.1).all()
            ),
            smooth_where=lambda a, b, t, margin=0.0, **_: bool(np.all(np.abs(_cosine(a, b) - margin) > 1e-3)),
        ),
        reference=_angles_by_loop,
    )
)
def cosine_embedding_loss(
    x1: Array, x2: Array, target: Array, reduction: Reduction = "mean", margin: float = 0.0
) -> Array:
    """1 - cos(x1, x2) for a target of 1, max(0, cos(x1, x2) - margin) for one of -1 or 0, row by row.

    x1, x2: (n, d); target: (n,). Raises ShapeError where the shapes do not fit, DomainError for other targets.
    """
    x1, x2 = matched("cosine_embedding_loss", x1, x2)
    yes = _checked_signs("cosine_embedding_loss", target, x1.shape[:-1])
    cosine = sum(x1 * x2, -1) / (vector_norm(x1, axis=-1) * vector_norm(x2, axis=-1))
    return reduced(where(yes, 1 - cosine, relu(cosine - margin)), reduction)


def _distances_by_loop(a: Any, p: Any, n: Any, reduction: str = "mean", margin: float = 1.0) -> Any:
    rows = [
        max(0.0, math.dist(x, y) - math.dist(x, z) + margin)
        for x, y, z in zip(a.tolist(), p.tolist(), n.tolist(), strict=True)
    ]
    return reduced_by_list(rows, a.shape[:1], reduction)


def _distance(a: Any, b: Any) -> Any:
    return np.sqrt(((a - b) ** 2).sum(-1))


@loss(
    spec=LossSpec(
        case(
            _VECTORS,
            _VECTORS,
            _VECTORS,
            params=_MARGINS,
            sizes={"n": (0, 4), "d": (2, 4)},
            where=some_entries("n"),
            values_where=lambda a, p, n, **_: bool(
                (_distance(a, p) > 0.05).all() and (_distance(a, n) > 0.05).all()
            ),
            smooth_where=lambda a, p, n, margin=1.0, **_: bool(
                np.all(np.abs(_distance(a, p) - _distance(a, n) + margin) > 1e-3)
            ),
        ),
        reference=_distances_by_loop,
    )
)
def triplet_margin_loss(
    anchor: Array, positive: Array, negative: Array, reduction: Reduction = "mean", margin: float = 1.0
) -> Array:
    """max(0, |anchor - positive| - |anchor - negative| + margin), row by row: Schroff et al. 2015, section 3.1, with distances.

    All three: (n, d). Raises ShapeError where the shapes differ.
    """
    anchor, positive = matched("triplet_margin_loss", anchor, positive)
    anchor, negative = matched("triplet_margin_loss", anchor, negative)
    near = vector_norm(anchor - positive, axis=-1)
    return reduced(relu(near - vector_norm(anchor - negative, axis=-1) + margin), reduction)


def _ranks_by_loop(a: Any, b: Any, t: Any, reduction: str = "mean", margin: float = 0.0) -> Any:
    rows = [
        max(0.0, margin - (x - y if sign > 0 else y - x))
        for x, y, sign in zip(a.tolist(), b.tolist(), t.tolist(), strict=True)
    ]
    return reduced_by_list(rows, t.shape, reduction)


@loss(
    spec=LossSpec(
        case(
            reals("n"),
            reals("n"),
            _signs(),
            params={"margin": OneOf(0.0, 0.4), **REDUCTIONS},
            sizes={"n": (0, 6)},
            where=some_entries("n"),
            smooth_where=lambda a, b, t, margin=0.0, **_: bool(
                np.all(np.abs(margin - np.where(t > 0, a - b, b - a)) > 1e-3)
            ),
        ),
        reference=_ranks_by_loop,
    )
)
def margin_ranking_loss(
    x1: Array, x2: Array, target: Array, reduction: Reduction = "mean", margin: float = 0.0
) -> Array:
    """max(0, margin - (x1 - x2)) where the target is 1: x1 is to rank higher; with x1 and x2 exchanged where it is -1 or 0.

    All three of one shape. Raises ShapeError where the shapes differ, DomainError for other targets.
    """
    x1, x2 = matched("margin_ranking_loss", x1, x2)
    yes = _checked_signs("margin_ranking_loss", target, x1.shape)
    return reduced(relu(margin - where(yes, x1 - x2, x2 - x1)), reduction)


def _classes_by_loop(x: Any, labels: Any, reduction: str = "mean", margin: float = 1.0) -> Any:
    rows = []
    for scores, right in zip(x.tolist(), labels.tolist(), strict=True):
        short = [max(0.0, margin - scores[right] + s) for k, s in enumerate(scores) if k != right]
        rows.append(math.fsum(short) / len(scores))
    return reduced_by_list(rows, labels.shape, reduction)


def _no_margin_met(x: Any, labels: Any, margin: float = 1.0, **_: Any) -> bool:
    right = np.take_along_axis(x, labels[:, None], 1)
    others = np.arange(x.shape[1]) != labels[:, None]
    return bool(np.all(np.abs(margin - right + x)[others] > 1e-3))


@loss(
    spec=LossSpec(
        case(
            reals("n c", scale=(0.5, 2.0)),
            indices("c", "n"),
            params=_MARGINS,
            sizes={"n": (0, 4), "c": (1, 4)},
            where=some_entries("n"),
            smooth_where=_no_margin_met,
        ),
        reference=_classes_by_loop,
    )
)
def multi_margin_loss(
    scores: Array, labels: Array, reduction: Reduction = "mean", margin: float = 1.0
) -> Array:
    """sum_k max(0, margin - s_y + s_k) / C over the classes k other than the label y, row by row.

    scores: (n, C), labels: (n,), numbers of classes. The sum of Weston and Watkins 1999, over C. Raises ShapeError where the
    shapes do not fit, DomainError for a label that is no class.
    """
    scores = as_values(scores)
    if scores.ndim != 2:
        raise ShapeError(f"multi_margin_loss takes scores of shape (n, classes), and got {scores.shape}")
    labels = checked_labels("multi_margin_loss", scores, labels)
    others = repeated(_others, labels, scores.shape[1])
    right = sum(where(others, 0.0, scores), 1, True)
    short = relu(margin - right + scores)
    return reduced(sum(where(others, short, 0.0), 1) / scores.shape[1], reduction)


def _others(labels: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """Of each row the classes that its label is not."""
    others: NDArray[np.bool_] = labels[:, None] != np.arange(classes)
    return others
