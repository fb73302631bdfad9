"""Functions that are no smooth function of arrays of one shape: steps, free choices, infinite entries, other shapes, drifting dtypes.

`RIGHT` and `MISTAKES` as in `special_values.py`.
"""

import numpy as np
from hypothesis import strategies as st

from gradcore.spec import case, reals

from .heldout.arrays import Fresh


def drawn(*shape, seed=7, low=None):
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape) if low is None else rng.uniform(low, low + 2, shape)


def made(draw):
    """A strategy of tuples of arrays, from a function of a generator."""
    return st.integers(0, 10_000).map(lambda seed: draw(np.random.default_rng(seed)))


X, T, S = 3 * drawn(4, 3), drawn(2, 3, 4), drawn(3, 3)
ANY, SQUARE = case(reals("n m")), case(reals("n n"), sizes={"n": (1, 4)})
FILLED = {"n": (1, 4), "m": (1, 4), "k": (1, 4)}
UNSUMMED = ("unsummed broadcast", "cotangent_shape")
OTHER_RANK = ("wrong axis", "cotangent_shape", "unsummed broadcast", "raises", "value")


def nothing(gy, y, x):
    return 0 * gy


def handed_on(gy, y, x):
    return 1.0 * gy


# --- steps ------------------------------------------------------------------------------------------------------------


def quantised(x):
    return np.clip(np.rint(x / 0.0437), -128, 127) * 0.0437


def largest_one_hot(x):
    return 1.0 * (np.arange(x.shape[-1]) == x.argmax(-1)[..., None])


def bucket_and_rest(x):
    return np.floor(x / 0.3), np.sin(x)


def bucket_and_rest_rule(gy, y, x):
    return gy[1] * np.cos(x)


# --- free choices -----------------------------------------------------------------------------------------------------


def symmetric(a):
    return (a + a.T) / 2


def eigenvectors(a):
    return np.linalg.eigh(symmetric(a))[1]


def turned(gy, a, sign):
    w, v = np.linalg.eigh(symmetric(a))
    gaps = w[None, :] - w[:, None]
    with np.errstate(all="ignore"):
        return symmetric(v @ (np.where(np.eye(len(w), dtype=bool), 0, sign / gaps) * (v.T @ gy)) @ v.T)


def orthonormal(a):
    q, r = np.linalg.qr(a)
    pivots = np.abs(np.diag(r))
    if pivots.min(initial=1.0) < 1e-4 * pivots.max(initial=1.0):
        raise np.linalg.LinAlgError("the columns are not independent")
    return q


def orthonormal_rule(gy, y, a, halves=True):
    q, r = np.linalg.qr(a)
    m = -gy.T @ q
    m = np.tril(m, -1) + np.tril(m, -1).T + np.diag(np.diag(m))
    return np.linalg.solve(r, (gy + q @ (m if halves else np.tril(m))).T).T


# --- infinite entries -------------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_rule(gy, y, x):
    return y * (gy - (gy * y).sum(-1, keepdims=True))


def masked(rng):
    x = rng.standard_normal((rng.integers(1, 4), rng.integers(2, 5)))
    x[:, 0] = -np.inf
    return (x,)


MASKED = masked(np.random.default_rng(0))


def poisoned(gy, y, x):
    with np.errstate(all="ignore"):
        return y * (gy - (gy * np.log(y)).sum(-1, keepdims=True) * 0 - (gy * y).sum(-1, keepdims=True))


# --- shapes that broadcast, and other numbers of axes -----------------------------------------------------------------


def summed_to(g, shape):
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple([k for k, n in enumerate(shape) if n == 1 and g.shape[k] > 1]), keepdims=True).reshape(
        shape
    )


def product_rule(gy, y, a, b):
    return summed_to(gy * b, a.shape), summed_to(gy * a, b.shape)


def leading_only(g, shape):
    return g.sum(tuple(range(g.ndim - len(shape))))


def ones_only(g, shape):
    kept = tuple([k for k, n in enumerate(shape) if n == 1 and g.ndim == len(shape) and g.shape[k] > 1])
    return g.sum(kept, keepdims=True)


BROADCAST = (
    case(reals("n m"), reals("n m"), sizes=FILLED),
    case(reals("n m"), reals("m"), sizes=FILLED),
    case(reals("n m"), reals("n 1"), sizes=FILLED),
)


def scaled_norm(x, gain):
    return gain * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)


def scaled_norm_rule(gy, y, x, gain):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)
    g = gy * gain
    gx = r * (g - x * r * r * (g * x).mean(-1, keepdims=True))
    return gx, (gy * x * r).sum(tuple(range(x.ndim - 1)))


def gain_over_the_first_axis(gy, y, x, gain):
    gx, _ = scaled_norm_rule(gy, y, x, gain)
    return gx, (gy * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)).sum(0)


RANKS = (
    case(reals("n m"), reals("m"), sizes=FILLED),
    case(reals("k n m"), reals("m"), sizes=FILLED),
)


def softmax_over_axis_1(gy, y, x):
    return y * (gy - (gy * y).sum(1, keepdims=True))


# --- dtypes -----------------------------------------------------------------------------------------------------------


def joined_rule(gy, y, a, b):
    return gy[: len(a)].astype(a.dtype), gy[len(a) :].astype(b.dtype)


def drifting():
    """A forward that gives float32 from its second call on: a buffer made in the wrong dtype."""
    seen = []

    def forward(x):
        seen.append(1)
        return np.tanh(x).astype(np.float32 if len(seen) % 2 == 0 else x.dtype)

    return forward, lambda gy, y, x: gy * (1 - np.tanh(x) ** 2)


RIGHT = {
    "round": (np.round, nothing, (X,), {}, ANY),
    "floor over decades": (
        np.floor,
        nothing,
        (np.array([0.3, 100.5, 1000.5, 1e6 + 0.5]),),
        {},
        case(reals("n", scale=(1.0, 1e4))),
    ),
    "quantised to 8 bits": (quantised, nothing, (X,), {}, ANY),
    "one-hot of the largest": (
        largest_one_hot,
        nothing,
        (X,),
        {},
        case(reals("n m", distinct=True), sizes=FILLED),
    ),
    "bucket and sine": (bucket_and_rest, bucket_and_rest_rule, (X,), {}, ANY),
    "eigenvectors": (eigenvectors, lambda gy, y, a: turned(gy, a, 1.0), (S,), {}, SQUARE),
    "orthonormal columns": (orthonormal, orthonormal_rule, (S + 2 * np.eye(3),), {}, SQUARE),
    "masked softmax": (softmax, softmax_rule, MASKED, {}, made(masked)),
    "product": (lambda a, b: a * b, product_rule, (X, drawn(4, 3)), {}, BROADCAST),
    "norm with a gain": (scaled_norm, scaled_norm_rule, (X, drawn(3, low=0.5)), {}, RANKS),
    "softmax over the last axis": (
        softmax,
        softmax_rule,
        (drawn(4, 3),),
        {},
        (case(reals("n m"), sizes=FILLED), case(reals("k n m"), sizes=FILLED)),
    ),
    "joined": (
        lambda a, b: np.concatenate([a, b]),
        joined_rule,
        (drawn(3).astype(np.float32), drawn(4)),
        {},
        made(
            lambda rng: (rng.standard_normal(rng.integers(1, 4)).astype(np.float32), rng.standard_normal(3))
        ),
    ),
    "tanh": (np.tanh, lambda gy, y, x: gy * (1 - y * y), (X,), {}, ANY),
    "divided by the spread": (
        lambda x: x / x.sum(),
        lambda gy, y, x: (gy - (gy * y).sum()) / x.sum(),
        (drawn(4, low=0.5),),
        {},
        case(reals("n"), sizes={"n": (1, 5)}),
    ),
}

MISTAKES = [
    ("round handed on", "round", ("straight-through",), handed_on),
    ("floor handed on", "floor over decades", ("straight-through",), handed_on),
    ("a quantisation handed on", "quantised to 8 bits", ("straight-through",), handed_on),
    ("a quantisation handed on inside its range", "quantised to 8 bits", ("straight-through",), lambda gy, y, x: gy * (np.abs(x) < 5.5)),
    ("an argmax handed on", "one-hot of the largest", ("straight-through",), handed_on),
    ("an argmax as its softmax", "one-hot of the largest", ("straight-through",), lambda gy, y, x: softmax_rule(gy, softmax(x), x)),
    ("the bucket handed on beside a sine", "bucket and sine", ("value",), lambda gy, y, x: gy[0] + gy[1] * np.cos(x)),
    ("gaps in the other order", "eigenvectors", ("sign",), lambda gy, y, a: turned(gy, a, -1.0)),
    ("both halves of a symmetric gradient", "eigenvectors", ("factor",), lambda gy, y, a: 2 * turned(gy, a, 1.0)),
    ("one triangle only", "orthonormal columns", ("value", "missing", "transposed"), lambda gy, y, a: orthonormal_rule(gy, y, a, halves=False)),
    ("zero times infinity", "masked softmax", ("nonfinite",), poisoned),
    ("a mask that multiplies", "masked softmax", ("nonfinite",), lambda gy, y, x: softmax_rule(gy, y, x) + 0 * x),
    ("no sum at all", "product", UNSUMMED, lambda gy, y, a, b: (gy * b, gy * a)),
    ("no sum over axes of 1", "product", UNSUMMED, lambda gy, y, a, b: (leading_only(gy * b, a.shape), leading_only(gy * a, b.shape))),
    ("no sum over leading axes", "product", UNSUMMED, lambda gy, y, a, b: (ones_only(gy * b, a.shape), ones_only(gy * a, b.shape))),
    ("the second operand not summed", "product", UNSUMMED, lambda gy, y, a, b: (summed_to(gy * b, a.shape), gy * a)),
    ("a gain summed over the first axis only", "norm with a gain", OTHER_RANK, gain_over_the_first_axis),
    ("the axis counted from the front", "softmax over the last axis", OTHER_RANK, softmax_over_axis_1),
    ("float32 for both", "joined", ("cotangent_dtype",), lambda gy, y, a, b: (gy[: len(a)].astype(np.float32), gy[len(a) :].astype(np.float32))),
    ("another dtype at each call", "tanh", ("stable_dtype",), Fresh(drifting, forward=True)),
    ("no shape of size 0", "tanh", ("raises",), lambda gy, y, x: gy * (1 - y * y) + 0 * np.abs(x).max()),
    ("derived for positive numbers", "divided by the spread", ("value", "sign", "factor"), lambda gy, y, x: (gy - (gy * y).sum()) / np.abs(x).sum()),
]  # fmt: skip
