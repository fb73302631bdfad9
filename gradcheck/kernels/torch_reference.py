"""A reference in PyTorch: run in float64 under a dispatch mode that sees every operation, backward included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.errors import CallError
from gradcheck.kernels.formats import Claims
from gradcheck.kernels.noise import Pool
from gradcheck.kernels.results import Results, same

EXACT = frozenset(
    [
        "neg",
        "abs",
        "relu",
        "relu_",
        "threshold_backward",
        "clone",
        "copy_",
        "_to_copy",
        "detach",
        "alias",
        "where",
        "gather",
        "index",
        "index_select",
        "embedding",
        "cat",
        "stack",
        "max",
        "min",
        "amax",
        "amin",
        "maximum",
        "minimum",
        "clamp",
        "clamp_min",
        "clamp_max",
        "sign",
        "sgn",
        "floor",
        "ceil",
        "round",
        "trunc",
        "argmax",
        "argmin",
        "topk",
        "sort",
        "fill",
        "fill_",
        "zero_",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "full",
        "full_like",
        "empty",
        "empty_like",
        "empty_strided",
        "new_zeros",
        "new_empty",
        "new_empty_strided",
        "new_ones",
        "new_full",
        "arange",
        "scalar_tensor",
        "tril",
        "triu",
        "masked_fill",
        "masked_fill_",
        "slice_backward",
        "select_backward",
        "constant_pad_nd",
        "flip",
        "roll",
        "repeat",
        "masked_select",
        "nonzero",
        "lift_fresh",
        "one_hot",
        "index_copy",
        "slice_scatter",
        "select_scatter",
        "scatter",
        "diagonal_backward",
        "max_pool2d_with_indices",
        "unfold_backward",
        "cummax",
        "_efficientzerotensor",
        "value_selecting_reduction_backward",
        "masked_scatter",
        "nan_to_num",
    ]
)
"""Operations that round nothing, besides views."""

SUMS = frozenset(
    [
        "mm",
        "bmm",
        "mv",
        "dot",
        "vdot",
        "sum",
        "mean",
        "cumsum",
        "index_add",
        "index_add_",
        "scatter_add",
        "scatter_add_",
        "index_put",
        "index_put_",
        "_index_put_impl_",
        "convolution",
        "convolution_backward",
        "embedding_dense_backward",
        "segment_reduce",
        "_unsafe_index_put",
        "avg_pool2d",
        "avg_pool2d_backward",
        "trace",
    ]
)

OPENED = frozenset(
    [
        "_softmax",
        "_softmax_backward_data",
        "_log_softmax",
        "_log_softmax_backward_data",
        "native_layer_norm",
        "native_layer_norm_backward",
        "native_group_norm",
        "native_group_norm_backward",
        "native_batch_norm",
        "native_batch_norm_backward",
        "silu",
        "silu_backward",
        "gelu",
        "gelu_backward",
        "logsumexp",
        "nll_loss_forward",
        "nll_loss_backward",
        "var",
        "var_mean",
        "std",
        "addmm",
        "baddbmm",
        "addmv",
        "softplus_backward",
        "sigmoid_backward",
        "tanh_backward",
        "mse_loss",
        "mse_loss_backward",
        "huber_loss",
        "smooth_l1_loss",
        "addcmul",
        "addcdiv",
        "linalg_vector_norm",
        "_fused_rms_norm",
        "_fused_rms_norm_backward",
    ]
)
"""Operations of several steps, each of which has its own error."""


class _Errors(TorchDispatchMode):  # type: ignore[misc]
    """Adds to each result the error that rounding it may have."""

    def __init__(self, claims: Claims, pool: Pool) -> None:
        super().__init__()
        self.claims, self.narrow = claims, ""
        self._pool = pool

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        if name in OPENED and func in decomposition_table:
            with self:
                return decomposition_table[func](*args, **kwargs)
        sums = name in SUMS
        terms = func(*_sizes(args), **_sizes(kwargs)) if sums and not func._schema.is_mutable else None
        if sums and func._schema.is_mutable:
            first, *rest = args
            terms = func(first.abs(), *_sizes(rest), **_sizes(kwargs))
        y = func(*args, **kwargs)
        for one in y if isinstance(y, tuple | list) else (y,):
            if torch.is_tensor(one) and one.is_floating_point() and one.dtype != torch.float64:
                self.narrow = self.narrow or f"{str(one.dtype).rpartition('.')[2]} (the result of {name})"
        if name in EXACT or func.is_view:
            return y
        if isinstance(y, tuple | list):
            each: Any = terms if sums else [None] * len(y)
            return type(y)([self._rounded(a, t, 1) for a, t in zip(y, each, strict=True)])
        count = _count(name, args, y) if sums and self.claims.result else 1
        if func._schema.is_mutable and torch.is_tensor(y):
            y.copy_(self._rounded(y, terms, count))
            return y
        return self._rounded(y, terms, count)

    def _rounded(self, y: Any, terms: Any, count: Any) -> Any:
        if not torch.is_tensor(y) or not y.is_floating_point() or not self.claims.result:
            return y
        out = y * self._factors(self.claims.result, y)
        return (
            out
            if terms is None
            else out + self.claims.sums * self._normal(y) * terms.nan_to_num(0.0, 0.0, 0.0)
        )

    def store(self, y: Any, unit: float) -> None:
        """Write into an output, and what the backward pass saved of it, the error with which the kernel stores it."""
        with _disable_current_modes():
            y.data.mul_(self._factors(unit / 2, y))

    def moved(self, x: Any) -> Any:
        """An input, moved by its error."""
        with _disable_current_modes():
            return x * self._factors(self.claims.inputs, x) if x.dtype == torch.float64 else x

    def _normal(self, y: Any) -> Any:
        return torch.from_numpy(self._pool.normal(y.numel())).reshape(y.shape).to(y.device)

    def _factors(self, error: float, y: Any) -> Any:
        return torch.from_numpy(self._pool.factors(error, y.numel())).reshape(y.shape).to(y.device)


MAXIMA = {torch.amax, torch.max, torch.amin, torch.min}
MAXIMA |= {torch.Tensor.amax, torch.Tensor.max, torch.Tensor.amin, torch.Tensor.min}


class _ConstantMaxima(TorchFunctionMode):  # type: ignore[misc]
    """Takes maxima for constants."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        if func not in MAXIMA:
            return y
        if torch.is_tensor(y):
            return y.detach()
        return type(y)([one.detach() for one in y])


def _count(name: str, args: Any, y: Any) -> float:
    """How many terms each sum has, at most."""
    first = args[0]
    if name in ("mm", "bmm", "mv", "dot", "vdot"):
        return float(first.shape[-1])
    if name in ("sum", "mean", "trace"):
        return float(first.numel() / max(y.numel(), 1))
    if name == "cumsum":
        return float(first.shape[args[1]]) if first.ndim else 1.0
    index = [a for a in (*args, *(a for b in args if isinstance(b, tuple | list) for a in b)) if _is_index(a)]
    if index and index[0].numel():
        return float(
            torch.unique(
                torch.stack([i.flatten() for i in index if i.shape == index[0].shape]),
                dim=1,
                return_counts=True,
            )[1].max()
        )
    return 1.0


def _is_index(value: Any) -> bool:
    return bool(torch.is_tensor(value) and not value.is_floating_point() and value.dtype != torch.bool)


def _sizes(value: Any) -> Any:
    if torch.is_tensor(value):
        return value.abs() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)([_sizes(v) for v in value])
    return {k: _sizes(v) for k, v in value.items()} if isinstance(value, dict) else value


class TorchReference:
    """`g` on float64 tensors, and its `torch.autograd` derivative for some cotangents."""

    def __init__(
        self,
        g: Callable[..., Any],
        call: Callable[[list[Any]], Any],
        arrays: Sequence[Array],
        device: Any,
        seed: int = 0,
    ) -> None:
        self.notes: list[str] = []
        self.name, self._g, self._call, self._device = name_of(g), g, call, device
        self._arrays = [torch.as_tensor(np.ascontiguousarray(a)).to(device) for a in arrays]
        self._gys: list[list[Any]] = []
        self._shifts, self._pool = False, Pool(seed)
        self._exact: Results | None = None
        self.outputs = tuple(self._run(None).outputs)

    def pull(self, gys: Sequence[Array | None]) -> None:
        """Ask for the derivative for these cotangents as well."""
        self._gys.append([None if gy is None else torch.as_tensor(gy).to(self._device) for gy in gys])

    def ready(self) -> None:
        """Run it, and find out whether its maxima are subtracted against overflow only, as in `recorded`."""
        self._exact = self._run(None)
        self._shifts = True
        without = self._run(None)
        self._shifts = all(same(a, b) for a, b in zip(self._exact.pulled, without.pulled, strict=True))

    def at(self, arrays: Sequence[Array]) -> TorchReference:
        """The same reference on other arrays."""
        return TorchReference(self._g, self._call, arrays, self._device)

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arrays, nothing recorded."""
        own = [torch.as_tensor(np.ascontiguousarray(a)).to(self._device) for a in arrays]
        with torch.no_grad():
            return [_numbers(y) for _, y in leaves(self._call(own), "output") if y is not None]

    def exact(self) -> Results:
        """Outputs and cotangents without errors."""
        return self._run(None) if self._exact is None else self._exact

    def noisy(self, claims: Claims, units: Sequence[float]) -> Results:
        """The same with errors. units: the roundoff with which each output is stored before the backward pass reads it."""
        return self._run(_Errors(claims, self._pool), units)

    def _run(self, errors: _Errors | None, units: Sequence[float] = ()) -> Results:
        own = [x if errors is None else errors.moved(x) for x in self._arrays]
        own = [x.detach().requires_grad_(x.is_floating_point()) for x in own]
        watching = errors or _Errors(Claims(0.0, 0.0, 0.0), self._pool)
        constant = _ConstantMaxima() if self._shifts else nullcontext()
        with sdpa_kernel(SDPBackend.MATH), constant, watching:
            ys = [self._output(path, y) for path, y in leaves(self._call(own), "output") if y is not None]
            outputs = [_numbers(y).copy() for y in ys]
            if errors is not None:
                for y, unit in zip(ys, units, strict=True):
                    if y.is_floating_point():
                        errors.store(y, unit)
            pulled = [self._pulled(ys, gys, own, errors) for gys in self._gys]
        if watching.narrow:
            raise CallError(
                f"the reference {self.name} works in {watching.narrow}, and it has to be exact beside the kernel: make its "
                "constants and conversions float64, or leave them out"
            )
        return Results(outputs, pulled)

    def _pulled(
        self, ys: list[Any], gys: list[Any], own: list[Any], errors: _Errors | None
    ) -> list[Array | None]:
        roots = [(y, gy) for y, gy in zip(ys, gys, strict=True) if gy is not None and y.requires_grad]
        sources = [x for x in own if x.requires_grad]
        if not roots:
            return [None] * len(own)
        given = [gy if errors is None else errors.moved(gy) for _, gy in roots]
        found = iter(
            torch.autograd.grad([y for y, _ in roots], sources, given, retain_graph=True, allow_unused=True)
        )
        gxs = [next(found) if x.requires_grad else None for x in own]
        return [None if gx is None else _numbers(gx) for gx in gxs]

    def _output(self, path: str, y: Any) -> Any:
        if not torch.is_tensor(y):
            raise CallError(
                f"the reference {self.name} returned {described(y)} ({path}): return a tensor for each of the kernel's"
            )
        return y


def _numbers(tensor: Any) -> Array:
    found: Array = tensor.detach().cpu().numpy()
    return found
