"""Cotangents: what a rule may be called with."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from gradcheck.strategies.choice import Chooser
from gradcheck.strategies.layouts import with_layout

COTANGENTS = (
    "dense",
    "full",
    "one-hot",
    "with zeros",
    "zero",
    "large",
    "tiny",
    "zero-stride",
    "F",
    "negative",
    "readonly",
)
"""All entries of like size, with few bits; the same with all bits; a single 1; half zeros; zeros; about a million; about a millionth; all equal behind strides
of 0; dense in Fortran order, behind negative strides, and not writeable."""

LARGE = 2.0**20


@st.composite
def cotangents(
    draw: st.DrawFn, shape: tuple[int, ...], dtype: DTypeLike = np.float64, *, kind: str | None = None
) -> NDArray[Any]:
    """A cotangent for an output of this shape and dtype; `kind` (one of `COTANGENTS`) fixes what is drawn otherwise."""
    choose = Chooser(draw)
    return cotangent(shape, dtype, kind or choose.pick(COTANGENTS), choose.seed())


def cotangent(shape: tuple[int, ...], dtype: DTypeLike, kind: str, seed: int) -> NDArray[Any]:
    """The cotangent of this kind and seed. A complex one has such a real and such an imaginary part."""
    if kind not in COTANGENTS:
        raise ValueError(f"there is no kind of cotangent {kind!r}: use one of {COTANGENTS}")
    if np.dtype(dtype).kind == "c":
        parts = [cotangent(shape, np.float64, kind, seed + i) for i in range(2)]
        return np.asarray(parts[0] + 1j * parts[1], dtype)
    rng = np.random.default_rng(seed)
    if kind == "zero":
        return np.zeros(shape, dtype)
    if kind == "one-hot":
        gy = np.zeros(shape, dtype)
        if gy.size:
            gy.reshape(-1)[rng.integers(gy.size)] = 1.0
        return gy
    # Multiples of 1/8 between 1/2 and 2, of either sign: products with them are exact and easy to read.
    values = rng.integers(4, 17, shape) / 8.0 * rng.choice([-1.0, 1.0], shape)
    if kind == "full":  # whose rounding to a coarser dtype shows
        values = values + rng.uniform(0.0, 1.0 / 16.0, shape)
    factor = {"large": LARGE, "tiny": 1 / LARGE}.get(kind, 1.0)
    gy = np.asarray(values * (factor if np.dtype(dtype).itemsize > 2 else factor**0.25), dtype)
    if kind == "with zeros":
        return np.where(rng.random(shape) < 0.5, gy, 0).astype(dtype)
    return gy if kind in ("dense", "full", "large", "tiny") else with_layout(gy, kind)
