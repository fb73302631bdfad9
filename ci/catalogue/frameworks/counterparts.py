"""Each of gradcore's ops as PyTorch has it: a function of tensors with the op's own static parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812


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


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if bias is None or bias.ndim == 1:
        return F.linear(x, weight.T, bias)
    return F.linear(x, weight.T) + bias


def _positions(shape: Any, index: Any) -> Any:
    """Places in the flattened array that an index picks: PyTorch takes no negative steps."""
    return torch.tensor(np.arange(int(np.prod(shape))).reshape(shape)[index])


def _getitem(x: Any, index: Any) -> Any:
    return torch.take(x, _positions(tuple(x.shape), index))


def _scatter_add(x: Any, index: Any, shape: Any) -> Any:
    out = torch.zeros(int(np.prod(shape)), dtype=x.dtype)
    return out.index_add(0, _positions(shape, index).flatten(), x.flatten()).reshape(shape)


def _transpose(x: Any, axes: Any = None) -> Any:
    return x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes)


COUNTERPARTS: Mapping[str, Callable[..., Any]] = {
    "abs": torch.abs,
    "add": torch.add,
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "avg_pool2d": _avg_pool2d,
    "avg_pool2d_input": _avg_pool2d_input,
    "batch_norm": _batch_norm,
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
    "conv2d": F.conv2d,
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
