"""Making Tensors: from data, filled, and random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError
from gradcore.tensor import Tensor, as_array, plain

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from gradcore.tensor import Operand

Shape = int | tuple[int, ...]


def tensor(data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with a copy of `data`; Python numbers become float32 unless `dtype` is given, arrays keep theirs.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    array = as_array(data) if dtype is None else np.asarray(plain(data), dtype)
    return Tensor(array.copy(), requires_grad)


def zeros(shape: Shape, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return Tensor(np.zeros(shape, dtype), requires_grad)


def ones(shape: Shape, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones."""
    return Tensor(np.ones(shape, dtype), requires_grad)


def full(shape: Shape, value: float, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """`value` everywhere."""
    return Tensor(np.full(shape, value, dtype), requires_grad)


def arange(*bounds: float, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Evenly spaced numbers: arange(stop), arange(start, stop) or arange(start, stop, step)."""
    return Tensor(np.arange(*bounds).astype(dtype), requires_grad)


def eye(n: int, m: int | None = None, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n x m matrix (n x n by default), zeros elsewhere."""
    return Tensor(np.eye(n, m, dtype=dtype), requires_grad)


def rand(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | int | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers in [low, high), from a `numpy.random.Generator` or a seed."""
    if not low <= high:
        raise DomainError(f"rand got low={low} and high={high}: low must not exceed high")
    array = np.asarray(np.random.default_rng(rng).uniform(low, high, shape), dtype)
    if array.dtype.kind == "f" and low < high:
        # Rounding to float32 takes one number in 2**25 up to high, which is not to be drawn.
        array = np.minimum(array, np.nextafter(array.dtype.type(high), array.dtype.type(low)))
    return Tensor(array, requires_grad)


def randn(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | int | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal random numbers, from a `numpy.random.Generator` or a seed."""
    if not std >= 0:
        raise DomainError(f"randn got std={std}: a standard deviation is not negative")
    return Tensor(np.asarray(np.random.default_rng(rng).normal(mean, std, shape), dtype), requires_grad)


def zeros_like(x: Operand, **more: Any) -> Tensor:
    """Zeros of x's shape and dtype; `dtype` and `requires_grad` may be given."""
    return zeros(**{**_like(x), **more})


def ones_like(x: Operand, **more: Any) -> Tensor:
    """Ones of x's shape and dtype; `dtype` and `requires_grad` may be given."""
    return ones(**{**_like(x), **more})


def full_like(x: Operand, value: float, **more: Any) -> Tensor:
    """`value` everywhere, in x's shape and dtype; `dtype` and `requires_grad` may be given."""
    return full(**{**_like(x), "value": value, **more})


def rand_like(x: Operand, **more: Any) -> Tensor:
    """Uniform random numbers of x's shape and dtype; takes what `rand` takes."""
    return rand(**{**_like(x), **more})


def randn_like(x: Operand, **more: Any) -> Tensor:
    """Normal random numbers of x's shape and dtype; takes what `randn` takes."""
    return randn(**{**_like(x), **more})


def _like(x: Operand) -> dict[str, Any]:
    array = as_array(x)
    return {"shape": array.shape, "dtype": array.dtype}
