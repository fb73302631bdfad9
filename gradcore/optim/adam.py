"""Adam and AdamW."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.errors import DomainError
from gradcore.optim.base import Optimizer, check, check_flag
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OneOf, OptimizerSpec, Param

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params

DOMAIN: dict[str, Param] = {
    "lr": Floats(1e-4, 0.1, log=True),
    "betas": OneOf((0.9, 0.999), (0.0, 0.0), (0.5, 0.9), (0.99, 0.3)),
    "eps": Floats(1e-8, 1e-2, log=True),
    "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
}


def _by_sums(
    p: Any,
    gradients: Any,
    factors: Any,
    lr: float,
    betas: Any,
    eps: float,
    coupled: float,
    decoupled: float,
    amsgrad: bool,
) -> Any:
    """Both moments as weighted means over all past gradients, with weights beta^(t-i) that are divided by their sum."""

    def move(past: list[Any]) -> Any:
        b1, b2 = betas
        mean = discounted(past, b1) / sum(b1**age for age in range(len(past)))
        counts = range(1, len(past) + 1) if amsgrad else [len(past)]
        largest = np.max(np.stack([discounted(past[:n], b2, 2) for n in counts]), axis=0)
        return mean / ((largest / sum(b2**age for age in range(len(past)))) ** 0.5 + eps)

    return trajectory(p, gradients, factors, lr, move, coupled, decoupled)


def check_betas(name: str, value: Any) -> tuple[float, float]:
    """`value` as a pair of numbers from 0 to below 1, else DomainError."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise DomainError(f"{name}={value!r} is not a pair of numbers: pass two, such as (0.9, 0.999)")
    return check(f"{name}[0]", value[0], high=1.0), check(f"{name}[1]", value[1], high=1.0)


HYPER: Checks = {"lr": check, "betas": check_betas, "eps": check, "weight_decay": check}


@optimizer(
    spec=OptimizerSpec(
        {**DOMAIN, "amsgrad": OneOf(False, True)},
        reference=lambda p, gradients, factors, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False: (
            _by_sums(p, gradients, factors, lr, betas, eps, weight_decay, 0.0, amsgrad)
        ),
    )
)
class Adam(Optimizer):
    """Adam: a running mean of the gradient over the root of a running mean of its square, with bias correction.

    g = gradient + weight_decay p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
    p -= lr m' / (sqrt(v') + eps), with m' = m / (1 - b1^t) and v' = v / (1 - b2^t).
    amsgrad: v' is the largest v so far / (1 - b2^t).
    Kingma and Ba 2015, algorithm 1; amsgrad: Reddi, Kale and Kumar 2018, corrected as in PyTorch. The state keeps
    m / (1 - b1) and v / (1 - b2), so betas must not change.
    """

    hyper: ClassVar[Checks] = {**HYPER, "amsgrad": check_flag}
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("sum", "square_sum", "largest") if self.amsgrad else ("sum", "square_sum")

    def _numbers(self, step: int) -> tuple[float, ...]:
        b1, b2 = self.betas
        # Discounted sums M = m / (1 - b1) and V = v / (1 - b2) are kept in the place of the means, and the bias
        # correction changes two scalars instead of the arrays (the paper's section 2): 10 passes over the arrays, not 14.
        mean = (1 - b1) / (1 - b1**step)
        root = math.sqrt((1 - b2) / (1 - b2**step))
        return (b1, b2, self.eps / root, self.lr * mean / root, self._decay())

    def _decay(self) -> float:
        return self.weight_decay

    def _decayed(self, p: Array, g: Array, decay: Array) -> Array:
        return g + decay * p if self.weight_decay else g

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        total, square = state[0], state[1]
        b1, b2, eps, size, decay = numbers
        g = self._decayed(p, g, decay)
        total *= b1
        total += g
        np.multiply(g, g, out=s)
        square *= b2
        square += s
        if len(state) > 2:
            square = np.maximum(state[2], square, out=state[2])
        np.sqrt(square, out=s)
        s += eps
        np.divide(total, s, out=s)
        s *= size
        p -= s


@optimizer(
    spec=OptimizerSpec(
        {**DOMAIN, "amsgrad": OneOf(False, True)},
        reference=lambda p, gradients, factors, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, amsgrad=False: (
            _by_sums(p, gradients, factors, lr, betas, eps, 0.0, weight_decay, amsgrad)
        ),
    )
)
class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr weight_decay p, apart from the moments.

    Loshchilov and Hutter 2019, algorithm 2 (with the schedule multiplier folded into lr, as in PyTorch).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def _decay(self) -> float:
        return 1 - self.lr * self.weight_decay

    def _decayed(self, p: Array, g: Array, decay: Array) -> Array:
        p *= decay
        return g
