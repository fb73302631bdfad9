"""How time grows with size: an elementwise function of 1e2 to 1e7 numbers, forward and backward, and the exponent fitted to it.

The function is tanh(x w + c) of three arrays of float32, with the gradients of all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from contest import OURS, TORCH
from single import Work
from single import bench as race_of

SIZES = tuple(10**k for k in range(2, 8))
BLOCK = 1 << 16  # numbers, which with the buffer stay in the cache


@dataclass(frozen=True)
class Fit:
    """time = c size^exponent, by least squares of the logarithms. residual: the root mean square distance, as a factor."""

    exponent: float
    residual: float

    def __str__(self) -> str:
        return f"{self.exponent:.2f}, off by {self.residual:.2f} x"


def fitted(seconds: Mapping[int, float]) -> Fit:
    """The exponent of times by their sizes, of which there are two or more."""
    x, y = (np.log(np.array(list(v), float)) for v in (seconds, seconds.values()))
    x -= x.mean()
    y -= y.mean()
    exponent = float(x @ y / (x @ x))
    return Fit(exponent, math.exp(math.sqrt(float(np.mean((y - exponent * x) ** 2)))))


@dataclass(frozen=True)
class Growth:
    """Median seconds by size, the smallest first."""

    seconds: dict[int, float]

    @property
    def middle(self) -> int:
        """The size from which on the larger half is: what a call costs whatever its size is behind it."""
        return list(self.seconds)[min(len(self.seconds) // 2, len(self.seconds) - 2)]

    @property
    def fit(self) -> Fit:
        """Of all sizes."""
        return fitted(self.seconds)

    @property
    def large(self) -> Fit:
        """Of the larger half."""
        return fitted({size: s for size, s in self.seconds.items() if size >= self.middle})

    @property
    def range(self) -> str:
        """The smallest and the largest size."""
        first, *_, last = self.seconds
        return f"{first:.0e} to {last:.0e}".replace("e+0", "e")


def arrays(size: int) -> list[np.ndarray]:
    """x, w, c and the cotangent."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(size, dtype=np.float32) for _ in range(4)]


def by_hand(
    x: np.ndarray, w: np.ndarray, c: np.ndarray, gy: np.ndarray
) -> Callable[[], Sequence[np.ndarray]]:
    """Block by block."""
    y, gx, gw, gc = (np.empty_like(x) for _ in range(4))
    one = np.float32(1)

    def run() -> Sequence[np.ndarray]:
        for i in range(0, len(x), BLOCK):
            part = slice(i, i + BLOCK)
            out = y[part]
            np.multiply(x[part], w[part], out=out)
            np.add(out, c[part], out=out)
            np.tanh(out, out=out)
        for i in range(0, len(x), BLOCK):
            part = slice(i, i + BLOCK)
            g = gc[part]
            np.multiply(y[part], y[part], out=g)
            np.subtract(one, g, out=g)
            np.multiply(g, gy[part], out=g)
            np.multiply(g, w[part], out=gx[part])
            np.multiply(g, x[part], out=gw[part])
        return y, gx, gw, gc

    return run


def _gradcore() -> Callable[..., Any]:
    import gradcore

    return lambda x, w, c: gradcore.tanh(x * w + c)


def _torch() -> Callable[..., Any]:
    import torch

    return lambda x, w, c: torch.tanh(x * w + c)


def work(size: int) -> Work:
    """The function on so many numbers."""
    return Work(partial(arrays, size), by_hand, {OURS: _gradcore, TORCH: _torch}, tolerance=1e-4)


def bench(sizes: Sequence[int], rounds: int) -> dict[str, Growth]:
    """Race the implementations at each size; fewer rounds where a call takes long."""
    races = {size: race_of(work(size), rounds if size < 10**6 else max(3, rounds // 4)) for size in sizes}
    names = next(iter(races.values())).seconds
    return {name: Growth({size: race.time(name) for size, race in races.items()}) for name in names}
