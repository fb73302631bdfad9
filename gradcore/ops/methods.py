"""Methods under the names that PyTorch's and NumPy's users write: views of the ops beside them."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore import names
from gradcore.errors import GraphError, ShapeError
from gradcore.op import our_names
from gradcore.ops.shape import astype, reshape, transpose
from gradcore.tensor import FUNCTIONS, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _axis(name: str, axis: Any, ndim: int, shape: tuple[int, ...]) -> int:
    """`axis` counted from the front; ShapeError where there is no such axis."""
    found = operator.index(axis)
    if not -ndim <= found < ndim:
        raise ShapeError(f"{name} got axis {found} of shape {shape}: axes go from {-ndim} to {ndim - 1}")
    return found % ndim


def squeeze(self: Any, axis: Any = None, **named: Any) -> Any:
    """Without the axes of size 1: all of them, or those that `axis` names; ShapeError where such a one is longer."""
    axis = our_names("squeeze", ("axis",), {"axis": axis}, named)["axis"]
    shape = self.shape
    if axis is None:
        return reshape(self, tuple([n for n in shape if n != 1]))
    axes = {
        _axis("squeeze", a, len(shape), shape) for a in (axis if isinstance(axis, tuple | list) else (axis,))
    }
    if longer := [a for a in sorted(axes) if shape[a] != 1]:
        raise ShapeError(
            f"squeeze got axis {longer[0]} of shape {shape}, whose size is {shape[longer[0]]}, not 1"
        )
    return reshape(self, tuple([n for i, n in enumerate(shape) if i not in axes]))


def unsqueeze(self: Any, axis: Any = None, **named: Any) -> Any:
    """With a new axis of size 1 at `axis`."""
    axis = our_names("unsqueeze", ("axis",), {"axis": axis}, named)["axis"]
    place = _axis("unsqueeze", axis, len(self.shape) + 1, self.shape)
    return reshape(self, (*self.shape[:place], 1, *self.shape[place:]))


def swapaxes(self: Any, a: int, b: int) -> Any:
    """With two axes swapped."""
    axes = list(range(len(self.shape)))
    i, j = (_axis("swapaxes", k, len(axes), self.shape) for k in (a, b))
    axes[i], axes[j] = axes[j], axes[i]
    return transpose(self, tuple(axes))


def _view(self: Tensor, *shape: Any) -> Any:
    """The same entries under another shape, as `reshape`."""
    return self.reshape(*shape)


def _permute(self: Tensor, *axes: Any) -> Any:
    """The axes in the order listed: `x.permute(1, 0)` or `x.permute((1, 0))`."""
    return self.transpose(tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes)


def _flatten(self: Tensor, start: int = 0, end: int = -1) -> Any:
    """The axes from `start` to `end`, both included, as one; all of them by default."""
    shape = self.shape or (1,)
    first, last = (_axis("flatten", k, len(shape), shape) for k in (start, end))
    return reshape(self, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _t(self: Tensor) -> Any:
    """A matrix transposed; ShapeError for more than two axes."""
    if self.ndim > 2:
        raise ShapeError(
            f"t() transposes a matrix, and this tensor has shape {self.shape}: write x.swapaxes(-1, -2)"
        )
    return self.T


def _argmax(self: Tensor, axis: int | None = None, keepdims: bool = False, **named: Any) -> NDArray[np.intp]:
    """Where the largest entry is over `axis`, as an array of whole numbers."""
    names = our_names("argmax", ("axis", "keepdims"), {"axis": axis, "keepdims": keepdims}, named)
    return np.asarray(np.argmax(self.data, **names))


def _argmin(self: Tensor, axis: int | None = None, keepdims: bool = False, **named: Any) -> NDArray[np.intp]:
    """Where the smallest entry is over `axis`, as an array of whole numbers."""
    names = our_names("argmin", ("axis", "keepdims"), {"axis": axis, "keepdims": keepdims}, named)
    return np.asarray(np.argmin(self.data, **names))


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
    "squeeze": squeeze, "unsqueeze": unsqueeze, "swapaxes": swapaxes, "view": _view, "permute": _permute, "flatten": _flatten,
    "t": _t, "argmax": _argmax, "argmin": _argmin, "clone": _clone, "numpy": _numpy, "dim": _dim, "numel": _numel,
}.items():  # fmt: skip
    setattr(Tensor, _name, _method)

names.attach(Tensor, "Tensor", names.TENSOR)

FUNCTIONS[np.squeeze] = squeeze
FUNCTIONS[np.expand_dims] = unsqueeze
FUNCTIONS[np.swapaxes] = swapaxes
