"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.optim.base import Optimizer, check
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gradcore.tensor import Tensor


def _reference(
    p: Any,
    gradients: Any,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Any:
    """The mean square as an explicit sum: s_t = (1 - alpha) sum_i alpha^(t-i) g_i^2; velocity likewise."""
    past: list[Any] = []
    scaled: list[Any] = []
    for gradient in gradients:
        past.append(gradient(p) + weight_decay * p)
        t = len(past) - 1
        square = (1 - alpha) * sum(alpha ** (t - i) * g**2 for i, g in enumerate(past))
        scaled.append(past[-1] / (square**0.5 + eps))
        p = p - lr * sum(momentum ** (t - i) * u for i, u in enumerate(scaled))
    return p


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-4, 0.1, log=True),
            "alpha": Floats(0.0, 0.999, specials=(0.99, 0.0)),
            "eps": Floats(1e-8, 1e-2, log=True),
            "momentum": Floats(0.0, 0.95, specials=(0.0,)),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=_reference,
    )
)
class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of its running mean square.

    g = gradient + weight_decay p;  s = alpha s + (1 - alpha) g^2;  v = momentum v + g / (sqrt(s) + eps);  p -= lr v.
    Tieleman and Hinton 2012, Neural Networks for Machine Learning (Coursera), lecture 6.5.
    """

    hyper = ("lr", "alpha", "eps", "momentum", "weight_decay")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.alpha = check("alpha", alpha, high=1.0)
        self.eps = check("eps", eps)
        self.momentum = check("momentum", momentum, high=1.0)
        self.weight_decay = check("weight_decay", weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("square", "velocity") if self.momentum else ("square",)

    def _update(self, p: NDArray[Any], g: NDArray[Any], s: NDArray[Any], *state: NDArray[Any]) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * p
        square = state[0]
        np.multiply(g, g, out=s)
        s *= 1 - self.alpha
        square *= self.alpha
        square += s
        np.sqrt(square, out=s)
        s += self.eps
        np.divide(g, s, out=s)
        if self.momentum:
            velocity = state[1]
            velocity *= self.momentum
            velocity += s
            np.multiply(velocity, self.lr, out=s)
        else:
            s *= self.lr
        p -= s
