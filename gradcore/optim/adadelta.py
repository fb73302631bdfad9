"""Adadelta."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.base import Optimizer, check, follow
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _by_sums(
    p: Any, gradients: Any, factors: Any, lr: float, rho: float, eps: float, weight_decay: float
) -> Any:
    """Both mean squares as explicit sums, that of the moves over all moves made so far."""
    moves: list[Any] = []

    def move(past: list[Any]) -> Any:
        square = (1 - rho) * discounted(past, rho, 2)
        moved = (1 - rho) * discounted(moves, rho, 2) if moves else 0.0
        moves.append(past[-1] * ((moved + eps) / (square + eps)) ** 0.5)
        return moves[-1]

    return trajectory(p, gradients, factors, lr, move, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-2, 1.0, log=True),
            "rho": Floats(0.0, 0.999, specials=(0.9, 0.0)),
            "eps": Floats(1e-6, 1e-2, log=True),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=lambda p, gradients, factors, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0: _by_sums(
            p, gradients, factors, lr, rho, eps, weight_decay
        ),
    )
)
class Adadelta(Optimizer):
    """Adadelta: the gradient scaled by the size of recent moves over that of recent gradients.

    g = gradient + weight_decay p;  s = rho s + (1 - rho) g^2;  d = sqrt((u + eps) / (s + eps)) g;
    u = rho u + (1 - rho) d^2;  p -= lr d.  Zeiler 2012, algorithm 1.
    """

    hyper: ClassVar[Checks] = {
        "lr": check,
        "rho": partial(check, high=1.0),
        "eps": check,
        "weight_decay": check,
    }
    rho: float
    eps: float
    weight_decay: float

    def __init__(
        self, params: Params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("square", "moved")

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.lr, self.rho, 1 - self.rho, self.eps, self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        lr, rho, rest, eps, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        square, moved = state
        follow(square, np.multiply(g, g, out=s), s, rho, rest)
        np.divide(moved + eps, square + eps, out=s)
        np.sqrt(s, out=s)
        s *= g
        moved *= rho
        moved += rest * (s * s)
        s *= lr
        p -= s
