"""Gradients of ops and losses at an example: numerically, through the recorded graph, and twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.core import as_tensors
from gradcheck.check import gradcheck, gradgradcheck
from gradcheck.verification.outcome import VerificationError, described
from gradcheck.verification.reverse import cotangents_of
from gradcore.op import Op
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gradcheck.report.report import Report
    from gradcheck.strategies import Example


def check_gradient(entry: Any, example: Example, *, seed: int = 0) -> Report:
    """The gradient by every array that takes one, against numeric derivatives, with all contracts.

    entry: an Op, whose pair is checked, or a function composed of ops, which is checked on Tensors.
    Raises `GradientError`.
    """
    return gradcheck(entry, _inputs(entry, example), params=example.params, wrt=_wanted(example), seed=seed)


def check_second_order(entry: Any, example: Example, *, seed: int = 0) -> Report:
    """The recorded rule as a function of its own: derivatives of `(arrays, gy) -> gx`, and its values beside the plain rule's.

    Raises `GradientError`.
    """
    return gradgradcheck(
        entry, _inputs(entry, example), params=example.params, wrt=_wanted(example), seed=seed
    )


def _inputs(entry: Any, example: Example) -> Any:
    """Arrays for an Op, Tensors for a composed function."""
    return example.arrays if isinstance(entry, Op) else as_tensors(example.arrays)


def _wanted(example: Example) -> list[int]:
    return [i for i, takes in enumerate(example.takes_gradient) if takes]


def check_recording(entry: Any, example: Example, gy: NDArray[Any], name: str) -> None:
    """Called on Tensors: the same value, and `backward` leaves what the pair's rule gives.

    Both run the same arithmetic on the same arrays, so they must agree to the last bit. A composed function has no pair:
    its value must agree, and its gradients must have their inputs' shapes and dtypes. Raises `VerificationError`.
    """
    arrays, params, takes = example.arrays, example.params, example.takes_gradient
    what = f"{name} on {described(arrays, params)}"
    forward = entry.forward if isinstance(entry, Op) else entry
    y = np.asarray(forward(*arrays, **params))
    gy = np.ascontiguousarray(gy).reshape(y.shape)
    tensors: list[Any] = [
        Tensor(a, requires_grad=True) if wanted and a is not None else a
        for a, wanted in zip(arrays, takes, strict=True)
    ]
    out = entry(*tensors, **params)
    if type(out) is not Tensor or out.dtype != y.dtype or not np.array_equal(out.data, y, equal_nan=True):
        raise VerificationError(f"{what}: on Tensors it gives {out!r}, on arrays {y!r}")
    out.backward(gy)
    expected = _pair(entry, gy, y, example) if isinstance(entry, Op) else [None] * len(arrays)
    for i, (tensor, gx) in enumerate(zip(tensors, expected, strict=True)):
        if not takes[i]:
            continue
        if tensor.grad is None or tensor.grad.shape != tensor.shape or tensor.grad.dtype != tensor.dtype:
            raise VerificationError(
                f"{what}: backward left {tensor.grad!r} for array {i}, which is {tensor.dtype} {tensor.shape}"
            )
        if gx is not None and not np.array_equal(tensor.grad, gx, equal_nan=True):
            raise VerificationError(
                f"{what}: backward left {tensor.grad!r} for array {i}, and the rule gives {gx!r}"
            )


def _pair(op: Op[..., Any], gy: Any, y: Any, example: Example) -> list[Any]:
    """What the rules give for the arrays that take a gradient, without the engine."""
    arrays = (*example.arrays, *op._defaults[len(example.arrays) :])
    needs = (*example.takes_gradient, *(False for _ in arrays[len(example.arrays) :]))
    return cotangents_of(op, gy, y, arrays, example.params, needs)[: len(example.arrays)]
