"""A kernel of PyTorch: a function of tensors, a `torch.autograd.Function`, a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gradcheck.backends.protocol import Array
from gradcheck.backends.torch import FRAMEWORK
from gradcheck.errors import CallError, RuleError
from gradcheck.kernels.formats import format_of
from gradcheck.kernels.subject import LAYOUTS, Arguments, Ran, Value


class TorchKernel(Arguments):
    """`f` on tensors, and what `torch.autograd` makes of it."""

    kind = "a tensor"
    layouts: tuple[str, ...] = LAYOUTS

    def __init__(self, f: Callable[..., Any], template: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        super().__init__(template, torch.is_tensor)
        self.f, self._params = FRAMEWORK.function(f), dict(params)
        self.name = FRAMEWORK.title(f)
        self.gradient = f"the gradient of {self.name}"
        explicit = any(t.requires_grad for _, t in self._own)
        self.inputs = tuple(
            [
                value_of(path, t, wanted=t.is_floating_point() and (t.requires_grad or not explicit))
                for path, t in self._own
            ]
        )
        self._tensors = [t.detach() for _, t in self._own]

    def value(self, path: str, leaf: Any) -> Value:
        """The numbers of a tensor."""
        return value_of(path, torch.as_tensor(leaf))

    def outputs(self) -> list[Value]:
        """Forward alone."""
        with torch.no_grad():
            return [value_of(path, y) for path, y in self._call([_copied(t) for t in self._tensors])]

    def run(self, gys: Sequence[Array | None] | None, layout: str = "dense") -> Ran:
        """Forward on copies of the inputs, and backward."""
        own = [_copied(t).requires_grad_(v.wanted) for t, v in zip(self._tensors, self.inputs, strict=True)]
        found = self._call(own)
        outputs = [value_of(path, y) for path, y in found]
        if gys is None:
            return Ran(outputs, [])
        roots = [
            (y, given if layout == "given" else laid_out(torch.as_tensor(gy).to(y.device, y.dtype), layout))
            for (_, y), gy, given in zip(found, gys, self.given or gys, strict=True)
            if gy is not None and y.requires_grad
        ]
        sources = [x for x in own if x.requires_grad]
        before = [gy.clone() for _, gy in roots]
        try:
            given = (
                torch.autograd.grad(
                    [y for y, _ in roots], sources, [gy for _, gy in roots], allow_unused=True
                )
                if roots and sources
                else [None] * len(sources)
            )
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            raise RuleError(f"{type(error).__name__}: {error}") from error
        each = iter(given)
        pulled = [
            None if gx is None else value_of(v.path, gx)
            for v, x in zip(self.inputs, own, strict=True)
            for gx in [next(each) if x.requires_grad else None]
        ]
        changed = [
            v.path
            for v, a, b in zip(self.inputs, own, self._tensors, strict=True)
            if not _same(a.detach(), b)
        ]
        changed += ["the cotangent gy"] * any(
            not _same(gy, b) for (_, gy), b in zip(roots, before, strict=True)
        )
        return Ran(outputs, pulled, ", ".join(changed))

    def _call(self, own: Sequence[Any]) -> list[tuple[str, Any]]:
        return self._returned(self.f(*self.arguments(own), **self._params))


def _copied(tensor: Any) -> Any:
    """A copy with the same strides, where none is 0."""
    if not tensor.numel() or 0 in tensor.stride():
        return tensor.clone()
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device).copy_(
        tensor
    )


def _same(a: Any, b: Any) -> bool:
    return bool(torch.equal(a, b)) or bool(
        torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())
    )


def value_of(path: str, tensor: Any, *, wanted: bool = False) -> Value:
    """A tensor among the inputs or outputs. Raises `CallError` where it holds no real numbers."""
    tensor = tensor.detach()
    if tensor.is_floating_point():
        return Value(path, tensor.to("cpu", torch.float64).numpy(), format_of(tensor.dtype, path), wanted)
    if tensor.is_complex():
        raise CallError(f"{path} is of {tensor.dtype}: a kernel takes and returns real numbers")
    return Value(path, tensor.cpu().numpy(), None)


def laid_out(tensor: Any, layout: str) -> Any:
    """The same values in another memory layout; "broadcast" wants rows that are all alike."""
    if layout == "gaps" and tensor.ndim:
        larger = torch.full(
            (*tensor.shape[:-1], 2 * tensor.shape[-1]), 7, dtype=tensor.dtype, device=tensor.device
        )
        larger[..., ::2] = tensor
        return larger[..., ::2]
    if layout == "transposed" and tensor.ndim > 1:
        axes = tuple(range(tensor.ndim))[::-1]
        return tensor.permute(axes).contiguous().permute(axes)
    if layout == "broadcast" and tensor.ndim and tensor.numel():
        return tensor[:1].expand(tensor.shape)
    return tensor
