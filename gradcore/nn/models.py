"""Ready-made models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ArgumentError, DomainError, ShapeError
from gradcore.nn.activation import ReLU
from gradcore.nn.containers import Sequential
from gradcore.nn.conv2d import Conv2d
from gradcore.nn.init import kaiming_uniform
from gradcore.nn.linear import Linear
from gradcore.nn.module import Module
from gradcore.nn.norm import Standardize
from gradcore.nn.pool import MaxPool2d
from gradcore.nn.shaping import Flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcore.nn.init import Initializer, Rng


def mlp(
    features: Sequence[int] = (784, 128, 64, 10),
    rng: Rng = None,
    initializer: Initializer = kaiming_uniform,
) -> Sequential:
    """The reference network: Linear layers of these widths with ReLU between them, 784 -> 128 -> 64 -> 10 by default.

    Takes (n, features[0]) or anything that flattens to it, such as images of shape (n, 1, 28, 28).
    Raises ArgumentError unless the widths are one sequence of two or more.
    """
    if not isinstance(features, Sequence | np.ndarray) or len(features) < 2:
        raise ArgumentError(
            f"mlp got features={features!r:.60}: expected the widths as one sequence, two or more of them, as in mlp((64, 10))"
        )
    rng = np.random.default_rng(rng)
    layers: list[Module] = [Flatten()]
    for inner, outer in itertools.pairwise(features):
        layers += [Linear(inner, outer, initializer=initializer, rng=rng), ReLU()]
    return Sequential(*layers[:-1])


def cnn(
    input_shape: tuple[int, ...] = (1, 28, 28),
    classes: int = 10,
    rng: Rng = None,
    initializer: Initializer = kaiming_uniform,
) -> Sequential:
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
        Conv2d(channels, 16, 3, padding=1, initializer=initializer, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 32, 3, padding=1, initializer=initializer, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(32 * (height // 4) * (width // 4), 64, initializer=initializer, rng=rng),
        ReLU(),
        Linear(64, classes, initializer=initializer, rng=rng),
    )


MODELS = ("mlp", "cnn")
HIDDEN = (128, 64)


def build(
    model: str,
    input_shape: tuple[int, ...],
    classes: int,
    rng: Rng = None,
    *,
    hidden: Sequence[int] = HIDDEN,
    mean: float = 0.0,
    std: float = 1.0,
    initializer: Initializer = kaiming_uniform,
) -> Sequential:
    """A model by its name, for examples of one shape, with their standardisation by mean and std in front.

    hidden: the widths of the hidden layers of the mlp. initializer: of all weights.
    Raises DomainError where there is no model of that name.
    """
    if model not in MODELS:
        raise DomainError(f"there is no model named {model!r}: choose one of {', '.join(MODELS)}")
    if model == "mlp":
        network = mlp((math.prod(input_shape), *hidden, classes), rng, initializer)
    else:
        network = cnn(input_shape, classes, rng, initializer)
    return Sequential(Standardize(mean, std), *network)


def outline(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: Rng = None) -> NDArray[Any]:
    """An initializer of zeros that take no memory and can't be written to: for a model whose weights come from a file."""
    return np.broadcast_to(np.zeros((), np.float32), shape)
