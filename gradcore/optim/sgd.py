"""Stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.optim.base import Optimizer, check
from gradcore.registry import optimizer
from gradcore.spec import Floats, OptimizerSpec, flags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gradcore.tensor import Tensor


def _reference(
    p: Any,
    gradients: Any,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Any:
    """Velocities as explicit sums over all past gradients: v_t = sum_i momentum^(t-i) g_i."""
    past: list[Any] = []
    for gradient in gradients:
        past.append(gradient(p) + weight_decay * p)
        t = len(past) - 1
        move = sum(momentum ** (t - i) * g for i, g in enumerate(past))
        if nesterov and momentum:
            move = past[-1] + sum(momentum ** (t - i + 1) * g for i, g in enumerate(past))
        p = p - lr * move
    return p


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-3, 0.5, log=True),
            "momentum": Floats(0.0, 0.99, specials=(0.0, 0.9)),
            "nesterov": flags(),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=_reference,
    )
)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant, and weight decay.

    g = gradient + weight_decay p;  v = momentum v + g;  p -= lr v, with Nesterov p -= lr (g + momentum v).
    Sutskever et al. 2013, section 2, with the learning rate taken out of the velocity as in PyTorch.
    """

    hyper = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = check("momentum", momentum, high=1.0)
        self.weight_decay = check("weight_decay", weight_decay)
        self.nesterov = nesterov

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("velocity",) if self.momentum else ()

    def _prepare(self, step: int) -> None:
        self._lr_by_dtype: dict[Any, NDArray[Any]] = {}

    def _update(self, p: NDArray[Any], g: NDArray[Any], s: NDArray[Any], *state: NDArray[Any]) -> None:
        if self.weight_decay:
            np.multiply(p, self.weight_decay, out=s)
            s += g
            g = s
        if state:
            (v,) = state
            v *= self.momentum
            v += g
            if self.nesterov:
                g = g + self.momentum * v
            else:
                g = v
        lr = self._lr_by_dtype.get(p.dtype)
        if lr is None:  # as an array: a Python number takes NumPy longer than a thousand entries do
            lr = self._lr_by_dtype[p.dtype] = np.array(self.lr, p.dtype)
        np.multiply(g, lr, out=s)
        np.subtract(p, s, out=p)
