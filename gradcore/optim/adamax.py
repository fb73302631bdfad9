"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.adam import DOMAIN, HYPER, Adam
from gradcore.optim.base import follow
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _by_sums(
    p: Any, gradients: Any, factors: Any, lr: float, betas: Any, eps: float, weight_decay: float
) -> Any:
    """The mean over all past gradients, and the largest of them, each as old as it is."""
    b1, b2 = betas

    def move(past: list[Any]) -> Any:
        t = len(past) - 1
        largest = np.max(np.stack([b2 ** (t - i) * (np.abs(g) + eps) for i, g in enumerate(past)]), axis=0)
        return discounted(past, b1) / sum(b1**age for age in range(len(past))) / largest

    return trajectory(p, gradients, factors, lr, move, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        DOMAIN,
        reference=lambda p, gradients, factors, *, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0: (
            _by_sums(p, gradients, factors, lr, betas, eps, weight_decay)
        ),
    )
)
class Adamax(Adam):
    """Adamax: a running mean of the gradient over a running maximum of its size.

    g = gradient + weight_decay p;  m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + eps);  p -= lr / (1 - b1^t) m / u.
    Kingma and Ba 2015, algorithm 2, with eps as in PyTorch.
    """

    hyper: ClassVar[Checks] = HYPER

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("mean", "largest")

    def _numbers(self, step: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        return (b1, 1 - b1, b2, self.eps, self.lr / (1 - b1**step), self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        b1, rest, b2, eps, size, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        mean, largest = state
        follow(mean, g, s, b1, rest)
        np.absolute(g, out=s)
        s += eps
        largest *= b2
        np.maximum(largest, s, out=largest)
        np.divide(mean, largest, out=s)
        s *= size
        p -= s
