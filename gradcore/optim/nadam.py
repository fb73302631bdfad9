"""NAdam."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.adam import DOMAIN, HYPER
from gradcore.optim.base import Optimizer, check, follow
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _momentum(b1: float, decay: float, step: int) -> float:
    """The momentum of a step."""
    return b1 * (1 - 0.5 * math.exp(step * decay * math.log(0.96)))


def _by_sums(
    p: Any, gradients: Any, factors: Any, lr: float, betas: Any, eps: float, decay: float, weight_decay: float
) -> Any:
    """Both moments as weighted sums over all past gradients, and the products of all momenta."""
    b1, b2 = betas

    def move(past: list[Any]) -> Any:
        t = len(past)
        mean = (1 - b1) * discounted(past, b1)
        root = (discounted(past, b2, 2) / sum(b2**age for age in range(t))) ** 0.5 + eps
        momenta = [b1 - b1 / 2 * 0.96 ** (step * decay) for step in range(1, t + 2)]
        now, ahead = math.prod(momenta[:-1]), math.prod(momenta)
        return ((1 - momenta[-2]) / (1 - now) * past[-1] + momenta[-1] / (1 - ahead) * mean) / root

    return trajectory(p, gradients, factors, lr, move, weight_decay)


@optimizer(
    spec=OptimizerSpec(
        {**DOMAIN, "momentum_decay": Floats(0.0, 0.5, specials=(0.0, 4e-3))},
        reference=lambda p, gradients, factors, *, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, weight_decay=0.0: (
            _by_sums(p, gradients, factors, lr, betas, eps, momentum_decay, weight_decay)
        ),
    )
)
class NAdam(Optimizer):
    """NAdam: Adam whose mean looks one step ahead, as Nesterov's momentum does.

    g, m, v as in Adam;  b_t = b1 (1 - 0.96^(t momentum_decay) / 2);  B_t = b_1 ... b_t;
    p -= lr ((1 - b_t) g / (1 - B_t) + b_(t+1) m / (1 - B_(t+1))) / (sqrt(v / (1 - b2^t)) + eps).
    Dozat 2016, with the decay of momentum as in PyTorch. momentum_decay and betas must not change.
    """

    hyper: ClassVar[Checks] = {**HYPER, "momentum_decay": check}
    betas: tuple[float, float]
    eps: float
    momentum_decay: float
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum_decay: float = 4e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, momentum_decay=momentum_decay, weight_decay=weight_decay
        )
        self._products: dict[tuple[float, float], list[float]] = {}

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("mean", "square")

    def _product(self, step: int) -> float:
        """The momenta of all steps up to this one, multiplied; kept, as later steps go on from it."""
        key = self.betas[0], self.momentum_decay
        found = self._products.setdefault(key, [1.0])
        while len(found) <= step:
            found.append(found[-1] * _momentum(*key, len(found)))
        return found[step]

    def _numbers(self, step: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        now, ahead = (_momentum(b1, self.momentum_decay, t) for t in (step, step + 1))
        return (
            b1, 1 - b1, b2, 1 - b2, 1 / (1 - b2**step), self.eps,
            self.lr * (1 - now) / (1 - self._product(step)),
            self.lr * ahead / (1 - self._product(step + 1)),
            self.weight_decay,
        )  # fmt: skip

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        b1, rest1, b2, rest2, corrected, eps, size, size_ahead, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        mean, square = state
        follow(mean, g, s, b1, rest1)
        follow(square, np.multiply(g, g, out=s), s, b2, rest2)
        np.multiply(square, corrected, out=s)
        np.sqrt(s, out=s)
        s += eps
        p -= (size * g + size_ahead * mean) / s
