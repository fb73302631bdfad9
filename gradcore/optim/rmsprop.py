"""RMSprop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.base import Optimizer, check, check_flag
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Floats, OneOf, OptimizerSpec

if TYPE_CHECKING:
    from gradcore.optim.base import Array, Arrays, Checks, Params


def _by_sums(
    p: Any,
    gradients: Any,
    factors: Any,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    centered: bool,
    decay: float,
) -> Any:
    """The mean square as an explicit sum: s_t = (1 - alpha) sum_i alpha^(t-i) g_i^2; velocity likewise.

    Centered, s_t - m_t^2 is the sum of squares around m_t and what its weights lack of 1 times m_t^2.
    """
    scaled: list[Any] = []

    def move(past: list[Any]) -> Any:
        square = (1 - alpha) * discounted(past, alpha, 2)
        if centered:
            mean = (1 - alpha) * discounted(past, alpha)
            around = discounted([g - mean for g in past], alpha, 2)
            square = (1 - alpha) * around + alpha ** len(past) * mean * mean
        scaled.append(past[-1] / (square**0.5 + eps))
        return discounted(scaled, momentum)

    return trajectory(p, gradients, factors, lr, move, decay)


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-4, 0.1, log=True),
            "alpha": Floats(0.0, 0.999, specials=(0.99, 0.0)),
            "eps": Floats(1e-8, 1e-2, log=True),
            "momentum": Floats(0.0, 0.95, specials=(0.0,)),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
            "centered": OneOf(False, True),
        },
        reference=lambda p, gradients, factors, *, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0, centered=False: (
            _by_sums(p, gradients, factors, lr, alpha, eps, momentum, centered, weight_decay)
        ),
    )
)
class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of its running mean square.

    g = gradient + weight_decay p;  s = alpha s + (1 - alpha) g^2;  v = momentum v + g / (sqrt(s) + eps);  p -= lr v.
    centered: s - m^2 in the place of s, with m = alpha m + (1 - alpha) g. The state keeps this difference itself,
    d = alpha (d + (1 - alpha) (g - m)^2) with the m before, which can't fall below 0; so alpha must not change.
    Tieleman and Hinton 2012, Neural Networks for Machine Learning (Coursera), lecture 6.5;
    centered: Graves 2013, Generating Sequences With Recurrent Neural Networks, with eps as in PyTorch.
    """

    hyper: ClassVar[Checks] = {
        "lr": check,
        "alpha": partial(check, high=1.0),
        "eps": check,
        "momentum": partial(check, high=1.0),
        "weight_decay": check,
        "centered": check_flag,
    }
    alpha: float
    eps: float
    momentum: float
    weight_decay: float
    centered: bool

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            momentum=momentum,
            weight_decay=weight_decay,
            centered=centered,
        )

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        squares = ("variance", "mean") if self.centered else ("square",)
        return (*squares, "velocity") if self.momentum else squares

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.lr, self.alpha, 1 - self.alpha, self.eps, self.momentum, self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        lr, alpha, rest, eps, momentum, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        square = state[0]
        if self.centered:
            mean = state[1]
            apart = g - mean
            np.multiply(apart, apart, out=s)
            s *= rest
            square += s
            square *= alpha
            apart *= rest
            mean += apart
        else:
            np.multiply(g, g, out=s)
            s *= rest
            square *= alpha
            square += s
        np.sqrt(square, out=s)
        s += eps
        np.divide(g, s, out=s)
        if self.momentum:
            velocity = state[-1]
            velocity *= momentum
            velocity += s
            np.multiply(velocity, lr, out=s)
        else:
            s *= lr
        p -= s
