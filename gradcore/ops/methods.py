"""Methods under the names that PyTorch's and NumPy's users write: views of the ops beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore import names
from gradcore.errors import GraphError, ShapeError
from gradcore.names import with_pytorchs_names
from gradcore.ops.axes import axis_of
from gradcore.ops.shape import astype, reshape
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _view(self: Tensor, *shape: Any) -> Any:
    """The same entries under another shape, as `reshape`."""
    return self.reshape(*shape)


def _permute(self: Tensor, *axes: Any) -> Any:
    """The axes in the order listed: `x.permute(1, 0)` or `x.permute((1, 0))`."""
    return self.transpose(tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes)


def _flatten(self: Tensor, start: int = 0, end: int = -1) -> Any:
    """The axes from `start` to `end`, both included, as one; all of them by default."""
    shape = self.shape or (1,)
    first, last = (axis_of("flatten", k, len(shape), shape) for k in (start, end))
    return reshape(self, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _t(self: Tensor) -> Any:
    """A matrix transposed; ShapeError for more than two axes."""
    if self.ndim > 2:
        raise ShapeError(
            f"t() transposes a matrix, and this tensor has shape {self.shape}: write x.swapaxes(-1, -2)"
        )
    return self.T


@with_pytorchs_names
def _argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> NDArray[np.intp]:
    """Where the largest entry is over `axis`, as an array of whole numbers."""
    return np.asarray(np.argmax(x.data, axis, keepdims=keepdims))


@with_pytorchs_names
def _argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> NDArray[np.intp]:
    """Where the smallest entry is over `axis`, as an array of whole numbers."""
    return np.asarray(np.argmin(x.data, axis, keepdims=keepdims))


def _clone(self: Tensor) -> Any:
    """A copy, through which gradients flow; `x.detach().clone()` is one without history."""
    return astype(self, self.dtype)


def _numpy(self: Tensor) -> NDArray[Any]:
    """The array itself; GraphError where the tensor requires a gradient, as its history would be lost."""
    if self.requires_grad:
        raise GraphError("numpy() of a tensor that requires a gradient: write x.detach().numpy(), or x.data")
    return self.data


def _dim(self: Tensor) -> int:
    """How many axes, as `ndim`."""
    return self.data.ndim


def _numel(self: Tensor) -> int:
    """How many entries, as `size`."""
    return self.data.size


for _name, _method in {
    "view": _view, "permute": _permute, "flatten": _flatten,
    "t": _t, "argmax": _argmax, "argmin": _argmin, "clone": _clone, "numpy": _numpy, "dim": _dim, "numel": _numel,
}.items():  # fmt: skip
    setattr(Tensor, _name, _method)

names.attach(Tensor, "Tensor", names.TENSOR)
