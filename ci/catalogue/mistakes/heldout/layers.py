"""Held out, as `arrays.py` is: layers, losses, convolutions, complex functions. Not to be tuned on."""

from __future__ import annotations

import math

import numpy as np

from gradcore.spec import Floats, Integers, OneOf, case, flags, integers, interval, reals

from .arrays import FILLED, VALUES, Fresh, T, V, X, drawn

# --- activations ------------------------------------------------------------------------------------------------------

C = math.sqrt(2 / math.pi)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(C * (x + 0.044715 * x**3)))


def gelu_rule(gy, y, x):
    t = np.tanh(C * (x + 0.044715 * x**3))
    return gy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 3 * 0.044715 * x * x))


def gelu_exact(gy, y, x):
    erf = np.array([math.erf(v / math.sqrt(2)) for v in x.flat]).reshape(x.shape)
    return gy * (0.5 * (1 + erf) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)).astype(x.dtype)


def elu(x, *, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def softplus(x, *, beta=1.0):
    return np.logaddexp(0, beta * x) / beta


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def threshold_on_x(gy, y, x, *, beta=1.0):
    return gy * np.where(x > 20, 1, sigmoid(np.minimum(x, 20) * beta)) * np.where(x > 20, beta, 1)


def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def hard_swish_rule(gy, y, x):
    return gy * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)).astype(x.dtype)


def prelu(x, a):
    return np.where(x > 0, x, a * x)


def prelu_rule(gy, y, x, a):
    return gy * np.where(x > 0, 1, a), np.where(x > 0, 0, gy * x).sum(0)


def huber(x, t, *, delta=1.0):
    d = np.abs(x - t)
    return np.where(d < delta, d * d / 2, delta * (d - delta / 2)).sum()


def huber_rule(gy, y, x, t, *, delta=1.0):
    g = gy * np.clip(x - t, -delta, delta)
    return g, -g


def smooth_l1(x, *, beta=1.0):
    d = np.abs(x)
    return np.where(d < beta, d * d / (2 * beta or 1), d - beta / 2)


def smooth_l1_rule(gy, y, x, *, beta=1.0):
    return gy * np.where(np.abs(x) < beta, x / (beta or 1), np.sign(x))


# --- softmax and its losses -------------------------------------------------------------------------------------------


def softmax(x, *, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softmax_rule(gy, y, x, *, axis=-1):
    return y * (gy - (gy * y).sum(axis, keepdims=True))


def log_softmax(x):
    z = x - x.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def weights_of(x, t, weighted, ignore, smoothing):
    """The loss is <weights, log_softmax(x)>, before its denominator; and the denominator."""
    n, c = x.shape
    weight = 0.5 + np.arange(c, dtype=x.dtype) if weighted else np.ones(c, x.dtype)
    keep = t != ignore
    hot = np.zeros_like(x)
    hot[np.arange(n), np.where(keep, t, 0)] = 1
    target = (1 - smoothing) * hot + smoothing / c
    w = np.where(keep, weight[np.where(keep, t, 0)], 0)
    return -target * w[:, None], w.sum() or 1.0


def cross_entropy(x, t, *, ignore=-1, smoothing=0.0, reduction="mean"):
    p, total = weights_of(x, t, True, ignore, smoothing)
    return (p * log_softmax(x)).sum() / (total if reduction == "mean" else 1)


def cross_entropy_of(denominator=None, ignoring=True, smooth=True, weighted=True):
    def rule(gy, y, x, t, *, ignore=-1, smoothing=0.0, reduction="mean"):
        p, _ = weights_of(x, t, weighted, ignore if ignoring else -100, smoothing if smooth else 0)
        _, right = weights_of(x, t, True, ignore, smoothing)
        gx = p - np.exp(log_softmax(x)) * p.sum(-1, keepdims=True)
        scale = (len(x) if denominator else right) if reduction == "mean" else 1
        return (gy * gx / scale).astype(x.dtype), None

    return rule


def bce(x, t, *, pos_weight=1.0):
    return (np.logaddexp(0, -x) * t * pos_weight + np.logaddexp(0, x) * (1 - t)).mean()


def bce_rule(gy, y, x, t, *, pos_weight=1.0):
    gx = sigmoid(x) * (1 - t) - sigmoid(-x) * t * pos_weight
    return gy * gx / x.size, gy * (np.logaddexp(0, -x) * pos_weight - np.logaddexp(0, x)) / x.size


def attention(q, k, v, *, causal=False):
    s = q @ k.T / math.sqrt(q.shape[1])
    return softmax(np.where(np.tri(*s.shape, dtype=bool), s, -1e30) if causal else s) @ v


def attention_of(scale_k=True, whole=True, mask=0):
    def rule(gy, y, q, k, v, *, causal=False):
        r = math.sqrt(q.shape[1])
        s = q @ k.T / r
        p = softmax(np.where(np.tri(*s.shape, mask, dtype=bool), s, -1e30) if causal else s)
        gp = gy @ v.T
        gs = p * (gp - (gp * p).sum(-1, keepdims=True)) if whole else p * gp * (1 - p)
        return gs @ k / r, gs.T @ q / (r if scale_k else 1), p.T @ gy

    return rule


# --- normalisation ----------------------------------------------------------------------------------------------------


def layer_norm(x, w, b, *, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def layer_norm_of(weighted=True, ddof=0, own=True, eps_seen=True):
    def rule(gy, y, x, w, b, *, eps=1e-5):
        n = x.shape[-1]
        r = 1 / np.sqrt(x.var(-1, keepdims=True) + (eps if eps_seen else 0))
        h = (x - x.mean(-1, keepdims=True)) * r
        g = gy * w if weighted else gy
        gx = r * (g - g.mean(-1, keepdims=True) - h * (g * h).sum(-1, keepdims=True) / (n - ddof))
        return gx if weighted else gx * w, (gy * (h if own else x)).sum(0), gy.sum(0)

    return rule


def batch_norm(x):
    return (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-3)


def batch_norm_over(axes):
    def rule(gy, y, x):
        g = gy - gy.mean(axes, keepdims=True) - y * (gy * y).mean(axes, keepdims=True)
        return g / np.sqrt(x.var((0, 2), keepdims=True) + 1e-3)

    return rule


def group_norm(x, *, groups=2):
    z = x.reshape(len(x), groups, -1)
    return ((z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-3)).reshape(x.shape)


def group_norm_rule(gy, y, x, *, groups=2):
    z, g, h = (a.reshape(len(x), groups, -1) for a in (x, gy, y))
    g = g - g.mean(-1, keepdims=True) - h * (g * h).mean(-1, keepdims=True)
    return (g / np.sqrt(z.var(-1, keepdims=True) + 1e-3)).reshape(x.shape)


def rms_norm(x):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)


def rms_norm_by(mean):
    def rule(gy, y, x):
        r = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3)
        s = (gy * y).mean(-1, keepdims=True) if mean else (gy * y).sum(-1, keepdims=True)
        return (gy - y * s) / r

    return rule


def dropout(x, *, seed=0, p=0.5):
    return x * (np.random.default_rng(seed).random(x.shape) >= p) / (1 - p)


def dropout_rule(gy, y, x, *, seed=0, p=0.5):
    return dropout(gy, seed=seed, p=p)


def dropout_mask_kept():
    seen = {}

    def forward(x, *, seed=0, p=0.5):
        if x.shape not in seen:
            seen[x.shape] = np.random.default_rng(seed).random(x.shape) >= p
        return x * (np.random.default_rng(seed).random(x.shape) >= p) / (1 - p)

    return forward, lambda gy, y, x, *, seed=0, p=0.5: gy * seen[x.shape] / (1 - p)


TARGETS = np.array([2, 0, -1, 1])

LAYER = case(reals("n m", distinct=True), reals("m"), reals("m"), params={"eps": OneOf(1e-5, 1e-2)}, sizes={"n": (1, 4), "m": (2, 5)})  # fmt: skip
ENTROPY = case(reals("n c"), integers(-1, "c-1", "n"), params={"smoothing": OneOf(0.0, 0.1), "reduction": OneOf("mean", "sum")}, sizes={"n": (1, 4), "c": (1, 4)})  # fmt: skip

RIGHT = {
    "gelu": (gelu, gelu_rule, (X,), {}, case(interval(-4, 4, "n m"))),
    "elu": (elu, lambda gy, y, x, *, alpha=1.0: gy * np.where(x > 0, 1, y + alpha), (X,), {"alpha": 1.0}, case(reals("n", kinks=(0.0,)), params={"alpha": OneOf(0.5, 1.0, 2.0)})),
    "softplus with beta": (softplus, lambda gy, y, x, *, beta=1.0: gy * sigmoid(beta * x), (X,), {"beta": 1.0}, case(reals("n", scale=(1e-2, 1e2)), params={"beta": OneOf(0.5, 1.0, 3.0)})),
    "hard swish": (hard_swish, hard_swish_rule, (X,), {}, case(interval(-6, 6, "n m", kinks=(-3.0, 3.0)))),
    "prelu": (prelu, prelu_rule, (X, drawn(3)), {}, case(reals("n m", kinks=(0.0,)), reals("m"), sizes=FILLED)),
    "huber": (huber, huber_rule, (X, drawn(4, 3, seed=8)), {"delta": 1.0}, case(interval(-3, 3, "n"), interval(-3, 3, "n"), params={"delta": OneOf(0.5, 1.0, 2.0)})),
    "smooth l1": (smooth_l1, smooth_l1_rule, (X,), {"beta": 1.0}, case(reals("n", kinks=(0.0,)), params={"beta": OneOf(0.0, 0.5, 1.0)})),
    "softmax over an axis": (softmax, softmax_rule, (T,), {"axis": 1}, case(reals("n m k"), params={"axis": OneOf(0, 1, -1)}, sizes=FILLED)),
    "log softmax": (log_softmax, lambda gy, y, x: gy - np.exp(y) * gy.sum(-1, keepdims=True), (X,), {}, case(reals("n m"), sizes=FILLED)),
    "cross entropy": (cross_entropy, cross_entropy_of(), (X, TARGETS), {"smoothing": 0.0, "reduction": "mean"}, ENTROPY),
    "binary cross entropy": (bce, bce_rule, (V, drawn(6, low=0.1) / 3), {"pos_weight": 1.0}, case(reals("n", scale=(1e-2, 1e3)), interval(0, 1, "n"), params={"pos_weight": OneOf(1.0, 2.5)}, sizes=FILLED)),
    "attention": (attention, attention_of(), (drawn(4, 3), drawn(4, 3, seed=2), drawn(4, 2)), {"causal": False}, case(interval(-3, 3, "n m"), interval(-3, 3, "k m"), interval(-3, 3, "k p"), params={"causal": flags()}, sizes=dict.fromkeys("nmkp", (1, 4)))),
    "layer norm": (layer_norm, layer_norm_of(), (X, drawn(3), drawn(3, seed=3)), {"eps": 1e-5}, LAYER),
    "batch norm": (batch_norm, batch_norm_over((0, 2)), (T,), {}, case(reals("n m k"), sizes=FILLED)),
    "group norm": (group_norm, group_norm_rule, (drawn(3, 4),), {"groups": 2}, case(reals("n 4"), params={"groups": OneOf(1, 2, 4)}, sizes=FILLED)),
    "rms norm": (rms_norm, rms_norm_by(True), (X,), {}, case(reals("n m"), sizes=FILLED)),
    "dropout": (dropout, dropout_rule, (X,), {"seed": 0, "p": 0.25}, case(reals("n m"), params={"seed": Integers(0, 99), "p": Floats(0.0, 0.75)})),
}  # fmt: skip

MISTAKES = [
    ("the other gelu", "gelu", ("value", "precision"), gelu_exact),
    ("elu's alpha forgotten", "elu", VALUES, lambda gy, y, x, *, alpha=1.0: gy * np.where(x > 0, 1, y + 1)),
    ("softplus past its threshold", "softplus with beta", VALUES, threshold_on_x),
    ("hard swish without its ends", "hard swish", VALUES, lambda gy, y, x: gy * np.where(x <= -3, 0, x / 3 + 0.5).astype(x.dtype)),
    ("slopes of prelu not summed", "prelu", ("unsummed broadcast",), lambda gy, y, x, a: (prelu_rule(gy, y, x, a)[0], np.where(x > 0, 0, gy * x))),
    ("huber's delta outside", "huber", ("factor", "value"), lambda gy, y, x, t, *, delta=1.0: (lambda d: (gy * np.where(np.abs(d) < delta, d, np.sign(d)), -gy * np.where(np.abs(d) < delta, d, np.sign(d))))(x - t)),
    ("smooth l1's beta inside", "smooth l1", ("factor", "value"), lambda gy, y, x, *, beta=1.0: gy * np.where(np.abs(x) < beta, x, np.sign(x))),
    ("smooth l1 with beta 0", "smooth l1", ("nonfinite",), lambda gy, y, x, *, beta=1.0: gy * np.clip(x / beta, -1, 1)),
    ("softmax summed over the last axis", "softmax over an axis", ("wrong axis", "value"), lambda gy, y, x, *, axis=-1: softmax_rule(gy, y, x)),
    ("softmax summed over everything", "softmax over an axis", ("value", "wrong axis"), lambda gy, y, x, *, axis=-1: y * (gy - (gy * y).sum())),
    ("log softmax for one-hot cotangents", "log softmax", ("value", "cotangent ignored", "diagonal only"), lambda gy, y, x: gy - np.exp(y)),
    ("log softmax's row sum averaged", "log softmax", VALUES, lambda gy, y, x: gy - np.exp(y) * gy.mean(-1, keepdims=True)),
    ("ignored targets in the denominator", "cross entropy", ("factor",), cross_entropy_of(denominator="batch")),
    ("ignored targets get a gradient", "cross entropy", VALUES, cross_entropy_of(ignoring=False)),
    ("smoothing forgotten", "cross entropy", VALUES, cross_entropy_of(smooth=False)),
    ("class weights forgotten", "cross entropy", ("factor", "value"), cross_entropy_of(weighted=False)),
    ("pos_weight on both", "binary cross entropy", ("factor", "value"), lambda gy, y, x, t, *, pos_weight=1.0: (gy * pos_weight * (sigmoid(x) - t) / x.size, bce_rule(gy, y, x, t, pos_weight=pos_weight)[1])),
    ("the logistic of large numbers", "binary cross entropy", ("nonfinite",), lambda gy, y, x, t, *, pos_weight=1.0: (gy * ((1 - t) * np.exp(x) / (1 + np.exp(x)) - pos_weight * t / (1 + np.exp(x))) / x.size, bce_rule(gy, y, x, t, pos_weight=pos_weight)[1])),
    ("keys not scaled", "attention", ("factor",), attention_of(scale_k=False)),
    ("softmax inside attention, diagonal only", "attention", VALUES, attention_of(whole=False)),
    ("the causal mask off by one", "attention", VALUES, attention_of(mask=-1)),
    ("layer norm's weight applied last", "layer norm", VALUES, layer_norm_of(weighted=False)),
    ("layer norm's unbiased variance", "layer norm", VALUES, layer_norm_of(ddof=1)),
    ("layer norm's weight by the raw input", "layer norm", VALUES, layer_norm_of(own=False)),
    ("layer norm without eps", "layer norm", ("precision", "nonfinite", "factor", "value"), layer_norm_of(eps_seen=False)),
    ("batch norm over the batch alone", "batch norm", VALUES, batch_norm_over((0,))),
    ("always two groups", "group norm", ("value", "wrong axis", "raises"), lambda gy, y, x, *, groups=2: group_norm_rule(gy, y, x)),
    ("rms norm without 1/n", "rms norm", VALUES, rms_norm_by(False)),
    ("dropout not scaled", "dropout", ("factor",), lambda gy, y, x, *, seed=0, p=0.5: dropout(gy, seed=seed, p=p) * (1 - p)),
    ("another mask", "dropout", VALUES, lambda gy, y, x, *, seed=0, p=0.5: dropout(gy, seed=seed + 1, p=p)),
    ("the mask read off the output", "dropout", ("missing",), lambda gy, y, x, *, seed=0, p=0.5: gy * (y != 0) / (1 - p)),
    ("the first mask of a shape kept", "dropout", ("stateless", *VALUES), Fresh(dropout_mask_kept, forward=True)),
    ("axes of size 1 squeezed away", "rms norm", ("cotangent_shape", "shape"), lambda gy, y, x: rms_norm_by(True)(gy, y, x).squeeze()),
]  # fmt: skip
