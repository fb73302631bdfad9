"""Pooling layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.nn.module import Module
from gradcore.ops._windows import pair
from gradcore.ops.pool import avg_pool2d, max_pool2d
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, case, reals

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.ops._windows import Pair


def _over_windows(reduce: Callable[..., Any], fill: float) -> Callable[..., Any]:
    def reference(
        state: Any, training: bool, x: Any, kernel_size: int, stride: int | None = None, padding: int = 0
    ) -> Any:
        edges = (padding, padding)
        edged = np.pad(x, ((0, 0), (0, 0), edges, edges), constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(edged, (kernel_size, kernel_size), (2, 3))
        step = kernel_size if stride is None else stride
        return reduce(windows[:, :, ::step, ::step], axis=(4, 5))

    return reference


def _cases(distinct: bool) -> tuple[Any, ...]:
    sizes = {"n": (0, 2), "c": (1, 2), "h": (3, 5), "w": (3, 5)}
    x = reals("n c h w", distinct=distinct)
    return (
        case(x, params={"kernel_size": OneOf(2, 3)}, sizes=sizes),
        case(x, params={"kernel_size": OneOf(3), "stride": OneOf(1, 2), "padding": OneOf(1)}, sizes=sizes),
    )


class _Pool2d(Module):
    """What the pooling layers share: their arguments."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        pair("kernel_size", kernel_size, 1)
        pair("stride", kernel_size if stride is None else stride, 1)
        pair("padding", padding, 0)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def extra_repr(self) -> str:
        more = "" if self.stride is None else f", stride={self.stride}"
        return f"{self.kernel_size}{more}" + (f", padding={self.padding}" if self.padding != 0 else "")


@layer(spec=LayerSpec(*_cases(distinct=True), reference=_over_windows(np.max, -np.inf)))
class MaxPool2d(_Pool2d):
    """The largest entry of each window, see `gradcore.max_pool2d`: (n, c, h, w) to (n, c, oh, ow).

    stride: the kernel's size where None. Raises ShapeError where no window fits.
    """

    def forward(self, x: Any) -> Any:
        """The largest entry of each window."""
        return max_pool2d(x, self.kernel_size, self.stride, self.padding)


@layer(spec=LayerSpec(*_cases(distinct=False), reference=_over_windows(np.mean, 0.0)))
class AvgPool2d(_Pool2d):
    """The mean of each window, the zeros of the padding included, see `gradcore.avg_pool2d`: (n, c, h, w) to (n, c, oh, ow).

    stride: the kernel's size where None. Raises ShapeError where no window fits.
    """

    def forward(self, x: Any) -> Any:
        """The mean of each window."""
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding)
