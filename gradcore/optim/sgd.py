"""Stochastic gradient descent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.errors import DomainError
from gradcore.optim.base import Optimizer, check, check_flag
from gradcore.optim.reference import discounted, trajectory
from gradcore.registry import optimizer
from gradcore.spec import Derived, Floats, OptimizerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.optim.base import Array, Arrays, Checks, Params


def _move(past: list[Any], momentum: float, nesterov: bool) -> Any:
    """The velocity as an explicit sum over all past gradients: v_t = sum_i momentum^(t-i) g_i."""
    velocity = discounted(past, momentum)
    return past[-1] + momentum * velocity if nesterov else velocity


@optimizer(
    spec=OptimizerSpec(
        {
            "lr": Floats(1e-3, 0.5, log=True),
            "momentum": Floats(0.0, 0.99, specials=(0.0, 0.9)),
            "nesterov": Derived(lambda e: [False, True] if e["momentum"] else [False]),
            "weight_decay": Floats(0.0, 0.1, specials=(0.0,)),
        },
        reference=lambda p, gradients, factors, *, lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0: (
            trajectory(p, gradients, factors, lr, lambda past: _move(past, momentum, nesterov), weight_decay)
        ),
    )
)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant, and weight decay.

    g = gradient + weight_decay p;  v = momentum v + g;  p -= lr v, with Nesterov p -= lr (g + momentum v).
    Sutskever et al. 2013, section 2, with the learning rate taken out of the velocity as in PyTorch. Nesterov's variant is
    one of momentum: DomainError without.
    """

    hyper: ClassVar[Checks] = {
        "lr": check,
        "momentum": partial(check, high=1.0),
        "nesterov": check_flag,
        "weight_decay": check,
    }
    momentum: float
    nesterov: bool
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    @classmethod
    def fitted(cls, hyper: Mapping[str, Any]) -> dict[str, Any]:  # noqa: D102
        found = super().fitted(hyper)
        if found["nesterov"] and not found["momentum"]:
            raise DomainError(
                "nesterov=True changes nothing without momentum: pass momentum=0.9, say, or leave it out"
            )
        return found

    def buffers(self) -> tuple[str, ...]:  # noqa: D102
        return ("velocity",) if self.momentum else ()

    def _numbers(self, step: int) -> tuple[float, ...]:
        return (self.lr, self.momentum, self.weight_decay)

    def _update(self, p: Array, g: Array, s: Array, numbers: Arrays, state: Arrays) -> None:
        lr, momentum, decay = numbers
        if self.weight_decay:
            np.multiply(p, decay, out=s)
            s += g
            g = s
        if state:
            (v,) = state
            v *= momentum
            v += g
            g = g + momentum * v if self.nesterov else v
        np.multiply(g, lr, out=s)
        np.subtract(p, s, out=p)
