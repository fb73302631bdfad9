"""PyTorch's mixed precision: a call under `torch.autocast`, and what rounding every result to its dtype does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck.backends.tree import leaves, rebuild


def mixed(
    call: Callable[[Sequence[Any]], Any], device: str
) -> tuple[Callable[[Sequence[Any]], Any], float] | None:
    """The call under autocast with its results in single precision, and the unit roundoff of the lower one; None for a device without."""
    if not torch.amp.is_autocast_available(device):
        return None
    dtype = torch.get_autocast_dtype(device)

    def under(flat: Sequence[Any]) -> Any:
        with torch.autocast(device, dtype):
            result = call(flat)
        return rebuild(result, (_single(y, dtype) for _, y in leaves(result, "")))

    return under, float(torch.finfo(dtype).eps) / 2


def _single(y: Any, dtype: Any) -> Any:
    return y.float() if torch.is_tensor(y) and y.dtype == dtype else y


class Rounding(TorchDispatchMode):  # type: ignore[misc]
    """Moves every floating result, of the backward pass too, by the part `unit` of its size, up or down.

    Stochastic arithmetic (CESTAC): what rounding does inside shows where it cancels to nothing at the ends.
    """

    def __init__(self, unit: float, seed: int) -> None:
        super().__init__()
        self._unit, self._draws = unit, torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        if func.is_view or func._schema.is_mutable:
            return y
        return type(y)(map(self._moved, y)) if isinstance(y, tuple | list) else self._moved(y)

    def _moved(self, y: Any) -> Any:
        if not torch.is_tensor(y) or not (y.is_floating_point() or y.is_complex()) or not _stored(y):
            return y
        signs = torch.randint(0, 2, y.shape, generator=self._draws).mul_(2).sub_(1).to(y.device)
        return y * (1 + self._unit * signs)


def _stored(y: Any) -> bool:
    """Whether its numbers stand in memory, one by one."""
    return bool(y.layout == torch.strided and not y._is_zerotensor())
