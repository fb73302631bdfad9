"""Layers that change the shape or nothing at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.nn.module import Module
from gradcore.ops.shape import reshape
from gradcore.registry import layer
from gradcore.spec import LayerSpec, case, reals


@layer(
    spec=LayerSpec(
        case(reals("n c h w")),
        case(reals("n c")),
        case(reals("n")),
        reference=lambda _s, _t, x: np.array([row.ravel() for row in x]).reshape(
            x.shape[0], math.prod(x.shape[1:])
        ),
    )
)
class Flatten(Module):
    """(n, ...) to (n, features): all axes but the first become one, in row-major order."""

    def forward(self, x: Any) -> Any:
        """X as (n, features)."""
        return x if len(x.shape) == 2 else reshape(x, (x.shape[0], math.prod(x.shape[1:])))


@layer(spec=LayerSpec(case(reals()), reference=lambda _s, _t, x: np.array(x.tolist()).reshape(x.shape)))
class Identity(Module):
    """x itself: a place that another layer may take."""

    def forward(self, x: Any) -> Any:
        """X itself."""
        return x
