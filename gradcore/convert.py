"""What is passed in place of a Tensor, as an array of numbers, or an error that says what to pass."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DtypeError, GraphError, ShapeError
from gradcore.graph import Node
from gradcore.modes import tracing

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Those that look at shapes and dtypes only.
_OF_SHAPES = {
    np.shape,
    np.ndim,
    np.size,
    np.zeros_like,
    np.ones_like,
    np.empty_like,
    np.full_like,
    np.result_type,
}


def plain(value: Any) -> Any:
    """The array of a Tensor, for a look at its values; anything else as it is."""
    if not isinstance(value, Node):
        return value
    trace = tracing()
    if trace is not None:
        trace.read(value, "what it calls")
    return value.data


def of_values(function: Any, args: Any, kwargs: Any) -> Any:
    """What a function of NumPy's gives of the values of Tensors alone."""
    trace = tracing()
    if trace is not None and function not in _OF_SHAPES:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Node):
                trace.read(value, f"np.{function.__name__}")
    given = [x.data if isinstance(x, Node) else x for x in args]
    return function(*given, **{name: x.data if isinstance(x, Node) else x for name, x in kwargs.items()})


def as_array(value: Any) -> NDArray[Any]:
    """`value` as an array: arrays as they are, Python's numbers and lists of them as float32, int64 or booleans."""
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return value
    if isinstance(value, Node):
        return value.data
    array = unmixed(value)
    if array.dtype.kind not in "fiub":
        raise _not_numbers(value, array.dtype)
    return array if array.dtype.kind != "f" or _holds_arrays(value) else array.astype(np.float32)


def unmixed(value: Any) -> NDArray[Any]:
    """`value` as an array of numbers: ShapeError for lists of unequal lengths, DtypeError for what holds no numbers."""
    if callable(value):
        got = value.__name__ if hasattr(value, "__name__") else type(value).__name__
        raise DtypeError(f"expected numbers, and got {got}: call it, and use what it gives")
    try:
        array = np.asarray(_unwrapped(value))
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"the lists in {value!r:.60} are of unequal lengths: a tensor is a box of numbers, so fill up the short ones, or "
            "make a tensor of each"
        ) from None
    if array.dtype.kind not in "fiubcV":
        raise _not_numbers(value, array.dtype)
    return array


def _not_numbers(value: Any, dtype: Any) -> DtypeError:
    return DtypeError(
        f"a tensor holds real numbers, and {type(value).__name__} {value!r:.60} gives the dtype {dtype}: pass an "
        "array, a number, or equally long lists of numbers"
    )


def _unwrapped(value: Any) -> Any:
    """Lists of Tensors become lists of arrays; GraphError where one of them requires a gradient, which would be lost."""
    if isinstance(value, list | tuple):
        return [_unwrapped(_unrecorded(v)) for v in value]
    return plain(value)


def _unrecorded(value: Any) -> Any:
    if isinstance(value, Node) and value.requires_grad:
        raise GraphError(
            "a list of Tensors that require gradients can't become one array, as their history would be lost: join them with "
            "gradcore.stack or concatenate, or write x.data for each"
        )
    return value


def _holds_arrays(value: Any) -> bool:
    """Whether NumPy's dtypes are among what `value` was made from: they are kept, Python's numbers have none."""
    if isinstance(value, list | tuple):
        return any(_holds_arrays(v) for v in value)
    return isinstance(value, np.ndarray | np.generic | Node)


@lru_cache(256, typed=True)
def number(value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A number that meets a Tensor of `dtype`, as a read-only array: weak, as in NumPy; one array for all nodes that take it.

    Not for zeros, as 0.0 and -0.0 are equal and would be taken for each other.
    """
    array = np.array(value, dtype if dtype.kind == "f" else np.result_type(dtype, value))
    array.flags.writeable = False
    return array


def operand(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A number or list that meets a Tensor of `dtype`, as an array: numbers are weak, as in NumPy."""
    if type(value) is float or type(value) is int:
        return number(value, dtype) if value else number.__wrapped__(value, dtype)
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    array = unmixed(value)
    return array.astype(dtype) if dtype.kind == "f" and array.dtype.kind in "iuf" else array
