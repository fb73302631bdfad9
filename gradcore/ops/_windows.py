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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = int | tuple[int, int] | str

_COLUMNS = 4096  # aimed at in one product: measured, for 9 to 400 rows, as the fewest that keep BLAS busy
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


def batch_innermost(x: NDArray[Any]) -> NDArray[Any]:
    """(n, c, h, w) as a contiguous (c, h, w, n): a view where x has that memory already, else a copy."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def batch_first(x: NDArray[Any]) -> NDArray[Any]:
    """(c, h, w, n) as an (n, c, h, w) view."""
    return x.transpose(3, 0, 1, 2)


def padded(x: NDArray[Any], at: Windows, fill: float = 0.0) -> NDArray[Any]:
    """(n, c, h, w) as a contiguous (c, padded h, padded w, n), with `fill` around the image."""
    if at.padded == at.size:
        return batch_innermost(x)
    n, c = x.shape[:2]
    out = np.full((c, *at.padded, n), fill, x.dtype)
    out[(slice(None), *at.inside)] = x.transpose(1, 2, 3, 0)
    return out


def blocks(at: Windows, batch: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """Pieces (rows of windows, images) whose columns of `rows` entries make one product of a good size."""
    high, wide = at.out
    images = max(1, min(batch, 4 * _COLUMNS // wide, _ENTRIES // max(rows * wide, 1)))
    if images < batch:
        images = -(-batch // -(-batch // images))  # equal pieces rather than a small last one
    lines = max(1, min(high, min(_COLUMNS, _ENTRIES // max(rows, 1)) // (wide * images)))
    for first in range(0, batch, images):
        for top in range(0, high, lines):
            yield slice(top, top + lines), slice(first, min(first + images, batch))


def all_windows(x: NDArray[Any], at: Windows) -> NDArray[Any]:
    """Every window of a padded (c, h, w, n), without copying: (c, kernel h, kernel w, out h, out w, n)."""
    c, _, _, n = x.shape
    a, b, d, e = x.strides
    (sh, sw), (dh, dw) = at.stride, at.dilation
    return np.lib.stride_tricks.as_strided(
        x, (c, *at.kernel, *at.out, n), (a, b * dh, d * dw, b * sh, d * sw, e), writeable=False
    )
