"""NumPy functions that gradcore has no rule for, composed of those that it has: references may use them.

A reference that plain Tensors do not take gets `Composing` values in their place, whose NumPy functions are looked up here first.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from gradcheck.kernels.einsum import einsum
from gradcore.errors import GraphError
from gradcore.tensor import Tensor

Axis = Any


class Composing(NDArrayOperatorsMixin):
    """A Tensor on which more NumPy functions can be called."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and ufunc in COMPOSED:
            return COMPOSED[ufunc](*inputs, **kwargs)
        return composing(getattr(ufunc, method)(*[inside(x) for x in inputs], **kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in COMPOSED:
            return COMPOSED[func](*args, **kwargs)
        return composing(
            func(*[inside(a) for a in args], **{name: inside(value) for name, value in kwargs.items()})
        )

    def __getitem__(self, index: Any) -> Any:
        return composing(self.tensor[inside(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tensor[index] = value

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return functools.partial(METHODS[name], self)
        if name == "mT":
            return np.matrix_transpose(self)
        found = getattr(self.tensor, name)
        if not callable(found) or isinstance(found, Tensor):
            return composing(found)
        return lambda *args, **kwargs: composing(found(*[inside(a) for a in args], **kwargs))

    def __len__(self) -> int:
        return len(self.tensor)

    def __iter__(self) -> Iterator[Any]:
        return iter([composing(row) for row in self.tensor])

    def __bool__(self) -> bool:
        return bool(self.tensor)

    def __float__(self) -> float:
        return float(self.tensor)


def composing(value: Any) -> Any:
    """A Tensor, or each of several, as such a value."""
    if isinstance(value, Tensor):
        return Composing(value)
    return type(value)(map(composing, value)) if type(value) in (tuple, list) else value


def inside(value: Any) -> Any:
    """The Tensor within, or within each of several."""
    if isinstance(value, Composing):
        return value.tensor
    return type(value)(map(inside, value)) if type(value) in (tuple, list) else value


def _axis(x: Any, axis: int) -> int:
    return operator.index(axis) % int(x.ndim)


def _at(x: Any, axis: int, index: Any) -> Any:
    """The array with an index along one axis."""
    return x[(slice(None),) * _axis(x, axis) + (index,)]


def _flat(x: Any, axis: Axis) -> tuple[Any, int]:
    return (np.reshape(x, (-1,)), 0) if axis is None else (x, _axis(x, axis))


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _var(x: Any, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    off = x - np.mean(x, axis=axis, keepdims=True)
    count = x.size if axis is None else int(np.prod([x.shape[a] for a in np.atleast_1d(axis)]))
    return np.sum(off * off, axis=axis, keepdims=keepdims) / (count - ddof)


def _prod(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    flat, k = _flat(x, axis)
    y = functools.reduce(operator.mul, [_at(flat, k, i) for i in range(flat.shape[k])])
    if not keepdims:
        return y
    return np.reshape(y, [1 if axis is None or a == k else n for a, n in enumerate(x.shape)])


def _cumsum(x: Any, axis: Axis = None) -> Any:
    x, k = _flat(x, axis)
    return _swapaxes(_swapaxes(x, k, -1) @ np.triu(np.ones((x.shape[k],) * 2)), k, -1)


def _cumprod(x: Any, axis: Axis = None) -> Any:
    x, k = _flat(x, axis)
    rows = [_at(x, k, 0)]
    for i in range(1, x.shape[k]):
        rows.append(rows[-1] * _at(x, k, i))
    return _stack(rows, k)


def _stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    return np.concatenate([_expand_dims(a, axis) for a in arrays], axis=axis)


def _expand_dims(x: Any, axis: Any) -> Any:
    axes = np.atleast_1d(axis)
    at = {int(a) % (x.ndim + len(axes)) for a in axes}
    each = iter(x.shape)
    return np.reshape(x, [1 if a in at else next(each) for a in range(x.ndim + len(axes))])


def _squeeze(x: Any, axis: Axis = None) -> Any:
    gone = (
        {a for a, n in enumerate(x.shape) if n == 1}
        if axis is None
        else {_axis(x, a) for a in np.atleast_1d(axis)}
    )
    return np.reshape(x, [n for a, n in enumerate(x.shape) if a not in gone])


def _swapaxes(x: Any, a: int, b: int) -> Any:
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return np.transpose(x, axes)


def _order(x: Any, source: Any, destination: Any) -> list[int]:
    moved = [_axis(x, a) for a in np.atleast_1d(source)]
    order = [a for a in range(x.ndim) if a not in moved]
    for to, a in sorted(zip([_axis(x, a) for a in np.atleast_1d(destination)], moved, strict=True)):
        order.insert(to, a)
    return order


def _flip(x: Any, axis: Axis = None) -> Any:
    axes = range(x.ndim) if axis is None else [_axis(x, a) for a in np.atleast_1d(axis)]
    return x[tuple([slice(None, None, -1) if a in axes else slice(None) for a in range(x.ndim)])]


def _roll(x: Any, shift: int, axis: Axis = None) -> Any:
    flat, k = _flat(x, axis)
    return np.reshape(_at(flat, k, np.roll(np.arange(flat.shape[k]), shift)), x.shape)


def _repeat(x: Any, repeats: Any, axis: Axis = None) -> Any:
    x, k = _flat(x, axis)
    return _at(x, k, np.repeat(np.arange(x.shape[k]), repeats))


def _tile(x: Any, reps: Any) -> Any:
    index = np.tile(np.arange(x.size).reshape(x.shape), reps)
    return np.reshape(x, (-1,))[index]


def _take(x: Any, indices: Any, axis: Axis = None) -> Any:
    x, k = _flat(x, axis)
    return _at(x, k, np.asarray(indices))


def _take_along_axis(x: Any, indices: Any, axis: Axis = -1) -> Any:
    x, k = _flat(x, axis)
    grid = list(np.indices(np.shape(indices), sparse=True))
    grid[k] = np.asarray(indices)
    return x[tuple(grid)]


def _split(x: Any, parts: Any, axis: int = 0) -> list[Any]:
    return [_at(x, axis, index) for index in np.split(np.arange(x.shape[axis]), parts)]


def _diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    for _ in range(n):
        x = _at(x, axis, slice(1, None)) - _at(x, axis, slice(None, -1))
    return x


def _pad(x: Any, width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Any:
    if mode != "constant":
        raise GraphError(f"np.pad with mode={mode!r} has no derivative rule here")
    place = np.pad(np.arange(x.size).reshape(x.shape), width, constant_values=x.size)
    return np.concatenate([np.reshape(x, (-1,)), np.full(1, constant_values)])[place]


def _norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A002 - NumPy's name
    if ord not in (None, 2) or (ord == 2 and axis is None and x.ndim != 1):
        raise GraphError(f"np.linalg.norm with ord={ord!r} has no derivative rule here")
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _logaddexp(x: Any, y: Any) -> Any:
    return np.maximum(x, y) + np.log1p(np.exp(-np.abs(x - y)))


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) and np.ndim(b) > 2:
        return np.tensordot(a, b, (-1, -2))
    return a @ b if np.ndim(a) and np.ndim(b) else a * b


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    n, m = np.ndim(a), np.ndim(b)
    if isinstance(axes, int):
        axes = (range(n - axes, n), range(axes))
    left, right = (
        [int(i) % k for i in np.atleast_1d(list(np.atleast_1d(x)))] for x, k in zip(axes, (n, m), strict=True)
    )
    letters = [chr(97 + i) for i in range(n + m)]
    mine, yours = letters[:n], letters[n:]
    for i, k in zip(left, right, strict=True):
        yours[k] = mine[i]
    out = [c for i, c in enumerate(mine) if i not in left] + [
        c for k, c in enumerate(yours) if k not in right
    ]
    return einsum(f"{''.join(mine)},{''.join(yours)}->{''.join(out)}", a, b)


def _lower(x: Any, k: int) -> Any:
    return np.tri(x.shape[-2], x.shape[-1], k).astype(bool)


def _diagonal(x: Any, offset: int = 0) -> Any:
    rows, columns = np.nonzero(np.eye(x.shape[0], x.shape[1], offset))
    return x[rows, columns]


def _sort(x: Any, axis: Axis = -1) -> Any:
    x, k = _flat(x, axis)
    return _take_along_axis(x, np.argsort(inside(x).data, k, kind="stable"), k)


COMPOSED: dict[Any, Callable[..., Any]] = {
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1.0 / x,
    np.cbrt: lambda x: np.sign(inside(x).data) * np.abs(x) ** (1 / 3),
    np.hypot: lambda x, y: np.sqrt(x * x + y * y),
    np.exp2: lambda x: np.exp(x * np.log(2.0)),
    np.log2: lambda x: np.log(x) / np.log(2.0),
    np.log10: lambda x: np.log(x) / np.log(10.0),
    np.sinh: lambda x: (np.exp(x) - np.exp(-x)) / 2,
    np.cosh: lambda x: (np.exp(x) + np.exp(-x)) / 2,
    np.tan: lambda x: np.sin(x) / np.cos(x),
    np.logaddexp: _logaddexp,
    np.clip: _clip,
    np.var: _var,
    np.std: lambda x, axis=None, **kw: np.sqrt(_var(x, axis, **kw)),
    np.prod: _prod,
    np.average: np.mean,
    np.ptp: lambda x, axis=None: np.max(x, axis=axis) - np.min(x, axis=axis),
    np.cumsum: _cumsum,
    np.cumulative_sum: lambda x, *, axis=None: _cumsum(x, axis),
    np.cumprod: _cumprod,
    np.diff: _diff,
    np.sort: _sort,
    np.stack: _stack,
    np.vstack: lambda arrays: np.concatenate([a if np.ndim(a) > 1 else a[None] for a in arrays]),
    np.hstack: lambda arrays: np.concatenate(arrays, axis=min(1, np.ndim(arrays[0]) - 1)),
    np.split: _split,
    np.expand_dims: _expand_dims,
    np.squeeze: _squeeze,
    np.ravel: lambda x: np.reshape(x, (-1,)),
    np.swapaxes: _swapaxes,
    np.moveaxis: lambda x, source, destination: np.transpose(x, _order(x, source, destination)),
    np.matrix_transpose: lambda x: _swapaxes(x, -1, -2),
    np.flip: _flip,
    np.roll: _roll,
    np.repeat: _repeat,
    np.tile: _tile,
    np.take: _take,
    np.take_along_axis: _take_along_axis,
    np.pad: _pad,
    np.tril: lambda x, k=0: np.where(_lower(x, k), x, 0.0),
    np.triu: lambda x, k=0: np.where(_lower(x, k - 1), 0.0, x),
    np.diagonal: _diagonal,
    np.trace: lambda x, offset=0: np.sum(_diagonal(x, offset)),
    np.einsum: einsum,
    np.tensordot: _tensordot,
    np.dot: _dot,
    np.vdot: lambda a, b: np.sum(a * b),
    np.inner: lambda a, b: np.tensordot(a, b, (-1, -1)),
    np.outer: lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1)),
    np.linalg.norm: _norm,
    np.nan_to_num: lambda x, nan=0.0: np.where(np.isnan(inside(x).data), nan, x),
}
"""By NumPy function, for values with the usual arguments."""

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "clip", "var", "std", "prod", "cumsum", "cumprod", "squeeze", "ravel", "swapaxes", "repeat", "take", "dot", "trace",
        "diagonal",
    )
} | {"flatten": np.ravel, "copy": lambda x: x}  # fmt: skip
