"""What a loss does with its values: average them, sum them, or leave them as they are."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from gradcore.convert import as_array
from gradcore.errors import DomainError, ShapeError
from gradcore.op import Array
from gradcore.ops.reduce import mean, sum
from gradcore.spec import OneOf

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = {"reduction": OneOf("mean", "sum", "none")}


def reduced(values: Array, reduction: Reduction) -> Array:
    """`values` averaged, summed, or as they are; DomainError for another reduction."""
    if reduction == "mean":
        return mean(values)
    if reduction == "sum":
        return sum(values)
    if reduction == "none":
        return values
    raise DomainError(f"reduction={reduction!r} must be 'mean', 'sum' or 'none'")


def reduced_by_list(values: list[float], shape: tuple[int, ...], reduction: str) -> Any:
    """The reference of `reduced`."""
    if reduction == "none":
        return np.array(values).reshape(shape)
    return np.array(math.fsum(values) / (len(values) if reduction == "mean" else 1))


def some_entries(*letters: str) -> Any:
    """A condition on drawn sizes: there is something to average."""
    return lambda e: e["reduction"] != "mean" or all(e.sizes[letter] > 0 for letter in letters)


def as_values(value: Any) -> Any:
    """A Tensor or an array as it is, numbers as an array."""
    return value if hasattr(value, "shape") else as_array(value)


def matched(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both as arrays; ShapeError where the shapes differ, as a broadcast in a loss is nearly always a mistake."""
    prediction, target = as_values(prediction), as_values(target)
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{name} got a prediction of shape {prediction.shape} and a target of shape {target.shape}: they must be equal "
            "(reshape one of them)"
        )
    return prediction, target
