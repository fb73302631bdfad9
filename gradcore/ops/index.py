"""Indexing, and its transpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.convert import plain
from gradcore.op import Array, op
from gradcore.spec import Derived, Env, OpSpec, case, reals
from gradcore.tensor import Tensor


def is_basic(index: Any) -> bool:
    """Whether an index picks no entry twice and gives a view: whole numbers, slices, `...` and None only."""
    return all(
        i is None or i is Ellipsis or isinstance(i, slice | int | np.integer)
        for i in (index if isinstance(index, tuple) else (index,))
    ) and not any(isinstance(i, bool) for i in (index if isinstance(index, tuple) else (index,)))


def _indices(env: Env) -> list[Any]:
    """Indices of every sort that fits the shape: slices of either step, repeats, masks, several arrays."""
    shape: tuple[int, ...] = env.shapes[-1]
    found: list[Any] = [
        ...,
        None,
        (..., None),
        slice(None),
        slice(None, None, -1),
        slice(1, None, 2),
        slice(0, 0),
    ]
    if not shape:
        return [..., None, (), (..., None)]
    n = shape[0]
    if n:
        found += [0, -1, np.array([0, n - 1, 0, -1]), [0, 0], np.zeros((2, 2), int), np.arange(n) % 2 == 0]
    if len(shape) > 1 and 0 not in shape:
        m = shape[1]
        found += [
            (slice(None), -1),
            (..., 0),
            (0, slice(None, None, 2)),
            (np.array([0, n - 1, 0]), np.array([m - 1, 0, m - 1])),
            (slice(None), np.array([0, 0, m - 1])),
            (np.array([[0], [n - 1]]), np.array([0, m - 1])),
            np.ones((n, m), bool),
        ]
    return found


def _picked_by_flat_index(x: Any, index: Any) -> Any:
    positions = np.arange(x.size).reshape(x.shape)[index]
    flat = x.ravel().tolist()
    return np.array([flat[i] for i in positions.ravel()], dtype=float).reshape(positions.shape)


def _getitem_rule(gy: Array, _y: Array, x: Array, index: Any) -> Array:
    return scatter_add(gy, index, x.shape)


@op(
    vjp=_getitem_rule,
    spec=OpSpec(case(reals(), params={"index": Derived(_indices)}), reference=_picked_by_flat_index),
)
def getitem(x: Array, /, index: Any) -> Array:
    """x[index], with every kind of index that NumPy takes; an entry picked twice gets both cotangents."""
    return x[index]


def _plain_index(index: Any) -> Any:
    return tuple([plain(i) for i in index]) if isinstance(index, tuple) else plain(index)


def _scattered_by_loop(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    positions = np.arange(math.prod(shape)).reshape(shape)[index]
    out = [0.0] * math.prod(shape)
    for value, position in zip(x.ravel().tolist(), positions.ravel().tolist(), strict=True):
        out[position] += value
    return np.array(out).reshape(shape)


_SCATTER_CASES = (
    case(
        reals("n m"),
        params={
            "index": Derived(lambda _e: [slice(1, None)]),
            "shape": Derived(lambda e: [(e["n"] + 1, e["m"])]),
        },
    ),
    case(
        reals("4 m"),
        params={
            "index": Derived(lambda _e: [np.array([0, 2, 0, -1])]),
            "shape": Derived(lambda e: [(3, e["m"])]),
        },
    ),
    case(
        reals("3"),
        params={
            "index": Derived(lambda _e: [(np.array([0, 1, 0]), np.array([1, 1, 1]))]),
            "shape": Derived(lambda _e: [(2, 2), (3, 4)]),
        },
    ),
)


@op(
    vjp=lambda gy, _y, _x, index, shape: gy[index],
    spec=OpSpec(*_SCATTER_CASES, reference=_scattered_by_loop),
)
def scatter_add(x: Array, /, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with x added at `index`: the transpose of x[index], so what is picked twice adds up."""
    out = np.zeros(shape, x.dtype)
    index = _plain_index(index)
    if is_basic(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out


def _getitem_method(self: Tensor, index: Any) -> Any:
    return getitem(self, _plain_index(index))


Tensor.__getitem__ = _getitem_method  # type: ignore[assignment]
