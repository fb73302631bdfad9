"""Ready-made models."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.nn.activation import Flatten, ReLU
from gradcore.nn.conv import Conv2d
from gradcore.nn.linear import Linear
from gradcore.nn.module import Module, Sequential
from gradcore.nn.norm import Standardize
from gradcore.nn.pool import MaxPool2d

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcore.nn.init import Rng


def mlp(features: Sequence[int] = (784, 128, 64, 10), rng: Rng = None) -> Sequential:
    """The reference network: Linear layers of these widths with ReLU between them, 784 -> 128 -> 64 -> 10 by default.

    Takes (n, features[0]) or anything that flattens to it, such as images of shape (n, 1, 28, 28).
    """
    rng = np.random.default_rng(rng)
    layers: list[Module] = [Flatten()]
    for inner, outer in itertools.pairwise(features):
        layers += [Linear(inner, outer, rng=rng), ReLU()]
    return Sequential(*layers[:-1])


def cnn(input_shape: tuple[int, ...] = (1, 28, 28), classes: int = 10, rng: Rng = None) -> Sequential:
    """A small convolutional network: twice (3x3 convolution, ReLU, 2x2 max pooling), then two Linear layers.

    Takes images of shape (n, *input_shape); height and width are at least 4.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < 4:
        raise ShapeError(
            f"the cnn takes images of shape (channels, height, width), each side at least 4, and got {input_shape}"
        )
    rng = np.random.default_rng(rng)
    channels, height, width = input_shape
    return Sequential(
        Conv2d(channels, 16, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 32, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(32 * (height // 4) * (width // 4), 64, rng=rng),
        ReLU(),
        Linear(64, classes, rng=rng),
    )


MODELS: dict[str, Callable[[tuple[int, ...], int, Rng], Sequential]] = {
    "mlp": lambda shape, classes, rng: mlp((math.prod(shape), 128, 64, classes), rng),
    "cnn": cnn,
}


def build(
    model: str,
    input_shape: tuple[int, ...],
    classes: int,
    rng: Rng = None,
    *,
    mean: float = 0.0,
    std: float = 1.0,
) -> Sequential:
    """A model by its name, for examples of one shape, with their standardisation by mean and std in front.

    Raises DomainError where there is no model of that name.
    """
    if model not in MODELS:
        raise DomainError(f"there is no model named {model!r}: choose one of {', '.join(MODELS)}")
    return Sequential(Standardize(mean, std), *MODELS[model](input_shape, classes, rng))
