"""Attention in blocks, with the log-sum-exp kept and the probabilities computed again in backward; masked softmax."""

from __future__ import annotations

import math
from typing import Any

import torch

from ci.catalogue.kernels.base import LOW, Defect, Draw, Kernel, as_contiguous

BLOCK = 16


def flash_forward(d: str, q: Any, k: Any, v: Any) -> Any:
    scale = 1 / math.sqrt(q.shape[-1])
    n = q.shape[-2]
    f = q.float()
    top = torch.full((*q.shape[:-1], 1), -math.inf)
    total, out = torch.zeros(top.shape), torch.zeros(*q.shape[:-1], v.shape[-1])
    rows = torch.arange(n)[:, None]
    for start in range(0, n, BLOCK):
        columns = torch.arange(start, min(start + BLOCK, n))
        if d == "remainder of keys" and len(columns) < BLOCK and start:
            continue
        s = f @ k[..., columns, :].float().mT * scale
        s = s.masked_fill(columns > rows, -math.inf)
        new = torch.maximum(top, s.amax(-1, keepdim=True))
        p = torch.exp(s - new)
        old = torch.exp(top - new)
        if d == "probabilities in the dtype":
            p = p.to(q.dtype).float()
        total = total * old + p.sum(-1, keepdim=True)
        out = out * (1 if d == "no rescale" else old) + p @ v[..., columns, :].float()
        top = new
    y = (out / total).to(q.dtype)
    lse = top + torch.log(total)
    if d == "lse in the dtype":
        lse = lse.to(q.dtype).float()
    return y, (q, k, v, (out / total), lse)


def flash_backward(d: str, saved: Any, gy: Any) -> Any:
    q, k, v, y, lse = saved
    if d == "contiguous":
        gy = as_contiguous(gy)
    scale = 1 / math.sqrt(q.shape[-1])
    n = q.shape[-2]
    f, g = q.float(), gy.float()
    delta = (g * y).sum(-1, keepdim=True)
    if d == "no delta":
        delta = torch.zeros_like(delta)
    gq, gk, gv = torch.zeros_like(f), torch.zeros(k.shape), torch.zeros(v.shape)
    rows = torch.arange(n)[:, None]
    for start in range(0, n, BLOCK):
        columns = torch.arange(start, min(start + BLOCK, n))
        kb, vb = k[..., columns, :].float(), v[..., columns, :].float()
        hidden = columns >= rows if d == "mask shifted" else columns > rows
        p = torch.exp((f @ kb.mT * scale).masked_fill(hidden, -math.inf) - lse)
        ds = p * (g @ vb.mT - delta) * scale
        if d == "ds in the dtype":
            ds = ds.to(q.dtype).float()
        if d == "last block of dq":
            gq = ds @ kb
        else:
            gq = gq + ds @ kb
        gk[..., columns, :] = ds.mT @ f / (scale if d == "no scale in dk" else 1)
        gv[..., columns, :] = p.mT @ g
    return gq.to(q.dtype), gk.to(k.dtype), gv.to(v.dtype)


def causal_reference(q: Any, k: Any, v: Any) -> Any:
    n = q.shape[-2]
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)
    return torch.exp(s - torch.logsumexp(s, -1, keepdim=True)) @ v  # as the kernel: large scores cost digits


def heads(draw: Draw) -> tuple[Any, ...]:
    shape = (2, draw.size(32, 48), draw.size(8, 16))
    return tuple([draw.normal(*shape, scale=draw.scale(-2, 1)) for _ in range(3)])


COARSE = ("statistics", "rounded twice", "accumulated", "precision", "value")

FLASH = Kernel(
    "flash_attention", flash_forward, flash_backward, heads, causal_reference,
    (
        Defect("remainder of keys", ("value", "tile", "precision", "nonfinite", "statistics", "boundary")),
        Defect("no rescale", COARSE),
        Defect("probabilities in the dtype", COARSE, LOW),
        Defect("lse in the dtype", COARSE, LOW),
        Defect("no delta", ("value",)),
        Defect("mask shifted", ("value", "mask shifted", "boundary", "nonfinite")),
        Defect("ds in the dtype", COARSE, LOW),
        Defect("last block of dq", ("value", "tile")),
        Defect("no scale in dk", ("factor",)),
        Defect("contiguous", ("contiguous",)),
    ),
)  # fmt: skip


# --- grouped heads and a mask of keys ---------------------------------------------------------------------------------


def grouped_forward(d: str, q: Any, k: Any, v: Any, mask: Any) -> Any:
    group = q.shape[0] // k.shape[0]
    scale = 1 / math.sqrt(q.shape[-1])
    kk, vv = k.float().repeat_interleave(group, 0), v.float().repeat_interleave(group, 0)
    s = (q.float() @ kk.mT * scale).masked_fill(~mask, -math.inf)
    p = torch.softmax(s, -1)
    return (p @ vv).to(q.dtype), (q, k, v, p, kk, vv, mask)


def grouped_backward(d: str, saved: Any, gy: Any) -> Any:
    q, k, v, p, kk, vv, mask = saved
    group = q.shape[0] // k.shape[0]
    g = gy.float()
    gp = g @ vv.mT
    if d == "mask shifted":
        p = p * mask.roll(1, -1)
    ds = p * (gp - (gp * p).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    gk, gv = ds.mT @ q.float(), p.mT @ g
    gk, gv = gk.reshape(-1, group, *k.shape[1:]), gv.reshape(-1, group, *v.shape[1:])
    gk, gv = (gk[:, -1], gv[:, -1]) if d == "group overwritten" else (gk.sum(1), gv.sum(1))
    return (ds @ kk).to(q.dtype), gk.to(k.dtype), gv.to(v.dtype), None


def grouped_reference(q: Any, k: Any, v: Any, mask: Any) -> Any:
    group = q.shape[0] // k.shape[0]
    s = q @ k.repeat_interleave(group, 0).mT / math.sqrt(q.shape[-1])
    return torch.softmax(s.masked_fill(~mask, -math.inf), -1) @ v.repeat_interleave(group, 0)


def grouped_inputs(draw: Draw) -> tuple[Any, ...]:
    n, m, c = draw.size(16, 32), draw.size(32), draw.size(8)
    mask = draw.mask(0.7, m)
    mask[0], mask[1] = True, False
    return draw.normal(4, n, c), draw.normal(2, m, c), draw.normal(2, m, c), mask


GROUPED = Kernel(
    "grouped_attention", grouped_forward, grouped_backward, grouped_inputs, grouped_reference,
    (
        Defect("group overwritten", ("value",)),
        Defect("mask shifted", ("value", "mask shifted")),
    ),
)  # fmt: skip


# --- softmax of masked rows -------------------------------------------------------------------------------------------


def softmax_forward(d: str, x: Any, mask: Any) -> Any:
    s = x.float().masked_fill(~mask, -math.inf)
    top = s.amax(-1, keepdim=True)
    e = torch.exp(s - top.clamp_min(torch.finfo(torch.float32).min))
    total = e.sum(-1, keepdim=True)
    p = e / (total if d == "masked rows" else total.masked_fill(total == 0, 1))
    return p.to(x.dtype), p


def softmax_backward(d: str, p: Any, gy: Any) -> Any:
    g = gy.float()
    inner = (g * p).sum(-1, keepdim=True)
    if d == "sum in the dtype":
        inner = (g * p).to(gy.dtype).cumsum(-1)[..., -1:].float()
    if d == "axis":
        inner = (g * p).sum(-2, keepdim=True)
    return (p * (g - inner)).to(gy.dtype), None


def softmax_reference(x: Any, mask: Any) -> Any:
    s = x.masked_fill(~mask, -math.inf)
    top = s.amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).min)
    e = torch.exp(s - top)
    total = e.sum(-1, keepdim=True)
    return e / total.masked_fill(total == 0, 1)


def softmax_inputs(draw: Draw) -> tuple[Any, ...]:
    n, m = draw.size(16, 64), draw.size(64, 128)
    mask = draw.mask(0.8, n, m)
    mask[0] = False
    return draw.normal(n, m, scale=draw.scale()), mask


SOFTMAX = Kernel(
    "masked_softmax", softmax_forward, softmax_backward, softmax_inputs, softmax_reference,
    (
        Defect("masked rows", ("nonfinite",)),
        Defect("sum in the dtype", COARSE, LOW),
        Defect("axis", ("value",)),
    ),
)  # fmt: skip

KERNELS = (FLASH, GROUPED, SOFTMAX)
