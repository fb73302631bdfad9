"""Fused softmax and layer norm with their backward passes in Triton. Import it with TRITON_INTERPRET=1 set, or on a GPU."""

# The kernels' arguments and constants are what Triton's own tutorials call them.
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

EPS = tl.constexpr(1e-5)


@triton.jit
def softmax_kernel(x, y, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + row * n + at, mask=inside, other=float("-inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(y + row * n + at, (e / tl.sum(e, axis=0)).to(y.dtype.element_ty), mask=inside)


@triton.jit
def softmax_grad_kernel(x, gy, gx, n, gy_row, gy_column, BLOCK: tl.constexpr, WRONG: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + row * n + at, mask=inside, other=float("-inf")).to(tl.float32)
    g = tl.load(gy + row * gy_row + at * gy_column, mask=inside, other=0.0).to(tl.float32)
    e = tl.exp(v - tl.max(v, axis=0))
    p = e / tl.sum(e, axis=0)
    inner = tl.sum(g * p, axis=0)
    if WRONG:
        inner = 0.0
    tl.store(gx + row * n + at, (p * (g - inner)).to(gx.dtype.element_ty), mask=inside)


@triton.jit
def layer_norm_kernel(x, w, b, y, means, rstds, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + row * n + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(v, axis=0) / n
    c = tl.where(inside, v - mean, 0.0)
    rstd = 1 / tl.sqrt(tl.sum(c * c, axis=0) / n + EPS)
    tl.store(means + row, mean)
    tl.store(rstds + row, rstd)
    scale = tl.load(w + at, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(b + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + row * n + at, (c * rstd * scale + shift).to(y.dtype.element_ty), mask=inside)


@triton.jit
def layer_norm_grad_kernel(x, w, gy, means, rstds, gx, gw, gb, n, BLOCK: tl.constexpr, WRONG: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + row * n + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(gy + row * n + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(w + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.load(means + row)
    rstd = tl.load(rstds + row)
    normal = tl.where(inside, (v - mean) * rstd, 0.0)
    h = g * scale
    first = tl.sum(h, axis=0) / n
    second = tl.sum(h * normal, axis=0) / n
    if WRONG:
        first = 0.0
    tl.store(gx + row * n + at, ((h - first - normal * second) * rstd).to(gx.dtype.element_ty), mask=inside)
    tl.atomic_add(gw + at, g * normal, mask=inside)
    tl.atomic_add(gb + at, g, mask=inside)


def softmax(wrong: bool = False) -> Any:
    """Over rows; the cotangent's strides are used."""

    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.empty_like(x)
            ctx.save_for_backward(x)
            softmax_kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
            return y

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            (x,) = ctx.saved_tensors
            n = x.shape[1]
            gx = torch.empty_like(x)
            softmax_grad_kernel[(x.shape[0],)](
                x, gy, gx, n, *gy.stride(), BLOCK=triton.next_power_of_2(n), WRONG=wrong
            )
            return gx

    return Softmax.apply


def layer_norm(wrong: bool = False) -> Any:
    """Over rows, with scale and shift; their gradients are added up atomically in float32."""

    class LayerNorm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any, b: Any) -> Any:
            y, rows = torch.empty_like(x), x.shape[0]
            means, rstds = torch.empty(rows), torch.empty(rows)
            layer_norm_kernel[(rows,)](
                x, w, b, y, means, rstds, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1])
            )
            ctx.save_for_backward(x, w, means, rstds)
            return y

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            x, w, means, rstds = ctx.saved_tensors
            n = x.shape[1]
            gx, gw, gb = torch.empty_like(x), torch.zeros(n), torch.zeros(n)
            layer_norm_grad_kernel[(x.shape[0],)](
                x,
                w,
                gy.contiguous(),
                means,
                rstds,
                gx,
                gw,
                gb,
                n,
                BLOCK=triton.next_power_of_2(n),
                WRONG=wrong,
            )
            return gx, gw.to(w.dtype), gb.to(w.dtype)

    return LayerNorm.apply
