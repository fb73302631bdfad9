"""A training step, recorded and replayed as a flat list of NumPy calls: `gradcore.capture`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.errors import ArgumentError
from gradcore.replay.captured import Captured

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Captured", "capture"]


def capture(step: Callable[..., Any]) -> Captured:
    """The same step, faster: it is recorded while it runs eagerly, and later calls replay the calls of NumPy that it made.

    >>> w = gradcore.zeros((2,), requires_grad=True)
    >>> optimizer = gradcore.optim.SGD([w], lr=0.1)
    >>> @gradcore.capture
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = gradcore.mse_loss((x * w).sum(1), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([5.0, 6.0], np.float32)
    >>> for _ in range(4):
    ...     loss = step(x, y)
    >>> step.replays
    2
    """
    if not callable(step):
        raise ArgumentError(f"capture is of a function, and got {step!r:.60}")
    return Captured(step)
