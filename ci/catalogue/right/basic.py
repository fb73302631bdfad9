"""Right pairs: elementwise functions, piecewise ones, two operands, reductions, cumulative functions."""

from __future__ import annotations

import numpy as np

from .pair import Array, add, at_least_one, halves, sigmoid, table, two_halves, vector, vectors

# Elementwise: name, f, slope(x, y), lowest and highest input.
for name, f, slope, low, high in (
    ("sin", np.sin, lambda x, y: np.cos(x), -6, 6),
    ("exp", np.exp, lambda x, y: y, -3, 3),
    ("expm1", np.expm1, lambda x, y: np.exp(x), -1, 1),
    ("log", np.log, lambda x, y: 1 / x, 0.1, 9),
    ("log1p", np.log1p, lambda x, y: 1 / (1 + x), -0.9, 9),
    ("sqrt", np.sqrt, lambda x, y: 0.5 / y, 0.01, 9),
    ("cbrt", np.cbrt, lambda x, y: 1 / (3 * y * y), 0.1, 9),
    ("square", np.square, lambda x, y: 2 * x, -2, 2),
    ("cube", lambda x: x * x * x, lambda x, y: 3 * x * x, -2, 2),
    ("reciprocal", lambda x: 1 / x, lambda x, y: -y * y, 0.2, 5),
    ("power 2.5", lambda x: x**2.5, lambda x, y: 2.5 * x**1.5, 0.1, 3),
    ("power -1.5", lambda x: x**-1.5, lambda x, y: -1.5 * x**-2.5, 0.3, 3),
    ("arctan", np.arctan, lambda x, y: 1 / (1 + x * x), -4, 4),
    ("arcsinh", np.arcsinh, lambda x, y: 1 / np.sqrt(1 + x * x), -4, 4),
    ("tan", np.tan, lambda x, y: 1 + y * y, -1.2, 1.2),
    ("sinh", np.sinh, lambda x, y: np.cosh(x), -3, 3),
    ("gauss", lambda x: np.exp(-x * x), lambda x, y: -2 * x * y, -2, 2),
    ("softsign", lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2, -4, 4),
    ("negative", np.negative, lambda x, y: -np.ones_like(x), -2, 2),
):
    add("elementwise", name, f, lambda gy, y, x, s=slope: gy * s(x, y), vector(low, high))
for name, f, slope, low, high in (
    ("tanh", np.tanh, lambda x, y: 1 - y * y, -12, 12),
    ("tanh by cosh", np.tanh, lambda x, y: 1 / np.cosh(np.clip(x, -10, 10)) ** 2, -9, 9),
    ("sigmoid", sigmoid, lambda x, y: y * (1 - y), -25, 25),
    ("softplus", lambda x: np.logaddexp(x, 0), lambda x, y: sigmoid(x), -25, 25),
    ("silu", lambda x: x * sigmoid(x), lambda x, y: sigmoid(x) * (1 + x * (1 - sigmoid(x))), -20, 20),
    ("log sigmoid", lambda x: -np.logaddexp(-x, 0), lambda x, y: sigmoid(-x), -20, 20),
    ("far exp", np.exp, lambda x, y: y, -9, 9),
    ("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
     lambda x, y: np.where(x > 0, 1, y + 1), -15, 15),
):  # fmt: skip
    add("saturating", name, f, lambda gy, y, x, s=slope: gy * s(x, y), vector(low, high))


def near_zero(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    """Positive over many decades, down to next to nothing."""
    lowest = -3 if dtype == np.float16 else -30
    return ((10.0 ** rng.uniform(lowest, 1, n)).astype(dtype),)


def near_one(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    """Below 1 by ever less."""
    lowest = {2: -2, 4: -5}.get(dtype.itemsize, -12)
    return ((1 - 10.0 ** rng.uniform(lowest, 0, n)).astype(dtype) * rng.choice([-1, 1], n).astype(dtype),)


for name, f, slope, draw in (
    ("sqrt near 0", np.sqrt, lambda x, y: 0.5 / y, near_zero),
    ("log near 0", np.log, lambda x, y: 1 / x, near_zero),
    ("x log x near 0", lambda x: x * np.log(x), lambda x, y: np.log(x) + 1, near_zero),
    ("power 1.5 near 0", lambda x: x**1.5, lambda x, y: 1.5 * np.sqrt(x), near_zero),
    ("arcsin near ±1", np.arcsin, lambda x, y: 1 / np.sqrt((1 - x) * (1 + x)), near_one),
    ("arctanh near ±1", np.arctanh, lambda x, y: 1 / ((1 - x) * (1 + x)), near_one),
    ("log1p near 0", np.log1p, lambda x, y: 1 / (1 + x), near_zero),
    ("expm1 near 0", np.expm1, lambda x, y: np.exp(x), near_zero),
):
    add("domain edges", name, f, lambda gy, y, x, s=slope: gy * s(x, y), draw, scaled=False)

# Piecewise, at points among which kinks and ties are common.
for name, f, slope in (
    ("abs", np.abs, lambda x: np.sign(x)),
    ("relu", lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    ("leaky relu", lambda x: np.where(x > 0, x, x / 8), lambda x: np.where(x > 0, 1, 0.125).astype(x.dtype)),
    ("clip", lambda x: np.clip(x, -1, 1), lambda x: ((x >= -1) & (x <= 1)).astype(x.dtype)),
    ("hard tanh, open", lambda x: np.clip(x, -1, 1), lambda x: ((x > -1) & (x < 1)).astype(x.dtype)),
    ("hinge", lambda x: np.maximum(1 - x, 0), lambda x: -(x < 1).astype(x.dtype)),
    ("huber", lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5), lambda x: np.clip(x, -1, 1)),
):  # fmt: skip
    add("piecewise", f"{name} at kinks", f, lambda gy, y, x, s=slope: gy * s(x), halves)
    add("piecewise", name, f, lambda gy, y, x, s=slope: gy * s(x), vector())
add("piecewise", "maximum at ties", np.maximum,
    lambda gy, y, a, b: (gy * (a > b) + gy * (a == b) / 2, gy * (b > a) + gy * (a == b) / 2), two_halves)  # fmt: skip
add("piecewise", "minimum at ties", np.minimum, lambda gy, y, a, b: (gy * (a <= b), gy * (b < a)), two_halves)
add("piecewise", "where", lambda a, b: np.where(a > 0, a * b, b), lambda gy, y, a, b: (
    gy * np.where(a > 0, b, 0), gy * np.where(a > 0, a, 1)), vectors(2))  # fmt: skip


def _first_max(gy: Array, y: Array, x: Array) -> Array:
    gx = np.zeros_like(x)
    gx[np.argmax(x)] = gy
    return gx


add("piecewise", "max of all, with ties", lambda x: np.max(x), _first_max, at_least_one(halves))
add("piecewise", "max of all", lambda x: np.max(x), _first_max, at_least_one(vector()))
add("piecewise", "sort", np.sort, lambda gy, y, x: gy[np.argsort(np.argsort(x, kind="stable"))], vector())
add("piecewise", "l1 norm", lambda x: np.abs(x).sum(), lambda gy, y, x: gy * np.sign(x), halves, most=4000)

# Two operands.
add("arithmetic", "add", np.add, lambda gy, y, a, b: (gy, gy.copy()), vectors(2))
add("arithmetic", "subtract", np.subtract, lambda gy, y, a, b: (gy, -gy), vectors(2))
add("arithmetic", "multiply", np.multiply, lambda gy, y, a, b: (gy * b, gy * a), vectors(2))
add("arithmetic", "divide", np.divide, lambda gy, y, a, b: (gy / b, -gy * a / (b * b)), vectors(2))
add("arithmetic", "hypot", np.hypot, lambda gy, y, a, b: (gy * a / y, gy * b / y), vectors(2))
add("arithmetic", "arctan2", np.arctan2, lambda gy, y, a, b: (
    gy * b / (a * a + b * b), -gy * a / (a * a + b * b)), vectors(2), scaled=False)  # fmt: skip
add(
    "arithmetic",
    "a b + c",
    lambda a, b, c: a * b + c,
    lambda gy, y, a, b, c: (gy * b, gy * a, gy.copy()),
    vectors(3),
)
add("arithmetic", "sin of a b", lambda a, b: np.sin(a * b), lambda gy, y, a, b: (
    gy * np.cos(a * b) * b, gy * np.cos(a * b) * a), vectors(2))  # fmt: skip


def row_and_table(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    (x,) = table()(rng, n, dtype)
    return x, rng.uniform(0.5, 2, x.shape[1:]).astype(dtype)


add(
    "arithmetic",
    "scale by a row",
    np.multiply,
    lambda gy, y, x, r: (gy * r, (gy * x).sum(0)),
    row_and_table,
    most=4000,
)
add(
    "arithmetic",
    "shift by a row",
    np.add,
    lambda gy, y, x, r: (gy.copy(), gy.sum(0)),
    row_and_table,
    most=4000,
)

# Reductions and norms.
wide_as = np.broadcast_to
add("reductions", "sum", lambda x: x.sum(), lambda gy, y, x: np.full_like(x, gy), vector(), most=4000)
add(
    "reductions",
    "mean",
    lambda x: x.mean(),
    lambda gy, y, x: np.full_like(x, gy / x.size),
    at_least_one(vector()),
    most=4000,
)
add(
    "reductions",
    "sum of rows",
    lambda x: x.sum(1),
    lambda gy, y, x: wide_as(gy[:, None], x.shape).copy(),
    table(),
    most=4000,
)
add("reductions", "sum of squares", lambda x: (x * x).sum(), lambda gy, y, x: 2 * gy * x, vector(), most=1000)
add(
    "reductions",
    "product",
    lambda x: x.prod(),
    lambda gy, y, x: gy * y / x,
    vector(0.8, 1.2),
    scaled=False,
    most=30,
)
add(
    "reductions",
    "2-norm",
    lambda x: np.sqrt((x * x).sum()),
    lambda gy, y, x: gy * x / y,
    at_least_one(vector()),
    most=1000,
)
add(
    "reductions",
    "variance",
    lambda x: x.var(),
    lambda gy, y, x: gy * 2 * (x - x.mean()) / x.size,
    lambda rng, n, dtype: vector()(rng, max(n, 3), dtype),
    most=1000,
)
add("reductions", "dot", np.vdot, lambda gy, y, a, b: (gy * b, gy * a), vectors(2), most=1000)
add(
    "reductions",
    "logsumexp",
    lambda x: np.log(np.exp(x - x.max()).sum()) + x.max(),
    lambda gy, y, x: gy * np.exp(x - y),
    at_least_one(vector(-6, 6)),
    most=1000,
)
add("cumulative", "cumsum", np.cumsum, lambda gy, y, x: np.cumsum(gy[::-1])[::-1].copy(), vector(), most=1000)
add(
    "cumulative",
    "cumprod",
    np.cumprod,
    lambda gy, y, x: np.cumsum((gy * y)[::-1])[::-1] / x,
    vector(0.8, 1.2),
    scaled=False,
    most=30,
)
add(
    "cumulative",
    "diff",
    np.diff,
    lambda gy, y, x: -np.diff(gy, prepend=gy.dtype.type(0), append=gy.dtype.type(0)),
    lambda rng, n, dtype: vector()(rng, max(n, 2), dtype),
)


def _decay(x: Array) -> Array:
    state, out = x.dtype.type(0), np.empty_like(x)
    for i, e in enumerate(x):
        out[i] = state = np.tanh(state / 2 + e)
    return out


def _undecay(gy: Array, y: Array, x: Array) -> Array:
    gx, carried = np.empty_like(x), x.dtype.type(0)
    for i in range(x.size - 1, -1, -1):
        gx[i] = (gy[i] + carried) * (1 - y[i] * y[i])
        carried = gx[i] / 2
    return gx


add("cumulative", "recurrence", _decay, _undecay, vector(), most=100)
