"""Pooling of images: the maximum and the mean over windows, and their transposes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import ShapeError
from gradcore.op import Array, op
from gradcore.ops._rows import Blocks, are_arrays, each_block, row_blocks
from gradcore.ops._windows import Pair, Windows, batch_first, batch_innermost, padded, pair, windows
from gradcore.ops.reference import both
from gradcore.ops.shape import as_floats
from gradcore.spec import Case, Derived, OneOf, OpSpec, case, reals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# --- references: one window after another -----------------------------------------------------------------------------

_Entries = list[tuple[int, int]]


def _each_window(size: Any, kernel_size: Any, stride: Any, padding: Any) -> list[list[_Entries]]:
    """For each window, the entries of the image in it, in reading order."""
    axes = []
    stride = kernel_size if stride is None else stride
    for axis in range(2):
        k, s, p = (both(v)[axis] for v in (kernel_size, stride, padding))
        starts = range(-p, size[axis] + p - k + 1, s)
        axes.append([[t for t in range(start, start + k) if 0 <= t < size[axis]] for start in starts])
    return [[[(i, j) for i in rows for j in columns] for columns in axes[1]] for rows in axes[0]]


def _pooled(of: Callable[..., float]) -> Callable[..., Any]:
    def reference(x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
        grid = _each_window(x.shape[2:], kernel_size, stride, padding)
        y = np.zeros((*x.shape[:2], len(grid), len(grid[0])))
        for n, c, i, j in np.ndindex(y.shape):
            y[n, c, i, j] = of([float(x[(n, c, *entry)]) for entry in grid[i][j]], kernel_size)
        return y

    return reference


def _mean(values: list[float], kernel_size: Any) -> float:
    entries: int = math.prod(both(kernel_size))
    return math.fsum(values) / entries


def _mean_spread(gy: Any, size: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    grid = _each_window(size, kernel_size, stride, padding)
    gx = np.zeros((*gy.shape[:2], *size))
    for n, c, i, j in np.ndindex(gy.shape):
        for entry in grid[i][j]:
            gx[(n, c, *entry)] += _mean([float(gy[n, c, i, j])], kernel_size)
    return gx


def _winner(x: Any, n: int, c: int, entries: _Entries) -> tuple[int, ...]:
    return (
        n,
        c,
        *sorted(entries, key=lambda entry: -x[(n, c, *entry)])[0],
    )  # a stable sort: the first of equals


def _max_spread(gy: Any, x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    grid = _each_window(x.shape[2:], kernel_size, stride, padding)
    gx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(gy.shape):
        gx[_winner(x, n, c, grid[i][j])] += gy[n, c, i, j]
    return gx


def _max_picked(values: Any, x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    grid = _each_window(x.shape[2:], kernel_size, stride, padding)
    out = np.zeros((*x.shape[:2], len(grid), len(grid[0])))
    for n, c, i, j in np.ndindex(out.shape):
        out[n, c, i, j] = values[_winner(x, n, c, grid[i][j])]
    return out


# --- domains ----------------------------------------------------------------------------------------------------------

# (kernel, stride, padding): the kinds of pooling, each a case of every op here. Image sizes run over every
# remainder of the stride.
_SORTS: tuple[tuple[tuple[int, int], tuple[int, int] | None, tuple[int, int]], ...] = (
    ((2, 2), None, (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((2, 3), (1, 2), (0, 1)),
    ((1, 1), (2, 2), (0, 0)),
    ((1, 3), None, (0, 0)),
)


def _cases(arguments: str, distinct: bool) -> tuple[Case, ...]:
    made = []
    for kernel, stride, padding in _SORTS:
        sizes = {"n": (0, 2), "c": (1, 2)}
        out = []
        for axis, letter in enumerate("hw"):
            k, s, p = kernel[axis], (stride or kernel)[axis], padding[axis]
            sizes[letter] = (max(1, k - 2 * p), max(1, k - 2 * p) + s)
            out.append(f"({letter}+{2 * p}-{k})//{s}+1")
        size = {"size": Derived(lambda env: [(env["h"], env["w"])])} if arguments == "gy size" else {}
        arrays = {
            "x": (reals("n c h w", distinct=distinct),),
            "gy size": (reals(f"n c {out[0]} {out[1]}"),),
            "gy x": (reals(f"n c {out[0]} {out[1]}"), reals("n c h w", distinct=True, differentiable=False)),
            "v x": (reals("n c h w"), reals("n c h w", distinct=True, differentiable=False)),
        }[arguments]
        given = {"kernel_size": (kernel, (2, 2)), "stride": (stride, None), "padding": (padding, (0, 0))}
        # A pair of equal numbers is passed as one number; what is the default is left out.
        short = {
            name: OneOf(v[0] if v and v[0] == v[1] else v)
            for name, (v, default) in given.items()
            if v != default
        }
        made.append(case(*arrays, params={**size, **short}, sizes=sizes))
    return tuple(made)


# --- geometry ---------------------------------------------------------------------------------------------------------


def _fitted(name: str, x: tuple[int, ...], kernel_size: Pair, stride: Pair | None, padding: Pair) -> Windows:
    if len(x) != 4:
        raise ShapeError(
            f"{name} got images of shape {x}: expected (n, channels, height, width); one image x goes in as x[None]"
        )
    kernel, pads = pair("kernel_size", kernel_size, 1), pair("padding", padding, 0)
    if 2 * pads[0] > kernel[0] or 2 * pads[1] > kernel[1]:
        raise ShapeError(
            f"{name} got padding={padding} for kernel_size={kernel_size}: at most half the kernel, "
            f"{(kernel[0] // 2, kernel[1] // 2)}, so that every window meets the image"
        )
    return windows(name, x[2:], kernel, kernel if stride is None else stride, pads)


def _check(name: str, what: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ShapeError(f"{name} got {what} of shape {found}: with these arguments {expected} is what fits")


def _taps(at: Windows) -> list[tuple[Any, ...]]:
    """Where the entries of the windows lie in a padded (channels, h, w, n), in reading order."""
    return [(slice(None), *at.tap(i, j)) for i, j in np.ndindex(at.kernel)]


def _blocks(x: NDArray[Any]) -> Blocks[slice]:
    """Pieces of the first axis, the channels."""
    return row_blocks(x.shape[0], max(math.prod(x.shape[1:]), 1))


# --- the maximum ------------------------------------------------------------------------------------------------------


def _lowest(dtype: np.dtype[Any]) -> float:
    return -math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _running_max(x: NDArray[Any], taps: list[tuple[Any, ...]], out: NDArray[Any]) -> None:
    np.copyto(out, x[taps[0]])
    for tap in taps[1:]:
        np.maximum(out, x[tap], out=out)


def _firsts(
    block: NDArray[Any], at: Windows, largest: NDArray[Any] | None
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """(tap, mask) for each entry of the windows of some channels, True where it is its window's first maximum.

    largest: the maximum of each window, where it is known already.
    """
    taps = _taps(at)
    if largest is None:
        largest = np.empty((block.shape[0], *at.out, block.shape[3]), block.dtype)
        _running_max(block, taps, largest)
    return _masks(block, taps, largest)


def _masks(
    x: NDArray[Any], taps: list[tuple[Any, ...]], y: NDArray[Any]
) -> Iterator[tuple[Any, NDArray[Any]]]:
    free = np.ones(y.shape, np.bool_)
    hit = np.empty(y.shape, np.bool_)
    for tap in taps[:-1]:
        np.equal(x[tap], y, out=hit)
        hit &= free
        yield tap, hit
        free ^= hit
    # The last entry takes what is left: so every window has one winner, even one whose maximum is NaN.
    yield taps[-1], free


def _max_rule(gy: Array, y: Array, x: Array, **same: Any) -> Array:
    if are_arrays(gy, x):
        return _spread(gy, x, batch_innermost(y), **same)
    return max_pool2d_input(gy, plain(x), **same)


@op(
    vjp=_max_rule,
    spec=OpSpec(*_cases("x", distinct=True), reference=_pooled(lambda values, _k: sorted(values)[-1])),
)
def max_pool2d(x: Array, /, kernel_size: Pair = 2, stride: Pair | None = None, padding: Pair = 0) -> Array:
    """The largest entry of each window; the first in reading order gets the whole cotangent where several are largest.

    x: (n, c, h, w). Returns (n, c, oh, ow) with oh = (h + 2 padding - kernel) // stride + 1: rows and columns at the end
    that fill no window are dropped. stride: the kernel's size where None. The padding is below any number.
    Raises ShapeError where no window fits, and where the padding exceeds half the kernel.
    """
    at = _fitted("max_pool2d", x.shape, kernel_size, stride, padding)
    image = padded(x, at, _lowest(x.dtype) if at.padded != at.size else 0)
    y = np.empty((x.shape[1], *at.out, x.shape[0]), x.dtype)
    taps = _taps(at)
    each_block(lambda some: _running_max(image[some], taps, y[some]), _blocks(image))
    return batch_first(y)


def _none_to_x(_gy: Array, _y: Array, _v: Array, x: Array, **_same: Any) -> Array:
    return np.zeros_like(x)  # which entry is largest does not change within a small enough step


def _input_rule(g: Array, _y: Array, _gy: Array, x: Array, **same: Any) -> Array:
    return max_pool2d_pick(g, plain(x), **same)


@op(
    vjp=(_input_rule, _none_to_x),
    spec=OpSpec(*_cases("gy x", distinct=True), reference=_max_spread),
)
def max_pool2d_input(
    gy: Array, x: Array, /, kernel_size: Pair = 2, stride: Pair | None = None, padding: Pair = 0
) -> Array:
    """The transpose of `max_pool2d` at x: zeros, with gy added where each window of x has its first maximum.

    gy: (n, c, oh, ow); x: (n, c, h, w). Returns x's shape. The other arguments are max_pool2d's.
    Raises ShapeError where gy is not of the shape that max_pool2d gives for x.
    """
    return _spread(gy, x, None, kernel_size, stride, padding)


def _spread(
    gy: NDArray[Any],
    x: NDArray[Any],
    largest: NDArray[Any] | None,
    kernel_size: Pair = 2,
    stride: Pair | None = None,
    padding: Pair = 0,
) -> NDArray[Any]:
    """`max_pool2d_input`. largest: what `max_pool2d` gave, with the batch innermost, where it is known."""
    at = _fitted("max_pool2d_input", x.shape, kernel_size, stride, padding)
    _check("max_pool2d_input", "gy", gy.shape, (*x.shape[:2], *at.out))
    image = padded(x, at, _lowest(x.dtype) if at.padded != at.size else 0)
    g = batch_innermost(gy)
    apart = at.stride[0] >= at.kernel[0] and at.stride[1] >= at.kernel[1]
    tiled = at.stride == at.kernel and at.padded == (at.out[0] * at.kernel[0], at.out[1] * at.kernel[1])
    gx = (np.empty if tiled else np.zeros)(image.shape, gy.dtype)

    def pull(some: slice) -> None:
        here, out = g[some], gx[some]
        for tap, mask in _firsts(image[some], at, None if largest is None else largest[some]):
            if apart:  # each entry is in one window at most: there is nothing to add to
                np.multiply(here, mask, out=out[tap])
            else:
                out[tap] += here * mask

    each_block(pull, _blocks(image))
    return batch_first(gx[(slice(None), *at.inside)])


def _pick_rule(g: Array, _y: Array, _values: Array, x: Array, **same: Any) -> Array:
    return max_pool2d_input(g, plain(x), **same)


@op(
    vjp=(_pick_rule, _none_to_x),
    spec=OpSpec(*_cases("v x", distinct=True), reference=_max_picked),
)
def max_pool2d_pick(
    values: Array, x: Array, /, kernel_size: Pair = 2, stride: Pair | None = None, padding: Pair = 0
) -> Array:
    """The entries of `values` where the windows of x have their first maximum: `max_pool2d` linearised at x.

    values, x: (n, c, h, w). Returns (n, c, oh, ow). The other arguments are max_pool2d's.
    Raises ShapeError where the two shapes differ.
    """
    at = _fitted("max_pool2d_pick", x.shape, kernel_size, stride, padding)
    _check("max_pool2d_pick", "values", values.shape, x.shape)
    image = padded(x, at, _lowest(x.dtype) if at.padded != at.size else 0)
    source = padded(values, at)
    y = np.zeros((x.shape[1], *at.out, x.shape[0]), values.dtype)

    def pick(some: slice) -> None:
        for tap, mask in _firsts(image[some], at, None):
            y[some] += source[some][tap] * mask

    each_block(pick, _blocks(image))
    return batch_first(y)


# --- the mean ---------------------------------------------------------------------------------------------------------


def _mean_rule(gy: Array, _y: Array, x: Array, **same: Any) -> Array:
    return avg_pool2d_input(gy, size=x.shape[2:], **same)


@op(
    vjp=_mean_rule,
    spec=OpSpec(*_cases("x", distinct=False), reference=_pooled(_mean)),
)
def avg_pool2d(x: Array, /, kernel_size: Pair = 2, stride: Pair | None = None, padding: Pair = 0) -> Array:
    """The mean of each window, the zeros of the padding included.

    x: (n, c, h, w). Returns (n, c, oh, ow) with oh = (h + 2 padding - kernel) // stride + 1: rows and columns at the end
    that fill no window are dropped. stride: the kernel's size where None.
    Raises ShapeError where no window fits, and where the padding exceeds half the kernel.
    """
    x = as_floats(x)
    at = _fitted("avg_pool2d", x.shape, kernel_size, stride, padding)
    image = padded(x, at)
    y = np.zeros((x.shape[1], *at.out, x.shape[0]), x.dtype)
    taps = _taps(at)

    def add(some: slice) -> None:
        for tap in taps:
            y[some] += image[some][tap]

    each_block(add, _blocks(image))
    y *= y.dtype.type(1 / math.prod(at.kernel))
    return batch_first(y)


@op(
    vjp=lambda g, _y, _gy, size, **same: avg_pool2d(g, **same),
    spec=OpSpec(*_cases("gy size", distinct=False), reference=_mean_spread),
)
def avg_pool2d_input(
    gy: Array,
    /,
    size: tuple[int, int],
    kernel_size: Pair = 2,
    stride: Pair | None = None,
    padding: Pair = 0,
) -> Array:
    """The transpose of `avg_pool2d` for images of (height, width) `size`: each window's share, spread over its entries.

    gy: (n, c, oh, ow). Returns (n, c, h, w). The other arguments are avg_pool2d's.
    Raises ShapeError where gy is not of the shape that avg_pool2d gives for images of that size.
    """
    gy = as_floats(gy)
    shape = (*gy.shape[:2], *size)
    at = _fitted("avg_pool2d_input", shape, kernel_size, stride, padding)
    _check("avg_pool2d_input", "gy", gy.shape, (*shape[:2], *at.out))
    share = batch_innermost(gy) * gy.dtype.type(1 / math.prod(at.kernel))
    gx = np.zeros((shape[1], *at.padded, shape[0]), gy.dtype)
    taps = _taps(at)

    def spread(some: slice) -> None:
        for tap in taps:
            gx[some][tap] += share[some]

    each_block(spread, _blocks(gx))
    return batch_first(gx[(slice(None), *at.inside)])
