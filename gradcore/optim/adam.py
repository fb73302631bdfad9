"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.optim.base import Optimizer, check
from gradcore.registry import optimizer
from gradcore.spec import Floats, OneOf, OptimizerSpec, Param

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gradcore.tensor import Tensor

_DOMAIN: dict[str, Param] = {
    "lr": Floats(1e-4, 0.1, log=True),
    "betas": OneOf((0.9, 0.999), (0.0, 0.0), (0.5, 0.9), (0.99, 0.3)),
    "eps": Floats(1e-8, 1e-2, log=True),
    "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
}


def _by_sums(
    p: Any, gradients: Any, lr: float, betas: Any, eps: float, coupled: float, decoupled: float
) -> Any:
    """Both moments as weighted means over all past gradients, with weights beta^(t-i) that are divided by their sum."""
    past: list[Any] = []
    for gradient in gradients:
        past.append(gradient(p) + coupled * p)
        ages = range(len(past))[::-1]
        mean, square = (
            sum(beta**age * g**power for age, g in zip(ages, past, strict=True))
            / sum(beta**age for age in ages)
            for beta, power in zip(betas, (1, 2), strict=True)
        )
        p = p - lr * decoupled * p - lr * mean / (square**0.5 + eps)
    return p


@optimizer(
    spec=OptimizerSpec(
        _DOMAIN,
        reference=lambda p, gradients, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0: _by_sums(
            p, gradients, lr, betas, eps, weight_decay, 0.0
        ),
    )
)
class Adam(Optimizer):
    """Adam: a running mean of the gradient over the root of a running mean of its square, both corrected for their start.

    g = gradient + weight_decay p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
    p -= lr m' / (sqrt(v') + eps), with m' = m / (1 - b1^t) and v' = v / (1 - b2^t).
    Kingma and Ba 2015, algorithm 1. The state keeps m / (1 - b1) and v / (1 - b2), so betas are set once and for all.
    """

    hyper = ("lr", "betas", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise DomainError(f"betas={betas!r} is no pair of numbers: pass (0.9, 0.999), say")
        self.betas = (check("betas[0]", betas[0], high=1.0), check("betas[1]", betas[1], high=1.0))
        self.eps = check("eps", eps)
        self.weight_decay = check("weight_decay", weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("sum", "square_sum")

    def _prepare(self, step: int) -> None:
        b1, b2 = self.betas
        # Discounted sums M = m / (1 - b1) and V = v / (1 - b2) are kept in the place of the means, and the corrections
        # for their start leave the arrays for two numbers (the paper's section 2): 10 passes over the arrays, not 14.
        mean = (1 - b1) / (1 - b1**step)
        root = math.sqrt((1 - b2) / (1 - b2**step))
        self._numbers = (b1, b2, self.eps / root, self.lr * mean / root)
        self._by_dtype: dict[Any, list[NDArray[Any]]] = {}

    def _decayed(self, p: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
        return g + self.weight_decay * p if self.weight_decay else g

    def _update(self, p: NDArray[Any], g: NDArray[Any], s: NDArray[Any], *state: NDArray[Any]) -> None:
        total, square = state
        numbers = self._by_dtype.get(p.dtype)
        if numbers is None:  # as arrays: a Python number takes NumPy longer than a thousand entries do
            numbers = self._by_dtype[p.dtype] = [np.array(number, p.dtype) for number in self._numbers]
        b1, b2, eps, size = numbers
        g = self._decayed(p, g)
        total *= b1
        total += g
        np.multiply(g, g, out=s)
        square *= b2
        square += s
        np.sqrt(square, out=s)
        s += eps
        np.divide(total, s, out=s)
        s *= size
        p -= s


@optimizer(
    spec=OptimizerSpec(
        _DOMAIN,
        reference=lambda p, gradients, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01: _by_sums(
            p, gradients, lr, betas, eps, 0.0, weight_decay
        ),
    )
)
class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr weight_decay p, apart from the moments.

    Loshchilov and Hutter 2019, algorithm 2 (with the schedule multiplier folded into lr, as in PyTorch).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decayed(self, p: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
        p *= 1 - self.lr * self.weight_decay
        return g
