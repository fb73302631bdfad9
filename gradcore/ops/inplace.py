"""`x += y` and its like on Tensors: a step written by hand under `no_grad` changes the parameter, not a name for it."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DtypeError, GraphError, ShapeError
from gradcore.holding import assign
from gradcore.modes import is_grad_enabled
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


def _in_place(symbol: str, compute: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        """As NumPy's: a leaf gets new values, whatever its names; the result of an op is left alone, and a new tensor made."""
        if not self.is_leaf:
            return compute(self, other)
        if self.requires_grad and is_grad_enabled():
            raise GraphError(
                f"x {symbol}= ... on a tensor that requires a gradient: it would have to be recorded, and changed, at once. "
                f"For a step of your own write it under `with gradcore.no_grad():`; to compute with it, y = x {symbol} ..."
            )
        y = compute(self, other)
        if y.requires_grad:  # a constant, to which something recorded is added: total += loss
            return y
        if y.shape != self.shape:
            raise ShapeError(
                f"x {symbol}= y would change a tensor of shape {self.shape} into one of shape {y.shape}: write x = x {symbol} y"
            )
        if not np.can_cast(y.dtype, self.dtype, "same_kind"):
            raise DtypeError(
                f"x {symbol}= y would change a tensor of {self.dtype} into one of {y.dtype}: write x = x {symbol} y"
            )
        assign(self, y.data)
        return self

    return method


for _name, _symbol in {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "matmul": "@",
}.items():  # fmt: skip
    setattr(Tensor, f"__i{_name}__", _in_place(_symbol, getattr(operator, _name)))
