"""Right functions and wrong rules that plain random inputs do not show: ties, zeros, sizes, static parameters.

`RIGHT` maps a name to (forward, rule, example inputs, example parameters, domain); `MISTAKES` has (name, of, causes that
explain it, rule).
"""

import math

import numpy as np

from gradcore.spec import Integers, OneOf, case, flags, indices, integers, positives, reals


def drawn(*shape, seed=0, low=None):
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, low + 2, shape)


X, A, S, V = drawn(4, 3), drawn(4, 3, seed=1), drawn(4, 4), drawn(6)
POSITIVE = drawn(4, 3, low=0.5)
APART = np.array([0, 3, 1])


def row_max_rule(gy, y, x):
    mask = x == y[..., None]
    return gy[..., None] * mask / mask.sum(-1, keepdims=True, dtype=x.dtype)


def maximum_rule(gy, y, a, b):
    half = gy / 2
    return np.where(a > b, gy, np.where(a == b, half, 0)), np.where(b > a, gy, np.where(a == b, half, 0))


def axis_sum(x, *, axis=1, keepdims=False):
    return np.tanh(x).sum(axis, keepdims=keepdims)


def axis_sum_rule(gy, y, x, *, axis=1, keepdims=False):
    gy = gy if keepdims else np.expand_dims(gy, axis)
    return np.broadcast_to(gy, x.shape) * (1 - np.tanh(x) ** 2)


def counted_from_the_front(gy, y, x, *, axis=1, keepdims=False):
    gy = gy if keepdims else gy[None] if axis == 0 else gy[:, None]
    return np.broadcast_to(gy, x.shape) * (1 - np.tanh(x) ** 2)


def never_kept(gy, y, x, *, axis=1, keepdims=False):
    return np.broadcast_to(np.expand_dims(gy, axis), x.shape) * (1 - np.tanh(x) ** 2)


def pooled(x, *, stride=2):
    n = len(x) // stride
    return x[: n * stride].reshape(n, stride).mean(1)


def pooled_rule(gy, y, x, *, stride=2):
    gx = np.zeros_like(x)
    gx[: len(gy) * stride] = np.repeat(gy / stride, stride)
    return gx


def remainder_in_front(gy, y, x, *, stride=2):
    gx = np.zeros_like(x)
    gx[len(x) - len(gy) * stride :] = np.repeat(gy / stride, stride)
    return gx


def convolved(x, w, *, stride=1):
    count = (len(x) - len(w)) // stride + 1
    if count < 1:
        raise ValueError("the window is longer than x")
    return np.array([x[i * stride : i * stride + len(w)] @ w for i in range(count)])


def convolved_rule(gy, y, x, w, *, stride=1):
    gx, gw = np.zeros_like(x), np.zeros_like(w)
    for i, g in enumerate(gy):
        gx[i * stride : i * stride + len(w)] += g * w
        gw += g * x[i * stride : i * stride + len(w)]
    return gx, gw


def stride_forgotten(gy, y, x, w, *, stride=1):
    return convolved_rule(gy, y, x, w, stride=1)


def windows_overwritten(gy, y, x, w, *, stride=3):
    gx, gw = convolved_rule(gy, y, x, w, stride=stride)
    for i, g in enumerate(gy):
        gx[i * stride : i * stride + len(w)] = g * w
    return gx, gw


def power(x, *, n=3):
    return x**n


def power_rule(gy, y, x, *, n=3):
    return gy * n * x ** (n - 1) if n else np.zeros_like(x)


def leaky(x, *, slope=0.1):
    return np.where(x > 0, x, slope * x)


def leaky_rule(gy, y, x, *, slope=0.1):
    return np.where(x > 0, gy, gy * x.dtype.type(slope))


def slope_by_output(gy, y, x, *, slope=0.1):
    return gy * np.where(y < 0, slope, 1.0)


def loss(a, b, *, reduction="mean"):
    d = (a - b) ** 2
    return {"mean": d.mean, "sum": d.sum, "none": lambda: d}[reduction]()


def loss_rule(gy, y, a, b, *, reduction="mean"):
    g = 2 * gy * (a - b) / (a.size if reduction == "mean" else 1)
    return g, -g


def always_mean(gy, y, a, b, *, reduction="mean"):
    g = 2 * gy * (a - b) / a.size
    return g, -g


def take_rule(gy, y, x, i):
    gx = np.zeros_like(x)
    np.add.at(gx, i, gy)
    return gx, None


def assigned(gy, y, x, i):
    gx = np.zeros_like(x)
    gx[i] = gy
    return gx, None


def compared(gy, y, x, i):
    return (np.arange(len(x))[:, None] == i).astype(float) @ gy, None


def log_above_one(x):
    return np.where(x > 1, np.log(np.maximum(x, 1)), x - 1)


def sinc_rule(gy, y, x):
    small = np.abs(x) < 1e-2
    t = np.where(small, 1.0, x)
    p = math.pi**2
    series = -p * x / 3 + p**2 * x**3 / 30 - p**3 * x**5 / 840
    return gy * np.where(small, series, (np.cos(math.pi * x) - y) / t)


def product_rule(gy, y, x):
    return gy * np.array([np.prod(np.delete(x, i)) for i in range(len(x))], x.dtype)


def halves(x):
    n = len(x) // 2
    return x[:n] * x[n : 2 * n]


def halves_rule(gy, y, x):
    n = len(x) // 2
    gx = np.zeros_like(x)
    gx[:n], gx[n : 2 * n] = gy * x[n : 2 * n], gy * x[:n]
    return gx


def halves_of_even(gy, y, x):
    n = len(x) // 2
    return np.concatenate([gy * x[n : 2 * n], gy * x[:n]])


def determinant_rule(gy, y, x):
    n = len(x)
    gx = np.empty_like(x)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(x, i, 0), j, 1)
            gx[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return gy * gx


def trace_rule(gy, y, x):
    return gy * np.eye(*x.shape, dtype=x.dtype)


def softplus_rule(gy, y, x):
    return gy * np.exp(-np.logaddexp(0, -x))


def logsumexp(x):
    top = x.max(-1, keepdims=True)
    return np.log(np.exp(x - top).sum(-1)) + top[..., 0]


def logsumexp_rule(gy, y, x):
    return gy[..., None] * np.exp(x - y[..., None])


def norm_rule(gy, y, x):
    return gy * x / y if y > 0 else np.zeros_like(x)


def by_the_largest(gy, y, x):
    top = np.abs(gy).max()
    return gy / (top or 1.0) * np.cos(x) * top


def in_place_if_flat(gy, y, x):
    flat = gy.reshape(-1)
    flat *= np.cos(x).reshape(-1)
    return flat.reshape(x.shape).copy()


ANY = case(reals("n m"))
WIDE = case(reals("n m", scale=(1e-3, 1e3)))

RIGHT = {
    "row max": (
        lambda x: x.max(-1),
        row_max_rule,
        (X,),
        {},
        case(reals("n m", distinct=True), sizes={"m": (1, 5)}),
    ),
    "maximum": (
        np.maximum,
        maximum_rule,
        (X, A),
        {},
        case(reals("n"), reals("n"), smooth_where=lambda a, b: bool((np.abs(a - b) > 0.2).all())),
    ),
    "relu": (
        lambda x: np.maximum(x, 0),
        lambda gy, y, x: gy * (x > 0),
        (X,),
        {},
        case(reals("n m", kinks=(0.0,))),
    ),
    "sin": (np.sin, lambda gy, y, x: gy * np.cos(x), (X,), {}, ANY),
    "axis sum": (
        axis_sum,
        axis_sum_rule,
        (X,),
        {"axis": 1},
        case(reals("n m"), params={"axis": OneOf(0, 1, -1, -2), "keepdims": flags()}),
    ),
    "pool": (
        pooled,
        pooled_rule,
        (drawn(8),),
        {"stride": 2},
        case(reals("n"), params={"stride": Integers(1, 3)}),
    ),
    "conv": (
        convolved,
        convolved_rule,
        (drawn(9), drawn(3)),
        {"stride": 1},
        case(reals("n"), reals("k"), params={"stride": Integers(1, 3)}, sizes={"n": (4, 9), "k": (1, 4)}),
    ),
    "wide conv": (
        convolved,
        convolved_rule,
        (drawn(9), drawn(3)),
        {"stride": 3},
        case(reals("n"), reals("k"), params={"stride": Integers(1, 3)}, sizes={"n": (4, 9), "k": (1, 4)}),
    ),
    "power": (power, power_rule, (POSITIVE,), {"n": 3}, case(reals("n"), params={"n": OneOf(0, 1, 2, 3)})),
    "leaky": (
        leaky,
        leaky_rule,
        (X,),
        {"slope": 0.1},
        case(reals("n", kinks=(0.0,)), params={"slope": OneOf(0.0, 0.1, 0.5)}),
    ),
    "loss": (
        loss,
        loss_rule,
        (X, A),
        {"reduction": "mean"},
        case(
            reals("n m"),
            reals("n m"),
            params={"reduction": OneOf("mean", "sum", "none")},
            sizes={"n": (1, 4), "m": (1, 4)},
        ),
    ),
    "take": (
        lambda x, i: x[i],
        take_rule,
        (V, APART),
        {},
        case(reals("n"), indices("n", "k"), sizes={"n": (1, 6)}),
    ),
    "take from either end": (
        lambda x, i: x[i],
        take_rule,
        (V, APART),
        {},
        case(reals("n"), integers("-n", "n-1", "k"), sizes={"n": (1, 6)}),
    ),
    "log above one": (log_above_one, lambda gy, y, x: gy / np.maximum(x, 1), (POSITIVE,), {}, ANY),
    "norm": (
        lambda x: np.sqrt((x * x).sum()),
        norm_rule,
        (X,),
        {},
        case(reals("n m", specials=(0.0,)), sizes={"n": (1, 2), "m": (1, 2)}),
    ),
    "softplus": (lambda x: np.logaddexp(0, x), softplus_rule, (X,), {}, WIDE),
    "logsumexp": (
        logsumexp,
        logsumexp_rule,
        (X,),
        {},
        case(reals("n m", scale=(1e-3, 1e3)), sizes={"m": (1, 5)}),
    ),
    "sinc": (np.sinc, sinc_rule, (POSITIVE,), {}, ANY),
    "product": (np.prod, product_rule, (V,), {}, case(reals("n"))),
    "halves": (halves, halves_rule, (V,), {}, case(reals("n"))),
    "determinant": (
        np.linalg.det,
        determinant_rule,
        (drawn(3, 3),),
        {},
        case(reals("n n"), sizes={"n": (1, 3)}),
    ),
    "trace": (np.trace, trace_rule, (S,), {}, ANY),
    "log": (
        np.log,
        lambda gy, y, x: gy / x,
        (POSITIVE,),
        {},
        case(positives("n", low=1e-12, specials=(1e-12, 1.0))),
    ),
}

MISTAKES = [
    ("every largest entry gets all of it", "row max", ("kink",), lambda gy, y, x: gy[..., None] * (x == y[..., None])),
    ("no tied entry gets anything", "maximum", ("kink",), lambda gy, y, a, b: (gy * (a > b), gy * (b > a))),
    ("both tied entries get all of it", "maximum", ("kink",), lambda gy, y, a, b: (gy * (a >= b), gy * (b >= a))),
    ("relu steeper at zero", "relu", ("kink",), lambda gy, y, x: gy * np.where(x == 0, 1.5, x > 0)),
    ("relu by a quotient", "relu", ("nonfinite",), lambda gy, y, x: gy * y / x),
    ("axes counted from the front only", "axis sum", ("wrong axis", "raises", "cotangent_shape"), counted_from_the_front),
    ("keepdims not looked at", "axis sum", ("raises", "cotangent_shape", "value"), never_kept),
    ("remainder of the stride dropped", "pool", ("cotangent_shape",), lambda gy, y, x, *, stride=2: np.repeat(gy / stride, stride)),
    ("remainder of the stride in front", "pool", ("missing", "value", "wrong axis", "reversed"), remainder_in_front),
    ("stride not looked at", "conv", ("value", "missing"), stride_forgotten),
    ("overlapping windows overwrite", "wide conv", ("overwritten",), windows_overwritten),
    ("exponent 0 at zero", "power", ("nonfinite",), lambda gy, y, x, *, n=3: gy * n * x ** (n - 1.0)),
    ("slope 0 read from the output", "leaky", ("value",), slope_by_output),
    ("slope never looked at", "leaky", ("value", "factor"), lambda gy, y, x, *, slope=0.1: leaky_rule(gy, y, x)),
    ("the other reduction", "loss", ("factor",), always_mean),
    ("repeated indices assigned", "take", ("overwritten",), assigned),
    ("negative indices not found", "take from either end", ("missing",), compared),
    ("NaN from the branch not taken", "log above one", ("nonfinite",), lambda gy, y, x: gy * ((x > 1) / x + (x <= 1))),
    ("norm at zero", "norm", ("nonfinite",), lambda gy, y, x: gy * x / y),
    ("exp of large numbers", "softplus", ("nonfinite",), lambda gy, y, x: gy * np.exp(x) / (1 + np.exp(x))),
    ("softmax without its shift", "logsumexp", ("nonfinite",), lambda gy, y, x: gy[..., None] * np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ("sinc at zero", "sinc", ("nonfinite",), lambda gy, y, x: gy * (np.cos(math.pi * x) - y) / x),
    ("product of zeros", "product", ("nonfinite",), lambda gy, y, x: gy * y / x),
    ("odd sizes cut", "halves", ("cotangent_shape",), halves_of_even),
    ("singular matrices", "determinant", ("raises", "nonfinite"), lambda gy, y, x: gy * y * np.linalg.inv(x).T),
    ("trace of a square matrix only", "trace", ("cotangent_shape",), lambda gy, y, x: gy * np.eye(len(x))),
    ("axes of size 1 squeezed", "sin", ("cotangent_shape", "shape"), lambda gy, y, x: (gy * np.cos(x)).squeeze()),
    ("empty arrays have no largest entry", "sin", ("raises",), by_the_largest),
    ("zero entries of gy", "sin", ("zero_cotangent",), lambda gy, y, x: gy**3 / gy**2 * np.cos(x)),
    ("the cotangent scaled in place if flat", "sin", ("vjp_keeps_cotangent",), in_place_if_flat),
    ("a constant that drowns tiny inputs", "log", ("value", "factor", "precision"), lambda gy, y, x: gy / (x + 1e-16)),
]  # fmt: skip
