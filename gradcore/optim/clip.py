"""Gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradcore.optim.base import check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gradcore.tensor import Tensor


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their joint Euclidean norm is at most `max_norm`; the norm before.

    Pascanu et al. 2013, algorithm 1. A norm that is not finite is returned and nothing is scaled.
    """
    check("max_norm", max_norm)
    gradients = [p.grad for p in params if p.grad is not None]
    norm = math.sqrt(math.fsum(float(np.vdot(g, g)) for g in gradients)) if gradients else 0.0
    if norm > max_norm and math.isfinite(norm):
        for g in gradients:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Iterable[Tensor], max_value: float) -> None:
    """Clip every entry of every gradient to -max_value .. max_value."""
    check("max_value", max_value)
    for p in params:
        if p.grad is not None:
            np.clip(p.grad, -max_value, max_value, out=p.grad)
