"""RMSprop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.optim.base import Optimizer, check
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from gradcore.optim.base import Check
    from gradcore.tensor import Tensor


def _reference(
    p: Any,
    gradients: Any,
    factors: Any,
    *,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Any:
    """The mean square as an explicit sum: s_t = (1 - alpha) sum_i alpha^(t-i) g_i^2; velocity likewise."""
    past: list[Any] = []
    scaled: list[Any] = []
    for gradient, factor in zip(gradients, factors, strict=True):
        past.append(gradient(p) + weight_decay * p)
        t = len(past) - 1
        square = (1 - alpha) * sum(alpha ** (t - i) * g**2 for i, g in enumerate(past))
        scaled.append(past[-1] / (square**0.5 + eps))
        p = p - lr * factor * sum(momentum ** (t - i) * u for i, u in enumerate(scaled))
        yield p


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

    hyper: ClassVar[Mapping[str, Check]] = {
        "lr": check,
        "alpha": partial(check, high=1.0),
        "eps": check,
        "momentum": partial(check, high=1.0),
        "weight_decay": check,
    }
    alpha: float
    eps: float
    momentum: float
    weight_decay: float

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("square", "velocity") if self.momentum else ("square",)

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.lr, self.alpha, 1 - self.alpha, self.eps, self.momentum, self.weight_decay)

    def _update(
        self,
        p: NDArray[Any],
        g: NDArray[Any],
        s: NDArray[Any],
        numbers: Sequence[NDArray[Any]],
        state: Sequence[NDArray[Any]],
    ) -> None:
        lr, alpha, rest, eps, momentum, decay = numbers
        if self.weight_decay:
            g = g + decay * p
        square = state[0]
        np.multiply(g, g, out=s)
        s *= rest
        square *= alpha
        square += s
        np.sqrt(square, out=s)
        s += eps
        np.divide(g, s, out=s)
        if self.momentum:
            velocity = state[1]
            velocity *= momentum
            velocity += s
            np.multiply(velocity, lr, out=s)
        else:
            s *= lr
        p -= s
