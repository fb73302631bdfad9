"""Held out, as `arrays.py` is: linear algebra, elementwise functions, rules that keep state. Not to be tuned on."""

from __future__ import annotations

import numpy as np

from gradcore.spec import case, interval, positives, reals

from .arrays import ANY, FILLED, VALUES, VECTOR, Fresh, S, T, V, X, drawn


def clip_rule(gy, y, x, low, high):
    above = np.maximum(x, low) > high
    below = (x < low) & ~above
    return gy * ~(below | above), gy * below, gy * above


def lower_half(n):
    return np.tril(np.ones((n, n))) - np.eye(n) / 2


def cholesky(a):
    return np.linalg.cholesky((a + a.T) / 2)


def cholesky_rule(gy, y, a):
    inverse = np.linalg.inv(y)
    s = inverse.T @ (lower_half(len(a)) * (y.T @ gy)) @ inverse
    return ((s + s.T) / 2).astype(a.dtype)


def whole_diagonal(gy, y, a):
    inverse = np.linalg.inv(y)
    s = inverse.T @ np.tril(y.T @ gy) @ inverse
    return (s + s.T) / 2


def solve_rule(gy, y, a, b):
    gb = np.linalg.solve(a.T, gy)
    return -gb @ y.T, gb


def eigenvalues(a):
    return np.linalg.eigvalsh((a + a.T) / 2)


def eigenvalues_rule(gy, y, a):
    v = np.linalg.eigh((a + a.T) / 2)[1]
    return (v * gy) @ v.T


def spectrum(x):
    z = np.fft.rfft(x)
    return z.real**2 + z.imag**2


def spectrum_rule(gy, y, x):
    return np.fft.fft(gy * np.conj(np.fft.rfft(x)), len(x)).real * 2


def as_if_even(gy, y, x):
    z = gy * np.fft.rfft(x) * 2
    z[1:-1] /= 2
    return np.fft.irfft(z, len(x)) * len(x)


def remainder_rule(gy, y, a, b):
    return gy, -gy * np.floor(a / b)


def power_rule(gy, y, a, b):
    safe = np.where(a > 0, a, 1)
    return gy * np.where(b == 0, 0, b * safe ** (b - 1) * (a > 0) + (b == 1) * (a == 0)), gy * y * np.where(
        a > 0, np.log(safe), 0
    )


def distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def distances_rule(gy, y, a, b):
    g = np.where(y > 0, gy / np.where(y > 0, y, 1), 0)[..., None] * (a[:, None] - b[None])
    return g.sum(1), -g.sum(0)


def log_cosh(x):
    return np.logaddexp(x, -x) - float(np.log(2))


def guarded(gy, y, x):
    return gy * np.where(np.abs(x) > 300, x / 300, np.tanh(x))


def in_blocks(size, *, last=True):
    def rule(gy, y, x):
        gx = np.zeros_like(x)
        for start in range(0, len(x) if last else len(x) - size + 1, size):
            gx[start : start + size] = gy[start : start + size] * np.cos(x[start : start + size])
        return gx

    return rule


def counted_in_a_byte(gy, y, x):
    return np.broadcast_to(gy / np.asarray(x.size).astype(np.int8), x.shape)


def by_offsets(gy, y, x):
    steps = np.lib.stride_tricks.as_strided(gy, gy.shape, (gy.shape[1] * gy.itemsize, gy.itemsize))
    return steps * np.cos(x)


def cached_by_shape():
    seen = {}

    def rule(gy, y, x):
        if x.shape not in seen:
            seen[x.shape] = np.cos(x)
        return gy * seen[x.shape]

    return rule


def cached_by_address():
    seen = {}

    def rule(gy, y, x):
        key = x.ctypes.data, x.shape, x.strides
        if key not in seen:
            seen[key] = np.cos(x)
        return gy * seen[key]

    return rule


def one_buffer_per_shape():
    buffers = {}

    def rule(gy, y, x):
        return np.multiply(gy, np.cos(x), out=buffers.setdefault((x.shape, x.dtype), np.empty_like(x)))

    return rule


def half_sum(gy, y, x, b):
    return gy, gy.astype(np.float16).sum(0).astype(b.dtype)


SQUARE = case(reals("n n", structure="invertible"), sizes={"n": (1, 4)})

RIGHT = {
    "clip by arrays": (lambda x, low, high: np.minimum(np.maximum(x, low), high), clip_rule, (drawn(7), np.full(7, -0.5), np.full(7, 0.75)), {}, case(reals("n"), interval(-2, -0.5, "n"), interval(0.5, 2, "n"), smooth_where=lambda x, a, b: bool((np.abs(x - a) > 1e-2).all() and (np.abs(x - b) > 1e-2).all()))),
    "cholesky": (cholesky, cholesky_rule, (S @ S.T,), {}, case(reals("n n", structure="spd"), sizes={"n": (1, 4)})),
    "solve": (np.linalg.solve, solve_rule, (S, drawn(3, 2)), {}, case(reals("n n", structure="invertible"), reals("n m"), sizes={"n": (1, 4), "m": (1, 3)})),
    "inverse": (np.linalg.inv, lambda gy, y, a: -y.T @ gy @ y.T, (S,), {}, SQUARE),
    "log abs det": (lambda a: np.linalg.slogdet(a)[1], lambda gy, y, a: gy * np.linalg.inv(a).T, (S,), {}, SQUARE),
    "eigenvalues": (eigenvalues, eigenvalues_rule, (S + S.T,), {}, case(reals("n n", structure="spd", distinct=True), sizes={"n": (1, 3)})),
    "diagonal": (lambda x: np.einsum("iij->ij", x), lambda gy, y, x: np.eye(len(x), dtype=x.dtype)[:, :, None] * gy, (drawn(3, 3, 2),), {}, case(reals("n n m"))),
    "batched matmul": (np.matmul, lambda gy, y, a, b: ((gy @ b.transpose(0, 2, 1)).sum(0, keepdims=True) if len(a) == 1 else gy @ b.transpose(0, 2, 1), a.transpose(0, 2, 1) @ gy), (drawn(1, 2, 3), drawn(4, 3, 2)), {}, case(reals("1 n m"), reals("k m p"), sizes=dict.fromkeys("nmkp", (1, 4)))),
    "channel bias": (lambda x, b: x * b[:, None], lambda gy, y, x, b: (gy * b[:, None], (gy * x).sum((0, 2))), (T, drawn(3)), {}, case(reals("n m k"), reals("m"))),
    "spectrum": (spectrum, spectrum_rule, (V,), {}, case(reals("n"), sizes={"n": (1, 8)})),
    "remainder": (np.remainder, remainder_rule, (drawn(5) * 3, drawn(5, low=1.0)), {}, case(interval(-5, 5, "n"), interval(1, 3, "n"), smooth_where=lambda a, b: bool((np.abs(a / b - np.round(a / b)) > 0.05).all()))),
    "power of arrays": (np.power, power_rule, (drawn(5, low=0.2), drawn(5, low=1.5)), {}, case(interval(0, 4, "n", specials=(0.0, 1.0)), interval(2, 3, "n"))),
    "distances": (distances, distances_rule, (X, drawn(2, 3)), {}, case(reals("n m"), reals("k m"), sizes=FILLED, smooth_where=lambda a, b: bool((((a[:, None] - b) ** 2).sum(-1) > 0.01).all()))),
    "arctan2": (np.arctan2, lambda gy, y, a, b: (gy * b / (a * a + b * b), -gy * a / (a * a + b * b)), (drawn(5), drawn(5, seed=6)), {}, case(interval(0.5, 3, "n"), interval(-3, 3, "n"))),
    "cube root": (np.cbrt, lambda gy, y, x: gy / (3 * y * y), (drawn(5, low=0.5),), {}, case(interval(-8, -0.25, "n"), )),
    "log cosh": (log_cosh, lambda gy, y, x: gy * np.tanh(x), (V,), {}, case(reals("n", scale=(1e-3, 1e3)))),
    "sine": (np.sin, lambda gy, y, x: gy * np.cos(x), (X,), {}, ANY),
    "sine of a row": (np.sin, lambda gy, y, x: gy * np.cos(x), (drawn(8),), {}, VECTOR),
    "sine of a long row": (np.sin, lambda gy, y, x: gy * np.cos(x), (drawn(8),), {}, case(reals("n"), sizes={"n": (0, 2000)})),
    "mean": (np.mean, lambda gy, y, x: np.broadcast_to(gy / x.size, x.shape), (X,), {}, case(reals("n m"), sizes=FILLED)),
    "mean of many": (np.mean, lambda gy, y, x: np.broadcast_to(gy / x.size, x.shape), (drawn(20, 11),), {}, case(reals("20 n"), sizes={"n": (1, 12)})),
    "add a row": (np.add, lambda gy, y, x, b: (gy, gy.sum(0)), (X.astype(np.float32), drawn(3).astype(np.float32)), {}, case(reals("n m"), reals("m"), sizes=FILLED)),
    "x log x": (lambda x: np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0), lambda gy, y, x: gy * np.where(x >= 0, np.log(np.abs(x)) + 1, 0), (drawn(5, low=0.1),), {}, case(positives("n", low=1e-6))),
    "x times its size": (lambda x: x * np.abs(x), lambda gy, y, x: 2 * gy * np.abs(x), (V,), {}, VECTOR),
    "interpolate": (lambda x: np.interp(x, [-1.0, 0.0, 2.0], [3.0, 1.0, 2.0]), lambda gy, y, x: gy * np.select([x < -1, x < 0, x < 2], [0, -2, 0.5], 0), (V,), {}, case(reals("n", kinks=(-1.0, 0.0, 2.0)))),
    "in single inside": (lambda x: np.tanh(x.astype(np.float32)).astype(x.dtype), lambda gy, y, x: gy * (1 - np.tanh(x) ** 2), (V,), {}, VECTOR),
    "nearly cancelling": (lambda x: np.expm1(x) - x, lambda gy, y, x: gy * np.expm1(x), (V,), {}, case(interval(-3, 3, "n"))),
}  # fmt: skip

MISTAKES = [
    ("the bound at equality is paid twice", "clip by arrays", ("kink",), lambda gy, y, x, low, high: (gy * ((x >= low) & (x <= high)), gy * (x <= low), gy * (x >= high))),
    ("the upper bound gets nothing", "clip by arrays", ("missing",), lambda gy, y, x, low, high: (*clip_rule(gy, y, x, low, high)[:2], None)),
    ("the diagonal is not halved", "cholesky", VALUES, whole_diagonal),
    ("not symmetrised", "cholesky", (*VALUES, "symmetric"), lambda gy, y, a: np.tril(cholesky_rule(gy, y, a)) * (2 - np.eye(len(a)))),
    ("solved without the transpose", "solve", VALUES, lambda gy, y, a, b: (-np.linalg.solve(a, gy) @ y.T, np.linalg.solve(a, gy))),
    ("the inverse untransposed", "inverse", VALUES, lambda gy, y, a: -y @ gy @ y),
    ("the determinant's sign", "log abs det", ("sign", "factor"), lambda gy, y, a: gy * np.linalg.inv(a).T * np.linalg.slogdet(a)[0]),
    ("eigenvectors by rows", "eigenvalues", VALUES, lambda gy, y, a: (lambda v: (v.T * gy) @ v)(np.linalg.eigh((a + a.T) / 2)[1])),
    ("a repeated label broadcast", "diagonal", VALUES, lambda gy, y, x: np.broadcast_to(gy[:, None], x.shape)),
    ("a batch of one not summed", "batched matmul", ("unsummed broadcast", "cotangent_shape"), lambda gy, y, a, b: (gy @ b.transpose(0, 2, 1), a.transpose(0, 2, 1) @ gy)),
    ("bias summed over leading axes", "channel bias", ("cotangent_shape", "wrong axis", "unsummed broadcast"), lambda gy, y, x, b: (gy * b[:, None], (gy * x).sum((0, 1)))),
    ("every spectrum taken for even", "spectrum", VALUES, as_if_even),
    ("remainder truncated", "remainder", VALUES, lambda gy, y, a, b: (gy, -gy * np.trunc(a / b))),
    ("log of a base of zero", "power of arrays", ("nonfinite",), lambda gy, y, a, b: (gy * b * a ** (b - 1), gy * y * np.log(a))),
    ("equal points have a distance", "distances", ("nonfinite",), lambda gy, y, a, b: (lambda g: (g.sum(1), -g.sum(0)))((gy / y)[..., None] * (a[:, None] - b[None]))),
    ("by a quotient", "arctan2", ("nonfinite",), lambda gy, y, a, b: (gy / (1 + (a / b) ** 2) / b, -gy / (1 + (a / b) ** 2) * a / b**2)),
    ("a root of a negative number", "cube root", ("nonfinite",), lambda gy, y, x: gy * x ** (-2 / 3) / 3),
    ("wrong in the overflow guard", "log cosh", VALUES, guarded),
    ("wrong at negative zero", "sine", VALUES, lambda gy, y, x: gy * np.where((x == 0) & np.signbit(x), -1, np.cos(x))),
    ("the size in a byte", "mean of many", VALUES, counted_in_a_byte),
    ("the cotangent's size", "sine", ("linear", "sign", "value"), lambda gy, y, x: np.abs(gy) * np.cos(x)),
    ("the first cotangent for all", "sine", ("cotangent ignored", "value"), lambda gy, y, x: np.cos(x) * gy.flat[0] if x.size else gy),
    ("strides of the cotangent assumed", "sine", ("any_layout", "value"), by_offsets),
    ("cosine cached by shape", "sine", ("stateless", "vjp_repeatable"), Fresh(cached_by_shape)),
    ("cosine cached by address", "sine", ("stateless", "vjp_repeatable"), Fresh(cached_by_address)),
    ("a buffer for each shape", "sine", ("no_shared_memory", "vjp_repeatable"), Fresh(one_buffer_per_shape)),
    ("the last block is left out", "sine of a row", ("missing",), in_blocks(4, last=False)),
    ("wrong after 1024 entries", "sine of a long row", VALUES, lambda gy, y, x: gy * np.cos(np.where(np.arange(len(x)) < 1024, x, 0.5 * x))),
    ("summed in half precision", "add a row", ("precision",), half_sum),
    ("rounded to single precision", "sine", ("precision",), lambda gy, y, x: (gy * np.cos(x)).astype(np.float32).astype(x.dtype)),
    ("a mean for empty gradients only", "sine", ("raises",), lambda gy, y, x: gy * np.cos(x) if x.shape[0] and 12 // x.shape[0] >= 0 else gy * (1 // x.shape[0])),
]  # fmt: skip
