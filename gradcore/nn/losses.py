"""Losses as modules, for those who build them from a configuration; the functions are in `gradcore.losses`."""

from __future__ import annotations

from typing import Any

from gradcore.losses import Reduction, cross_entropy, mse_loss
from gradcore.nn.module import Module


class MSELoss(Module):
    """`gradcore.mse_loss` with its reduction fixed."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def forward(self, prediction: Any, target: Any) -> Any:
        """The squared error."""
        return mse_loss(prediction, target, self.reduction)

    def extra_repr(self) -> str:  # noqa: D102
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(Module):
    """`gradcore.cross_entropy` with its reduction fixed."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def forward(self, logits: Any, labels: Any) -> Any:
        """The cross-entropy."""
        return cross_entropy(logits, labels, self.reduction)

    def extra_repr(self) -> str:  # noqa: D102
        return f"reduction={self.reduction!r}"
