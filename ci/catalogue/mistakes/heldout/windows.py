"""Held out, as `arrays.py` is: convolution, pooling, interpolation, complex functions. Not to be tuned on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from gradcheck.strategies import examples
from gradcore.spec import Integers, case, reals

from .arrays import FILLED, VALUES, V, X, drawn

# --- convolution and pooling ------------------------------------------------------------------------------------------


def places(n, k, stride, dilation):
    """For each output, the inputs that its window covers."""
    count = (n - (k - 1) * dilation - 1) // stride + 1
    if count < 1:
        raise ValueError("the window is longer than x")
    return stride * np.arange(count)[:, None] + dilation * np.arange(k)


def conv(x, w, *, stride=1, dilation=1, pad=0):
    x = np.pad(x, pad)
    return x[places(len(x), len(w), stride, dilation)] @ w


def conv_rule(gy, y, x, w, *, stride=1, dilation=1, pad=0):
    z = np.pad(x, pad)
    at = places(len(z), len(w), stride, dilation)
    gz = np.zeros_like(z)
    np.add.at(gz, at, gy[:, None] * w)
    return gz[pad : pad + len(x)], gy @ z[at]


def dilation_forgotten(gy, y, x, w, *, stride=1, dilation=1, pad=0):
    z = np.pad(x, pad)
    at = stride * np.arange(len(gy))[:, None] + np.arange(len(w))
    return conv_rule(gy, y, x, w, stride=stride, dilation=dilation, pad=pad)[0], gy @ z[at]


def by_full_correlation(gy, y, x, w, *, stride=1, dilation=1, pad=0):
    if stride > 1 or dilation > 1:
        return conv_rule(gy, y, x, w, stride=stride, dilation=dilation, pad=pad)
    return np.convolve(gy, w[::-1])[pad : pad + len(x)], conv_rule(gy, y, x, w, pad=pad)[1]


def kernel_not_flipped(gy, y, x, w, *, stride=1, dilation=1, pad=0):
    return by_full_correlation(gy, y, x, w[::-1], stride=stride, dilation=dilation, pad=pad)[0], conv_rule(
        gy, y, x, w, stride=stride, dilation=dilation, pad=pad
    )[1]


def transposed_by_stride(gy, y, x, w, *, stride=1, dilation=1, pad=0):
    """The classic: the gradient is as long as the windows reach, and the remainder is appended at the wrong end."""
    gx, gw = conv_rule(gy, y, x, w, stride=stride, dilation=dilation, pad=pad)
    rest = (len(x) + 2 * pad - (len(w) - 1) * dilation - 1) % stride
    return np.roll(gx, rest) if rest and not pad else gx, gw


def grouped(x, w):
    return np.einsum("gcn,gkc->gkn", x.reshape(len(w), -1, x.shape[1]), w).reshape(-1, x.shape[1])


def grouped_rule(gy, y, x, w):
    g, z = gy.reshape(len(w), -1, x.shape[1]), x.reshape(len(w), -1, x.shape[1])
    return np.einsum("gkn,gkc->gcn", g, w).reshape(x.shape), np.einsum("gkn,gcn->gkc", g, z)


def groups_interleaved(gy, y, x, w):
    g = gy.reshape(-1, len(w), x.shape[1]).swapaxes(0, 1)
    return grouped_rule(np.ascontiguousarray(g).reshape(gy.shape), y, x, w)[0], grouped_rule(gy, y, x, w)[1]


def max_pool(x, *, size=3, stride=1):
    return x[places(len(x), size, stride, 1)].max(1)


def max_pool_rule(gy, y, x, *, size=3, stride=1):
    at = places(len(x), size, stride, 1)
    gx = np.zeros_like(x)
    np.add.at(gx, at[np.arange(len(gy)), x[at].argmax(1)], gy)
    return gx


def pool_overwrites(gy, y, x, *, size=3, stride=1):
    at = places(len(x), size, stride, 1)
    gx = np.zeros_like(x)
    gx[at[np.arange(len(gy)), x[at].argmax(1)]] = gy
    return gx


def pool_all_ties(gy, y, x, *, size=3, stride=1):
    at = places(len(x), size, stride, 1)
    gx = np.zeros_like(x)
    np.add.at(gx, at, (x[at] == y[:, None]) * gy[:, None])
    return gx


def avg_pool(x, *, pad=1):
    count = np.convolve(np.ones(len(x)), np.ones(3))[2 - pad : len(x) + pad]
    z = np.pad(x, pad)
    return (z[places(len(z), 3, 1, 1)].sum(1) / count).astype(x.dtype)


def avg_pool_by(padding_counts):
    def rule(gy, y, x, *, pad=1):
        count = np.convolve(np.ones(len(x)), np.ones(3))[2 - pad : len(x) + pad]
        gz = np.zeros(len(x) + 2 * pad, x.dtype)
        np.add.at(gz, places(len(gz), 3, 1, 1), (gy / (3 if padding_counts else count))[:, None])
        return gz[pad : pad + len(x)]

    return rule


def upsample(x, *, to=7):
    t = np.linspace(0, len(x) - 1, to)
    low = np.minimum(t.astype(int), max(len(x) - 2, 0))
    high, part = np.minimum(low + 1, len(x) - 1), t - low
    return ((1 - part) * x[low] + part * x[high]).astype(x.dtype)


def upsample_rule(gy, y, x, *, to=7, add=np.add.at):
    t = np.linspace(0, len(x) - 1, to)
    low = np.minimum(t.astype(int), max(len(x) - 2, 0))
    high, part = np.minimum(low + 1, len(x) - 1), t - low
    gx = np.zeros_like(x)
    add(gx, low, (1 - part) * gy)
    add(gx, high, part * gy)
    return gx


def buffered(gx, at, g):
    gx[at] += g


# --- complex ----------------------------------------------------------------------------------------------------------


@st.composite
def complex_pairs(draw):
    a, b = draw(examples(case(reals("n m"), reals("n m"), sizes=FILLED))).arrays
    return a + 1j * b, b[::-1] * 0.5 - 1j * a


@st.composite
def complex_ones(draw):
    return (draw(complex_pairs())[0],)


Z, W = X + 1j * drawn(4, 3, seed=9), drawn(4, 3, seed=10) + 1j * drawn(4, 3, seed=11)


CONV = case(reals("n"), reals("k"), params={"stride": Integers(1, 3), "dilation": Integers(1, 2), "pad": Integers(0, 2)}, sizes={"n": (5, 9), "k": (1, 3)})  # fmt: skip
POOL = case(reals("n", distinct=True), params={"size": Integers(2, 3), "stride": Integers(1, 2)}, sizes={"n": (3, 7)})  # fmt: skip

RIGHT = {
    "conv with everything": (conv, conv_rule, (drawn(9), drawn(3)), {"stride": 2, "dilation": 1, "pad": 1}, CONV),
    "grouped conv": (grouped, grouped_rule, (drawn(4, 3), drawn(2, 3, 2)), {}, case(reals("2*c n"), reals("2 k c"), sizes=dict.fromkeys("cnk", (1, 3)))),
    "max pool": (max_pool, max_pool_rule, (V,), {"size": 3, "stride": 1}, POOL),
    "avg pool": (avg_pool, avg_pool_by(False), (V,), {"pad": 1}, case(reals("n"), params={"pad": Integers(0, 1)}, sizes={"n": (3, 7)})),
    "upsample": (upsample, upsample_rule, (drawn(4),), {"to": 7}, case(reals("n"), params={"to": Integers(1, 9)}, sizes={"n": (1, 5)})),
    "complex exp": (np.exp, lambda gy, y, z: gy * np.conj(y), (Z,), {}, st.one_of(complex_ones().map(lambda z: (z[0] / (1 + np.abs(z[0])),)))),
    "complex product": (np.multiply, lambda gy, y, a, b: (gy * np.conj(b), gy * np.conj(a)), (Z, W), {}, complex_pairs()),
    "complex abs": (np.abs, lambda gy, y, z: gy * np.where(y > 0, z / np.where(y > 0, y, 1), 0), (Z,), {}, complex_ones()),
    "imaginary part": (lambda z: np.imag(z) * 1.0, lambda gy, y, z: 1j * gy, (Z,), {}, complex_ones()),
}  # fmt: skip

MISTAKES = [
    ("dilation not in the kernel's gradient", "conv with everything", VALUES, dilation_forgotten),
    ("the kernel not flipped", "conv with everything", VALUES, kernel_not_flipped),
    ("the remainder at the wrong end", "conv with everything", VALUES, transposed_by_stride),
    ("groups interleaved", "grouped conv", VALUES, groups_interleaved),
    ("overlapping pools overwrite", "max pool", ("overwritten",), pool_overwrites),
    ("all tied entries of a pool", "max pool", ("kink",), pool_all_ties),
    ("padding counted in the mean", "avg pool", ("factor", "value"), avg_pool_by(True)),
    ("interpolation overwrites", "upsample", ("overwritten",), lambda gy, y, x, *, to=7: upsample_rule(gy, y, x, to=to, add=buffered)),
    ("exp not conjugated", "complex exp", ("conjugated", "value"), lambda gy, y, z: gy * y),
    ("product not conjugated", "complex product", ("conjugated", "value"), lambda gy, y, a, b: (gy * b, gy * a)),
    ("modulus at zero", "complex abs", ("nonfinite",), lambda gy, y, z: gy * z / y),
    ("imaginary part turned back", "imaginary part", ("sign", "conjugated"), lambda gy, y, z: -1j * gy),
    ("real part of the modulus only", "complex abs", VALUES, lambda gy, y, z: gy * np.where(y > 0, np.real(z) / np.where(y > 0, y, 1), 0) + 0j),
]  # fmt: skip
