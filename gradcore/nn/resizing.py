"""Layers that are the ops of their names: images of another size, and images as columns of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.nn.activation import _of, _WithOptions
from gradcore.ops import patches, resize
from gradcore.registry import layer

if TYPE_CHECKING:
    from gradcore.ops._windows import Pair


@layer(spec=_of(resize.interpolate))
class Upsample(_WithOptions):
    """Images of another size, see `gradcore.interpolate`: (n, c, h, w) to (n, c, oh, ow).

    size: (oh, ow), or one number for both; or scale_factor. mode: "nearest" or "bilinear", the latter with align_corners.
    Raises what `interpolate` does.
    """

    function = resize.interpolate

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners


@layer(spec=_of(resize.adaptive_avg_pool2d))
class AdaptiveAvgPool2d(_WithOptions):
    """The mean of each of oh x ow windows that cover the image: (n, c, h, w) to (n, c, oh, ow).

    output_size: (oh, ow), or one number for both; None keeps a size.
    """

    function = resize.adaptive_avg_pool2d

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


@layer(spec=_of(resize.adaptive_max_pool2d))
class AdaptiveMaxPool2d(_WithOptions):
    """The largest entry of each of oh x ow windows that cover the image: (n, c, h, w) to (n, c, oh, ow).

    output_size: (oh, ow), or one number for both; None keeps a size.
    """

    function = resize.adaptive_max_pool2d

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size


@layer(spec=_of(patches.unfold))
class Unfold(_WithOptions):
    """Patches of images as columns, see `gradcore.unfold`: (n, c, h, w) to (n, c kh kw, number of patches)."""

    function = patches.unfold

    def __init__(self, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride


@layer(spec=_of(patches.fold))
class Fold(_WithOptions):
    """Columns of patches added up to images, see `gradcore.fold`: the transpose of `Unfold`."""

    function = patches.fold

    def __init__(
        self, output_size: Pair, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride
