"""Conv2d: a convolution and a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.nn import init
from gradcore.nn.convolution import CHANNELS, OF_TWO, _Convolution, initial
from gradcore.ops._windows import pair
from gradcore.ops.conv import conv2d
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, case, flags, reals

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


_SIZES = {"n": (0, 2), "c": (1, 3), "o": (1, 3), "h": (3, 5), "w": (3, 5)}


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params={**CHANNELS, "kernel_size": OneOf(1, 2, 3), "bias": flags()},
            sizes=_SIZES,
        ),
        case(
            reals("n c h w"),
            params={**CHANNELS, "kernel_size": OneOf(3, (2, 3)), "stride": OneOf(1, 2), "padding": OneOf(1)},
            sizes=_SIZES,
        ),
        case(
            reals("n 2 h w"),
            params={**OF_TWO, "kernel_size": OneOf(2)},
            sizes=_SIZES,
        ),
        reference=_reference,
        initial=initial(2),
    )
)
class Conv2d(_Convolution):
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
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        kernel = pair("kernel_size", kernel_size, 1)
        super().__init__(in_channels, out_channels, kernel, groups, bias, initializer, rng, **options)

    def forward(self, x: Any) -> Any:
        """The convolution of x with the weight, and the bias."""
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
