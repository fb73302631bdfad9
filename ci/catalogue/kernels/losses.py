"""Losses: linear and cross-entropy in chunks, label smoothing, log-softmax, Huber."""

from __future__ import annotations

import math
from typing import Any

import torch

from ci.catalogue.kernels.base import LOW, Defect, Draw, Kernel

CHUNK = 16
COARSE = ("statistics", "rounded twice", "accumulated", "precision", "value")


def fused_forward(d: str, x: Any, w: Any, labels: Any) -> Any:
    n = x.shape[0]
    loss, gx, gw = torch.zeros(()), torch.zeros(x.shape), torch.zeros(w.shape)
    if d == "sum in the dtype":
        gw = gw.to(w.dtype)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        if d == "remainder" and start + CHUNK > n:
            continue
        f = x[part].float()
        z = f @ w.float().T
        lse = torch.logsumexp(z, -1, keepdim=True)
        at = labels[part, None]
        loss = loss + (lse - z.gather(1, at)).sum() / n
        p = torch.exp(z - lse)
        gz = p.scatter_add(1, at, -torch.ones(at.shape))
        if d == "no -1 at the label":
            gz = p
        if d != "no 1/n":
            gz = gz / n
        if d == "logits' gradient in the dtype":
            gz = gz.to(x.dtype).float()
        gx[part] = gz @ w.float()
        gw = (gw + (gz.T @ f).to(w.dtype)) if d == "sum in the dtype" else gw + gz.T @ f
    if d == "labels shifted":
        gx = gx.roll(1, 0)
    return loss, (x, w, gx, gw)


def fused_backward(d: str, saved: Any, gy: Any) -> Any:
    x, w, gx, gw = saved
    g = 1.0 if d == "gy ignored" else gy
    return (gx * g).to(x.dtype), (gw * g).to(w.dtype), None


def fused_reference(x: Any, w: Any, labels: Any) -> Any:
    z = x @ w.T
    return (torch.logsumexp(z, -1) - z.gather(1, labels[:, None])[:, 0]).mean()


def fused_inputs(draw: Draw) -> tuple[Any, ...]:
    n, c, k = draw.size(33, 47), draw.size(16, 32), draw.size(32, 100)
    return draw.normal(n, c), draw.normal(k, c, scale=draw.scale(-4, -1)), draw.whole(k, n)


FUSED = Kernel(
    "linear_cross_entropy", fused_forward, fused_backward, fused_inputs, fused_reference,
    (
        Defect("remainder", ("tile", "value", "precision")),
        Defect("no -1 at the label", ("value", "tile")),
        Defect("no 1/n", ("factor",)),
        Defect("sum in the dtype", COARSE, LOW),
        Defect("logits' gradient in the dtype", COARSE, LOW),
        Defect("labels shifted", ("shifted",)),
        Defect("gy ignored", ("factor", "cotangent ignored")),
    ),
)  # fmt: skip


def smooth_forward(d: str, z: Any, labels: Any) -> Any:
    keep = labels >= 0
    at = labels.clamp_min(0)[:, None]
    f = z.float()
    lse = torch.logsumexp(f, -1)
    each = lse - 0.9 * f.gather(1, at)[:, 0] - 0.1 * f.mean(-1)
    count = len(labels) if d == "mean over all" else keep.sum()
    return ((each * keep).sum() / count), (z, keep, at, lse, count)


def smooth_backward(d: str, saved: Any, gy: Any) -> Any:
    z, keep, at, lse, count = saved
    g = torch.exp(z.float() - lse[:, None]) - (0 if d == "no smoothing" else 0.1 / z.shape[1])
    g = g.scatter_add(1, at, torch.full(at.shape, -1.0 if d == "no smoothing" else -0.9))
    if d != "ignored rows":
        g = g * keep[:, None]
    return (g / count * gy).to(z.dtype), None


def smooth_reference(z: Any, labels: Any) -> Any:
    keep = labels >= 0
    at = labels.clamp_min(0)[:, None]
    each = torch.logsumexp(z, -1) - 0.9 * z.gather(1, at)[:, 0] - 0.1 * z.mean(-1)
    return (each * keep).sum() / keep.sum()


def smooth_inputs(draw: Draw) -> tuple[Any, ...]:
    n, k = draw.size(32, 64), draw.size(16, 64)
    labels = draw.whole(k, n)
    labels[:2] = -1
    labels[-1] = 0
    return draw.normal(n, k, scale=draw.scale(-2, 2)), labels


SMOOTH = Kernel(
    "smoothed_cross_entropy", smooth_forward, smooth_backward, smooth_inputs, smooth_reference,
    (
        Defect("mean over all", ("factor", "value", "statistics")),
        Defect("no smoothing", ("value", "precision", "statistics", "rounded twice", "accumulated", "tile")),
        Defect("ignored rows", ("boundary", "tile", "value", "duplicates")),
    ),
)  # fmt: skip


def log_forward(d: str, x: Any) -> Any:
    f = x.float()
    lse = torch.logsumexp(f, -1, keepdim=True)
    return (f - lse).to(x.dtype), (x, lse.to(x.dtype).float() if d == "lse in the dtype" else lse)


def log_backward(d: str, saved: Any, gy: Any) -> Any:
    x, lse = saved
    g = gy.float()
    total = g.sum(-1, keepdim=True)
    return (g - torch.exp(x.float() - lse) * total).to(x.dtype)


def log_inputs(draw: Draw) -> tuple[Any, ...]:
    return (draw.normal(draw.size(16), draw.size(64, 200), scale=draw.scale(-1, 3)),)


LOG = Kernel(
    "log_softmax", log_forward, log_backward, log_inputs, lambda x: x - torch.logsumexp(x, -1, keepdim=True),
    (Defect("lse in the dtype", COARSE, LOW),),
)  # fmt: skip


def huber_forward(d: str, x: Any, target: Any) -> Any:
    e = x.float() - target.float()
    size = e.abs()
    each = torch.where(size <= 1, 0.5 * e * e, size - 0.5)
    return each.mean(), (x, e)


def huber_backward(d: str, saved: Any, gy: Any) -> Any:
    x, e = saved
    g = e.clamp(-1, 1) * gy / e.numel()
    if d == "twice":
        g = 2 * g
    return g.to(x.dtype), (g if d == "sign" else -g).to(x.dtype)


def huber_reference(x: Any, target: Any) -> Any:
    e = x - target
    return torch.where(e.abs() <= 1, 0.5 * e * e, e.abs() - 0.5).mean()


def huber_inputs(draw: Draw) -> tuple[Any, ...]:
    shape = (draw.size(16, 32), draw.size(16))
    return draw.normal(*shape, scale=math.pi), draw.normal(*shape)


HUBER = Kernel(
    "huber", huber_forward, huber_backward, huber_inputs, huber_reference,
    (Defect("twice", ("factor",)), Defect("sign", ("sign",))),
)  # fmt: skip

KERNELS = (FUSED, SMOOTH, LOG, HUBER)
