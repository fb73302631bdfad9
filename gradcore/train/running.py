"""Arrays that modules keep beside their parameters, such as running averages: the same on all ranks after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcore.nn.module import Module


class RunningValues:
    """Changes of a model's buffers in a step, averaged over the ranks by their rows."""

    def __init__(self, model: Module) -> None:
        self._places = [
            (vars(module), name)
            for _, module in model.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
        ]
        self._before: list[NDArray[Any]] = []

    def note(self) -> None:
        """Before the forward pass."""
        self._before = [np.array(attributes[name]) for attributes, name in self._places]

    def changes(self, weight: float) -> list[NDArray[np.float64]]:
        """What the forward pass has changed, times this rank's weight, as flat arrays."""
        return [
            np.ravel(weight * (attributes[name].astype(np.float64) - before))
            for (attributes, name), before in zip(self._places, self._before, strict=True)
        ]

    def add(self, changes: NDArray[np.float64]) -> None:
        """Put the average change in the place of this rank's own; an array that did not change anywhere stays as it was."""
        start = 0
        for (attributes, name), before in zip(self._places, self._before, strict=True):
            change = np.reshape(changes[start : start + before.size], before.shape)
            start += before.size
            after = before + (change if before.dtype.kind == "f" else np.rint(change))
            attributes[name] = np.array(after, before.dtype)
