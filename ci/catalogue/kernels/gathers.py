"""Gathers and scatters with duplicates, scans, rotary embedding."""

from __future__ import annotations

from typing import Any

import torch

from ci.catalogue.kernels.base import LOW, Defect, Draw, Kernel, dropped

COARSE = ("rounded twice", "accumulated", "precision", "value", "statistics")


def embedding_forward(d: str, w: Any, index: Any) -> Any:
    return w[index], (w, index)


def embedding_backward(d: str, saved: Any, gy: Any) -> Any:
    w, index = saved
    if d == "overwritten":
        gw = torch.zeros_like(w)
        gw[index] = gy
        return gw, None
    if d == "sum in the dtype":
        gw = torch.zeros_like(w)
        for i, row in zip(index.tolist(), gy, strict=True):
            gw[i] = gw[i] + row
        return gw, None
    return torch.zeros(w.shape).index_add(0, index, gy.float()).to(w.dtype), None


def embedding_inputs(draw: Draw) -> tuple[Any, ...]:
    n, c = draw.size(8, 16), draw.size(8, 16)
    index = draw.whole(n, draw.size(100, 200))
    index[:60] = 0  # one row that many positions share
    index[index == 1] = 2
    index[-1] = 1
    return draw.normal(n, c, scale=draw.scale()), index


EMBEDDING = Kernel(
    "embedding", embedding_forward, embedding_backward, embedding_inputs, lambda w, index: w[index],
    (
        Defect("overwritten", ("overwritten", "value", "tile")),
        Defect("sum in the dtype", COARSE, LOW),
    ),
)  # fmt: skip


def segment_forward(d: str, x: Any, ids: Any) -> Any:
    n = int(ids.max()) + 1
    y = torch.zeros(n, x.shape[1]).index_add(0, ids, x.float())
    if d == "last segment":
        y[-1] = 0
    return y.to(x.dtype), ids


def segment_backward(d: str, ids: Any, gy: Any) -> Any:
    if d == "off by one":
        return gy[(ids + 1).clamp_max(len(gy) - 1)], None
    if d == "rows shifted":
        return gy[ids].roll(1, 0), None
    return gy[ids], None


def segment_reference(x: Any, ids: Any) -> Any:
    return torch.zeros(int(ids.max()) + 1, x.shape[1], dtype=x.dtype).index_add(0, ids, x)


def segment_inputs(draw: Draw) -> tuple[Any, ...]:
    n = draw.size(64, 100)
    ids = draw.whole(12, n).sort().values
    return draw.normal(n, draw.size(8, 16), scale=draw.scale(), mean=1.0), ids


SEGMENT = Kernel(
    "segment_sum", segment_forward, segment_backward, segment_inputs, segment_reference,
    (
        Defect("last segment", ("boundary", "tile", "value", "overwritten")),
        Defect("off by one", ("value", "tile", "mask shifted")),
        Defect("rows shifted", ("shifted", "value", "mask shifted", "tile")),
    ),
)  # fmt: skip


def mean_forward(d: str, x: Any, ids: Any) -> Any:
    n = int(ids.max()) + 1
    count = torch.bincount(ids, minlength=n).clamp_min(1)[:, None]
    return (torch.zeros(n, x.shape[1]).index_add(0, ids, x.float()) / count).to(x.dtype), (ids, count)


def mean_backward(d: str, saved: Any, gy: Any) -> Any:
    ids, count = saved
    g = gy.float() / (1 if d == "count missing" else count)
    return g[ids].to(gy.dtype), None


def mean_reference(x: Any, ids: Any) -> Any:
    n = int(ids.max()) + 1
    count = torch.bincount(ids, minlength=n).clamp_min(1)[:, None]
    return torch.zeros(n, x.shape[1], dtype=x.dtype).index_add(0, ids, x) / count


MEAN = Kernel(
    "segment_mean", mean_forward, mean_backward, segment_inputs, mean_reference,
    (Defect("count missing", ("value", "overwritten")),),
)  # fmt: skip


def scan_forward(d: str, x: Any) -> Any:
    f = x.float()
    if d == "sum in the dtype":
        y, total = [], torch.zeros_like(x[:, 0])
        for column in x.T:
            total = total + column
            y.append(total)
        return torch.stack(y, 1), None
    if d == "carry":
        return torch.cat([part.cumsum(1) for part in f.split(32, 1)], 1).to(x.dtype), None
    return f.cumsum(1).to(x.dtype), None


def scan_backward(d: str, _: Any, gy: Any) -> Any:
    g = gy.float()
    if d == "direction":
        return g.cumsum(1).to(gy.dtype)
    if d == "exclusive":
        return (g.flip(1).cumsum(1).flip(1) - g).to(gy.dtype)
    return g.flip(1).cumsum(1).flip(1).to(gy.dtype)


SCAN = Kernel(
    "scan", scan_forward, scan_backward,
    lambda draw: (draw.normal(draw.size(8), draw.size(64, 128), scale=draw.scale(), mean=0.5),),
    lambda x: x.cumsum(1),
    (
        Defect("sum in the dtype", COARSE, LOW),
        Defect("carry", ("tile", "value", "mask shifted")),
        Defect("direction", ("value", "mask shifted", "tile")),
        Defect("exclusive", ("value", "mask shifted", "shifted")),
    ),
)  # fmt: skip


def recurrence(a: Any, x: Any) -> Any:
    h, out = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = a[:, t] * h + x[:, t]
        out.append(h)
    return torch.stack(out, 1)


def recur_forward(d: str, a: Any, x: Any) -> Any:
    h = recurrence(a, x) if d == "state in the dtype" else recurrence(a.float(), x.float())
    return h.to(x.dtype), (a, h.float())


def recur_backward(d: str, saved: Any, gy: Any) -> Any:
    a, h = saved
    f, g = a.float(), gy.float()
    n = g.shape[1]
    later, ga, gx = torch.zeros_like(g[:, 0]), torch.zeros_like(g), torch.zeros_like(g)
    for t in reversed(range(n)):
        gate = f[:, t] if d == "gate shifted" else (f[:, t + 1] if t + 1 < n else 0)
        later = g[:, t] + gate * later
        gx[:, t] = later
        ga[:, t] = later * (h[:, t] if d == "state shifted" else (h[:, t - 1] if t else 0))
    return ga.to(a.dtype), gx.to(a.dtype)


def recur_inputs(draw: Draw) -> tuple[Any, ...]:
    shape = (draw.size(4), draw.size(16, 32))
    gates = torch.from_numpy(draw.rng.uniform(0.5, 1.0, shape)).to(draw.dtype)
    return gates, draw.normal(*shape, scale=draw.scale())


RECUR = Kernel(
    "linear_recurrence", recur_forward, recur_backward, recur_inputs, recurrence,
    (
        Defect("state in the dtype", COARSE, LOW),
        Defect("gate shifted", ("value", "mask shifted", "boundary")),
        Defect("state shifted", ("value", "shifted", "mask shifted")),
    ),
)  # fmt: skip


def turned(x: Any, cos: Any, sin: Any) -> Any:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rope_forward(d: str, x: Any, cos: Any, sin: Any) -> Any:
    return turned(x.float(), cos, sin).to(x.dtype), (cos, sin)


def rope_backward(d: str, saved: Any, gy: Any) -> Any:
    cos, sin = saved
    if d == "positions shifted":
        cos, sin = cos.roll(1, 0), sin.roll(1, 0)
    gx = turned(gy.float(), cos, sin if d == "sign" else -sin).to(gy.dtype)
    return (dropped(gx, 16) if d == "remainder of rows" else gx), None, None


def rope_inputs(draw: Draw) -> tuple[Any, ...]:
    n, c = draw.size(33, 50), 2 * draw.size(8, 16)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * 100.0 ** (-torch.arange(c // 2) / (c / 2))
    return draw.normal(n, c, scale=draw.scale()).requires_grad_(), angle.cos().float(), angle.sin().float()


ROPE = Kernel(
    "rotary_embedding", rope_forward, rope_backward, rope_inputs, turned,
    (
        Defect("sign", ("value", "mask shifted", "tile")),
        Defect("positions shifted", ("value",)),
        Defect("remainder of rows", ("tile", "boundary")),
    ),
)  # fmt: skip

KERNELS = (EMBEDDING, SEGMENT, MEAN, SCAN, RECUR, ROPE)
