"""What a right pair is, the list of them all, and the ways to draw inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Draw = Callable[[np.random.Generator, int, np.dtype], tuple[Any, ...]]


@dataclass(frozen=True)
class Pair:
    """A function, its rule, and inputs of about `n` entries in a dtype.

    scaled: inputs and outputs may be multiplied by a constant (the rule is then scaled as well). narrow: takes float16.
    most: the largest n.
    """

    family: str
    name: str
    forward: Callable[..., Any]
    rule: Callable[..., Any]
    draw: Draw
    scaled: bool = True
    narrow: bool = True
    most: int = 100_000


PAIRS: list[Pair] = []


def add(family: str, name: str, forward: Any, rule: Any, draw: Draw, **more: Any) -> None:
    PAIRS.append(Pair(family, name, forward, rule, draw, **more))


def vector(low: float = -2.0, high: float = 2.0) -> Draw:
    """One array, uniform."""
    return lambda rng, n, dtype: (rng.uniform(low, high, n).astype(dtype),)


def vectors(count: int, low: float = 0.5, high: float = 2.0) -> Draw:
    """Several arrays of one length, with either sign."""

    def draw(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
        return tuple(
            [(rng.uniform(low, high, n) * rng.choice([-1, 1], n)).astype(dtype) for _ in range(count)]
        )

    return draw


def table(low: float = -2.0, high: float = 2.0) -> Draw:
    """A matrix with about n entries."""

    def draw(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
        rows = int(rng.integers(1, 1 + max(1, round(n**0.5))))
        return (rng.uniform(low, high, (rows, max(n // rows, min(n, 1)))).astype(dtype),)

    return draw


def halves(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    """Multiples of 1/2, so that zeros, ties and edges come up."""
    return ((rng.integers(-4, 5, n) / 2).astype(dtype),)


def two_halves(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    """Two such arrays: entries that tie."""
    return halves(rng, n, dtype) + halves(rng, n, dtype)


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def at_least_one(draw: Draw) -> Draw:
    return lambda rng, n, dtype: draw(rng, max(n, 1), dtype)
