"""Ready-made models."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from gradcore.nn.activation import Flatten, ReLU
from gradcore.nn.linear import Linear
from gradcore.nn.module import Module, Sequential

if TYPE_CHECKING:
    from collections.abc import Sequence

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
