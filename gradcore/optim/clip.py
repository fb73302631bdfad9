"""Gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.optim.base import check
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients by one factor so that their joint Euclidean norm is at most `max_norm`; returns the norm before.

    Pascanu et al. 2013, algorithm 1. A norm that is not finite is returned and nothing is scaled.
    """
    check("max_norm", max_norm)
    gradients = _gradients(params)
    norm = _norm(gradients, 1.0)
    if not math.isfinite(norm):  # squares overflow long before the norm does: at 1e19 in float32
        top = max(float(np.max(np.absolute(g), initial=0.0)) for g in gradients)
        norm = top * _norm(gradients, top) if math.isfinite(top) else norm
    if norm > max_norm and math.isfinite(norm):
        for g in gradients:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[Tensor] | Tensor, max_value: float) -> None:
    """Clip every entry of every gradient to -max_value .. max_value."""
    check("max_value", max_value)
    for g in _gradients(params):
        np.clip(g, -max_value, max_value, out=g)


def _gradients(params: Iterable[Tensor] | Tensor) -> list[NDArray[Any]]:
    # Going over a Tensor would give its rows, which have no gradients.
    found = [params] if isinstance(params, Tensor) else params
    return [p.grad for p in found if p.grad is not None]


def _norm(gradients: list[NDArray[Any]], scale: float) -> float:
    """The joint norm of all gradients over `scale`."""
    squares = []
    for g in gradients:
        wide = g.astype(np.float64) if g.dtype.itemsize < 4 else g
        wide = wide / scale if scale != 1.0 else wide
        squares.append(float(np.vdot(wide, wide)))
    return math.sqrt(math.fsum(squares))
