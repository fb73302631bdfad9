"""Stochastic arithmetic: every operation on these arrays gets the error that rounding its result may have.

Vignes' CESTAC and Parker's Monte Carlo arithmetic, in float64: a result y becomes y (1 + result N(0, 1)), and a sum of n
terms a further sums N(0, 1) (sum|terms| + sqrt(n)/4 |sum|), as its partial sums are rounded: the first is enough where terms
cancel, the second is what n roundings of growing partial sums come to. Comparisons, copies, signs and maxima are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.kernels.formats import Claims
from gradcore.op import Op

POOL = 1 << 18
"""So many normal numbers are drawn at least, and twice as many as the largest array has entries."""

EXACT = {
    np.negative, np.positive, np.absolute, np.fabs, np.conjugate, np.maximum, np.minimum, np.fmax, np.fmin, np.sign,
    np.floor, np.ceil, np.rint, np.trunc, np.copysign, np.heaviside, np.ldexp, np.frexp, np.spacing,
}  # fmt: skip


class Pool:
    """Normal numbers, drawn once; each operation takes the next ones, and those of a random place on where they are at an end.

    made: makes them an array of a framework.
    """

    def __init__(self, seed: int, made: Callable[[Array], Any] = np.asarray) -> None:
        self._rng, self._made = np.random.default_rng(seed), made
        self._normal: Any = None
        self._size = self._next = 0
        self._factors: dict[float, Any] = {}

    def normal(self, n: int) -> Any:
        """So many normal numbers."""
        start = self._start(n)
        return self._normal[start : start + n]

    def factors(self, error: float, n: int) -> Any:
        """1 plus `error` times so many normal numbers."""
        start = self._start(n)
        if error not in self._factors:
            self._factors[error] = 1 + error * self._normal
        return self._factors[error][start : start + n]

    def _start(self, n: int) -> int:
        if self._size < max(POOL, 2 * n):
            self._size = max(POOL, 2 * n)
            self._normal = self._made(self._rng.standard_normal(self._size))
            self._factors.clear()
            self._next = 0
        if self._next + n > self._size:
            self._next = int(self._rng.integers(self._size - n + 1))
        start = self._next
        self._next += n
        return start


class Source:
    """Where the errors come from."""

    def __init__(self, claims: Claims, pool: Pool) -> None:
        self.claims, self._pool = claims, pool

    def moved(self, y: Array) -> Array:
        """An input, moved by its error."""
        return self._scaled(y, self.claims.inputs)

    def moved_alike(self, arrays: Sequence[Array]) -> list[Array]:
        """Inputs, moved by their errors: those of equal entries are the same, so that ties stay ties."""
        numbers = ties(arrays)
        most = 1 + max([int(n.max()) for n in numbers if n is not None and n.size], default=0)
        factors = self._pool.factors(self.claims.inputs, most)
        return [a if n is None else np.asarray(a * factors[n]) for a, n in zip(arrays, numbers, strict=True)]

    def rounded(self, y: Any, terms: Any = None, count: Any = 1) -> Array:
        """A result with its error; `terms`: the sum of its `count` terms' sizes, where it is a sum."""
        y = np.asarray(y, np.float64)
        found = self._scaled(y, self.claims.result)
        if terms is not None:
            size = size_of_sum(terms, count, y) * self.claims.sums
            found += np.where(np.isfinite(size), size, 0.0) * self._pool.normal(y.size).reshape(y.shape)
        return found

    def stored(self, y: Array, unit: float) -> Array:
        """An output as the kernel stores it, with a unit roundoff of `unit`: half of that is its error, typically."""
        return self._scaled(y, unit / 2)

    def _scaled(self, y: Array, error: float) -> Array:
        return np.asarray(y * self._pool.factors(error, y.size).reshape(y.shape))


def size_of_sum(terms: Any, count: Any, y: Any) -> Any:
    """What the error of a sum is relative to; terms: the sum of its `count` terms' sizes."""
    return terms + count**0.5 / 4 * abs(y)


def ties(arrays: Sequence[Array]) -> list[Array | None]:
    """For each floating array, numbers by which entries of equal size have the same one; None for others."""
    floating = [a for a in arrays if a.dtype.kind == "f"]
    if not floating:
        return [None for _ in arrays]
    _, numbers = np.unique(np.abs(np.concatenate([a.ravel() for a in floating])), return_inverse=True)
    each = iter(np.split(numbers, np.cumsum([a.size for a in floating])[:-1]))
    return [next(each).reshape(a.shape) if a.dtype.kind == "f" else None for a in arrays]


class Noisy(np.ndarray[Any, np.dtype[np.float64]]):
    """A float64 array whose operations have errors."""

    source: Source

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Noisy):
            self.source = obj.source

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        plain = [bare(x) for x in inputs]
        if method == "at":  # in place, on an array of its own
            return _added_at(self.source, ufunc, plain)
        y = getattr(ufunc, method)(*plain, **kwargs)
        if isinstance(y, np.ndarray) and y.dtype == object:  # np.frompyfunc, as of math.erf
            y = y.astype(np.float64)
        if isinstance(y, tuple) or not _inexact(ufunc, method, y):
            made = y
        else:
            terms = _terms(ufunc, method, plain, kwargs)
            made = self.source.rounded(y, terms, _count(ufunc, plain[0], y))
        if out is not None:
            bare(out[0])[...] = made
            return out[0]
        return noisy(made, self.source)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func.__module__ == "numpy.linalg":
            # Nothing inside can be seen: errors of what goes in and of what comes out.
            moved = [self.source.rounded(bare(a)) if isinstance(a, Noisy) else a for a in args]
            return _each(func(*moved, **kwargs), lambda y: noisy(self.source.rounded(y), self.source))
        if func in _PRODUCTS:
            plain = [bare(a) for a in args]
            y = func(*plain, **kwargs)
            sizes = func(*[np.abs(a) if isinstance(a, np.ndarray) else a for a in plain], **kwargs)
            return noisy(self.source.rounded(y, sizes), self.source)
        return noisy(super().__array_function__(func, types, args, kwargs), self.source)


def _each(result: Any, change: Callable[[Any], Any]) -> Any:
    """Of several arrays, as of np.linalg.svd, each changed; of one, that one."""
    return tuple([change(y) for y in result]) if isinstance(result, tuple) else change(result)


_PRODUCTS = {np.dot, np.inner, np.outer, np.vdot, np.tensordot, np.einsum, np.cumsum, np.trace, np.convolve}


def _area(*_: Array, kernel_size: Any = 2, **__: Any) -> int:
    return int(np.prod(np.broadcast_to(kernel_size, (2,))))


_OWN_SUMS: dict[str, Callable[..., int]] = {
    "avg_pool2d": _area,
    "avg_pool2d_input": _area,
    "conv2d_weight": lambda gy, _x, **_: gy.size // max(gy.shape[1], 1),
}
"""gradcore's ops that add up in buffers of their own, where no operation is seen: how many terms each sum has."""

_TRANSFORMS = {"fft", "ifft", "rfft", "irfft"}
"""gradcore's ops whose every result is a sum of all entries along an axis, with weights of size 1, or 2."""


def run(made: Op[..., Any], arrays: Sequence[Any], params: Mapping[str, Any], source: Source) -> Array:
    """An op's result with its errors."""
    if made.name in _TRANSFORMS:
        y = made.forward(*arrays, **params)
        return source.rounded(y, *_all_along(made.name, arrays[0], y, params))
    if made.name not in _OWN_SUMS:
        return np.asarray(bare(made.forward(*[noisy(a, source) for a in arrays], **params)))
    terms = made.forward(*[np.abs(a) for a in arrays], **params)
    return source.rounded(made.forward(*arrays, **params), terms, _OWN_SUMS[made.name](*arrays, **params))


def _all_along(name: str, x: Array, y: Array, params: Mapping[str, Any]) -> tuple[Array, int]:
    """The sum of the sizes of all terms of each entry of a transform, and how many there are."""
    axis = params.get("axis", -1) % (x.ndim if name == "rfft" else x.ndim - 1)
    sizes = np.abs(x) if name == "rfft" else np.hypot(x[..., 0], x[..., 1])
    total, n = sizes.sum(axis, keepdims=True), sizes.shape[axis]
    total = total * {"ifft": 1 / n, "irfft": 2 / params.get("n", 1)}.get(name, 1)
    return np.broadcast_to(total if y.ndim == sizes.ndim else total[..., None], y.shape), n


def noisy(y: Any, source: Source) -> Any:
    """The same array, whose operations have errors; anything but a floating one as it is."""
    if not isinstance(y, np.ndarray | np.generic) or y.dtype.kind != "f":
        return y
    made = np.asarray(y, np.float64).view(Noisy)
    made.source = source
    return made


def bare(x: Any) -> Any:
    """A plain view of a noisy array."""
    return x.view(np.ndarray) if isinstance(x, Noisy) else x


def _inexact(ufunc: np.ufunc, method: str, y: Any) -> bool:
    # np.clip's own ufunc has no public name.
    return np.asarray(y).dtype.kind == "f" and ufunc not in EXACT and ufunc.__name__ != "clip"


def _terms(ufunc: np.ufunc, method: str, plain: list[Any], kwargs: Any) -> Any:
    """The sum of the sizes of what a sum adds up; None for what is no sum."""
    if ufunc is np.matmul:
        return np.matmul(np.abs(plain[0]), np.abs(plain[1]))
    if ufunc is np.add and method in ("reduce", "accumulate"):
        call: Callable[..., Any] = getattr(ufunc, method)
        return call(np.abs(plain[0]), *plain[1:], **kwargs)
    return None


def _count(ufunc: np.ufunc, x: Array, y: Any) -> int:
    """How many terms each sum has, at most."""
    return int(x.shape[-1]) if ufunc is np.matmul else int(np.size(x) // max(np.size(y), 1))


def _added_at(source: Source, ufunc: np.ufunc, plain: list[Any]) -> None:
    out, index, *values = plain
    ufunc.at(out, index, *values)
    if ufunc is np.add:
        sizes = np.zeros(out.shape)
        np.add.at(sizes, index, np.abs(values[0]))
        counts = np.zeros(out.shape)
        np.add.at(counts, index, 1.0)
        out[...] = np.where(sizes > 0, source.rounded(out, sizes, counts), out)
