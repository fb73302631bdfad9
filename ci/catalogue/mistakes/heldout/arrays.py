"""Held out: reductions, and functions that change an array's shape. Not to be tuned on.

`RIGHT` maps a name to (forward, rule, example inputs, example parameters, domain); `MISTAKES` has (name, of, causes that
a user would take for the right explanation, rule), where a rule in `Fresh` is made anew for every run, as it keeps state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcore.spec import Axis, Integers, OneOf, case, flags, indices, reals


@dataclass(frozen=True)
class Fresh:
    """A maker of (forward, rule), or of a rule alone where `forward` is False."""

    make: Any
    forward: bool = False


def drawn(*shape, seed=5, low=None):
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, low + 2, shape)


X, T, V, S = drawn(4, 3), drawn(2, 3, 4), drawn(6), drawn(3, 3) + 2 * np.eye(3)
ANY, VECTOR = case(reals("n m")), case(reals("n"))
FILLED = {"n": (1, 5), "m": (1, 5), "k": (1, 5)}
VALUES = ("value", "missing", "factor", "overwritten", "wrong axis", "transposed", "diagonal only", "sign")
"""For a wrong combination of terms no single word is the right one."""


# --- reductions -------------------------------------------------------------------------------------------------------


def spread(gy, x, axis, keepdims):
    if keepdims or axis is None:
        return np.broadcast_to(gy if keepdims or axis is not None else np.asarray(gy), x.shape)
    return np.broadcast_to(np.expand_dims(gy, axis), x.shape)


def axes_sum(x, *, axis=None, keepdims=False):
    return (x * x).sum(axis=axis, keepdims=keepdims)


def axes_sum_rule(gy, y, x, *, axis=None, keepdims=False):
    return 2 * x * spread(gy, x, axis, keepdims)


def one_axis_after_another(gy, y, x, *, axis=None, keepdims=False):
    if not keepdims and axis is not None:
        for a in axis if isinstance(axis, tuple) else (axis,):
            gy = np.expand_dims(gy, a)
    return 2 * x * gy


def variance(x, *, axis=-1, ddof=0):
    return x.var(axis=axis, ddof=ddof)


def variance_rule(gy, y, x, *, axis=-1, ddof=0):
    return 2 * (x - x.mean(axis, keepdims=True)) * np.expand_dims(gy, axis) / (x.shape[axis] - ddof)


def row_std(x):
    return x.std(-1)


def row_std_rule(gy, y, x):
    safe = np.where(y > 0, y, 1)[..., None]
    return gy[..., None] * np.where(y[..., None] > 0, (x - x.mean(-1, keepdims=True)) / safe, 0) / x.shape[-1]


def row_prod_rule(gy, y, x):
    gx = np.empty_like(x)
    for i in range(x.shape[-1]):
        gx[..., i] = gy * np.prod(np.delete(x, i, -1), -1)
    return gx


def prod_two_zeros(gy, y, x):
    rest = np.prod(np.where(x == 0, 1, x), -1, keepdims=True)
    full = np.where(x == 0, rest, np.prod(x, -1, keepdims=True) / np.where(x == 0, 1, x))
    return gy[..., None] * full


def cumprod_rule(gy, y, x):
    gx = np.zeros_like(x)
    for i in range(len(x)):
        for k in range(i, len(x)):
            gx[i] += gy[k] * np.prod(np.delete(x[: k + 1], i))
    return gx


def cumsum(x, *, reverse=False, exclusive=False):
    v = x[::-1] if reverse else x
    y = np.cumsum(v) - (v if exclusive else 0)
    return y[::-1] if reverse else y


def cumsum_rule(gy, y, x, *, reverse=False, exclusive=False):
    return cumsum(gy, reverse=not reverse, exclusive=exclusive)


def p_norm(x, *, p=2):
    if p < 1:
        raise ValueError("no norm")
    return (np.abs(x) ** p).sum(-1) ** (1 / p)


def p_norm_rule(gy, y, x, *, p=2):
    safe = np.where(y > 0, y, 1)[..., None]
    return gy[..., None] * np.sign(x) * (np.abs(x) / safe) ** (p - 1)


def median_rule(gy, y, x):
    order, n = np.argsort(x, kind="stable"), len(x)
    gx = np.zeros_like(x)
    gx[order[(n - 1) // 2]] += gy / 2
    gx[order[n // 2]] += gy / 2
    return gx


def one_middle(gy, y, x):
    gx = np.zeros_like(x)
    gx[np.argsort(x)[len(x) // 2]] = gy
    return gx


def sort_rule(gy, y, x):
    gx = np.empty_like(x)
    gx[np.argsort(x, kind="stable")] = gy
    return gx


def largest(x, *, k=2):
    return np.sort(x)[::-1][:k]


def largest_rule(gy, y, x, *, k=2):
    gx = np.zeros_like(x)
    gx[np.argsort(x, kind="stable")[::-1][:k]] = gy
    return gx


def largest_by_value(gy, y, x, *, k=2):
    return (x[:, None] == y).astype(x.dtype) @ gy


# --- shapes -----------------------------------------------------------------------------------------------------------


def padded(x, *, pad=2, mode="reflect"):
    return np.pad(x, pad, mode=mode)


def padded_rule(gy, y, x, *, pad=2, mode="reflect"):
    origin = np.pad(np.arange(1, len(x) + 1), pad, mode=mode)
    gx = np.zeros(len(x) + 1, gy.dtype)
    np.add.at(gx, origin, gy)
    return gx[1:]


def cut_out(gy, y, x, *, pad=2, mode="reflect"):
    return gy[pad : len(gy) - pad].copy()


def negative_end(gy, y, x, *, pad=2, mode="reflect"):
    return gy[pad:-pad] if mode == "constant" else padded_rule(gy, y, x, pad=pad, mode=mode)


def rolled(x, *, shift=1):
    return np.roll(np.sin(x), shift, axis=-1)


def kron_rule(gy, y, a, b):
    blocks = gy.reshape(a.shape[0], b.shape[0], a.shape[1], b.shape[1])
    return np.einsum("iajb,ab->ij", blocks, b), np.einsum("iajb,ij->ab", blocks, a)


def kron_other_order(gy, y, a, b):
    blocks = gy.reshape(b.shape[0], a.shape[0], b.shape[1], a.shape[1])
    return np.einsum("aibj,ab->ij", blocks, b), np.einsum("aibj,ij->ab", blocks, a)


def gather_rule(gy, y, x, i):
    gx = np.zeros_like(x)
    np.add.at(gx, (np.arange(len(x))[:, None], i), gy)
    return gx, None


def put_along(gy, y, x, i):
    gx = np.zeros_like(x)
    np.put_along_axis(gx, i, gy, 1)
    return gx, None


def padding_index(gy, y, x, i):
    gx = np.zeros_like(x)
    np.add.at(gx, i, np.where((i == 0)[..., None], 0, gy))
    return gx, None


def rows_rule(gy, y, x, i):
    gx = np.zeros_like(x)
    np.add.at(gx, i, gy)
    return gx, None


def written(x, i, u):
    y = x.copy()
    y[i] = u
    return y


def written_rule(gy, y, x, i, u):
    gx = gy.copy()
    gx[i] = 0
    last = np.full(len(x), -1)
    last[i] = np.arange(len(i))
    return gx, None, np.where(last[i] == np.arange(len(i)), gy[i], gy.dtype.type(0))


ONE_OF = {
    "axis": Axis(many=True, none=True),
    "keepdims": flags(),
}

RIGHT = {
    "sum over axes": (axes_sum, axes_sum_rule, (T,), {"axis": (0, 2), "keepdims": False}, case(reals("n m k"), params=ONE_OF)),
    "variance": (variance, variance_rule, (X,), {"axis": 1, "ddof": 1}, case(reals("n m"), params={"axis": Axis(), "ddof": OneOf(0, 1)}, sizes={"n": (2, 5), "m": (2, 5)})),
    "row std": (row_std, row_std_rule, (X,), {}, case(reals("n m", distinct=True), sizes=FILLED)),
    "row prod": (lambda x: x.prod(-1), row_prod_rule, (X,), {}, case(reals("n m"), sizes=FILLED)),
    "cumprod": (np.cumprod, cumprod_rule, (V,), {}, VECTOR),
    "cumsum both ways": (cumsum, cumsum_rule, (V,), {"reverse": False, "exclusive": False}, case(reals("n"), params={"reverse": flags(), "exclusive": flags()})),
    "p norm": (p_norm, p_norm_rule, (X,), {"p": 2}, case(reals("n m", kinks=(0.0,)), params={"p": OneOf(1, 2, 3)}, sizes=FILLED)),
    "median": (np.median, median_rule, (V,), {}, case(reals("n", distinct=True), sizes={"n": (1, 7)})),
    "sort": (np.sort, sort_rule, (V,), {}, case(reals("n", distinct=True))),
    "largest k": (largest, largest_rule, (V,), {"k": 2}, case(reals("n", distinct=True), params={"k": Integers(1, 3)}, sizes={"n": (3, 6)})),
    "pad": (padded, padded_rule, (V,), {"pad": 2, "mode": "reflect"}, case(reals("n"), params={"pad": Integers(0, 2), "mode": OneOf("constant", "reflect", "edge", "wrap", "symmetric")}, sizes={"n": (3, 7)})),
    "roll": (rolled, lambda gy, y, x, *, shift=1: np.roll(gy, -shift, -1) * np.cos(x), (X,), {"shift": 1}, case(reals("n m"), params={"shift": Integers(-2, 2)})),
    "tile": (lambda x: np.tile(x, 3), lambda gy, y, x: gy.reshape(3, len(x)).sum(0), (V,), {}, VECTOR),
    "repeat": (lambda x: np.repeat(x, 3), lambda gy, y, x: gy.reshape(len(x), 3).sum(1), (V,), {}, VECTOR),
    "permute": (lambda x: np.tanh(x).transpose(1, 2, 0), lambda gy, y, x: gy.transpose(2, 0, 1) * (1 - np.tanh(x) ** 2), (T,), {}, case(reals("n m k"))),
    "kron": (np.kron, kron_rule, (drawn(2, 3), drawn(3, 2)), {}, case(reals("n m"), reals("p q"), sizes=dict.fromkeys("nmpq", (1, 3)))),
    "gather": (lambda x, i: np.take_along_axis(x, i, 1), gather_rule, (X, np.array([[0, 2], [1, 0], [2, 1], [0, 1]])), {}, case(reals("n m"), indices("m", "n k"), sizes=FILLED)),
    "embedding": (lambda x, i: x[i], rows_rule, (X, np.array([3, 1, 2])), {}, case(reals("n m"), indices("n", "k"), sizes=FILLED)),
    "write at": (written, written_rule, (V, np.array([0, 3, 4]), drawn(3)), {}, case(reals("n"), indices("n", "k"), reals("k"), sizes=FILLED)),
}  # fmt: skip

MISTAKES = [
    ("axes expanded one after another", "sum over axes", ("raises", "cotangent_shape", *VALUES), one_axis_after_another),
    ("ddof not looked at", "variance", ("factor",), lambda gy, y, x, *, axis=-1, ddof=0: variance_rule(gy, y, x, axis=axis)),
    ("variance divided by the whole size", "variance", ("factor",), lambda gy, y, x, *, axis=-1, ddof=0: variance_rule(gy, y, x, axis=axis, ddof=ddof) * (x.shape[axis] - ddof) / (x.size - ddof)),
    ("std of equal entries", "row std", ("nonfinite",), lambda gy, y, x: (gy / y)[..., None] * (x - x.mean(-1, keepdims=True)) / x.shape[-1]),
    ("two zeros taken for one", "row prod", VALUES, prod_two_zeros),
    ("cumprod divided by a zero", "cumprod", ("nonfinite",), lambda gy, y, x: np.cumsum((gy * y)[::-1])[::-1] / x),
    ("cumprod stops at a zero", "cumprod", ("missing", "value"), lambda gy, y, x: np.cumsum((gy * y)[::-1])[::-1] / np.where(x == 0, np.inf, x)),
    ("exclusive forgotten when reversed", "cumsum both ways", VALUES, lambda gy, y, x, *, reverse=False, exclusive=False: cumsum(gy, reverse=not reverse, exclusive=exclusive and not reverse)),
    ("odd norm without the sign", "p norm", ("sign", "value"), lambda gy, y, x, *, p=2: gy[..., None] * (x / np.where(y > 0, y, 1)[..., None]) ** (p - 1)),
    ("norm of a row of zeros", "p norm", ("nonfinite",), lambda gy, y, x, *, p=2: gy[..., None] * np.sign(x) * (np.abs(x) / y[..., None]) ** (p - 1)),
    ("one of two middle entries", "median", VALUES, one_middle),
    ("sorted back by the same order", "sort", VALUES, lambda gy, y, x: gy[np.argsort(x)]),
    ("tied largest all get it", "largest k", ("kink", *VALUES), largest_by_value),
    ("padding is only cut off", "pad", ("unsummed broadcast", *VALUES), cut_out),
    ("padding of 0 cut by a negative end", "pad", ("cotangent_shape",), negative_end),
    ("rolled the same way", "roll", VALUES, lambda gy, y, x, *, shift=1: np.roll(gy, shift, -1) * np.cos(x)),
    ("tile summed as a repeat", "tile", ("unsummed broadcast", *VALUES), lambda gy, y, x: gy.reshape(len(x), 3).sum(1)),
    ("repeat averaged", "repeat", ("factor",), lambda gy, y, x: gy.reshape(len(x), 3).mean(1)),
    ("empty arrays reshaped by -1", "repeat", ("raises",), lambda gy, y, x: gy.reshape(len(x), -1).sum(1)),
    ("the permutation instead of its inverse", "permute", ("transposed", "cotangent_shape", "raises"), lambda gy, y, x: gy.transpose(1, 2, 0) * (1 - np.tanh(x) ** 2)),
    ("kron in the other order", "kron", VALUES, kron_other_order),
    ("put along the axis", "gather", ("overwritten",), put_along),
    ("the padding index gets nothing", "embedding", ("missing",), padding_index),
    ("what was overwritten keeps its gradient", "write at", VALUES, lambda gy, y, x, i, u: (gy, *written_rule(gy, y, x, i, u)[1:])),
    ("all writers of one place are paid", "write at", VALUES, lambda gy, y, x, i, u: (written_rule(gy, y, x, i, u)[0], None, gy[i])),
]  # fmt: skip
