"""Models of one's own: `--model module:function`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore.errors import DomainError
from gradcore.nn.containers import Sequential
from gradcore.nn.module import Module
from gradcore.nn.norm import Standardize

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


def make_own(
    name: str, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0
) -> Callable[[tuple[int, ...], int], Module]:
    """What builds the model of `module:function`, with the standardisation of its input in front.

    The function is called as `function(input_shape, classes, rng)` and returns a Module. The current folder is among the
    places where the module is looked for. Raises DomainError where it can't be loaded or returns something else.
    """
    module, _, path = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function: Any = import_module(module)
        for part in path.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError) as error:
        raise DomainError(f"--model {name} can't be loaded: {error}") from error
    if not callable(function):
        raise DomainError(
            f"--model {name} is a {type(function).__name__}: expected a function of (input_shape, classes, rng) that returns "
            "a Module"
        )

    def make(input_shape: tuple[int, ...], classes: int) -> Module:
        model = function(input_shape, classes, rng)
        if not isinstance(model, Module):
            raise DomainError(
                f"--model {name} returned a {type(model).__name__}: expected a Module for inputs (n, "
                f"{', '.join(map(str, input_shape))}) and {classes} classes"
            )
        return Sequential(Standardize(mean, std), model)

    return make
