"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.base import Optimizer, check
from gradcore.optim.reference import trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _by_sums(
    p: Any, gradients: Any, factors: Any, lr: float, lr_decay: float, eps: float, weight_decay: float
) -> Any:
    """The sum of all squares so far, and the slower and slower rate, at each step."""

    def move(past: list[Any]) -> Any:
        return past[-1] / (sum(g * g for g in past) ** 0.5 + eps) / (1 + (len(past) - 1) * lr_decay)

    return trajectory(p, gradients, factors, lr, move, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-4, 0.1, log=True),
            "lr_decay": Floats(0.0, 1.0, specials=(0.0,)),
            "eps": Floats(1e-10, 1e-2, log=True),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=lambda p, gradients, factors, *, lr=0.01, lr_decay=0.0, eps=1e-10, weight_decay=0.0: (
            _by_sums(p, gradients, factors, lr, lr_decay, eps, weight_decay)
        ),
    )
)
class Adagrad(Optimizer):
    """Adagrad: the gradient divided by the root of the sum of all its squares.

    g = gradient + weight_decay p;  s = s + g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps), at step t.
    Duchi, Hazan and Singer 2011, figure 1 with diagonal matrices.
    """

    hyper: ClassVar[Checks] = {"lr": check, "lr_decay": check, "eps": check, "weight_decay": check}
    lr_decay: float
    eps: float
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("square_sum",)

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.lr / (1 + (step - 1) * self.lr_decay), self.eps, self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        lr, eps, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        (square,) = state
        np.multiply(g, g, out=s)
        square += s
        np.sqrt(square, out=s)
        s += eps
        np.divide(g, s, out=s)
        s *= lr
        p -= s
