"""RAdam."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.adam import DOMAIN, HYPER, Adam
from gradcore.optim.base import follow
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _length(b2: float, step: int) -> float:
    """Of how many gradients the mean square is a mean, as it were, at a step."""
    return 2 / (1 - b2) - 1 - 2 * step * b2**step / (1 - b2**step)


def _rectified(b2: float, step: int) -> float:
    """The factor by which the variance of the adaptive rate is made up for; 0 where that has no variance yet."""
    now, last = _length(b2, step), 2 / (1 - b2) - 1
    if now <= 5:
        return 0.0
    return math.sqrt((now - 4) * (now - 2) * last / ((last - 4) * (last - 2) * now))


def _by_sums(
    p: Any, gradients: Any, factors: Any, lr: float, betas: Any, eps: float, weight_decay: float
) -> Any:
    """Both moments as weighted sums over all past gradients."""
    b1, b2 = betas

    def move(past: list[Any]) -> Any:
        t = len(past)
        mean = discounted(past, b1) / sum(b1**age for age in range(t))
        ages = sum(age * b2 ** (age - 1) for age in range(1, t + 1)) * (1 - b2) / (1 - b2**t) if b2 else 1.0
        last = (1 + b2) / (1 - b2)
        now = (
            2 * ages - 1
        )  # the paper's length: twice the mean age of the gradients in the mean square, less 1
        if now <= 5:
            return mean
        factor = (now - 4) / (last - 4) * (now - 2) / (last - 2) * last / now
        return mean * factor**0.5 * (1 - b2**t) ** 0.5 / (((1 - b2) * discounted(past, b2, 2)) ** 0.5 + eps)

    return trajectory(p, gradients, factors, lr, move, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        DOMAIN,
        reference=lambda p, gradients, factors, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0: (
            _by_sums(p, gradients, factors, lr, betas, eps, weight_decay)
        ),
    )
)
class RAdam(Adam):
    """RAdam: Adam that waits with its adaptive rate until that has a variance, and makes up for it.

    g, m, v as in Adam;  r_t = 2 / (1 - b2) - 1 - 2 t b2^t / (1 - b2^t);  where r_t <= 5:  p -= lr m / (1 - b1^t);  else
    p -= lr R m / (1 - b1^t) sqrt(1 - b2^t) / (sqrt(v) + eps), with R the root of (r_t - 4)(r_t - 2) r / ((r - 4)(r - 2) r_t), r the
    limit of r_t.  Liu et al. 2020, algorithm 2, with eps as in PyTorch.
    """

    hyper: ClassVar[Checks] = HYPER

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("mean", "square")

    def _numbers(self, step: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        factor = _rectified(b2, step)
        size = self.lr / (1 - b1**step) * (factor * math.sqrt(1 - b2**step) if factor else 1.0)
        return (b1, 1 - b1, b2, 1 - b2, self.eps, size, self.weight_decay, factor)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        b1, rest1, b2, rest2, eps, size, decay, factor = numbers
        if self.weight_decay:
            g = g + decay * p
        mean, square = state
        follow(mean, g, s, b1, rest1)
        follow(square, np.multiply(g, g, out=s), s, b2, rest2)
        if factor:
            np.sqrt(square, out=s)
            s += eps
            np.divide(mean, s, out=s)
            s *= size
        else:
            np.multiply(mean, size, out=s)
        p -= s
