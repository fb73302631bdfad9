"""What convolution and pooling share: the geometry of windows sliding over an image, and the memory order they want.

At the interface images are (n, c, h, w). In memory these ops keep the batch innermost, (c, h, w, n): then the entries
that a window's corner meets as it slides along a row, over the whole batch, are one run of memory, and gathering all
windows is a few long copies. Results are returned as (n, c, h, w) views of that memory, so a chain of convolutions,
elementwise functions and poolings, and `reshape(n, -1)` after it, never reorders anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.ops._rows import Blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = int | tuple[int, int] | str

_COLUMNS = 4096  # aimed at in one product: measured, for 9 to 400 rows, as the fewest that keep BLAS busy
_POSITIONS, _CHANNELS = 196, 8  # from which on images are taken one at a time
_ENTRIES = 1 << 22  # at most, in one block of columns, so that it stays near the processor


class Windows(NamedTuple):
    """Windows of size `kernel` sliding over an image of `size`; each field is a pair for (height, width).

    pads: (before, after) for each axis. out: how many positions fit.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    out: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """The size of the image with its padding."""
        (top, bottom), (left, right) = self.pads
        return self.size[0] + top + bottom, self.size[1] + left + right

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where the image lies in the padded image."""
        (top, _), (left, _) = self.pads
        return slice(top, top + self.size[0]), slice(left, left + self.size[1])

    @property
    def reversed(self) -> Windows | None:
        """Those that give back the image from what a convolution by these gave, by the turned kernel; None if none do."""
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        pads = [(span - before, span - after) for span, (before, after) in zip(spans, self.pads, strict=True)]
        if self.stride != (1, 1) or min(map(min, pads)) < 0:
            return None
        return self._replace(size=self.out, pads=(pads[0], pads[1]), out=self.size)

    def tap(self, i: int, j: int, rows: slice = slice(None)) -> tuple[slice, slice]:
        """Where, in the padded image, entry (i, j) of the windows lies; `rows` restricts it to some rows of windows."""
        first, last, _ = rows.indices(self.out[0])
        (sh, sw), (dh, dw) = self.stride, self.dilation
        top, left = i * dh, j * dw
        return (
            slice(top + first * sh, top + last * sh, sh),
            slice(left, left + self.out[1] * sw, sw),
        )


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """A whole number, or two for (height, width), as a pair; DomainError for anything else or below `least`."""
    found = (value, value) if isinstance(value, int | np.integer) else value
    if (
        not (isinstance(found, tuple | list) and len(found) == 2)
        or not all(isinstance(v, int | np.integer) for v in found)
        or min(found) < least
    ):
        raise DomainError(
            f"{name}={value!r}: expected a whole number, or a pair of them for (height, width), of at least {least}"
        )
    return int(found[0]), int(found[1])


def windows(
    name: str,
    size: tuple[int, ...],
    kernel: tuple[int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair = 1,
) -> Windows:
    """The geometry; ShapeError, in the words of op `name`, where not one window fits."""
    h, w = size
    steps, spread = pair("stride", stride, 1), pair("dilation", dilation, 1)
    spans = (spread[0] * (kernel[0] - 1) + 1, spread[1] * (kernel[1] - 1) + 1)
    if padding == "same":
        if steps != (1, 1):
            raise DomainError(
                f'padding="same" keeps the size, so it goes with stride 1 only: this one is {steps}'
            )
        rows, columns = spans[0] - 1, spans[1] - 1
        pads = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    elif isinstance(padding, str) and padding != "valid":
        raise DomainError(f'padding={padding!r}: expected a whole number, a pair of them, "same" or "valid"')
    else:
        ph, pw = (0, 0) if padding == "valid" else pair("padding", padding, 0)
        pads = ((ph, ph), (pw, pw))
    padded = (h + sum(pads[0]), w + sum(pads[1]))
    if padded[0] < spans[0] or padded[1] < spans[1]:
        spread_out = f", spread to {spans} by dilation={spread}" if spread != (1, 1) else ""
        raise ShapeError(
            f"{name} got images of {h} x {w}, {padded[0]} x {padded[1]} with their padding, and a kernel of "
            f"{kernel}{spread_out}: it must fit in at least once. Images of at least "
            f"{max(spans[0] - sum(pads[0]), 0)} x {max(spans[1] - sum(pads[1]), 0)} would fit, or a smaller kernel, or "
            "more padding"
        )
    out = ((padded[0] - spans[0]) // steps[0] + 1, (padded[1] - spans[1]) // steps[1] + 1)
    return Windows((h, w), kernel, steps, spread, pads, out)


def fitted(
    name: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Windows:
    """The geometry of the convolution of `x` with `weight`; errors in the words of op `name`."""
    if len(x) != 4 or len(weight) != 4:
        raise ShapeError(
            f"{name} got images of shape {x} and a weight of shape {weight}: expected (n, channels, height, width) and "
            "(out_channels, channels / groups, kernel height, kernel width); one image x goes in as x[None]"
        )
    if not isinstance(groups, int | np.integer) or groups < 1:
        raise DomainError(f"{name} got groups={groups!r}: expected a whole number of at least 1")
    if weight[0] % groups:
        raise ShapeError(
            f"{name} got a weight of shape {weight} and groups={groups}: its first axis, out_channels, must be a "
            f"multiple of groups, such as {-(-weight[0] // groups) * groups}"
        )
    if x[1] != weight[1] * groups:
        per_group = (
            f"; for images of {x[1]} channels a weight of shape {(weight[0], x[1] // groups, *weight[2:])} would fit"
            if x[1] % groups == 0
            else ""
        )
        raise ShapeError(
            f"{name} got images of shape {x} and a weight of shape {weight} with groups={groups}: the images must have "
            f"{weight[1]} x {groups} = {weight[1] * groups} channels, the weight's second axis times groups, and have "
            f"{x[1]}{per_group}"
        )
    if 0 in weight[2:]:
        raise ShapeError(f"{name} got a weight of shape {weight}: a kernel has at least 1 x 1 entries")
    return windows(name, x[2:], (weight[2], weight[3]), stride, padding, dilation)


def check_cotangent(name: str, gy: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """ShapeError where `gy` is not of the shape that a convolution gives."""
    if gy != expected:
        raise ShapeError(
            f"{name} got gy of shape {gy}: a convolution with these arguments gives {expected}, so that is what fits"
        )


def check_bias(name: str, bias: Any, weight: Any, out: int) -> None:
    """ShapeError where there is a bias and it has not one entry for each of `out` channels."""
    if bias is not None and bias.shape != (out,):
        raise ShapeError(
            f"{name} got a bias of shape {bias.shape} for a weight of shape {weight.shape}: ({out},), one entry for each "
            "output channel, would fit"
        )


def enlarged(
    name: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
) -> tuple[int, int]:
    """The size of the images that a transposed convolution of `x` with `weight` gives; errors in the words of op `name`."""
    steps, spread = pair("stride", stride, 1), pair("dilation", dilation, 1)
    pads, extra = pair("padding", padding, 0), pair("output_padding", output_padding, 0)
    if extra[0] >= steps[0] or extra[1] >= steps[1]:
        raise DomainError(f"output_padding={output_padding} must be below stride={stride}")
    if len(x) != 4 or len(weight) != 4 or x[1] != weight[0]:
        raise ShapeError(
            f"{name} got images of shape {x} and a weight of shape {weight}: expected (n, channels, height, width) and "
            "(channels, out_channels / groups, kernel height, kernel width), channels being equal"
        )
    height, width = (
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, s, p, d, k, e in zip(x[2:], steps, pads, spread, weight[2:], extra, strict=True)
    )
    if min(height, width) < 1:
        raise ShapeError(
            f"{name} got images of shape {x}, a weight of shape {weight} and padding={padding}: the result would be "
            f"{height} x {width}; less padding would fit"
        )
    return height, width


def batch_innermost(x: NDArray[Any]) -> NDArray[Any]:
    """(n, c, h, w) as a contiguous (c, h, w, n): a view where x has that memory already, else a copy."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def batch_first(x: NDArray[Any]) -> NDArray[Any]:
    """(c, h, w, n) as an (n, c, h, w) view."""
    return x.transpose(3, 0, 1, 2)


def image_by_image(positions: int, *arrays: NDArray[Any]) -> bool:
    """Whether images that lie in memory one after the other are taken one at a time, as they are.

    To turn a whole batch takes as long as a third of the product of a convolution 32 -> 64; where windows are few, or
    channels, so that the arrays are small beside what the convolution gives, it is worth its time.
    """
    return (
        positions >= _POSITIONS
        and all(x.flags.c_contiguous and x.shape[0] > 1 for x in arrays)
        and any(x.shape[1] >= _CHANNELS for x in arrays)
    )


def turned(x: NDArray[Any], by_image: bool) -> NDArray[Any]:
    """(n, c, h, w) as a (c, h, w, n) view where it is taken image by image, else as `batch_innermost`."""
    return x.transpose(1, 2, 3, 0) if by_image else batch_innermost(x)


def empty(shape: tuple[int, ...], dtype: Any, by_image: bool) -> NDArray[Any]:
    """A (c, h, w, n) with the batch innermost in memory, or outermost where it is taken image by image."""
    if not by_image:
        return np.empty(shape, dtype)
    return np.empty((shape[-1], *shape[:-1]), dtype).transpose(1, 2, 3, 0)


def padded(x: NDArray[Any], at: Windows, fill: float = 0.0, by_image: bool = False) -> NDArray[Any]:
    """(n, c, h, w) as a (c, padded h, padded w, n), in the memory order of `empty`, with `fill` around the image."""
    if at.padded == at.size:
        return turned(x, by_image)
    n, c = x.shape[:2]
    out = empty((c, *at.padded, n), x.dtype, by_image)
    out[...] = fill
    out[(slice(None), *at.inside)] = x.transpose(1, 2, 3, 0)
    return out


def blocks(at: Windows, batch: int, rows: int, by_image: bool = False) -> Blocks[tuple[slice, slice]]:
    """Pieces (rows of windows, images) whose columns of `rows` entries make one product of a good size."""
    high, wide = at.out
    images = 1 if by_image else max(1, min(batch, 4 * _COLUMNS // wide, _ENTRIES // max(rows * wide, 1)))
    if images < batch and not by_image:
        images = -(-batch // -(-batch // images))  # equal pieces rather than a small last one
    lines = max(1, min(high, min(_COLUMNS, _ENTRIES // max(rows, 1)) // (wide * images)))
    pieces = [
        (slice(top, top + lines), slice(first, min(first + images, batch)))
        for first in range(0, batch, images)
        for top in range(0, high, lines)
    ]
    return Blocks(pieces, high * wide * batch * rows)


def all_windows(x: NDArray[Any], at: Windows) -> NDArray[Any]:
    """Every window of a padded (c, h, w, n), without copying: (c, kernel h, kernel w, out h, out w, n)."""
    c, _, _, n = x.shape
    a, b, d, e = x.strides
    (sh, sw), (dh, dw) = at.stride, at.dilation
    return np.lib.stride_tricks.as_strided(
        x, (c, *at.kernel, *at.out, n), (a, b * dh, d * dw, b * sh, d * sw, e), writeable=False
    )
