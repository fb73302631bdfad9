"""Gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.holding import is_grad_held
from gradcore.modes import callback
from gradcore.optim.base import check
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients by one factor so that their joint Euclidean norm is at most `max_norm`; returns the norm before.

    In place, unless something else holds a gradient's array: then the parameter gets a new one.
    Pascanu et al. 2013, algorithm 1. A norm that is not finite is returned and nothing is scaled.
    """
    check("max_norm", max_norm)
    norm: float = callback(_clip_norm, _listed(params), max_norm)
    return norm


def _clip_norm(params: Sequence[Tensor], max_norm: float) -> float:
    found = _with_gradients(params)
    norm = _norm(found, 1.0)
    if not math.isfinite(norm):  # squares overflow long before the norm does: at 1e19 in float32
        top = max(float(np.max(np.absolute(g), initial=0.0)) for g in (p.grad for p in found))
        norm = top * _norm(found, top) if math.isfinite(top) else norm
    if norm > max_norm and math.isfinite(norm):
        factor = max_norm / norm
        for p in found:
            room = _room(p)
            p.grad = np.multiply(p.grad, factor, out=room)
    return norm


def clip_grad_value(params: Iterable[Tensor] | Tensor, max_value: float) -> None:
    """Clip every entry of every gradient to -max_value .. max_value; in place as in `clip_grad_norm`."""
    check("max_value", max_value)
    callback(_clip_value, _listed(params), max_value)


def _clip_value(params: Sequence[Tensor], max_value: float) -> None:
    for p in _with_gradients(params):
        room = _room(p)
        p.grad = np.clip(p.grad, -max_value, max_value, out=room)


def _listed(params: Iterable[Tensor] | Tensor) -> list[Tensor]:
    # Going over a Tensor would give its rows, which have no gradients.
    return [params] if isinstance(params, Tensor) else list(params)


def _with_gradients(params: Sequence[Tensor]) -> list[Any]:
    return [p for p in params if p.grad is not None]


def _room(p: Any) -> NDArray[Any]:
    """Where to write a gradient's new values: a graph that was recorded from the gradient keeps the old ones."""
    room: NDArray[Any] = np.empty_like(p.grad) if is_grad_held(p) else p.grad
    return room


def _norm(params: list[Any], scale: float) -> float:
    """The joint norm of all gradients over `scale`."""
    squares = []
    for g in (p.grad for p in params):
        wide = g.astype(np.float64) if g.dtype.itemsize < 4 else g
        wide = wide / scale if scale != 1.0 else wide
        squares.append(float(np.vdot(wide, wide)))
    return math.sqrt(math.fsum(squares))
