"""Images of another size: interpolation, and pooling to a given size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ArgumentError, DomainError, ShapeError
from gradcore.op import Array, composed
from gradcore.ops._windows import pair
from gradcore.ops.axes import swapaxes
from gradcore.ops.joining import stack
from gradcore.ops.pool import avg_pool2d, max_pool2d
from gradcore.ops.reduce import max as largest
from gradcore.ops.reduce import mean
from gradcore.ops.reference import both
from gradcore.ops.select import take
from gradcore.ops.shape import as_floats
from gradcore.spec import OneOf, OpSpec, case, reals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# --- references -------------------------------------------------------------------------------------------------------


def _interpolated(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
) -> Any:
    """One entry of the result after another, from the two or four entries around its place."""
    factors = both(scale_factor)
    out = (
        both(size)
        if scale_factor is None
        else [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    )
    y = np.zeros((*x.shape[:2], *out))
    for i, j in np.ndindex(*out):
        weights = []
        for axis, place in enumerate((i, j)):
            n = x.shape[2 + axis]
            step = n / out[axis] if scale_factor is None else 1 / factors[axis]
            if mode == "nearest":
                weights.append({min(int(place * step), n - 1): 1.0})
                continue
            at = (
                place * (n - 1) / max(out[axis] - 1, 1)
                if align_corners
                else max((place + 0.5) * step - 0.5, 0)
            )
            near: dict[int, float] = {}
            for source in (math.floor(at), math.floor(at) + 1):
                inside = min(source, n - 1)
                near[inside] = near.get(inside, 0.0) + 1 - abs(at - source)
            weights.append(near)
        y[:, :, i, j] = sum(
            x[:, :, row, column] * high * wide
            for row, high in weights[0].items()
            for column, wide in weights[1].items()
        )
    return y


def _pooled(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, output_size: Any) -> Any:
        size = [
            n if given is None else given for n, given in zip(x.shape[2:], both(output_size), strict=True)
        ]
        y = np.zeros((*x.shape[:2], *size))
        for i, j in np.ndindex(*size):
            (top, bottom), (left, right) = (
                (place * n // k, ((place + 1) * n - 1) // k + 1)
                for place, n, k in zip((i, j), x.shape[2:], size, strict=True)
            )
            y[:, :, i, j] = reduce(x[:, :, top:bottom, left:right], axis=(2, 3))
        return y

    return reference


# --- interpolation ----------------------------------------------------------------------------------------------------

_SIZES = {"n": (0, 2), "c": (1, 2), "h": (1, 4), "w": (1, 4)}
_X = reals("n c h w")


@composed(
    spec=OpSpec(
        case(_X, params={"size": OneOf(3, (2, 5)), "mode": OneOf("nearest", "bilinear")}, sizes=_SIZES),
        case(_X, params={"scale_factor": OneOf(2, 1.5, (1, 2.5))}, sizes=_SIZES),
        case(
            _X,
            params={
                "scale_factor": OneOf(2, 1.5),
                "mode": OneOf("bilinear"),
                "align_corners": OneOf(False, True),
            },
            sizes=_SIZES,
        ),
        case(
            _X,
            params={"size": OneOf((1, 5)), "mode": OneOf("bilinear"), "align_corners": OneOf(True)},
            sizes=_SIZES,
        ),
        reference=_interpolated,
    )
)
def interpolate(
    x: Array,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Array:
    """Images of another size: (n, c, h, w) to (n, c, oh, ow).

    size: (oh, ow), or one number for both; or scale_factor: oh = floor(h scale_factor). mode: "nearest" repeats entries,
    "bilinear" weighs the four around a place. align_corners: the corners' centres keep their places, else their edges do
    (bilinear only). Raises ShapeError where x has not four axes or is empty, DomainError for another mode or size,
    ArgumentError unless just one of size and scale_factor is given.
    """
    if len(x.shape) != 4 or 0 in x.shape[2:]:
        raise ShapeError(
            f"interpolate takes images of shape (n, c, h, w), not empty, and got {tuple(x.shape)}"
        )
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"interpolate got size={size} and scale_factor={scale_factor}: give one of them")
    if mode not in ("nearest", "bilinear"):
        raise DomainError(f"interpolate got mode={mode!r}: expected 'nearest' or 'bilinear'")
    if align_corners is not None and mode == "nearest":
        raise ArgumentError("interpolate got align_corners for mode='nearest': it goes with mode='bilinear'")
    steps: list[float] = []
    out: tuple[int, ...] = ()
    if size is not None:
        out = pair("size", size, 1)
        steps = [n / k for n, k in zip(x.shape[2:], out, strict=True)]
    else:
        factors = _for_each_axis(scale_factor)
        out = tuple([int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)])
        if min(out) < 1:
            raise DomainError(
                f"interpolate got scale_factor={scale_factor} for images of {x.shape[2]} x {x.shape[3]}: nothing would be left"
            )
        steps = [1 / f for f in factors]
    if mode == "nearest":
        rows, columns = ((np.arange(k) * step).astype(int) for k, step in zip(out, steps, strict=True))
        return take(take(x, rows, 2), columns, 3)
    x = as_floats(x)
    high, wide = (
        _between(n, k, step, bool(align_corners)).astype(x.dtype)
        for n, k, step in zip(x.shape[2:], out, steps, strict=True)
    )
    return high @ (x @ wide.T)


def _for_each_axis(value: Any) -> tuple[Any, ...]:
    """A sequence as it is, and one value for both axes."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _between(size: int, out: int, step: float, align_corners: bool) -> NDArray[Any]:
    """The matrix (out, size) of linear interpolation along one axis."""
    places = np.arange(out)
    at = (
        places * ((size - 1) / max(out - 1, 1))
        if align_corners
        else np.maximum((places + 0.5) * step - 0.5, 0)
    )
    low = at.astype(int)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((out, size))
    matrix[places, low] = 1 - (at - low)
    matrix[places, high] += at - low
    return matrix


# --- pooling to a given size ------------------------------------------------------------------------------------------


def _to_size(name: str, x: Array, output_size: Any, reduce: Any, evenly: Any) -> Array:
    given = _for_each_axis(output_size)
    if len(x.shape) != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"{name} takes images of shape (n, c, h, w), not empty, and got {tuple(x.shape)}")
    if len(given) == 2:
        given = tuple([n if k is None else k for n, k in zip(x.shape[2:], given, strict=True)])
    size = pair("output_size", given, 1)
    if all(n % k == 0 for n, k in zip(x.shape[2:], size, strict=True)):
        return evenly(x, tuple([n // k for n, k in zip(x.shape[2:], size, strict=True)]))
    for axis, k in zip((2, 3), size, strict=True):
        n = x.shape[axis]
        if n != k:
            rows = swapaxes(x, 2, axis)
            parts = [reduce(rows[:, :, i * n // k : -(-(i + 1) * n // k)], 2) for i in range(k)]
            x = swapaxes(stack(parts, 2), 2, axis)
    return x


def _sizes(distinct: bool) -> tuple[Any, ...]:
    images = reals("n c h w", distinct=distinct)
    sizes = {"n": (0, 2), "c": (1, 2), "h": (1, 5), "w": (1, 5)}
    return (
        case(images, params={"output_size": OneOf(1, (2, None), (3, 2))}, sizes=sizes),
        case(reals("n c 4 6", distinct=distinct), params={"output_size": OneOf(2, (2, 3))}, sizes=sizes),
    )


@composed(spec=OpSpec(*_sizes(distinct=False), reference=_pooled(np.mean)))
def adaptive_avg_pool2d(x: Array, output_size: Any) -> Array:
    """The mean of each of oh x ow windows that cover the image: (n, c, h, w) to (n, c, oh, ow).

    Window i goes from floor(i h / oh) to ceil((i + 1) h / oh). output_size: (oh, ow), or one number for both; None keeps a
    size. Raises ShapeError where x has not four axes or is empty.
    """
    return _to_size("adaptive_avg_pool2d", x, output_size, mean, avg_pool2d)


@composed(spec=OpSpec(*_sizes(distinct=True), reference=_pooled(np.max)))
def adaptive_max_pool2d(x: Array, output_size: Any) -> Array:
    """The largest entry of each of oh x ow windows that cover the image; windows and arguments as in `adaptive_avg_pool2d`."""
    return _to_size("adaptive_max_pool2d", x, output_size, largest, max_pool2d)
