"""Whether two recordings of a step are of the same calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.replay.leaves import Leaf
from gradcore.replay.program import Call, Value, same_bits


def same_calls(mine: list[Call], other: list[Call]) -> str:
    """How two recordings of a step differ; "" where they do not."""
    if len(mine) != len(other):
        return f"it made {len(mine)} calls and then {len(other)}"
    pairs: dict[int, Value] = {}

    def equal(x: Any, y: Any) -> bool:
        if type(x) is Value or type(y) is Value:
            return type(x) is type(y) and pairs.setdefault(id(x), y) is y
        if isinstance(x, tuple | list):
            return type(x) is type(y) and len(x) == len(y) and all(map(equal, x, y))
        if isinstance(x, dict):
            return isinstance(y, dict) and x.keys() == y.keys() and all(equal(x[k], y[k]) for k in x)
        if isinstance(x, slice):
            return isinstance(y, slice) and equal((x.start, x.stop, x.step), (y.start, y.stop, y.step))
        if isinstance(x, Leaf):
            return isinstance(y, Leaf) and (
                x.argument == y.argument and (x.argument is not None or x.tensor is y.tensor)
            )
        if isinstance(x, np.ndarray | np.generic):
            return x is y or same_bits(x, y)
        return type(x) is type(y) and (x is y or bool(x == y) or (x != x and y != y))

    for a, b in zip(mine, other, strict=True):
        if a.effect and a.function != b.function:
            return "a callback got another function the second time: make it once, outside of the step"
        if (a.out is None) != (b.out is None) or not equal((a.args, a.kwargs), (b.args, b.kwargs)):
            name = getattr(a.function, "__name__", str(a.function))
            return f"its call of {name} got other numbers, arrays or options the second time"
        if a.out is not None and b.out is not None:
            pairs[id(a.out)] = b.out
    return ""
