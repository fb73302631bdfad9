"""Each of gradcore's ops as PyTorch has it: a function of tensors with the op's own static parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel

from ci.catalogue.frameworks.matrices import MATRICES


def _axes(x: Any, axis: Any) -> Any:
    return tuple(range(x.ndim)) if axis is None else axis


def _over(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction with NumPy's names for its parameters."""

    def reduced(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(x, _axes(x, axis), keepdim=keepdims)

    return reduced


def _adjoint(function: Callable[..., Any], x: Any, gy: Any) -> Any:
    """The cotangent of x, with its history."""
    if not x.requires_grad:
        x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(function(x), x, gy, create_graph=True)[0]


def _zeros(gy: Any, channels: int, size: Any) -> Any:
    return torch.zeros(gy.shape[0], channels, *size, dtype=gy.dtype)


def _avg_pool2d(x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    return F.avg_pool2d(x, kernel_size, stride, padding)


def _avg_pool2d_input(gy: Any, size: Any, **same: Any) -> Any:
    return _adjoint(lambda x: _avg_pool2d(x, **same), _zeros(gy, gy.shape[1], size), gy)


def _max_pool2d(x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    return F.max_pool2d(x, kernel_size, stride, padding)


def _max_pool2d_input(gy: Any, x: Any, **same: Any) -> Any:
    return _adjoint(lambda x: _max_pool2d(x, **same), x, gy)


def _max_pool2d_pick(values: Any, x: Any, kernel_size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
    _, places = F.max_pool2d(x, kernel_size, stride, padding, return_indices=True)
    return values.flatten(2).gather(2, places.flatten(2)).reshape(places.shape)


def _conv2d_input(gy: Any, weight: Any, size: Any, groups: int = 1, **same: Any) -> Any:
    x = _zeros(gy, weight.shape[1] * groups, size)
    return _adjoint(lambda x: F.conv2d(x, weight, groups=groups, **same), x, gy)


def _conv2d_weight(gy: Any, x: Any, kernel_size: Any, groups: int = 1, **same: Any) -> Any:
    weight = torch.zeros(gy.shape[1], x.shape[1] // groups, *kernel_size, dtype=gy.dtype)
    return _adjoint(lambda w: F.conv2d(x, w, groups=groups, **same), weight, gy)


def _batch_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def _cross_entropy(x: Any, labels: Any, reduction: str = "mean") -> Any:
    return F.cross_entropy(x, labels.long(), reduction=reduction)


def _ctc_loss(x: Any, targets: Any, inputs: Any, lengths: Any, blank: int = 0) -> Any:
    """Of log-probabilities that sum to one: PyTorch's derivative is right for these alone. What they are divided by comes off."""
    rows = F.ctc_loss(x.log_softmax(-1), targets, inputs, lengths, blank, reduction="none")
    inside = torch.arange(len(x))[:, None] < inputs
    return rows - (x.logsumexp(-1) * inside).sum(0)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if bias is None or bias.ndim == 1:
        return F.linear(x, weight.T, bias)
    return F.linear(x, weight.T) + bias


def _positions(shape: Any, index: Any) -> Any:
    """Places in the flattened array that an index picks: PyTorch takes no negative steps."""
    return torch.tensor(np.arange(int(np.prod(shape))).reshape(shape)[index])


def _getitem(x: Any, index: Any) -> Any:
    return torch.take(x, _positions(tuple(x.shape), index))


def _attention(*arrays: Any, **params: Any) -> Any:
    """The way by matrix products: the others have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(*arrays, **params)


def _scatter_add(x: Any, index: Any, shape: Any) -> Any:
    out = torch.zeros(int(np.prod(shape)), dtype=x.dtype)
    return out.index_add(0, _positions(shape, index).flatten(), x.flatten()).reshape(shape)


def _transpose(x: Any, axes: Any = None) -> Any:
    return x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes)


def _elementwise_names() -> Mapping[str, Callable[..., Any]]:
    """Those that PyTorch calls by the same name."""
    names = [
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctan2",
        "arctanh",
        "cos",
        "cosh",
        "deg2rad",
        "digamma",
        "erf",
        "erfc",
        "exp2",
        "fmax",
        "fmin",
        "fmod",
        "hypot",
        "lgamma",
        "log10",
        "log2",
        "logaddexp",
        "logaddexp2",
        "rad2deg",
        "reciprocal",
        "remainder",
        "sinc",
        "sinh",
        "square",
        "tan",
    ]
    activations = [
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "logsigmoid",
        "mish",
        "prelu",
        "relu6",
        "selu",
        "silu",
        "softsign",
    ]
    found = {name: getattr(torch, name) for name in names}
    return found | {name: getattr(F, name) for name in activations}


def _prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in sorted([a % x.ndim for a in axes], reverse=True):
        x = torch.prod(x, a, keepdim=keepdims)
    return x


def _running(function: Callable[..., Any]) -> Callable[..., Any]:
    def running(x: Any, axis: Any = None) -> Any:
        return function(x.flatten(), 0) if axis is None else function(x, axis)

    return running


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    def spread(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        return function(x, _axes(x, axis), correction=ddof, keepdim=keepdims)

    return spread


def _quantile(x: Any, q: Any, axis: Any = None, keepdims: bool = False) -> Any:
    axes = [
        a % x.ndim for a in (range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))
    ]
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = x.permute((*kept, *axes)).reshape([x.shape[i] for i in kept] + [-1])
    y = torch.quantile(rows, torch.tensor(q, dtype=x.dtype), dim=-1)
    if not keepdims:
        return y
    return y.reshape(np.shape(q) + tuple([1 if i in axes else n for i, n in enumerate(x.shape)]))


def _weighted_average(x: Any, weights: Any, axis: Any = None) -> Any:
    if weights.ndim < x.ndim and axis is not None:
        weights = weights.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    weights = weights.expand(x.shape)
    return torch.sum(x * weights, _axes(x, axis)) / torch.sum(weights, _axes(x, axis))


def _clip(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    return x if min is None and max is None else torch.clip(x, min, max)


def _group_norm(x: Any, weight: Any, bias: Any, groups: int, eps: float = 1e-5) -> Any:
    return F.group_norm(x, groups, weight, bias, eps)


def _complex(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x.contiguous())


COUNTERPARTS: Mapping[str, Callable[..., Any]] = {
    **_elementwise_names(),
    **MATRICES,
    "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3),
    "celu": lambda x, alpha=1.0: F.celu(x, alpha),
    "clip": _clip,
    "clip_numbers": _clip,
    "cummax": lambda x, axis: torch.cummax(x, axis)[0],
    "cummin": lambda x, axis: torch.cummin(x, axis)[0],
    "ctc_loss": _ctc_loss,
    "cumprod": _running(torch.cumprod),
    "cumsum": _running(torch.cumsum),
    "diff": lambda x, n=1, axis=-1: torch.diff(x, n, axis) if n else x * 1,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "fft": lambda x, axis=-1: torch.view_as_real(torch.fft.fft(_complex(x), dim=axis)),
    "ifft": lambda x, axis=-1: torch.view_as_real(torch.fft.ifft(_complex(x), dim=axis)),
    "rfft": lambda x, axis=-1: torch.view_as_real(torch.fft.rfft(x, dim=axis)),
    "irfft": lambda x, n, axis=-1: torch.fft.irfft(_complex(x), n, dim=axis),
    # Composed, as PyTorch's own have no second derivative.
    "hardsigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * torch.clamp(x / 6 + 0.5, 0, 1),
    "gelu": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "gradient": lambda x, spacing=1.0, axis=0, edge_order=1: torch.gradient(
        x, spacing=spacing, dim=axis, edge_order=edge_order
    )[0],
    "logit": torch.logit,
    "glu": lambda x, axis=-1: F.glu(x, axis),
    "group_norm": _group_norm,
    "layer_norm": lambda x, weight, bias, eps=1e-5: F.layer_norm(x, weight.shape, weight, bias, eps),
    "leaky_relu": lambda x, slope=0.01: F.leaky_relu(x, slope),
    "length": _over(lambda x, axes, keepdim: torch.linalg.vector_norm(x, 2, axes, keepdim)),
    "median": lambda x, axis=None, keepdims=False: _quantile(x, 0.5, axis, keepdims),
    "nan_to_num": lambda x, nan=0.0: torch.nan_to_num(x, nan, torch.inf, -torch.inf),
    "polygamma": lambda x, n: torch.polygamma(n, x),
    "prod": _prod,
    "ptp": _over(lambda x, axes, keepdim: torch.amax(x, axes, keepdim) - torch.amin(x, axes, keepdim)),
    "quantile": _quantile,
    "rms_norm": lambda x, weight, eps=1e-5: F.rms_norm(x, weight.shape, weight, eps),
    "softplus": lambda x, beta=1.0: F.softplus(x, beta, threshold=1e9),
    "std": _spread(torch.std),
    "var": _spread(torch.var),
    "weighted_average": _weighted_average,
    "abs": torch.abs,
    "add": torch.add,
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "avg_pool2d": _avg_pool2d,
    "avg_pool2d_input": _avg_pool2d_input,
    "batch_norm": _batch_norm,
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "adaptive_max_pool2d": F.adaptive_max_pool2d,
    "conv1d": F.conv1d,
    "conv2d": F.conv2d,
    "fold": F.fold,
    "interpolate": F.interpolate,
    "unfold": F.unfold,
    "conv2d_input": _conv2d_input,
    "conv2d_weight": _conv2d_weight,
    "conv_transpose2d": F.conv_transpose2d,
    "cos": torch.cos,
    "cross_entropy": _cross_entropy,
    "div": torch.div,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "getitem": _getitem,
    "linear": _linear,
    "log": torch.log,
    "log1p": torch.log1p,
    "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "logsumexp": _over(torch.logsumexp),
    "matmul": torch.matmul,
    "max": _over(torch.amax),
    "max_pool2d": _max_pool2d,
    "max_pool2d_input": _max_pool2d_input,
    "max_pool2d_pick": _max_pool2d_pick,
    "maximum": torch.maximum,
    "mean": _over(torch.mean),
    "min": _over(torch.amin),
    "minimum": torch.minimum,
    "mul": torch.mul,
    "neg": torch.neg,
    "pow": torch.pow,
    "relu": torch.relu,
    "reshape": lambda x, shape: torch.reshape(x, tuple(np.atleast_1d(shape).tolist())),
    "scaled_dot_product_attention": _attention,
    "scatter_add": _scatter_add,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "sqrt": torch.sqrt,
    "sub": torch.sub,
    "squeeze": lambda x, axis=None: torch.squeeze(x) if axis is None else torch.squeeze(x, axis),
    "sum": _over(torch.sum),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "tanh": torch.tanh,
    "transpose": _transpose,
    "unsqueeze": lambda x, axis: torch.unsqueeze(x, axis),
    "where": torch.where,
}
"""By the op's name."""
