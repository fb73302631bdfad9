"""Images as columns of patches, and back: each is the transpose of the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, composed
from gradcore.ops._windows import Pair, pair, windows
from gradcore.ops.index import scatter_add
from gradcore.ops.joining import stack
from gradcore.ops.rearrange import pad
from gradcore.ops.reference import both
from gradcore.ops.shape import reshape
from gradcore.spec import Derived, OneOf, OpSpec, case, reals


def _places(size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """For each patch and each entry of it the place in the image, or None in the padding."""
    per_axis = zip(size, *map(both, (kernel_size, dilation, padding, stride)), strict=True)
    starts, steps = [], []
    for n, k, d, p, s in per_axis:
        starts.append(range(-p, n + p - d * (k - 1), s))
        steps.append(range(0, d * k, d))
    return [
        [
            (top + u, left + v) if 0 <= top + u < size[0] and 0 <= left + v < size[1] else None
            for u in steps[0]
            for v in steps[1]
        ]
        for top in starts[0]
        for left in starts[1]
    ]


def _unfolded(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    places = _places(x.shape[2:], kernel_size, dilation, padding, stride)
    columns = [
        [
            0.0 if at is None else x[n, c][at]
            for n in range(x.shape[0])
            for c in range(x.shape[1])
            for at in patch
        ]
        for patch in places
    ]
    return np.array(columns).T.reshape(x.shape[0], x.shape[1] * len(places[0]), len(places))


def _folded(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    places = _places(both(output_size), kernel_size, dilation, padding, stride)
    entries = len(places[0])
    y = np.zeros((x.shape[0], x.shape[1] // entries, *both(output_size)))
    for column, patch in enumerate(places):
        for entry, at in enumerate(patch):
            if at is not None:
                y[:, :, at[0], at[1]] += x[:, entry::entries, column]
    return y


_SIZES = {"n": (0, 2), "c": (1, 2), "h": (3, 4), "w": (3, 4)}
_OPTIONS = {
    "kernel_size": OneOf((3, 2)),
    "dilation": OneOf((1, 2)),
    "padding": OneOf(1),
    "stride": OneOf((2, 1)),
}


@composed(
    spec=OpSpec(
        case(reals("n c h w"), params={"kernel_size": OneOf(2, (1, 3))}, sizes=_SIZES),
        case(reals("n c h w"), params=_OPTIONS, sizes=_SIZES),
        reference=_unfolded,
    )
)
def unfold(x: Array, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> Array:
    """Patches of images as columns: (n, c, h, w) to (n, c kh kw, number of patches), with zeros from the padding.

    kernel_size, dilation, padding, stride: whole numbers, or pairs for (height, width). Raises ShapeError where x has not
    four axes or no patch fits.
    """
    if len(x.shape) != 4:
        raise ShapeError(
            f"unfold takes images of shape (n, c, h, w), and got {tuple(x.shape)}: write x[None] for one"
        )
    kernel = pair("kernel_size", kernel_size, 1)
    at = windows("unfold", tuple(x.shape[2:]), kernel, stride, padding, dilation)
    edged = pad(x, ((0, 0), (0, 0), *at.pads))
    taps = [edged[(slice(None), slice(None), *at.tap(i, j))] for i, j in np.ndindex(*kernel)]
    n, c = x.shape[:2]
    return reshape(stack(taps, 2), (n, c * len(taps), at.out[0] * at.out[1]))


@composed(
    spec=OpSpec(
        case(
            reals("n 4*c (h-1)*(w-1)"),
            params={"output_size": Derived(lambda e: [(e["h"], e["w"])]), "kernel_size": OneOf(2)},
            sizes=_SIZES,
        ),
        case(
            reals("n 6*c ((h-1)//2+1)*w"),
            params={"output_size": Derived(lambda e: [(e["h"], e["w"])]), **_OPTIONS},
            sizes=_SIZES,
        ),
        reference=_folded,
    )
)
def fold(
    x: Array,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Pair = 0,
    stride: Pair = 1,
) -> Array:
    """The images to whose places columns of patches add up: the transpose of `unfold`.

    x: (n, c kh kw, number of patches); returns (n, c, h, w) with (h, w) the output_size. Other arguments as in `unfold`.
    Raises ShapeError where x is not of that shape or no patch fits.
    """
    kernel, size = pair("kernel_size", kernel_size, 1), pair("output_size", output_size, 1)
    at = windows("fold", size, kernel, stride, padding, dilation)
    entries, count = kernel[0] * kernel[1], at.out[0] * at.out[1]
    if len(x.shape) != 3 or x.shape[1] % entries or x.shape[2] != count:
        raise ShapeError(
            f"fold got columns of shape {tuple(x.shape)}: for images of {size[0]} x {size[1]} (n, c {entries}, {count}) would "
            "fit"
        )
    n, c = x.shape[0], x.shape[1] // entries
    taps = reshape(x, (n, c, *kernel, *at.out))
    every = slice(None)
    y = sum(
        scatter_add(taps[:, :, i, j], (every, every, *at.tap(i, j)), (n, c, *at.padded))
        for i, j in np.ndindex(*kernel)
    )
    return y[(every, every, *at.inside)]
