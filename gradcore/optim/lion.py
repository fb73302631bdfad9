"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.adam import check_betas
from gradcore.optim.base import Optimizer, check
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OneOf, OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _by_sums(p: Any, gradients: Any, factors: Any, lr: float, betas: Any, weight_decay: float) -> Any:
    """The sign of a weighted sum over all past gradients."""
    b1, b2 = betas

    def move(past: list[Any]) -> Any:
        before = (1 - b2) * discounted(past[:-1], b2) if len(past) > 1 else 0.0
        return np.sign(b1 * before + (1 - b1) * past[-1])

    return trajectory(p, gradients, factors, lr, move, 0.0, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-5, 0.1, log=True),
            "betas": OneOf((0.9, 0.99), (0.0, 0.0), (0.5, 0.9), (0.99, 0.3)),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=lambda p, gradients, factors, *, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0: _by_sums(
            p, gradients, factors, lr, betas, weight_decay
        ),
    )
)
class Lion(Optimizer):
    """Lion: the sign of a running mean of the gradient, so that every entry moves equally far.

    p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p);  m = b2 m + (1 - b2) g.  Chen et al. 2023, algorithm 2.
    """

    hyper: ClassVar[Checks] = {"lr": check, "betas": check_betas, "weight_decay": check}
    betas: tuple[float, float]
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("mean",)

    def _numbers(self, step: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        return (b1, 1 - b1, b2, 1 - b2, self.lr, 1 - self.lr * self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        b1, rest1, b2, rest2, lr, decay = numbers
        (mean,) = state
        np.multiply(mean, b1, out=s)
        s += rest1 * g
        np.sign(s, out=s)
        s *= lr
        if self.weight_decay:
            p *= decay
        p -= s
        mean *= b2
        mean += rest2 * g
