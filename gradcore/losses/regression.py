"""Losses of a prediction against a target of its shape: squared, absolute, and between."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.losses.reductions import REDUCTIONS, Reduction, matched, reduced, reduced_by_list, some_entries
from gradcore.op import Array
from gradcore.ops.choice import clip
from gradcore.ops.elementwise import abs
from gradcore.registry import loss
from gradcore.spec import Case, LossSpec, OneOf, Param, case, reals


def _apart(y: Any, t: Any, **_: Any) -> bool:
    return bool(np.all(np.abs(y - t) > 1e-3))


def _pairs(smooth: bool = True, **params: Param) -> tuple[Case, Case]:
    """A prediction and a target; smooth: whether the loss has a derivative where they are equal."""
    return tuple(  # type: ignore[return-value]
        case(
            reals(shape),
            reals(shape),
            params={**params, **REDUCTIONS},
            sizes={"n": (0, 6), "c": (1, 4)},
            where=some_entries("n"),
            smooth_where=None if smooth else _apart,
        )
        for shape in ("n c", "n")
    )


def _of_differences(value: Callable[..., float]) -> Callable[..., Any]:
    def reference(y: Any, t: Any, reduction: str = "mean", **params: float) -> Any:
        pairs = zip(y.ravel().tolist(), t.ravel().tolist(), strict=True)
        return reduced_by_list([value(a - b, **params) for a, b in pairs], y.shape, reduction)

    return reference


@loss(spec=LossSpec(*_pairs(), reference=_of_differences(lambda d: d**2)))
def mse_loss(prediction: Array, target: Array, reduction: Reduction = "mean") -> Array:
    """Squared error (prediction - target)^2, averaged over all entries, summed, or as it is.

    Raises ShapeError where the shapes differ: a broadcast here is nearly always a mistake.
    """
    prediction, target = matched("mse_loss", prediction, target)
    difference = prediction - target
    return reduced(difference * difference, reduction)


@loss(spec=LossSpec(*_pairs(smooth=False), reference=_of_differences(math.fabs)))
def l1_loss(prediction: Array, target: Array, reduction: Reduction = "mean") -> Array:
    """Absolute error |prediction - target|, averaged over all entries, summed, or as it is. Raises ShapeError as `mse_loss`."""
    prediction, target = matched("l1_loss", prediction, target)
    return reduced(abs(prediction - target), reduction)


def _huber(difference: Array, delta: float) -> Array:
    """d^2 / 2 up to |d| = delta, and its tangent from there on."""
    near = clip(difference, -delta, delta)
    return near * (difference - near / 2)


def _huber_of_number(d: float, delta: float = 1.0) -> float:
    return d * d / 2 if math.fabs(d) < delta else delta * math.fabs(d) - delta**2 / 2


def _huber_by_loop(y: Any, t: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    return _of_differences(lambda d: _huber_of_number(d, delta))(y, t, reduction)


@loss(spec=LossSpec(*_pairs(delta=OneOf(1.0, 0.3, 3.0)), reference=_huber_by_loop))
def huber_loss(prediction: Array, target: Array, reduction: Reduction = "mean", delta: float = 1.0) -> Array:
    """d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere, with d = prediction - target: Huber 1964.

    Raises ShapeError as `mse_loss`, DomainError unless delta > 0.
    """
    if not delta > 0:
        raise DomainError(f"huber_loss got delta={delta}: it must be above 0; l1_loss is the limit")
    prediction, target = matched("huber_loss", prediction, target)
    return reduced(_huber(prediction - target, delta), reduction)


def _smooth_by_loop(y: Any, t: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    return _of_differences(lambda d: _huber_of_number(d, beta) / beta)(y, t, reduction)


@loss(spec=LossSpec(*_pairs(beta=OneOf(1.0, 0.3, 3.0)), reference=_smooth_by_loop))
def smooth_l1_loss(
    prediction: Array, target: Array, reduction: Reduction = "mean", beta: float = 1.0
) -> Array:
    """d^2 / (2 beta) where |d| <= beta, |d| - beta / 2 elsewhere: Girshick 2015, equation 3, for beta = 1.

    Raises ShapeError as `mse_loss`, DomainError unless beta > 0.
    """
    if not beta > 0:
        raise DomainError(f"smooth_l1_loss got beta={beta}: it must be above 0; l1_loss is the limit")
    prediction, target = matched("smooth_l1_loss", prediction, target)
    return reduced(_huber(prediction - target, beta) / beta, reduction)
