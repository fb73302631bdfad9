"""Linear: a matrix product and a bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.ops.products import linear
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, Size, case, flags, reals
from gradcore.tensor import Tensor


def _reference(
    state: Any, training: bool, x: Any, in_features: int, out_features: int, bias: bool = True
) -> Any:
    y = np.einsum("...i,io->...o", x, state["weight"])
    return y + state["bias"] if bias else y


def _initial(rng: Any, in_features: int, out_features: int, bias: bool = True) -> Any:
    """A variance of 2 / in_features, which a uniform distribution has between plus and minus the root of thrice that."""
    bound = (3 * 2 / in_features) ** 0.5
    found = {"weight": rng.uniform(-bound, bound, (in_features, out_features))}
    return {**found, "bias": np.zeros((1, out_features))} if bias else found


@layer(
    spec=LayerSpec(
        case(
            reals("n i"),
            params={"in_features": Size("i"), "out_features": Size("o"), "bias": flags()},
            sizes={"i": (1, 5), "o": (1, 5)},
        ),
        case(
            reals("n t i"),
            params={"in_features": Size("i"), "out_features": Size("o"), "bias": flags()},
            sizes={"i": (1, 4), "o": (1, 4), "t": (1, 3)},
        ),
        reference=_reference,
        initial=_initial,
    )
)
class Linear(Module):
    """y = x W + b over the last axis.

    x: (..., in_features); weight: (in_features, out_features), drawn by `initializer` (Kaiming uniform); bias:
    (1, out_features), zeros, or none. rng: a `numpy.random.Generator` or a seed.
    Raises ShapeError where x's last axis is not in_features, DomainError for sizes that are not whole numbers from 1 up.

    A float64 x makes a float64 result, as everywhere (the wider dtype wins); the gradient of a float32 weight is float32.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        initializer: init.Initializer = init.kaiming_uniform,
        rng: init.Rng = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features = size("Linear", "in_features", in_features)
        self.out_features = out_features = size("Linear", "out_features", out_features)
        self.weight = Tensor(initializer((in_features, out_features), in_features, out_features, rng), True)
        self.bias = Tensor(np.zeros((1, out_features), np.float32), True) if bias else None

    def forward(self, x: Any) -> Any:
        """X W + b."""
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.in_features} -> {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )
