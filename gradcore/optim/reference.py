"""Reference trajectories of optimizers: running values as explicit sums over all past gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def trajectory(
    p: Any,
    gradients: Any,
    factors: Any,
    lr: float,
    move: Callable[[list[Any]], Any],
    coupled: float,
    decoupled: float = 0.0,
) -> Iterator[Any]:
    """The parameter after each step: p -= lr factor (move(past) + decoupled p), past: all gradients + coupled p so far."""
    past: list[Any] = []
    for gradient, factor in zip(gradients, factors, strict=True):
        past.append(gradient(p) + coupled * p)
        p = p - lr * factor * (move(past) + decoupled * p)
        yield p


def discounted(past: list[Any], by: float, power: int = 1) -> Any:
    """Sum over i of by^(t-i) past_i^power, with t the last."""
    t = len(past) - 1
    return sum(by ** (t - i) * g**power for i, g in enumerate(past))
