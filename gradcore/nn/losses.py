"""Losses as modules, for those who build them from a configuration; the functions are in `gradcore.losses`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from gradcore import losses
from gradcore.losses import Reduction
from gradcore.nn.module import Module


class _Loss(Module):
    """A loss function with its reduction and its other options fixed."""

    function: ClassVar[Callable[..., Any]]

    def __init__(self, reduction: Reduction = "mean", **options: Any) -> None:
        super().__init__()
        self.reduction: Reduction = reduction
        self.__dict__["options"] = options

    def forward(self, *values: Any) -> Any:
        """The loss of the values."""
        return type(self).function(*values, reduction=self.reduction, **self.__dict__["options"])

    def extra_repr(self) -> str:
        usual = inspect.signature(type(self)).parameters
        options = {n: v for n, v in self.__dict__["options"].items() if v is not usual[n].default}
        return ", ".join([f"{n}={v!r}" for n, v in {"reduction": self.reduction, **options}.items()])


class MSELoss(_Loss):
    """`gradcore.mse_loss` with its reduction fixed."""

    function = losses.mse_loss


class L1Loss(_Loss):
    """`gradcore.l1_loss` with its reduction fixed."""

    function = losses.l1_loss


class HuberLoss(_Loss):
    """`gradcore.huber_loss` with its options fixed."""

    function = losses.huber_loss

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction, delta=delta)


class SmoothL1Loss(_Loss):
    """`gradcore.smooth_l1_loss` with its options fixed."""

    function = losses.smooth_l1_loss

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction, beta=beta)


class CrossEntropyLoss(_Loss):
    """`gradcore.cross_entropy` with its options fixed."""

    function = losses.cross_entropy

    def __init__(
        self,
        reduction: Reduction = "mean",
        *,
        weight: Any = None,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(reduction, weight=weight, label_smoothing=label_smoothing, ignore_index=ignore_index)


class NLLLoss(_Loss):
    """`gradcore.nll_loss` with its options fixed."""

    function = losses.nll_loss

    def __init__(
        self, reduction: Reduction = "mean", *, weight: Any = None, ignore_index: int | None = None
    ) -> None:
        super().__init__(reduction, weight=weight, ignore_index=ignore_index)


class BCELoss(_Loss):
    """`gradcore.binary_cross_entropy` with its reduction fixed."""

    function = losses.binary_cross_entropy


class BCEWithLogitsLoss(_Loss):
    """`gradcore.binary_cross_entropy_with_logits` with its options fixed."""

    function = losses.binary_cross_entropy_with_logits

    def __init__(self, reduction: Reduction = "mean", pos_weight: Any = 1.0) -> None:
        super().__init__(reduction, pos_weight=pos_weight)


class KLDivLoss(_Loss):
    """`gradcore.kl_div` with its options fixed."""

    function = losses.kl_div

    def __init__(self, reduction: Reduction = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, log_target=log_target)


class HingeLoss(_Loss):
    """`gradcore.hinge_loss` with its options fixed."""

    function = losses.hinge_loss

    def __init__(self, reduction: Reduction = "mean", margin: float = 1.0) -> None:
        super().__init__(reduction, margin=margin)


class CosineEmbeddingLoss(_Loss):
    """`gradcore.cosine_embedding_loss` with its options fixed."""

    function = losses.cosine_embedding_loss

    def __init__(self, reduction: Reduction = "mean", margin: float = 0.0) -> None:
        super().__init__(reduction, margin=margin)


class TripletMarginLoss(_Loss):
    """`gradcore.triplet_margin_loss` with its options fixed."""

    function = losses.triplet_margin_loss

    def __init__(self, reduction: Reduction = "mean", margin: float = 1.0) -> None:
        super().__init__(reduction, margin=margin)


class MarginRankingLoss(_Loss):
    """`gradcore.margin_ranking_loss` with its options fixed."""

    function = losses.margin_ranking_loss

    def __init__(self, reduction: Reduction = "mean", margin: float = 0.0) -> None:
        super().__init__(reduction, margin=margin)


class MultiMarginLoss(_Loss):
    """`gradcore.multi_margin_loss` with its options fixed."""

    function = losses.multi_margin_loss

    def __init__(self, reduction: Reduction = "mean", margin: float = 1.0) -> None:
        super().__init__(reduction, margin=margin)


class CTCLoss(_Loss):
    """`gradcore.ctc_loss` with its options fixed: as PyTorch's, the blank comes first."""

    function = losses.ctc_loss

    def __init__(self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction, blank=blank, zero_infinity=zero_infinity)
