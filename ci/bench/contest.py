"""A contest: the same work by several implementations, whose values are compared before any of them is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from timing import Race, race

# One piece of work, done from the same start at every call while values are compared: named results as arrays.
Values: TypeAlias = Mapping[str, np.ndarray]
FLOOR, OURS, CAPTURED, TORCH, JAX = "numpy by hand", "gradcore", "captured", "torch", "jax jit"


class Contender:
    """One implementation: `run()` is what is timed, `values()` gives what it computed last, as arrays.

    note: what a reader of its time should know.
    """

    note = ""

    def run(self) -> object:
        raise NotImplementedError

    def values(self) -> Values:
        raise NotImplementedError


class DisagreementError(Exception):
    """Two implementations do not compute the same: there is nothing to compare the speed of."""


def contest(makers: Mapping[str, Callable[[], Contender]], rounds: int, tolerance: float) -> Race:
    """Make the contenders (those whose library is missing are skipped), compare their values, race them.

    tolerance: the largest |difference| allowed, relative to the largest |entry| of the floor's array.
    """
    contenders: dict[str, Contender] = {}
    skipped: dict[str, str] = {}
    for name, make in makers.items():
        try:
            contenders[name] = make()
        except ImportError as missing:
            skipped[name] = f"not installed ({missing})"
    for contender in contenders.values():
        contender.run()
    agree({name: contender.values() for name, contender in contenders.items()}, tolerance)
    found = race({name: contender.run for name, contender in contenders.items()}, rounds)
    found.skipped.update(skipped)
    found.notes.update({name: contender.note for name, contender in contenders.items() if contender.note})
    return found


def agree(values: Mapping[str, Values], tolerance: float) -> None:
    """Raise `DisagreementError` unless all computed what the first did."""
    (first, expected), *others = values.items()
    for name, found in others:
        for key, truth in expected.items():
            mine = found[key]
            if mine.shape != truth.shape:
                raise DisagreementError(f"{key}: {name} gives shape {mine.shape}, {first} {truth.shape}")
            scale = float(np.max(np.abs(truth)))
            worst = float(np.max(np.abs(mine - truth)))
            if not (scale > 0 and worst <= tolerance * scale):
                raise DisagreementError(
                    f"{key}: {name} and {first} differ by {worst:.3g}, where values go up to {scale:.3g} and "
                    f"{tolerance:g} of that is allowed"
                )
