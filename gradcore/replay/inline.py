"""The calls of NumPy that a forward function or a rule makes; the function itself as one call where it can't be looked into."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.graph import unbroadcast
from gradcore.replay.program import Call, NotCapturable, Value, mapped, same_bits, values_in
from gradcore.replay.traced import Leak, Tape, Traced

if TYPE_CHECKING:
    from collections.abc import Callable

    Calls = list[Call]


def forward_calls(
    function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any], y: Any, weak: bool
) -> tuple[Calls, Value]:
    """The calls that make `y`, which `function(*args, **params)` was when it was recorded, and its Value."""
    found = _looked_into(function, args, params)
    if found is not None and type(found[1]) is Value and same_bits(np.asarray(found[1].example), y):
        calls, value = _as_array(*found)
    else:
        calls, value = _whole(function, args, params, getattr(function, "__name__", "call"))
        calls, value = _as_array(calls, value)
        if not same_bits(value.example, y):
            raise NotCapturable(_OTHER.format(function.__name__))
    if weak:
        for call in calls:
            call.weak = True
    return calls, value


_OTHER = (
    "{} gave other values when it was called again on the same arrays: it draws random numbers, keeps something from call to "
    "call, or an array was changed in place after it had been used. Do such things in gradcore.callback(function, ...)"
)


def rule_calls(
    rule: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any], name: str
) -> tuple[Calls, Any]:
    """The calls of a rule, and what it gives: a Value, or a tuple of them, None where there is no cotangent.

    A rule that goes another way with arrays than with what stands for them, as softmax's by blocks of rows, is one call.
    """
    found = _looked_into(rule, args, params)
    calls, value = _whole(rule, args, params, name)
    if found is not None and same_bits(_example(found[1]), value.example):
        return found
    if not isinstance(value.example, tuple):
        return calls, value
    parts: list[Value | None] = []
    for i, part in enumerate(value.example):
        if part is None:
            parts.append(None)
            continue
        parts.append(Value(part, bases=(value,)))
        calls.append(Call(operator.getitem, (value, i), out=parts[-1]))
    return calls, tuple(parts)


def fitted_calls(given: Any, gx: Any, x: Any) -> tuple[Calls, Value]:
    """What the engine does with a rule's cotangent: broadcasting and promotion undone."""
    found = _looked_into(_fitted, (given, x.shape, x.dtype), {})
    if found is None or not same_bits(np.asarray(found[1].example), np.asarray(gx)):
        raise NotCapturable(_OTHER.format("a rule"))
    calls, value = found
    return _as_array(calls, value) if isinstance(gx, np.ndarray) else (calls, value)


def _fitted(gx: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if gx.shape != shape:
        gx = unbroadcast(gx, shape)
    return gx if gx.dtype == dtype else gx.astype(dtype)


def _as_array(calls: Calls, value: Value) -> tuple[Calls, Value]:
    if isinstance(value.example, np.ndarray):
        return calls, value
    out = Value(np.asarray(value.example), fresh=True)
    calls.append(Call(np.asarray, (value,), out=out, pure=True))
    return calls, out


def _looked_into(
    function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[Calls, Any] | None:
    """The calls of NumPy inside and what is returned, as Values; None where they can't be seen."""
    tape = Tape()

    def stand_in(leaf: Any) -> Any:
        return Traced(leaf.example, leaf, tape) if type(leaf) is Value else leaf

    try:
        found = function(*mapped(args, stand_in), **mapped(params, stand_in))
    except (Leak, TypeError, AttributeError, ValueError, IndexError):  # a Traced is no array everywhere
        return None
    several = found if type(found) is tuple else (found,)
    if not all(part is None or type(part) is Traced for part in several):
        return None
    slots = tuple([None if part is None else part.slot for part in several])
    return tape.calls, slots if type(found) is tuple else slots[0]


def _example(tree: Any) -> Any:
    """What the Values among arguments or results were when they were recorded."""
    return mapped(tree, lambda leaf: leaf.example if type(leaf) is Value else leaf)


def _whole(function: Any, args: Any, params: Any, name: str) -> tuple[Calls, Value]:
    """One call, which is tried."""
    try:
        y = function(*_example(args), **_example(params))
    except Exception as error:
        raise NotCapturable(
            f"{name} raised {error!r:.80} when it was called again on the same arrays"
        ) from error
    value = Value(y, bases=tuple(values_in((args, params))))
    return [Call(function, args, params, value, name=name)], value


class Whole:
    """A rule that gives all cotangents at once."""

    def __init__(self, op: Any, needs: tuple[bool, ...]) -> None:
        self.op = op
        self.needs = needs

    def __call__(self, gy: Any, y: Any, *arrays: Any, **params: Any) -> Any:
        """All cotangents."""
        return self.op.whole_rule(gy, y, arrays, params, self.needs)
