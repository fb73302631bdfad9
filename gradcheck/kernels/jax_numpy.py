"""Primitives of JAX in NumPy, for numbers in float64: hundreds of small steps take no compilation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array

Step = Callable[[Mapping[str, Any], Sequence[Any]], Any]


def _plain(f: Any) -> Step:
    return lambda p, xs: f(*xs)


def _broadcast(p: Mapping[str, Any], xs: Sequence[Any]) -> Any:
    shape = [1] * len(p["shape"])
    for axis, n in zip(p["broadcast_dimensions"], xs[0].shape, strict=True):
        shape[axis] = n
    return np.broadcast_to(xs[0].reshape(shape), p["shape"])


def _slice(p: Mapping[str, Any], xs: Sequence[Any]) -> Any:
    steps = p["strides"] or (1,) * xs[0].ndim
    return xs[0][tuple(map(slice, p["start_indices"], p["limit_indices"], steps))]


def _cumulated(p: Mapping[str, Any], xs: Sequence[Any]) -> Any:
    if p["reverse"]:
        return np.flip(np.cumsum(np.flip(xs[0], p["axis"]), p["axis"]), p["axis"])
    return np.cumsum(xs[0], p["axis"])


def _product(p: Mapping[str, Any], xs: Sequence[Any]) -> Any:
    """Batch axes, then those of the first operand that are left, then those of the second."""
    (mine, yours), (batch, other) = p["dimension_numbers"]
    a, b = xs
    free = [i for i in range(a.ndim) if i not in (*mine, *batch)]
    rest = [i for i in range(b.ndim) if i not in (*yours, *other)]
    inner = int(np.prod([a.shape[i] for i in mine], dtype=np.int64))
    outer = [a.shape[i] for i in batch]
    left = a.transpose(*batch, *free, *mine).reshape(*outer, -1, inner) if a.size else None
    right = b.transpose(*other, *yours, *rest).reshape(*outer, inner, -1) if b.size else None
    shape = (*outer, *[a.shape[i] for i in free], *[b.shape[i] for i in rest])
    return np.zeros(shape) if left is None or right is None else (left @ right).reshape(shape)


def _selected(p: Mapping[str, Any], xs: Sequence[Any]) -> Any:
    which, *cases = xs
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases)


def _logistic(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _rsqrt(x: Array) -> Array:
    return np.asarray(1 / np.sqrt(x))


STEPS: dict[str, Step] = {
    **{
        name: _plain(f)
        for name, f in {
            "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
            "neg": np.negative, "abs": np.abs, "sign": np.sign, "max": np.maximum, "min": np.minimum, "floor": np.floor,
            "ceil": np.ceil, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
            "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sqrt": np.sqrt, "rsqrt": _rsqrt, "square": np.square,
            "logistic": _logistic, "pow": np.power, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
            "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "is_finite": np.isfinite,
            "stop_gradient": np.asarray, "copy": np.asarray, "copy_p": np.asarray, "gradcheck_seam": np.asarray,
        }.items()
    },
    "integer_pow": lambda p, xs: np.power(xs[0], float(p["y"])),
    "broadcast_in_dim": _broadcast,
    "reshape": lambda p, xs: xs[0].reshape(p["new_sizes"]),
    "transpose": lambda p, xs: xs[0].transpose(p["permutation"]),
    "squeeze": lambda p, xs: np.squeeze(xs[0], tuple(p["dimensions"])),
    "rev": lambda p, xs: np.flip(xs[0], tuple(p["dimensions"])),
    "slice": _slice,
    "concatenate": lambda p, xs: np.concatenate(xs, p["dimension"]),
    "select_n": _selected,
    "reduce_sum": lambda p, xs: np.sum(xs[0], tuple(p["axes"])),
    "reduce_max": lambda p, xs: np.max(xs[0], tuple(p["axes"])),
    "reduce_min": lambda p, xs: np.min(xs[0], tuple(p["axes"])),
    "cumsum": _cumulated,
    "dot_general": _product,
    "convert_element_type": lambda p, xs: xs[0].astype(p["new_dtype"]),
}  # fmt: skip
"""By name; each takes the parameters and the operands."""

MADE_OF_ANYTHING = frozenset(
    [
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "select_n",
        "broadcast_in_dim",
        "reshape",
        "transpose",
        "squeeze",
        "rev",
        "slice",
        "concatenate",
        "gradcheck_seam",
    ]
)
"""Steps that are NumPy's own for integers and truth values too."""


def in_numpy(name: str, params: Mapping[str, Any], given: Sequence[Any], like: Sequence[Any]) -> Any:
    """The result, None where it is left to JAX; `like`: the shapes and dtypes that it has to have."""
    step = STEPS.get(name)
    if step is None or len(like) != 1:
        return None
    kinds = {str(x.dtype) for x in given}
    if not kinds <= {"float64", "bool"} and name not in MADE_OF_ANYTHING and name != "convert_element_type":
        return None
    if "float64" not in (*kinds, str(like[0].dtype)):
        return None
    if kinds == {"bool"} and name != "convert_element_type" and name not in MADE_OF_ANYTHING:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(step(params, given))
