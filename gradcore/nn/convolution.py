"""What the convolutions share: channels in groups, a weight whose first two axes are channels, and a bias."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from gradcore.errors import ShapeError
from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.sizes import size
from gradcore.spec import OneOf, Size
from gradcore.tensor import Tensor

CHANNELS = {"in_channels": Size("c"), "out_channels": Size("o")}
OF_TWO = {"in_channels": OneOf(2), "out_channels": OneOf(2, 4), "groups": OneOf(2), "dilation": OneOf(2)}
_USUAL = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}


class _Convolution(Module):
    """Base of the convolutions; `options` are those of the op besides groups."""

    transposed: ClassVar[bool] = False
    """Whether the weight's first axis is that of the inputs."""
    in_channels: int
    out_channels: int
    groups: int
    stride: Any
    padding: Any
    output_padding: Any
    dilation: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        groups: int,
        bias: bool,
        initializer: init.Initializer,
        rng: init.Rng,
        **options: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = size(name, "in_channels", in_channels)
        self.out_channels = size(name, "out_channels", out_channels)
        self.groups = size(name, "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"{name} got in_channels={in_channels}, out_channels={out_channels} and groups={groups}: groups must divide "
                f"both, such as {math.gcd(self.in_channels, self.out_channels)}"
            )
        for option, value in options.items():
            setattr(self, option, value)
        each_in, each_out = self.in_channels // self.groups, self.out_channels // self.groups
        area = math.prod(kernel)
        shape = (self.in_channels, each_out) if self.transposed else (self.out_channels, each_in)
        self.weight = Tensor(initializer((*shape, *kernel), each_in * area, each_out * area, rng), True)
        self.bias = Tensor(np.zeros(self.out_channels, np.float32), True) if bias else None

    def extra_repr(self) -> str:
        more = [f"{n}={getattr(self, n)}" for n, usual in _USUAL.items() if getattr(self, n, usual) != usual]
        more += ["bias=False"] if self.bias is None else []
        kernel = " x ".join(map(str, self.weight.shape[2:]))
        return ", ".join([f"{self.in_channels} -> {self.out_channels}, {kernel}", *more])


def initial(axes: int, transposed: bool = False) -> Any:
    """What a new one holds: a variance of 2 over the number of inputs to an output, as a uniform distribution has it."""

    def drawn(
        rng: Any,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        groups: int = 1,
        bias: bool = True,
        **_: Any,
    ) -> Any:
        kernel = np.broadcast_to(kernel_size, axes).tolist()
        shape = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        bound = (3 * 2 / (in_channels // groups * math.prod(kernel))) ** 0.5
        found = {"weight": rng.uniform(-bound, bound, (*shape, *kernel))}
        return {**found, "bias": np.zeros(out_channels)} if bias else found

    return drawn
