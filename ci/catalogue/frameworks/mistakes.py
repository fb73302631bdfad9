"""Ten wrong gradients, written once for any namespace of array functions (`np`, `torch`, ...) that is handed in as `xp`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Mistake:
    """forward(xp, *inputs) and the wrong rule(xp, gy, y, *inputs), which returns a tuple with one cotangent per input.

    wrong: the number of the input whose gradient is wrong. cause: the word that explains it.
    """

    name: str
    forward: Callable[..., Any]
    rule: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    wrong: int
    cause: str


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def product(xp, a, b):
    return a * b


def softmax(xp, x):
    e = xp.exp(x)
    return e / e.sum(axis=1)[:, None]


def centered(xp, x):
    return x - x.mean(axis=0)[None, :]


X, A, S, W, BIAS = drawn(4, 3), drawn(4, 3, seed=1), drawn(3, 3), drawn(3, 3, seed=1), drawn(3)

MISTAKES = (
    Mistake("sign lost", lambda xp, x: xp.sin(x), lambda xp, gy, y, x: (-gy * xp.cos(x),), (X,), 0, "sign"),
    Mistake(
        "mean without 1/n",
        lambda xp, x: (x * x).mean(),
        lambda xp, gy, y, x: (2 * gy * x,),
        (X,),
        0,
        "factor",
    ),
    Mistake(
        "bias gets the first row only",
        lambda xp, x, b: x + b,
        lambda xp, gy, y, x, b: (gy, gy[0]),
        (X, BIAS),
        1,
        "unsummed broadcast",
    ),
    Mistake(
        "product transposed",
        lambda xp, x, w: x @ w,
        lambda xp, gy, y, x, w: ((gy @ w.T).T, x.T @ gy),
        (S, W),
        0,
        "transposed",
    ),
    Mistake(
        "softmax, diagonal only",
        softmax,
        lambda xp, gy, y, x: (gy * y * (1 - y),),
        (X,),
        0,
        "diagonal only",
    ),
    Mistake(
        "mean taken along the other axis",
        centered,
        lambda xp, gy, y, x: (gy - gy.mean(axis=1)[:, None],),
        (drawn(4, 4),),
        0,
        "wrong axis",
    ),
    Mistake("cotangents swapped", product, lambda xp, gy, y, a, b: (gy * a, gy * b), (X, A), 0, "swapped"),
    Mistake("one input forgotten", product, lambda xp, gy, y, a, b: (gy * b, 0 * gy), (X, A), 1, "missing"),
    Mistake(
        "cotangent not used",
        lambda xp, x: x * x,
        lambda xp, gy, y, x: (2 * x,),
        (X,),
        0,
        "cotangent ignored",
    ),
    Mistake(
        "sign lost inside",
        lambda xp, x: xp.exp(x),
        lambda xp, gy, y, x: (gy * xp.exp(-x),),
        (X,),
        0,
        "mirrored",
    ),
)
