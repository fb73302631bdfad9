"""Normalisations, and what is fused with them."""

from __future__ import annotations

from typing import Any

import torch

from ci.catalogue.kernels.base import LOW, Defect, Draw, Kernel, as_contiguous, dropped, summed

EPS = 1e-5


# --- RMS norm ---------------------------------------------------------------------------------------------------------


def rms_forward(d: str, x: Any, w: Any) -> Any:
    f = x.float()
    r = torch.rsqrt((f * f).mean(-1, keepdim=True) + EPS)
    if d == "rstd in the dtype":
        r = r.to(x.dtype).float()
    return (f * r * w.float()).to(x.dtype), (x, w, r)


def rms_backward(d: str, saved: Any, gy: Any) -> Any:
    x, w, r = saved
    if d == "contiguous":
        gy = as_contiguous(gy)
    g, n = gy.float(), x.float() * r
    gw = g * w.float()
    inner = (gw * n).mean(-1, keepdim=True)
    if d == "mean in the dtype":
        inner = inner.to(x.dtype).float()
    gx = r * (gw - n * inner)
    if d == "no projection":
        gx = r * gw
    if d == "w missing":
        gx = r * (g - n * (g * n).mean(-1, keepdim=True))
    gx = gx.to(x.dtype)
    rows = (g * n).to(w.dtype) if d == "sum in the dtype" else g * n
    if d == "remainder of rows":
        gx = dropped(gx, 16)
    return gx, summed(rows, d == "sum in the dtype").to(w.dtype)


def rms_reference(x: Any, w: Any) -> Any:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rows(draw: Draw) -> tuple[Any, ...]:
    n, c = draw.size(33, 64, 100), draw.size(32, 64, 128)
    return draw.normal(n, c, scale=draw.scale(), mean=draw.scale()), draw.normal(c, mean=1.0)


RMS = Kernel(
    "rms_norm", rms_forward, rms_backward, rows, rms_reference,
    (
        Defect("rstd in the dtype", ("statistics", "rounded twice", "accumulated", "precision"), LOW),
        Defect("mean in the dtype", ("statistics", "rounded twice", "accumulated", "precision"), LOW),
        Defect("sum in the dtype", ("accumulated", "rounded twice"), LOW),
        Defect("no projection", ("value",)),
        Defect("w missing", ("factor", "value")),
        Defect("remainder of rows", ("tile",)),
        Defect("contiguous", ("contiguous",)),
    ),
)  # fmt: skip


# --- layer norm -------------------------------------------------------------------------------------------------------


def layer_forward(d: str, x: Any, w: Any, b: Any) -> Any:
    f = x.float()
    mean = f.mean(-1, keepdim=True)
    if d == "mean in the dtype":
        mean = mean.to(x.dtype).float()
    r = torch.rsqrt(((f - mean) ** 2).mean(-1, keepdim=True) + EPS)
    if d == "variance of squares":
        r = torch.rsqrt(((f * f).to(x.dtype).float().mean(-1, keepdim=True) - mean**2).clamp_min(0) + EPS)
    return ((f - mean) * r * w.float() + b.float()).to(x.dtype), (x, w, mean, r)


def layer_backward(d: str, saved: Any, gy: Any) -> Any:
    x, w, mean, r = saved
    g, n = gy.float(), (x.float() - mean) * r
    gw = g * w.float()
    first = 0 if d == "mean term missing" else gw.mean(-1, keepdim=True)
    gx = r * (gw - first - n * (gw * n).mean(-1, keepdim=True))
    gb = g[-32:].sum(0) if d == "blocks overwrite" else g.sum(0)
    if d == "swapped":
        return gx.to(x.dtype), g.sum(0).to(w.dtype), (g * n).sum(0).to(w.dtype)
    return gx.to(x.dtype), (g * n).sum(0).to(w.dtype), gb.to(w.dtype)


def layer_reference(x: Any, w: Any, b: Any) -> Any:
    c = x - x.mean(-1, keepdim=True)
    return c * torch.rsqrt((c * c).mean(-1, keepdim=True) + EPS) * w + b


def layer_inputs(draw: Draw) -> tuple[Any, ...]:
    x, w = rows(draw)
    return x, w, draw.normal(w.shape[0])


LAYER = Kernel(
    "layer_norm", layer_forward, layer_backward, layer_inputs, layer_reference,
    (
        Defect("mean in the dtype", ("statistics", "rounded twice", "accumulated", "precision", "value"), LOW),
        Defect("variance of squares", ("statistics", "rounded twice", "accumulated", "precision", "value"), LOW),
        Defect("mean term missing", ("value",)),
        Defect("blocks overwrite", ("value",)),
        Defect("swapped", ("value", "swapped")),
    ),
)  # fmt: skip


# --- group norm -------------------------------------------------------------------------------------------------------

GROUPS = 4


def group_forward(d: str, x: Any, w: Any, b: Any) -> Any:
    f = x.float().reshape(x.shape[0], GROUPS, -1)
    mean, var = f.mean(-1, keepdim=True), f.var(-1, keepdim=True, correction=1 if d == "n - 1" else 0)
    r = torch.rsqrt(var + EPS)
    n = ((f - mean) * r).reshape(x.shape)
    return (n * w.float()[:, None] + b.float()[:, None]).to(x.dtype), (x, w, n, r)


def group_backward(d: str, saved: Any, gy: Any) -> Any:
    x, w, n, r = saved
    g = gy.float()
    gw = (g * w.float()[:, None]).reshape(x.shape[0], GROUPS, -1)
    m = n.reshape(gw.shape)
    one = gw.mean(-1, keepdim=True)
    if d == "wrong count":
        one = one * GROUPS
    gx = r * (gw - one - m * (gw * m).mean(-1, keepdim=True))
    return gx.reshape(x.shape).to(x.dtype), (g * n).sum((0, 2)).to(w.dtype), g.sum((0, 2)).to(w.dtype)


def group_reference(x: Any, w: Any, b: Any) -> Any:
    f = x.reshape(x.shape[0], GROUPS, -1)
    c = f - f.mean(-1, keepdim=True)
    n = (c * torch.rsqrt((c * c).mean(-1, keepdim=True) + EPS)).reshape(x.shape)
    return n * w[:, None] + b[:, None]


def group_inputs(draw: Draw) -> tuple[Any, ...]:
    c = GROUPS * draw.size(2, 4)
    return (
        draw.normal(draw.size(4), c, draw.size(16, 32), scale=draw.scale()),
        draw.normal(c, mean=1),
        draw.normal(c),
    )


GROUP = Kernel(
    "group_norm", group_forward, group_backward, group_inputs, group_reference,
    (
        Defect("n - 1", ("factor", "value", "statistics")),
        Defect("wrong count", ("value", "statistics")),
    ),
)  # fmt: skip


# --- residual and RMS norm, two outputs -------------------------------------------------------------------------------


def add_forward(d: str, x: Any, residual: Any, w: Any) -> Any:
    h = x.float() + residual.float()
    stored = h.to(x.dtype)
    h = stored.float()
    r = torch.rsqrt((h * h).mean(-1, keepdim=True) + EPS)
    return ((h * r * w.float()).to(x.dtype), stored), (stored, w, r)


def add_backward(d: str, saved: Any, gy: Any, gh: Any) -> Any:
    h, w, r = saved
    g, n = gy.float(), h.float() * r
    gw = g * w.float()
    gx = r * (gw - n * (gw * n).mean(-1, keepdim=True))
    if d != "second output ignored":
        gx = gx + gh.float()
    gx = gx.to(h.dtype)
    return gx, gx, (g * n).sum(0).to(w.dtype)


def add_reference(x: Any, residual: Any, w: Any) -> Any:
    h = x + residual
    return h * torch.rsqrt((h * h).mean(-1, keepdim=True) + EPS) * w, h


def add_inputs(draw: Draw) -> tuple[Any, ...]:
    x, w = rows(draw)
    return x, draw.normal(*x.shape), w


ADD = Kernel(
    "add_rms_norm", add_forward, add_backward, add_inputs, add_reference,
    (Defect("second output ignored", ("value",)),),
    {"intermediates": "stored"},
)  # fmt: skip

KERNELS = (RMS, LAYER, GROUP, ADD)
