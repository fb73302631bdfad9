"""Conv1d and ConvTranspose2d: a convolution of sequences, and the transpose of one of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.nn.sizes import size
from gradcore.ops._windows import pair
from gradcore.ops.conv1d import conv1d
from gradcore.ops.conv_transpose import conv_transpose2d
from gradcore.ops.reference import both
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, Size, case, flags, reals
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.ops._windows import Pair


class _Convolution(Module):
    """What they share: channels in groups, a weight whose first two axes are channels, a bias."""

    in_channels: int
    out_channels: int
    groups: int

    def _add(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        kernel: tuple[int, ...],
        bias: bool,
        transposed: bool,
        initializer: init.Initializer,
        rng: init.Rng,
    ) -> None:
        name = type(self).__name__
        self.in_channels = size(name, "in_channels", in_channels)
        self.out_channels = size(name, "out_channels", out_channels)
        self.groups = size(name, "groups", groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"{name} got in_channels={in_channels}, out_channels={out_channels} and groups={groups}: groups must divide "
                f"both, such as {math.gcd(self.in_channels, self.out_channels)}"
            )
        each_in, each_out = self.in_channels // self.groups, self.out_channels // self.groups
        area = math.prod(kernel)
        shape = (self.in_channels, each_out) if transposed else (self.out_channels, each_in)
        drawn = initializer((*shape, *kernel), each_in * area, each_out * area, rng)
        self.weight = Tensor(drawn, True)
        self.bias = Tensor(np.zeros(self.out_channels, np.float32), True) if bias else None

    def extra_repr(self) -> str:
        more = [] if self.groups == 1 else [f"groups={self.groups}"]
        more += ["bias=False"] if self.bias is None else []
        kernel = " x ".join(map(str, self.weight.shape[2:]))
        return ", ".join([f"{self.in_channels} -> {self.out_channels}, {kernel}", *more])


def _initial(transposed: bool) -> Any:
    """A variance of 2 over the number of inputs to an output, as a uniform distribution has it."""

    def initial(
        rng: Any,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        groups: int = 1,
        bias: bool = True,
        **_: Any,
    ) -> Any:
        kernel = both(kernel_size) if transposed else (kernel_size,)
        shape = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        bound = (3 * 2 / (in_channels // groups * math.prod(kernel))) ** 0.5
        found = {"weight": rng.uniform(-bound, bound, (*shape, *kernel))}
        return {**found, "bias": np.zeros(out_channels)} if bias else found

    return initial


# --- Conv1d -----------------------------------------------------------------------------------------------------------


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


_CHANNELS = {"in_channels": Size("c"), "out_channels": Size("o")}
_OF_TWO = {"in_channels": OneOf(2), "out_channels": OneOf(2, 4), "groups": OneOf(2), "dilation": OneOf(2)}
_LENGTHS = {"n": (0, 2), "c": (1, 2), "o": (1, 2), "t": (3, 5)}


@layer(
    spec=LayerSpec(
        case(
            reals("n c t"),
            params={**_CHANNELS, "kernel_size": OneOf(1, 3), "bias": flags()},
            sizes=_LENGTHS,
        ),
        case(
            reals("n c t"),
            params={**_CHANNELS, "kernel_size": OneOf(2), "stride": OneOf(2), "padding": OneOf(1)},
            sizes=_LENGTHS,
        ),
        case(
            reals("n 2 t"),
            params={**_OF_TWO, "kernel_size": OneOf(2), "padding": OneOf("same")},
            sizes=_LENGTHS,
        ),
        reference=_by_taps,
        initial=_initial(transposed=False),
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
        super().__init__()
        kernel = (size("Conv1d", "kernel_size", kernel_size),)
        self._add(in_channels, out_channels, groups, kernel, bias, False, initializer, rng)
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, x: Any) -> Any:
        """The convolution of x with the weight, and the bias."""
        return conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


# --- ConvTranspose2d --------------------------------------------------------------------------------------------------


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
            params={**_CHANNELS, "kernel_size": OneOf(2, (1, 3)), "bias": flags()},
            sizes=_SIZES,
        ),
        case(
            reals("n c h w"),
            params={
                **_CHANNELS,
                "kernel_size": OneOf(3),
                "stride": OneOf(2),
                "padding": OneOf(1),
                "output_padding": OneOf(0, 1),
            },
            sizes=_SIZES,
        ),
        case(reals("n 2 h w"), params={**_OF_TWO, "kernel_size": OneOf(2)}, sizes=_SIZES),
        reference=_by_stamps,
        initial=_initial(transposed=True),
    )
)
class ConvTranspose2d(_Convolution):
    """The transpose of `Conv2d`, which enlarges images, see `gradcore.conv_transpose2d`.

    x: (n, in_channels, h, w). weight: (in_channels, out_channels / groups, kernel height, kernel width), drawn by
    `initializer` (Kaiming uniform); bias: (out_channels,), zeros, or none. kernel_size, stride, padding, output_padding,
    dilation: whole numbers, or pairs for (height, width). rng: a `numpy.random.Generator` or a seed.
    Raises ShapeError where groups does not divide both channel counts, and where x does not fit.
    """

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
        super().__init__()
        kernel = pair("kernel_size", kernel_size, 1)
        self._add(in_channels, out_channels, groups, kernel, bias, True, initializer, rng)
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.dilation = dilation

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
