"""Right pairs: functions that mix entries, lose digits, span decades, or have several dtypes and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .pair import Array, Draw, add, at_least_one, sigmoid, table, two_halves, vector, vectors


# Softmax family and losses, along rows.
def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    z = x - x.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def rows(low: float, high: float) -> Draw:
    return lambda rng, n, dtype: (
        rng.uniform(low, high, (max(n // 6, 1), int(rng.integers(2, 8)))).astype(dtype),
    )


def with_classes(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    (x,) = rows(-5, 5)(rng, n, dtype)
    return x, rng.integers(0, x.shape[1], x.shape[0])


def _cross_entropy(x: Array, k: Array) -> Array:
    return -np.take_along_axis(log_softmax(x), k[:, None], 1)[:, 0]


def _cross_entropy_rule(gy: Array, y: Array, x: Array, k: Array) -> tuple[Any, ...]:
    p = softmax(x)
    p[np.arange(len(k)), k] -= 1
    return gy[:, None] * p, None


for spread in (3, 15):
    add(
        "softmax",
        f"softmax ±{spread}",
        softmax,
        lambda gy, y, x: y * (gy - (gy * y).sum(-1, keepdims=True)),
        rows(-spread, spread),
        most=4000,
    )
    add(
        "softmax",
        f"log softmax ±{spread}",
        log_softmax,
        lambda gy, y, x: gy - np.exp(y) * gy.sum(-1, keepdims=True),
        rows(-spread, spread),
        most=4000,
    )
add(
    "softmax",
    "rows' logsumexp",
    lambda x: np.log(np.exp(x).sum(-1)),
    lambda gy, y, x: gy[:, None] * np.exp(x - y[:, None]),
    rows(-3, 3),
    most=4000,
)
add("losses", "cross entropy", _cross_entropy, _cross_entropy_rule, with_classes, most=4000)
add("losses", "mean squared error", lambda a, b: ((a - b) ** 2).mean(), lambda gy, y, a, b: (
    gy * 2 * (a - b) / a.size, gy * 2 * (b - a) / a.size), at_least_one(vectors(2)), most=1000)  # fmt: skip
add("losses", "binary cross entropy with logits", lambda x, t: np.logaddexp(x, 0) - x * t, lambda gy, y, x, t: (
    gy * (sigmoid(x) - t), -gy * x),
    lambda rng, n, dtype: (rng.uniform(-8, 8, n).astype(dtype), rng.uniform(0, 1, n).astype(dtype)))  # fmt: skip
add("losses", "kl divergence", lambda p, q: p * np.log(p / q), lambda gy, y, p, q: (gy * (np.log(p / q) + 1), -gy * p / q),
    lambda rng, n, dtype: (rng.uniform(0.1, 1, n).astype(dtype), rng.uniform(0.1, 1, n).astype(dtype)))  # fmt: skip
add(
    "losses",
    "absolute error",
    lambda a, b: np.abs(a - b),
    lambda gy, y, a, b: (gy * np.sign(a - b), gy * np.sign(b - a)),
    two_halves,
)


# Linear algebra.
def matrices(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    side = max(1, round(n**0.5))
    a, b, c = (int(k) for k in rng.integers(1, 1 + side, 3))
    return rng.uniform(-1, 1, (a, b)).astype(dtype), rng.uniform(-1, 1, (b, c)).astype(dtype)


def well_conditioned(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    side = min(12, max(1, round(n**0.5)))
    return (np.eye(side, dtype=dtype) + (rng.uniform(-0.4, 0.4, (side, side)) / side).astype(dtype),)


def _solve_rule(gy: Array, y: Array, a: Array) -> Array:
    inverse = np.linalg.inv(a)
    return -(inverse.T @ gy @ inverse.T)


add("linear algebra", "matmul", np.matmul, lambda gy, y, a, b: (gy @ b.T, a.T @ gy), matrices, most=4000)
add(
    "linear algebra",
    "gram matrix",
    lambda a: a.T @ a,
    lambda gy, y, a: a @ (gy + gy.T),
    lambda rng, n, dtype: matrices(rng, n, dtype)[:1],
    most=1000,
)
add("linear algebra", "transpose", lambda x: x.T, lambda gy, y, x: gy.T.copy(), table())
add(
    "linear algebra",
    "outer",
    np.outer,
    lambda gy, y, a, b: (gy @ b, a @ gy),
    lambda rng, n, dtype: vectors(2)(rng, max(1, round(n**0.5)), dtype),
    most=4000,
)
add("linear algebra", "inverse", np.linalg.inv, _solve_rule, well_conditioned, narrow=False, most=200)
add(
    "linear algebra",
    "log determinant",
    lambda a: np.linalg.slogdet(a)[1],
    lambda gy, y, a: gy * np.linalg.inv(a).T,
    well_conditioned,
    narrow=False,
    scaled=False,
    most=200,
)


def normalised(x: Array) -> Array:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.01)


def _normalised_rule(gy: Array, y: Array, x: Array) -> Array:
    centred = gy - gy.mean(1, keepdims=True) - y * (gy * y).mean(1, keepdims=True)
    return centred / np.sqrt(x.var(1, keepdims=True) + 0.01)


add("norms", "layer norm", normalised, _normalised_rule, rows(-2, 2), most=4000)
add("norms", "rms norm", lambda x: x / np.sqrt((x * x).mean(1, keepdims=True)),
    lambda gy, y, x: (gy - y * (gy * y).mean(1, keepdims=True)) / np.sqrt((x * x).mean(1, keepdims=True)), rows(0.5, 2), most=4000)  # fmt: skip
add(
    "norms",
    "row norms",
    lambda x: np.sqrt((x * x).sum(1)),
    lambda gy, y, x: gy[:, None] * x / y[:, None],
    rows(0.5, 2),
    most=4000,
)


# Convolution, windows, gathers.
def signal_and_kernel(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    k = int(rng.integers(1, 6))
    return rng.uniform(-1, 1, max(n, k)).astype(dtype), rng.uniform(-1, 1, k).astype(dtype)


def windows(x: Array, k: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, k)


add("convolution", "correlate", lambda x, w: windows(x, w.size) @ w, lambda gy, y, x, w: (
    windows(np.pad(gy, w.size - 1), w.size) @ w[::-1], windows(x, w.size).T @ gy), signal_and_kernel, most=1000)  # fmt: skip
add("convolution", "moving mean of 3", lambda x: windows(x, 3).mean(1), lambda gy, y, x: windows(np.pad(gy, 2), 3).sum(1) / 3,
    lambda rng, n, dtype: vector()(rng, max(n, 3), dtype), most=4000)  # fmt: skip


def gathered(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Any, ...]:
    n = max(n, 1)
    return rng.uniform(0.5, 2, n).astype(dtype), rng.integers(0, n, int(rng.integers(0, 3 * n + 1)))


def _scatter(gy: Array, y: Array, x: Array, i: Array) -> tuple[Any, ...]:
    gx = np.zeros_like(x)
    np.add.at(gx, i, gy)
    return gx, None


add("gathers", "take with repeats", lambda x, i: x[i], _scatter, gathered, most=4000)
add(
    "gathers",
    "square of a take",
    lambda x, i: x[i] ** 2,
    lambda gy, y, x, i: _scatter(2 * gy * x[i], y, x, i),
    gathered,
    most=4000,
)
add(
    "gathers",
    "every second",
    lambda x: x[::2],
    lambda gy, y, x: np.where(np.arange(x.size) % 2 == 0, np.repeat(gy, 2)[: x.size], 0).astype(x.dtype),
    vector(),
)
add("gathers", "roll", lambda x: np.roll(x, 3), lambda gy, y, x: np.roll(gy, -3), vector())
add(
    "gathers",
    "repeat",
    lambda x: np.repeat(x, 3),
    lambda gy, y, x: gy.reshape(-1, 3).sum(1),
    vector(),
    most=4000,
)
add(
    "gathers",
    "concatenate",
    lambda a, b: np.concatenate([a, b]),
    lambda gy, y, a, b: (gy[: a.size].copy(), gy[a.size :].copy()),
    vectors(2),
)


# Cancellation, coarse arithmetic inside, mixed dtypes.
def cancelling(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    half = rng.uniform(1, 2, max(n // 2, 1))
    small = 1e-3 if dtype == np.float16 else 1e-6
    x = np.concatenate([half, -half * (1 + small * rng.standard_normal(half.size))]).astype(dtype)
    return (x[rng.permutation(x.size)],)


add("cancelling", "sum", lambda x: x.sum(), lambda gy, y, x: np.full_like(x, gy), cancelling, most=4000)
add(
    "cancelling",
    "sum of cubes",
    lambda x: (x * x * x).sum(),
    lambda gy, y, x: 3 * gy * x * x,
    cancelling,
    most=1000,
)
add("cancelling", "(x + 1000) - 1000", lambda x: (x + 1000) - 1000, lambda gy, y, x: gy.copy(), vector())
add("cancelling", "1 - cos", lambda x: 1 - np.cos(x), lambda gy, y, x: gy * np.sin(x), vector(1e-3, 1e-1))
add(
    "cancelling",
    "exp - 1 - x",
    lambda x: np.exp(x) - 1 - x,
    lambda gy, y, x: gy * np.expm1(x),
    vector(1e-2, 1e-1),
)
add(
    "cancelling",
    "difference of roots",
    lambda x: np.sqrt(x + 100) - np.sqrt(x),
    lambda gy, y, x: gy * (0.5 / np.sqrt(x + 100) - 0.5 / np.sqrt(x)),
    vector(50, 90),
)


def in_float32(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: f(x.astype(np.float32)).astype(x.dtype)


for name, f, slope in (
    ("sin", np.sin, np.cos),
    ("exp", np.exp, np.exp),
    ("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
):
    add("float32 inside", name, in_float32(f), lambda gy, y, x, s=slope: gy * s(x), vector(), most=4000)
add(
    "float32 inside",
    "sum",
    lambda x: x.astype(np.float32).sum().astype(x.dtype),
    lambda gy, y, x: np.full_like(x, gy),
    vector(),
    narrow=False,
    most=4000,
)
add("float32 inside", "matmul", lambda a, b: (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype),
    lambda gy, y, a, b: (gy @ b.T, a.T @ gy), matrices, most=1000)  # fmt: skip


def mixed(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    other = np.float64 if dtype != np.float64 else np.float32
    a, b = vectors(2)(rng, n, dtype)
    return a, b.astype(other)


def _mixed_rule(gy: Array, y: Array, a: Array, b: Array) -> tuple[Array, ...]:
    return (gy * b).astype(a.dtype), (gy * a).astype(b.dtype)


add("mixed dtypes", "multiply", np.multiply, _mixed_rule, mixed)
add(
    "mixed dtypes",
    "divide",
    np.divide,
    lambda gy, y, a, b: ((gy / b).astype(a.dtype), (-gy * y / b).astype(b.dtype)),
    mixed,
)
add(
    "mixed dtypes",
    "to float64 and back",
    lambda x: np.sin(x.astype(np.float64)),
    lambda gy, y, x: (gy * np.cos(x.astype(np.float64))).astype(x.dtype),
    vector(),
)
add(
    "mixed dtypes",
    "to float32",
    lambda x: np.square(x.astype(np.float32)),
    lambda gy, y, x: (2 * gy * x.astype(np.float32)).astype(x.dtype),
    vector(),
    most=4000,
)


# Linear and steep, oscillating, many decades in one array.
def decades(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    reach = 1.5 if dtype == np.float16 else 6
    return ((10.0 ** rng.uniform(-reach, reach, n) * rng.choice([-1, 1], n)).astype(dtype),)


add("decades", "square", np.square, lambda gy, y, x: 2 * gy * x, decades, scaled=False)
add(
    "decades",
    "x / (1 + x²)",
    lambda x: x / (1 + x * x),
    lambda gy, y, x: gy * (1 / (1 + x * x) - 2 * (y / (1 + x * x)) * x),
    decades,
    scaled=False,
)
add(
    "decades",
    "sum of roots",
    lambda x: np.sqrt(np.abs(x)).sum(),
    lambda gy, y, x: gy * np.sign(x) / (2 * np.sqrt(np.abs(x))),
    decades,
    scaled=False,
    most=1000,
)
add("decades", "log of |x|", lambda x: np.log(np.abs(x)), lambda gy, y, x: gy / x, decades, scaled=False)
add("oscillating", "sin 40 x", lambda x: np.sin(40 * x), lambda gy, y, x: 40 * gy * np.cos(40 * x), vector())
add(
    "oscillating",
    "sin 1/x",
    lambda x: np.sin(1 / x),
    lambda gy, y, x: -gy * np.cos(1 / x) / (x * x),
    vector(0.05, 1),
)
add(
    "oscillating",
    "x + sin 9x",
    lambda x: x + np.sin(9 * x),
    lambda gy, y, x: gy * (1 + 9 * np.cos(9 * x)),
    vector(),
)


# Complex numbers and several outputs.
def plane(rng: np.random.Generator, n: int, dtype: np.dtype) -> tuple[Array, ...]:
    kind = np.complex128 if dtype == np.float64 else np.complex64
    return ((rng.uniform(0.5, 2, n) * np.exp(1j * rng.uniform(0, 6.28, n))).astype(kind),)


add("complex", "square", np.square, lambda gy, y, z: gy * np.conj(2 * z), plane, narrow=False)
add("complex", "exp", np.exp, lambda gy, y, z: gy * np.conj(y), plane, narrow=False)
add("complex", "modulus", np.abs, lambda gy, y, z: gy * z / y, plane, narrow=False)
add(
    "complex",
    "real part of z³",
    lambda z: np.real(z * z * z),
    lambda gy, y, z: gy * np.conj(3 * z * z),
    plane,
    narrow=False,
)
add("several outputs", "mean and spread", lambda x: (x.mean(), x - x.mean()),
    lambda gy, y, x: np.full_like(x, gy[0] / x.size) + gy[1] - gy[1].mean(), at_least_one(vector()), scaled=False, most=1000)  # fmt: skip
add(
    "several outputs",
    "sin and cos",
    lambda x: (np.sin(x), np.cos(x)),
    lambda gy, y, x: gy[0] * y[1] - gy[1] * y[0],
    vector(),
    scaled=False,
)
add(
    "several outputs",
    "one large, one small",
    lambda x: (1e4 * x, 1e-2 * x * x),
    lambda gy, y, x: 1e4 * gy[0] + 2e-2 * gy[1] * x,
    vector(),
    scaled=False,
)
