"""Conv2d: a convolution and a bias."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.nn.sizes import size
from gradcore.ops._windows import pair
from gradcore.ops.conv import conv2d
from gradcore.ops.reference import both
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, Size, case, flags, reals
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.ops._windows import Padding, Pair


def _reference(
    state: Any,
    training: bool,
    x: Any,
    in_channels: int,
    out_channels: int,
    kernel_size: Any,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Any:
    """One shifted image for each entry of the kernel, weighed and summed."""
    weight = state["weight"]
    edged = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    reach = [dilation * (k - 1) for k in weight.shape[2:]]
    y: Any = 0.0
    for u, v in np.ndindex(weight.shape[2:]):
        top, left = u * dilation, v * dilation
        shifted = edged[
            :,
            :,
            top : top + edged.shape[2] - reach[0] : stride,
            left : left + edged.shape[3] - reach[1] : stride,
        ]
        parts = [
            np.einsum("nchw,oc->nohw", images, kernels)
            for images, kernels in zip(
                np.split(shifted, groups, 1), np.split(weight[:, :, u, v], groups), strict=True
            )
        ]
        y = y + np.concatenate(parts, 1)
    return y + state["bias"][:, None, None] if bias else y


def _initial(
    rng: Any,
    in_channels: int,
    out_channels: int,
    kernel_size: Any,
    groups: int = 1,
    bias: bool = True,
    **_: Any,
) -> Any:
    """A variance of 2 over the number of inputs to an output, as a uniform distribution has it."""
    height, width = both(kernel_size)
    shape = (out_channels, in_channels // groups, height, width)
    bound = (3 * 2 / (shape[1] * height * width)) ** 0.5
    found = {"weight": rng.uniform(-bound, bound, shape)}
    return {**found, "bias": np.zeros(out_channels)} if bias else found


_CHANNELS = {"in_channels": Size("c"), "out_channels": Size("o")}
_SIZES = {"n": (0, 2), "c": (1, 3), "o": (1, 3), "h": (3, 5), "w": (3, 5)}


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params={**_CHANNELS, "kernel_size": OneOf(1, 2, 3), "bias": flags()},
            sizes=_SIZES,
        ),
        case(
            reals("n c h w"),
            params={**_CHANNELS, "kernel_size": OneOf(3, (2, 3)), "stride": OneOf(1, 2), "padding": OneOf(1)},
            sizes=_SIZES,
        ),
        case(
            reals("n 2 h w"),
            params={
                "in_channels": OneOf(2),
                "out_channels": OneOf(2, 4),
                "kernel_size": OneOf(2),
                "dilation": OneOf(2),
                "groups": OneOf(2),
            },
            sizes=_SIZES,
        ),
        reference=_reference,
        initial=_initial,
    )
)
class Conv2d(Module):
    """Convolution of images, see `gradcore.conv2d`.

    x: (n, in_channels, h, w). weight: (out_channels, in_channels / groups, kernel height, kernel width), drawn by
    `initializer` (Kaiming uniform); bias: (out_channels,), zeros, or none. kernel_size, stride, dilation: whole numbers,
    or pairs for (height, width); padding: also "same" or "valid". rng: a `numpy.random.Generator` or a seed.
    Raises ShapeError where groups does not divide both channel counts, and where x does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        initializer: init.Initializer = init.kaiming_uniform,
        rng: init.Rng = None,
    ) -> None:
        super().__init__()
        in_channels = size("Conv2d", "in_channels", in_channels)
        out_channels = size("Conv2d", "out_channels", out_channels)
        groups = size("Conv2d", "groups", groups)
        kernel = pair("kernel_size", kernel_size, 1)
        if in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"Conv2d got in_channels={in_channels}, out_channels={out_channels} and groups={groups}: groups must "
                f"divide both, such as {math.gcd(in_channels, out_channels)}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        area = math.prod(kernel)
        shape = (out_channels, in_channels // groups, *kernel)
        self.weight = Tensor(initializer(shape, shape[1] * area, out_channels // groups * area, rng), True)
        self.bias = Tensor(np.zeros(out_channels, np.float32), True) if bias else None

    def forward(self, x: Any) -> Any:
        """The convolution of x with the weight, and the bias."""
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:  # noqa: D102
        height, width = self.weight.shape[2:]
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        more = [
            f"{name}={getattr(self, name)}"
            for name, usual in defaults.items()
            if getattr(self, name) != usual
        ]
        more += ["bias=False"] if self.bias is None else []
        return ", ".join([f"{self.in_channels} -> {self.out_channels}, {height} x {width}", *more])
