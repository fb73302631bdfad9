"""Initial weights: arrays of a shape, drawn so that signals keep their size from layer to layer.

All take `(shape, fan_in, fan_out, rng, dtype)`, with `fan_in` the number of inputs that one output sums over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

Initializer: TypeAlias = Callable[..., Any]
Rng: TypeAlias = "np.random.Generator | int | None"  # in quotes: numpy.random takes 10 ms to load


def xavier_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, rng: Rng = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010, equation 16."""
    return _uniform(shape, math.sqrt(6 / max(fan_in + fan_out, 1)), rng, dtype)


def xavier_normal(
    shape: tuple[int, ...], fan_in: int, fan_out: int, rng: Rng = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Normal with variance 2 / (fan_in + fan_out): Glorot and Bengio 2010, equation 12."""
    return _normal(shape, math.sqrt(2 / max(fan_in + fan_out, 1)), rng, dtype)


def kaiming_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, rng: Rng = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Uniform in +-sqrt(6 / fan_in), which has the variance 2 / fan_in that suits ReLU: He et al. 2015, section 2.2."""
    return _uniform(shape, math.sqrt(6 / max(fan_in, 1)), rng, dtype)


def kaiming_normal(
    shape: tuple[int, ...], fan_in: int, fan_out: int, rng: Rng = None, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Normal with variance 2 / fan_in, for ReLU: He et al. 2015, equation 10."""
    return _normal(shape, math.sqrt(2 / max(fan_in, 1)), rng, dtype)


def _uniform(shape: tuple[int, ...], bound: float, rng: Rng, dtype: DTypeLike) -> NDArray[Any]:
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)


def _normal(shape: tuple[int, ...], std: float, rng: Rng, dtype: DTypeLike) -> NDArray[Any]:
    return np.random.default_rng(rng).normal(0.0, std, shape).astype(dtype)
