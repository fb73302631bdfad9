"""Products of matrices, activations fused with them, dropout, quantisation."""

from __future__ import annotations

import math
from typing import Any

import torch

from ci.catalogue.kernels.base import LOW, Defect, Draw, Kernel, as_contiguous, dropped

COARSE = ("rounded twice", "accumulated", "precision", "value", "statistics")
K = 32


def split_forward(d: str, a: Any, b: Any) -> Any:
    total = torch.zeros(a.shape[0], b.shape[1])
    if d == "sum in the dtype":
        total = total.to(a.dtype)
    for start in range(0, a.shape[1], K):
        if d == "remainder of k" and start + K > a.shape[1] and start:
            continue
        part = a[:, start : start + K].float() @ b[start : start + K].float()
        if d in ("parts in the dtype", "sum in the dtype"):
            part = part.to(a.dtype)
        total = total + part
    return total.to(a.dtype), (a, b)


def split_backward(d: str, saved: Any, gy: Any) -> Any:
    a, b = saved
    if d == "contiguous":
        gy = as_contiguous(gy)
    g = gy.float()
    ga = (g @ b.float().T).to(a.dtype)
    gb = (a.float().T @ g).to(b.dtype)
    return (dropped(ga, 16, 1) if d == "remainder of columns" else ga), gb


def split_inputs(draw: Draw) -> tuple[Any, ...]:
    n, k, m = draw.size(16, 33), draw.size(100, 200, 400), draw.size(16, 40)
    return draw.normal(n, k, scale=draw.scale()), draw.normal(k, m, scale=draw.scale(), mean=draw.scale())


SPLIT = Kernel(
    "split_k", split_forward, split_backward, split_inputs, lambda a, b: a @ b,
    (
        Defect("remainder of k", ("value", "precision", "rounded twice", "accumulated", "statistics")),
        Defect("sum in the dtype", COARSE, LOW),
        Defect("parts in the dtype", COARSE, LOW),
        Defect("remainder of columns", ("tile", "boundary")),
        Defect("contiguous", ("contiguous",)),
    ),
)  # fmt: skip


def gelu(z: Any) -> Any:
    return 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))


def linear_forward(d: str, x: Any, w: Any, b: Any) -> Any:
    z = x.float() @ w.float() + b.float()
    return gelu(z).to(x.dtype), (x, w, b, z)


def linear_backward(d: str, saved: Any, gy: Any) -> Any:
    x, w, b, z = saved
    slope = 0.5 * (1 + torch.erf(z / math.sqrt(2))) + z * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    if d == "density missing":
        slope = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    gz = gy.float() * slope
    if d == "rounded twice":
        gz = gz.to(x.dtype).float()
    gb = gz.mean(0) if d == "mean for sum" else gz.sum(0)
    return (gz @ w.float().T).to(x.dtype), (x.float().T @ gz).to(w.dtype), gb.to(b.dtype)


def linear_inputs(draw: Draw) -> tuple[Any, ...]:
    n, k, m = draw.size(33, 64), draw.size(32), draw.size(32)
    return draw.normal(n, k), draw.normal(k, m, scale=k**-0.5), draw.normal(m)


LINEAR = Kernel(
    "linear_gelu", linear_forward, linear_backward, linear_inputs, lambda x, w, b: gelu(x @ w + b),
    (
        Defect("density missing", ("value", "precision", "accumulated", "rounded twice")),
        Defect("rounded twice", COARSE, LOW),
        Defect("mean for sum", ("factor",)),
    ),
)  # fmt: skip


def swiglu_forward(d: str, a: Any, b: Any) -> Any:
    f = a.float()
    s = torch.sigmoid(f)
    return (f * s * b.float()).to(a.dtype), (a, b, s)


def swiglu_backward(d: str, saved: Any, gy: Any) -> Any:
    a, b, s = saved
    f, g = a.float(), gy.float()
    slope = s if d == "term missing" else s * (1 + f * (1 - s))
    ga, gb = g * b.float() * slope, g * f * s
    if d == "two per cent":
        ga = ga * 1.02
    return ga.to(a.dtype), (ga if d == "same for both" else gb).to(b.dtype)


def pair_inputs(draw: Draw) -> tuple[Any, ...]:
    shape = (draw.size(32), draw.size(32, 64))
    return draw.normal(*shape, scale=draw.scale(-2, 2)), draw.normal(*shape, scale=draw.scale())


SWIGLU = Kernel(
    "swiglu", swiglu_forward, swiglu_backward, pair_inputs, lambda a, b: a * torch.sigmoid(a) * b,
    (
        Defect("term missing", ("value", "precision", "accumulated", "rounded twice")),
        Defect("two per cent", ("factor",)),
        Defect("same for both", ("value", "swapped")),
    ),
)  # fmt: skip


def dropout_forward(d: str, x: Any, keep: Any) -> Any:
    return (x.float() * keep / 0.9).to(x.dtype), keep


def dropout_backward(d: str, keep: Any, gy: Any) -> Any:
    g = gy.float()
    if d == "no scale":
        return (g * keep).to(gy.dtype), None
    if d == "mask shifted":
        keep = keep.roll(1, -1)
    return (g / 0.9 if d == "no mask" else g * keep / 0.9).to(gy.dtype), None


def dropout_inputs(draw: Draw) -> tuple[Any, ...]:
    shape = (draw.size(32), draw.size(32, 64))
    return draw.normal(*shape, scale=draw.scale()), draw.mask(0.9, *shape)


DROPOUT = Kernel(
    "dropout", dropout_forward, dropout_backward, dropout_inputs, lambda x, keep: x * keep / 0.9,
    (
        Defect("no scale", ("factor",)),
        Defect("no mask", ("value",)),
        Defect("mask shifted", ("mask shifted",)),
    ),
)  # fmt: skip


def dequantise_forward(d: str, q: Any, scale: Any, zero: Any) -> Any:
    y = (q.float() - (0 if d == "zero point in forward" else zero.float())) * scale.float()
    return y.to(scale.dtype), (q, scale, zero)


def dequantise_backward(d: str, saved: Any, gy: Any) -> Any:
    q, scale, zero = saved
    g = gy.float()
    each = g * (q.float() - (0 if d == "zero point" else zero.float()))
    if d == "sum in the dtype":
        total = torch.zeros_like(scale[:, 0])
        for column in each.to(scale.dtype).T:
            total = total + column
        gs = total[:, None]
    else:
        gs = each.sum(1, keepdim=True)
    gz = -(g * scale.float()).sum(1, keepdim=True)
    return None, gs.to(scale.dtype), gz.to(zero.dtype)


def dequantise_inputs(draw: Draw) -> tuple[Any, ...]:
    n, m = draw.size(16, 32), draw.size(64, 128)
    q = draw.whole(255, n, m) - 127
    return q, draw.normal(n, 1, scale=0.01).abs() + 0.01, draw.normal(n, 1, scale=8.0)


DEQUANTISE = Kernel(
    "dequantise", dequantise_forward, dequantise_backward, dequantise_inputs, lambda q, scale, zero: (q - zero) * scale,
    (
        Defect("zero point", ("value",)),
        Defect("zero point in forward", ("value",)),
        Defect("sum in the dtype", COARSE, LOW),
    ),
)  # fmt: skip


def difference_forward(d: str, a: Any, b: Any, c: Any, e: Any) -> Any:
    p, q = a.float() * b.float(), c.float() * e.float()
    if d == "products in the dtype":
        p, q = p.to(a.dtype).float(), q.to(a.dtype).float()
    return (p - q).to(a.dtype), (a, b, c, e)


def difference_backward(d: str, saved: Any, gy: Any) -> Any:
    a, b, c, e = saved
    g = gy.float()
    last = g * c.float() if d == "sign" else -g * c.float()
    return (g * b).to(a.dtype), (g * a).to(a.dtype), (-g * e).to(a.dtype), last.to(a.dtype)


def difference_inputs(draw: Draw) -> tuple[Any, ...]:
    shape = (draw.size(32), draw.size(32))
    a, b = draw.normal(*shape), draw.normal(*shape)
    return a, b, a * (1 + 0.05 * draw.normal(*shape)), b


DIFFERENCE = Kernel(
    "difference_of_products", difference_forward, difference_backward, difference_inputs, lambda a, b, c, e: a * b - c * e,
    (Defect("products in the dtype", COARSE, LOW), Defect("sign", ("sign",))),
)  # fmt: skip


def cap_forward(d: str, x: Any) -> Any:
    t = torch.tanh(x.float() / 5)
    return (5 * t).to(x.dtype), (x, t)


def cap_backward(d: str, saved: Any, gy: Any) -> Any:
    x, t = saved
    if d == "from the stored output":
        t = (5 * t).to(x.dtype).float() / 5
    slope = 1 - t * t
    return (gy.float() * (slope / 5 if d == "1/5 twice" else slope)).to(x.dtype)


CAP = Kernel(
    "soft_cap", cap_forward, cap_backward,
    lambda draw: (draw.normal(draw.size(32), draw.size(64), scale=draw.scale(0, 3)),), lambda x: 5 * torch.tanh(x / 5),
    (Defect("1/5 twice", ("factor",)), Defect("from the stored output", COARSE, LOW)),
)  # fmt: skip

KERNELS = (SPLIT, LINEAR, SWIGLU, DROPOUT, DEQUANTISE, DIFFERENCE, CAP)
