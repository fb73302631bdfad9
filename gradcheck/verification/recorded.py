"""The other ways to call an op: methods, operators and NumPy functions on Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.verification.outcome import VerificationError, described
from gradcore.op import Op, binary_method, unary_method
from gradcore.replay.program import same_bits
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcheck.strategies import Example


def check_fast_method(op: Op[..., Any], example: Example) -> None:
    """`unary_method` and `binary_method` give what forward gives, and record what `Op.__call__` records. Raises `VerificationError`."""
    what = f"the method of {op.name} on {described(example.arrays, example.params)}"
    made: Callable[..., Any] = unary_method(op) if op.n_arrays == 1 else binary_method(op)
    arrays, takes = example.arrays, example.takes_gradient
    plain = _tensors(arrays, [False] * len(arrays))
    found, expected = made(*plain).data, np.asarray(op.forward(*arrays))
    if not same_bits(found, expected):
        raise VerificationError(f"{what} gives {found!r}, and its forward {expected!r}")
    for needs in {takes, *((i == 0, i == 1)[: len(takes)] for i in range(2)), (False,) * len(takes)}:
        tensors = _tensors(arrays, [n and t for n, t in zip(needs, takes, strict=True)])
        _same(what, made(*tensors), op(*tensors))
        if len(tensors) == 2:
            _same(what, made(tensors[0], arrays[1]), op(tensors[0], arrays[1]))
            _same(what, binary_method(op, swapped=True)(tensors[1], arrays[0]), op(arrays[0], tensors[1]))


def check_tensor_method(
    call: Callable[..., Any], op: Callable[..., Any], example: Example, what: str
) -> None:
    """`call(*tensors, **params)`, however it is spelled, is `op(*tensors, **params)`. Raises `VerificationError`."""
    tensors = _tensors(example.arrays, example.takes_gradient)
    found, expected = call(*tensors, **example.params), op(*tensors, **example.params)
    _same(f"{what} on {described(example.arrays, example.params)}", found, expected, isinstance(op, Op))


def _tensors(arrays: Sequence[Any], needs: Sequence[bool]) -> list[Any]:
    return [a if a is None else Tensor(a, requires_grad=n) for a, n in zip(arrays, needs, strict=True)]


def _same(what: str, found: Any, expected: Any, primitive: bool = True) -> None:
    if type(found) is not Tensor or not np.array_equal(found.data, expected.data, equal_nan=True):
        raise VerificationError(f"{what} gives {found!r}, and the op itself {expected!r}")
    mine, its = _record(found, primitive), _record(expected, primitive)
    if mine != its:
        raise VerificationError(f"{what} records {mine}, and the op itself {its}")


def _record(y: Tensor, primitive: bool) -> tuple[Any, ...]:
    """What backward will use; of a composed function, whose inner Tensors are new each time, only the last op."""
    head = (y.dtype, y.requires_grad, y._op)
    if not primitive or y._op is None:
        return head
    parents = tuple([None if p is None else id(p) for p in y._parents])
    arrays = tuple([None if a is None else (a.dtype, a.shape, a.tobytes()) for a in y._arrays])
    return (*head, parents, arrays, str(y._params))
