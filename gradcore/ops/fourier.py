"""Fourier transforms. There are no complex numbers here: real and imaginary parts stand side by side on a last axis of 2."""

from __future__ import annotations

import cmath
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, op
from gradcore.ops.axes import axis_of
from gradcore.spec import Derived, Env, OpSpec, case, reals

if TYPE_CHECKING:
    from collections.abc import Callable


def _axes(env: Env) -> list[int]:
    """Those that have entries, of pairs: from either end, the axis of 2 not counted."""
    sizes = env.shapes[0][:-1]
    return [axis for axis in range(-len(sizes), len(sizes)) if sizes[axis]]


def _axes_of_reals(env: Env) -> list[int]:
    sizes = env.shapes[0]
    return [axis for axis in range(-len(sizes), len(sizes)) if sizes[axis]]


def _wave(turns: int, size: int) -> complex:
    """e^(2 pi i turns / size), exact where that is a quarter."""
    quarters, rest = divmod(4 * (turns % size), size)
    return (1 + 0j, 1j, -1 + 0j, -1j)[quarters] * cmath.exp(0.5j * cmath.pi * rest / size)


def _sum_of_waves(
    sign: int, pairs: bool = True, half: bool = False, mean: bool = False
) -> Callable[..., Any]:
    """y[k] = sum_n x[n] e^(sign 2 pi i n k / N), entry by entry."""

    def reference(x: Any, axis: int = -1) -> Any:
        rows = np.moveaxis(x[..., 0] + 1j * x[..., 1] if pairs else x, axis, -1)
        size = rows.shape[-1]
        found = np.empty((*rows.shape[:-1], size // 2 + 1 if half else size), complex)
        for *row, k in np.ndindex(found.shape):
            terms = [c * _wave(sign * n * k, size) for n, c in enumerate(rows[tuple(row)].tolist())]
            total = complex(math.fsum([t.real for t in terms]), math.fsum([t.imag for t in terms]))
            found[(*row, k)] = total / size if mean else total
        found = np.moveaxis(found, -1, axis)
        return np.stack((found.real, found.imag), -1)

    return reference


def _complex(name: str, x: Any) -> Any:
    if not x.ndim or x.shape[-1] != 2:
        raise ShapeError(
            f"{name} takes real and imaginary parts on a last axis of 2, and got the shape {x.shape}: of real numbers they are "
            "gradcore.stack([x, gradcore.zeros_like(x)], axis=-1), and rfft takes these as they are"
        )
    return x[..., 0] + 1j * x[..., 1]


def _pairs(c: Any, dtype: np.dtype[Any]) -> Any:
    return np.stack([c.real, c.imag], axis=-1).astype(dtype, copy=False)


def _floating(x: Any) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


def _place(name: str, axis: int, shape: tuple[int, ...]) -> int:
    place = axis_of(name, axis, len(shape), shape)
    if not shape[place]:
        raise ShapeError(
            f"{name} got axis {axis} of shape {shape}, which has no entries: it needs 1 at least"
        )
    return place


_PAIRS = case(reals("... n 2"), params={"axis": Derived(_axes)}, sizes={"n": (1, 5)})


def _fft_rule(gy: Array, _y: Array, x: Array, axis: int = -1) -> Array:
    return ifft(gy, axis) * x.shape[:-1][axis]


@op(
    vjp=_fft_rule,
    spec=OpSpec(_PAIRS, reference=_sum_of_waves(-1)),
)
def fft(x: Array, /, axis: int = -1) -> Array:
    """The discrete Fourier transform of pairs along `axis`, for which the axis of 2 does not count: as `np.fft.fft`.

    y[k] = sum_n x[n] e^(-2 pi i n k / N). Raises ShapeError for a last axis that is not 2, and for an axis of size 0.
    """
    c = _complex("fft", x)
    return _pairs(np.fft.fft(c, axis=_place("fft", axis, c.shape)), _floating(x))


@op(
    vjp=lambda gy, _y, x, axis=-1: fft(gy, axis) / x.shape[:-1][axis],
    spec=OpSpec(_PAIRS, reference=_sum_of_waves(1, mean=True)),
)
def ifft(x: Array, /, axis: int = -1) -> Array:
    """The inverse of `fft`: x[n] = sum_k y[k] e^(2 pi i n k / N) / N."""
    c = _complex("ifft", x)
    return _pairs(np.fft.ifft(c, axis=_place("ifft", axis, c.shape)), _floating(x))


def _times(size: int, axis: int, ndim: int, dtype: Any) -> Any:
    """How often each of the frequencies that `rfft` gives stands among all: once at either end, else twice."""
    count = np.full(size // 2 + 1, 2, dtype)
    count[0] = 1
    if size % 2 == 0:
        count[-1] = 1
    return count.reshape([-1 if k == axis % ndim else 1 for k in range(ndim)] + [1])


def _rfft_rule(gy: Array, _y: Array, x: Array, axis: int = -1) -> Array:
    size = x.shape[axis]
    return irfft(gy * (size / _times(size, axis, x.ndim, gy.dtype)), size, axis)


@op(
    vjp=_rfft_rule,
    spec=OpSpec(
        case(reals("... n"), params={"axis": Derived(_axes_of_reals)}, sizes={"n": (1, 5)}),
        reference=_sum_of_waves(-1, pairs=False, half=True),
    ),
)
def rfft(x: Array, /, axis: int = -1) -> Array:
    """`fft` of real numbers, without the half of the frequencies that follow from the others: as pairs.

    Of size n // 2 + 1 along `axis`, behind which comes the axis of 2. Raises ShapeError for an axis of size 0.
    """
    y = np.fft.rfft(x, axis=_place("rfft", axis, x.shape))
    return _pairs(y, _floating(x))


def _irfft_rule(gy: Array, _y: Array, _x: Array, n: int, axis: int = -1) -> Array:
    return rfft(gy, axis) * (_times(n, axis, gy.ndim, gy.dtype) / n)


def _irfft_by_waves(x: Any, n: int, axis: int = -1) -> Any:
    rows = np.moveaxis(x[..., 0] + 1j * x[..., 1], axis, -1)
    found = np.empty((*rows.shape[:-1], n))
    for *row, k in np.ndindex(found.shape):
        terms = [(c * _wave(m * k, n)).real for m, c in enumerate(rows[tuple(row)].tolist())]
        ends = {0} if n % 2 else {0, n // 2}
        found[(*row, k)] = math.fsum([t if m in ends else 2 * t for m, t in enumerate(terms)]) / n
    return np.moveaxis(found, -1, axis)


def _sizes_and_axes(env: Env) -> list[int]:
    size = env.shapes[0][-2]
    return [n for n in (2 * size - 2, 2 * size - 1) if n]


@op(
    vjp=_irfft_rule,
    spec=OpSpec(
        case(reals("... m 2"), params={"n": Derived(_sizes_and_axes)}, sizes={"m": (1, 4)}),
        case(reals("m k 2"), params={"n": Derived(lambda env: [2 * env["m"] - 1]), "axis": Derived(lambda _: [0, -2])}, sizes={"m": (1, 4)}),
        reference=_irfft_by_waves,
    ),
)  # fmt: skip
def irfft(x: Array, /, n: int, axis: int = -1) -> Array:
    """The inverse of `rfft`, real: of size `n` along `axis`, where x has the n // 2 + 1 frequencies that determine them.

    The imaginary parts of the first frequency, and for an even n of the last, do not count. Raises ShapeError where the
    number of frequencies is another.
    """
    c = _complex("irfft", x)
    place = axis_of("irfft", axis, c.ndim, c.shape)
    if n < 1 or c.shape[place] != n // 2 + 1:
        raise ShapeError(
            f"irfft got n={n} and {c.shape[place]} frequencies along axis {axis} of shape {x.shape}: n has n // 2 + 1 of them, "
            "and is 1 or more"
        )
    return np.fft.irfft(c, n, axis=place).astype(_floating(x), copy=False)
