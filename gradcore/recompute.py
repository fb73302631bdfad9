"""Computing again in the backward pass what a function computed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ArgumentError, GraphError
from gradcore.graph import backward_pass, next_order, walk
from gradcore.modes import enable_grad, inform
from gradcore.tensor import Tensor
from gradcore.variables import cut, name_of, variable

if TYPE_CHECKING:
    from collections.abc import Callable


class _Recomputed:
    """Stands where an op does in a node: its rule evaluates f again."""

    rules = None

    def __init__(self, f: Callable[..., Any], n: int, extras: list[Tensor]) -> None:
        self.f, self.n, self.extras = f, n, extras
        self.name = f"checkpoint({name_of(f)})"

    def whole_rule(
        self, gy: Any, y: Any, arrays: Any, _params: Any, needs: tuple[bool, ...]
    ) -> tuple[Any, ...]:
        del needs
        record = type(gy) is Tensor
        inputs = arrays[: self.n]
        with enable_grad():
            variables = [
                variable(a, self.name) if np.asarray(a.data).dtype.kind == "f" else Tensor(a) for a in inputs
            ]
            again = self.f(*variables)
        if not np.array_equal(again.data, y, equal_nan=True):
            raise GraphError(
                f"{self.name} gave other values when it was evaluated again: it has to be the same function each time (draw "
                "random masks outside, and pass them in)"
            )
        ends = [*[v for v in variables if v.requires_grad], *self.extras]
        with cut(ends):
            found = {id(n): gx for n, gx in backward_pass([(again, gy)], record=record)}
        return tuple(
            [found[id(v)] if id(v) in found else np.zeros_like(v.data) for v in (*variables, *self.extras)]
        )


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with a smaller graph: what f computes on the way is not kept, and computed again in the backward pass.

    f: from arrays and Tensors to one Tensor, the same at each call (GraphError where it is not). Parameters that f uses and
    does not take as arguments get their gradients too.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x * x).sum())(x).backward()
    >>> x.grad
    array([ 3., 12.], dtype=float32)
    """

    def function(*args: Any) -> Any:
        tensors = [a if type(a) is Tensor else Tensor(np.asarray(a)) for a in args]
        start = next_order()
        y = f(*tensors)
        if type(y) is not Tensor:
            raise ArgumentError(
                f"checkpoint is of a function that returns one Tensor, and {name_of(f)} gave {y!r:.60}"
            )
        if not y.requires_grad:
            return y
        known = {id(t) for t in tensors}
        extras: dict[int, Tensor] = {}
        for node in walk(y):  # what it uses from outside: older than the call, and needed by what is younger
            if node._order > start:
                for parent in node._parents:
                    if parent is not None and parent._order <= start and id(parent) not in known:
                        extras[id(parent)] = parent
        if y._order <= start:
            return y
        out = Tensor(y.data)
        out._op = _Recomputed(f, len(tensors), list(extras.values()))
        out._left = (*[t if t.requires_grad else None for t in tensors], *extras.values())
        out._first = tuple([t.data for t in (*tensors, *extras.values())])
        out.requires_grad = True
        inform(out)
        return out

    return function
