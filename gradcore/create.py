"""Making Tensors: from data, filled, and random."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import as_array, unmixed
from gradcore.errors import DomainError, ShapeError
from gradcore.modes import callback, repeated
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from gradcore.tensor import Operand

Shape = int | tuple[int, ...]


def _sizes(name: str, sizes: tuple[Any, ...], shape: Any) -> tuple[int, ...]:
    """A shape from sizes side by side, from one sequence of them, or from `shape=`; ShapeError for anything else."""
    given = shape if shape is not None and not sizes else sizes
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list | np.ndarray):
        given = sizes[0]
    try:
        found = tuple([operator.index(n) for n in (given if np.iterable(given) else (given,))])
    except TypeError:
        found = (-1,)
    unfit = any(isinstance(n, bool | np.bool_) for n in sizes) or min(found, default=0) < 0
    if unfit or (not sizes and shape is None) or (sizes and shape is not None):
        came = ", ".join(map(repr, sizes)) + ("" if shape is None else f"shape={shape!r}")
        raise ShapeError(
            f"{name}({came:.60}) has no shape of sizes from 0 up: write {name}(2, 3) or {name}((2, 3)), and all else by name, "
            f"as in {name}(2, 3, dtype=np.float64)"
        )
    return found


def tensor(data: Operand, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with a copy of `data`; arrays keep their dtype, Python's numbers become float32, whole ones int64.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).dtype, tensor([0, 2, 1]).dtype
    (dtype('float32'), dtype('int64'))
    """
    return Tensor(repeated(_copied, data.data if type(data) is Tensor else data, dtype), requires_grad)


def _copied(data: Any, dtype: Any) -> NDArray[Any]:
    array = as_array(data) if dtype is None else np.asarray(unmixed(data), dtype)
    return array.copy()


def zeros(
    *sizes: Any, shape: Shape | None = None, dtype: DTypeLike = np.float32, requires_grad: bool = False
) -> Tensor:
    """Zeros: `zeros(2, 3)` or `zeros((2, 3))`."""
    return Tensor(repeated(np.zeros, _sizes("zeros", sizes, shape), dtype), requires_grad)


def ones(
    *sizes: Any, shape: Shape | None = None, dtype: DTypeLike = np.float32, requires_grad: bool = False
) -> Tensor:
    """Ones: `ones(2, 3)` or `ones((2, 3))`."""
    return Tensor(repeated(np.ones, _sizes("ones", sizes, shape), dtype), requires_grad)


def full(shape: Shape, value: float, *, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """`value` everywhere: `full((2, 3), 0.5)`."""
    return Tensor(repeated(np.full, _sizes("full", (shape,), None), value, dtype), requires_grad)


def arange(*bounds: float, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Evenly spaced numbers: arange(stop), arange(start, stop) or arange(start, stop, step)."""
    return Tensor(np.arange(*bounds).astype(dtype), requires_grad)


def eye(n: int, m: int | None = None, dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n x m matrix (n x n by default), zeros elsewhere."""
    return Tensor(np.eye(n, m, dtype=dtype), requires_grad)


def rand(
    *sizes: Any,
    shape: Shape | None = None,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | int | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers in [low, high): `rand(2, 3, rng=0)`. rng: a `numpy.random.Generator` or a seed."""
    found = _sizes("rand", sizes, shape)
    if not low <= high:
        raise DomainError(f"rand got low={low} and high={high}: low must not exceed high")
    return Tensor(callback(_uniform, rng, low, high, found, dtype), requires_grad)


def _uniform(rng: Any, low: float, high: float, shape: Any, dtype: Any) -> NDArray[Any]:
    array = np.asarray(np.random.default_rng(rng).uniform(low, high, shape), dtype)
    if array.dtype.kind == "f" and low < high:
        # Rounding to float32 takes one number in 2**25 up to high, which is not to be drawn.
        array = np.minimum(array, np.nextafter(array.dtype.type(high), array.dtype.type(low)))
    return np.asarray(array)


def randn(
    *sizes: Any,
    shape: Shape | None = None,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | int | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal random numbers: `randn(2, 3, rng=0)`. rng: a `numpy.random.Generator` or a seed."""
    found = _sizes("randn", sizes, shape)
    if not std >= 0:
        raise DomainError(f"randn got std={std}: a standard deviation is not negative")
    return Tensor(callback(_normal, rng, mean, std, found, dtype), requires_grad)


def _normal(rng: Any, mean: float, std: float, shape: Any, dtype: Any) -> NDArray[Any]:
    return np.asarray(np.random.default_rng(rng).normal(mean, std, shape), dtype)


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
