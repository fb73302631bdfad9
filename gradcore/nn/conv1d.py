"""Conv1d: a convolution of sequences, and a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.nn import init
from gradcore.nn.convolution import CHANNELS, OF_TWO, _Convolution, initial
from gradcore.ops.conv1d import conv1d
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, OneOf, case, flags, reals

if TYPE_CHECKING:
    pass


def _by_taps(
    state: Any,
    training: bool,
    x: Any,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Any:
    """One shifted sequence for each entry of the kernel, weighed and summed."""
    reach = dilation * (kernel_size - 1)
    edges = (reach // 2, reach - reach // 2) if padding == "same" else (padding, padding)
    edged = np.pad(x, ((0, 0), (0, 0), edges))
    y: Any = 0.0
    for tap in range(kernel_size):
        shifted = edged[:, :, tap * dilation : tap * dilation + edged.shape[2] - reach : stride]
        parts = zip(np.split(shifted, groups, 1), np.split(state["weight"][:, :, tap], groups), strict=True)
        y = y + np.concatenate([np.einsum("nct,oc->not", part, weight) for part, weight in parts], 1)
    return y + state["bias"][:, None] if bias else y


_LENGTHS = {"n": (0, 2), "c": (1, 2), "o": (1, 2), "t": (3, 5)}


@layer(
    spec=LayerSpec(
        case(
            reals("n c t"),
            params={**CHANNELS, "kernel_size": OneOf(1, 3), "bias": flags()},
            sizes=_LENGTHS,
        ),
        case(
            reals("n c t"),
            params={**CHANNELS, "kernel_size": OneOf(2), "stride": OneOf(2), "padding": OneOf(1)},
            sizes=_LENGTHS,
        ),
        case(
            reals("n 2 t"),
            params={**OF_TWO, "kernel_size": OneOf(2), "padding": OneOf("same")},
            sizes=_LENGTHS,
        ),
        reference=_by_taps,
        initial=initial(1),
    )
)
class Conv1d(_Convolution):
    """Convolution of sequences, see `gradcore.conv1d`.

    x: (n, in_channels, t). weight: (out_channels, in_channels / groups, kernel_size), drawn by `initializer` (Kaiming
    uniform); bias: (out_channels,), zeros, or none. padding: a whole number, "same" or "valid". rng: a
    `numpy.random.Generator` or a seed. Raises ShapeError where groups does not divide both channel counts, and where x
    does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        initializer: init.Initializer = init.kaiming_uniform,
        rng: init.Rng = None,
    ) -> None:
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        kernel = (size("Conv1d", "kernel_size", kernel_size),)
        super().__init__(in_channels, out_channels, kernel, groups, bias, initializer, rng, **options)

    def forward(self, x: Any) -> Any:
        """The convolution of x with the weight, and the bias."""
        return conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
