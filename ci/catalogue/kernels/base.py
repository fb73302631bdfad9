"""How a kernel of the catalogue is described.

A kernel is forward and backward by hand, in 16 or 32 bits with float32 inside. Both take the name of a defect first, "" for
none; the lines with a defect stand beside the right ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

LOW = (torch.bfloat16, torch.float16)
ALL = (*LOW, torch.float32)


@dataclass(frozen=True)
class Defect:
    """One mistake. causes: those that a report may name. dtypes: in which it is one."""

    name: str
    causes: tuple[str, ...]
    dtypes: tuple[Any, ...] = ALL


@dataclass(frozen=True)
class Kernel:
    """name; `forward(defect, *inputs) -> (outputs, saved)`; `backward(defect, saved, *gys) -> one per input`.

    inputs: `inputs(draw) -> tuple`. reference: the same mathematics in plain float64.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: Callable[[Draw], tuple[Any, ...]]
    reference: Callable[..., Any]
    defects: tuple[Defect, ...]
    claims: Mapping[str, str] = field(default_factory=dict)

    def function(self, defect: str = "") -> Callable[..., Any]:
        """The kernel as a function of tensors with its own gradient."""
        forward, backward = self.forward, self.backward

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                outputs, ctx.saved = forward(defect, *inputs)
                return outputs

            @staticmethod
            def backward(ctx: Any, *gys: Any) -> Any:
                return backward(defect, ctx.saved, *gys)

        Function.__name__ = self.name
        return Function.apply


class Draw:
    """Random inputs: sizes around powers of two, magnitudes over some decades."""

    def __init__(self, dtype: Any, seed: int) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(seed)

    def size(self, *near: int) -> int:
        """A size at or near one of these."""
        return max(1, int(self.rng.choice(near)) + int(self.rng.choice([0, 0, -1, 1, 3])))

    def scale(self, low: int = -4, high: int = 2) -> float:
        """A power of two."""
        return float(2.0 ** self.rng.integers(low, high + 1))

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Any:
        """Normal numbers in the dtype."""
        return torch.from_numpy(self.rng.standard_normal(shape) * scale + mean).to(self.dtype)

    def whole(self, n: int, *shape: int) -> Any:
        """Whole numbers from 0 to n - 1."""
        return torch.from_numpy(self.rng.integers(0, n, shape))

    def mask(self, p: float, *shape: int) -> Any:
        """True with this probability."""
        return torch.from_numpy(self.rng.random(shape) < p)


def summed(rows: Any, low: bool) -> Any:
    """The sum over axis 0; `low`: one row after the other, in the dtype of the rows."""
    if not low:
        return rows.float().sum(0)
    total = torch.zeros_like(rows[0])
    for row in rows:
        total = total + row
    return total


def as_contiguous(gy: Any) -> Any:
    """The memory of a cotangent, read as if it were in C order."""
    dense = torch.empty(gy.shape).stride()
    last = gy.storage_offset() + sum([(n - 1) * s for n, s in zip(gy.shape, dense, strict=True)])
    if last * gy.element_size() >= gy.untyped_storage().nbytes():
        return gy.flatten()[0].expand(gy.shape)
    return torch.as_strided(gy, gy.shape, dense)


def dropped(array: Any, block: int, axis: int = 0) -> Any:
    """The array with the remainder behind the last whole block left at zero."""
    kept = array.clone()
    n = array.shape[axis] // block * block
    kept.narrow(axis, n, array.shape[axis] - n).zero_()
    return kept
