"""ConvTranspose2d: the transpose of a convolution of images, and a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.nn import init
from gradcore.nn.convolution import CHANNELS, OF_TWO, _Convolution, initial
from gradcore.ops._windows import pair
from gradcore.ops.conv_transpose import conv_transpose2d
from gradcore.ops.reference import both
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, case, flags, reals

if TYPE_CHECKING:
    from gradcore.ops._windows import Pair


def _by_stamps(
    state: Any,
    training: bool,
    x: Any,
    in_channels: int,
    out_channels: int,
    kernel_size: Any,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: int = 1,
) -> Any:
    """Each entry of an image puts its kernel onto the result."""
    kernel = both(kernel_size)
    reach = [dilation * (k - 1) + 1 for k in kernel]
    sides = [(n - 1) * stride + r + output_padding for n, r in zip(x.shape[2:], reach, strict=True)]
    canvas = np.zeros((len(x), out_channels, *sides))
    each_in, each_out = in_channels // groups, out_channels // groups
    for i, row, column in np.ndindex(*x.shape[1:]):
        first = i // each_in * each_out
        top, left = row * stride, column * stride
        canvas[
            :,
            first : first + each_out,
            top : top + reach[0] : dilation,
            left : left + reach[1] : dilation,
        ] += x[:, i, row, column][:, None, None, None] * state["weight"][i]
    y = canvas[:, :, padding : sides[0] - padding, padding : sides[1] - padding]
    return y + state["bias"][:, None, None] if bias else y


_SIZES = {"n": (0, 2), "c": (1, 2), "o": (1, 2), "h": (1, 3), "w": (1, 3)}


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params={**CHANNELS, "kernel_size": OneOf(2, (1, 3)), "bias": flags()},
            sizes=_SIZES,
        ),
        case(
            reals("n c h w"),
            params={
                **CHANNELS,
                "kernel_size": OneOf(3),
                "stride": OneOf(2),
                "padding": OneOf(1),
                "output_padding": OneOf(0, 1),
            },
            sizes=_SIZES,
        ),
        case(reals("n 2 h w"), params={**OF_TWO, "kernel_size": OneOf(2)}, sizes=_SIZES),
        reference=_by_stamps,
        initial=initial(2, transposed=True),
    )
)
class ConvTranspose2d(_Convolution):
    """The transpose of `Conv2d`, which enlarges images, see `gradcore.conv_transpose2d`.

    x: (n, in_channels, h, w). weight: (in_channels, out_channels / groups, kernel height, kernel width), drawn by
    `initializer` (Kaiming uniform); bias: (out_channels,), zeros, or none. kernel_size, stride, padding, output_padding,
    dilation: whole numbers, or pairs for (height, width). rng: a `numpy.random.Generator` or a seed.
    Raises ShapeError where groups does not divide both channel counts, and where x does not fit.
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        initializer: init.Initializer = init.kaiming_uniform,
        rng: init.Rng = None,
    ) -> None:
        options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
        }
        kernel = pair("kernel_size", kernel_size, 1)
        super().__init__(in_channels, out_channels, kernel, groups, bias, initializer, rng, **options)

    def forward(self, x: Any) -> Any:
        """The transposed convolution of x with the weight, and the bias."""
        return conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )
