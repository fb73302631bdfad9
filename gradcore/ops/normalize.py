"""Normalisation of each channel by its mean and variance over the batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradcore.op import Array, op
from gradcore.ops._rows import Blocks, are_arrays, by_block, each_block, row_blocks, writable
from gradcore.spec import OneOf, OpSpec, case, reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Moments: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

_MANY, _SHORT = 4, 8192  # images; entries


def _axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _by_channel(v: Array, ndim: int) -> Array:
    return np.reshape(v, (1, -1, *(1,) * (ndim - 2)))


def channel_moments(x: NDArray[Any]) -> Moments:
    """Mean and biased variance of each channel of (n, c, ...), which `batch_norm` need not compute again."""
    if not _in_blocks(x):
        axes = _axes(x.ndim)
        mean = np.mean(x, axis=axes)
        centred = x - _by_channel(mean, x.ndim)
        return mean, np.mean(centred * centred, axis=axes)
    parts = _parts(x, x)
    count = parts.shape[0] * parts.shape[2]
    means, total = _sums(parts), np.zeros(parts.shape[1], x.dtype)
    means /= count
    blocks, spread = _blocks(parts), _spread(means, parts)

    def square(where: tuple[slice, slice]) -> NDArray[Any]:
        centred = parts[where] - spread[where[1]]
        return _products(centred, centred)

    for where, found in zip(blocks, by_block(square, blocks), strict=True):
        total[where[1]] += found
    total /= count
    return means, total


def _normalised(x: Array, eps: float, moments: Moments | None) -> tuple[Array, Array]:
    """(x - mean) / std for each channel, and 1 / std."""
    axes = _axes(x.ndim)
    if moments is None:
        centred = x - np.mean(x, axis=axes, keepdims=True)
        variance = np.mean(centred * centred, axis=axes, keepdims=True)
    else:
        mean, variance = (_by_channel(m, x.ndim) for m in moments)
        centred = x - mean
    scale = 1 / np.sqrt(variance + eps)
    return centred * scale, scale


def _rule(
    gy: Array,
    _y: Array,
    x: Array,
    weight: Array,
    _bias: Array,
    eps: float = 1e-5,
    moments: Moments | None = None,
    *,
    needs: tuple[bool, ...],
) -> tuple[Array, ...]:
    if _in_blocks(x, weight, gy):
        return _gradients(gy, x, weight, eps, moments or channel_moments(x), needs)
    axes = _axes(x.ndim)
    # A rule that is recorded derives mean and variance from x again: their own derivatives are part of its.
    normal, scale = _normalised(x, eps, moments if are_arrays(x) else None)
    gx = None
    if needs[0]:
        g = gy * _by_channel(weight, x.ndim)
        inner = g - np.mean(g, axis=axes, keepdims=True)
        gx = scale * (inner - normal * np.mean(g * normal, axis=axes, keepdims=True))
    return (
        gx,
        np.sum(gy * normal, axis=axes) if needs[1] else None,
        np.sum(gy, axis=axes) if needs[2] else None,
    )


# --- a block at a time ------------------------------------------------------------------------------------------------


def _in_blocks(x: Array, *others: Array) -> bool:
    return writable(x, *others) and x.ndim > 2 and x.size > 0


def _batch_inside(x: NDArray[Any]) -> bool:
    """Whether a channel's entries are one run of memory, with those of the batch innermost, as convolutions return them."""
    return x.transpose(*range(1, x.ndim), 0).flags.c_contiguous


def _parts(v: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """`v` as (images, channels, entries), or (1, channels, entries) where the memory of `like` is so: a view if it can be."""
    if _batch_inside(like):
        return v.transpose(*range(1, v.ndim), 0).reshape(1, v.shape[1], -1)
    return v.reshape(*v.shape[:2], -1)


def _like(x: NDArray[Any]) -> NDArray[Any]:
    """An empty array of the shape of `x`, of which `_parts(it, x)` is a view; it owns its memory where x has it in order."""
    if _batch_inside(x):
        return np.empty((*x.shape[1:], x.shape[0]), x.dtype).transpose(-1, *range(x.ndim - 1))
    return np.empty(x.shape, x.dtype)


def _blocks(parts: NDArray[Any]) -> Blocks[tuple[slice, slice]]:
    """Slices of images and channels, each of about as many entries as stay near the processor."""
    images, channels, entries = parts.shape
    if images > 1:
        rows = row_blocks(images, channels * entries)
        return Blocks([(block, slice(0, channels)) for block in rows], rows.work)
    rows = row_blocks(channels, entries)
    return Blocks([(slice(0, 1), block) for block in rows], rows.work)


def _spread(v: NDArray[Any], parts: NDArray[Any]) -> NDArray[Any]:
    """A number for each channel, to be broadcast against parts; written out where a channel's runs are many and short.

    NumPy then goes through all channels of an image at once, which halves the time of an operation on runs of 784.
    """
    images, _, entries = parts.shape
    return v[:, None] if images < _MANY or entries > _SHORT else np.repeat(v[:, None], entries, axis=1)


def _sums(parts: NDArray[Any]) -> NDArray[Any]:
    """The sum of each channel."""
    found: NDArray[Any] = np.add.reduce(parts @ np.ones(parts.shape[2], parts.dtype), axis=0)
    return found


def _products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The sum of each channel of a b."""
    found: NDArray[Any] = np.add.reduce(np.vecdot(a, b), axis=0)
    return found


def _gradients(
    gy: NDArray[Any],
    x: NDArray[Any],
    weight: NDArray[Any],
    eps: float,
    moments: Moments,
    needs: tuple[bool, ...],
) -> tuple[Array, ...]:
    """The rule above, with c = x - mean and s = 1 / sqrt(variance + eps) of a channel of n entries:

    gx = s weight (gy - mean(gy) - c s^2 mean(gy c)); gw = s sum(gy c); gb = sum(gy).
    """
    parts, gys = _parts(x, x), _parts(gy, x)
    count = parts.shape[0] * parts.shape[2]
    mean, variance = moments
    scale = 1 / np.sqrt(variance + eps)
    gb, along = _sums(gys), np.zeros_like(mean)
    if not (needs[0] or needs[1]):
        return None, None, gb
    gx = _like(x)
    centred, means, blocks = _parts(gx, x), _spread(mean, parts), _blocks(parts)

    def centre(where: tuple[slice, slice]) -> NDArray[Any]:
        np.subtract(parts[where], means[where[1]], out=centred[where])
        return _products(centred[where], gys[where])

    for where, found in zip(blocks, by_block(centre, blocks), strict=True):
        along[where[1]] += found
    if needs[0]:
        factors, shifts, slopes = (
            _spread(v, parts) for v in (along * scale * scale / -count, gb / -count, scale * weight)
        )

        def pull(where: tuple[slice, slice]) -> None:
            c, out = where[1], centred[where]
            out *= factors[c]
            out += gys[where]
            out += shifts[c]
            out *= slopes[c]

        each_block(pull, blocks)
    return gx if needs[0] else None, along * scale, gb


# --- the op -----------------------------------------------------------------------------------------------------------


def _by_loop(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c].ravel().tolist()
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        out[:, c] = weight[c] * (x[:, c] - mean) / math.sqrt(variance + eps) + bias[c]
    return out


@op(
    vjp=_rule,
    spec=OpSpec(
        case(reals("n c"), reals("c"), reals("c"), params={"eps": OneOf(1e-5, 1e-2)}, sizes={"n": (2, 6)}),
        case(
            reals("n c h w"),
            reals("c"),
            reals("c"),
            params={"eps": OneOf(1e-5, 1e-2)},
            sizes={"n": (2, 4), "h": (1, 3), "w": (1, 3)},
        ),
        reference=_by_loop,
    ),
)
def batch_norm(
    x: Array, weight: Array, bias: Array, /, eps: float = 1e-5, moments: Moments | None = None
) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over all axes of x but axis 1.

    x: (n, c, ...); weight and bias: (c,). The variance is the biased one. moments: what `channel_moments(x)` gives, where it
    is known already. Ioffe and Szegedy 2015, algorithm 1.
    """
    if not _in_blocks(x, weight, bias):
        normal, _ = _normalised(x, eps, moments)
        return normal * _by_channel(weight, x.ndim) + _by_channel(bias, x.ndim)
    mean, variance = moments or channel_moments(x)
    parts = _parts(x, x)
    means, slopes, shifts = (_spread(v, parts) for v in (mean, weight / np.sqrt(variance + eps), bias))
    y = _like(x)
    ys = _parts(y, x)

    def fill(where: tuple[slice, slice]) -> None:
        c, out = where[1], ys[where]
        np.subtract(parts[where], means[c], out=out)
        out *= slopes[c]
        out += shifts[c]

    each_block(fill, _blocks(parts))
    return y
