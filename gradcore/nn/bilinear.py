"""Bilinear: a linear map of the products of two inputs' features."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.ops.einsum import einsum
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, Size, case, flags, reals
from gradcore.tensor import Tensor


def _by_outer_products(
    state: Any,
    training: bool,
    x1: Any,
    x2: Any,
    in1_features: int,
    in2_features: int,
    out_features: int,
    bias: bool = True,
) -> Any:
    products = (x1[..., :, None] * x2[..., None, :]).reshape(*x1.shape[:-1], in1_features * in2_features)
    y = products @ state["weight"].reshape(out_features, in1_features * in2_features).T
    return y + state["bias"] if bias else y


def _initial(
    rng: Any, in1_features: int, in2_features: int, out_features: int, bias: bool = True
) -> dict[str, Any]:
    bound = in1_features**-0.5
    found = {"weight": (2 * rng.random((out_features, in1_features, in2_features)) - 1) * bound}
    return {**found, "bias": (2 * rng.random(out_features) - 1) * bound} if bias else found


_CONFIG = {"in1_features": Size("i"), "in2_features": Size("j"), "out_features": Size("o")}
_SIZES = {"n": (0, 3), "i": (1, 3), "j": (1, 3), "o": (1, 3), "t": (1, 2)}


@layer(
    spec=LayerSpec(
        case(reals("n i"), reals("n j"), params={**_CONFIG, "bias": flags()}, sizes=_SIZES),
        case(reals("n t i"), reals("n t j"), params=_CONFIG, sizes=_SIZES),
        reference=_by_outer_products,
        initial=_initial,
    )
)
class Bilinear(Module):
    """y_o = x1 W_o x2 + b_o over the last axes of two inputs.

    x1: (..., in1_features); x2: (..., in2_features); weight: (out_features, in1_features, in2_features); bias:
    (out_features,), or none; both uniform in +-1 / sqrt(in1_features), as in PyTorch. rng: a `numpy.random.Generator` or
    a seed. Raises ShapeError where an input does not fit.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: init.Rng = None,
    ) -> None:
        super().__init__()
        self.in1_features = size("Bilinear", "in1_features", in1_features)
        self.in2_features = size("Bilinear", "in2_features", in2_features)
        self.out_features = size("Bilinear", "out_features", out_features)
        generator, bound = np.random.default_rng(rng), self.in1_features**-0.5
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Tensor(generator.uniform(-bound, bound, shape).astype(np.float32), True)
        drawn = generator.uniform(-bound, bound, shape[0]).astype(np.float32) if bias else None
        self.bias = None if drawn is None else Tensor(drawn, True)

    def forward(self, x1: Any, x2: Any) -> Any:
        """X1 W x2 + b."""
        ends = (x1.shape[-1:], x2.shape[-1:])
        if ends != ((self.in1_features,), (self.in2_features,)) or x1.shape[:-1] != x2.shape[:-1]:
            raise ShapeError(
                f"Bilinear({self.in1_features}, {self.in2_features}, {self.out_features}) got inputs of the shapes {x1.shape} "
                f"and {x2.shape}: (..., {self.in1_features}) and (..., {self.in2_features}) would fit"
            )
        y = einsum("...oj,...j->...o", einsum("...i,oij->...oj", x1, self.weight), x2)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.in1_features}, {self.in2_features} -> {self.out_features}"
