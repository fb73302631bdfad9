"""Rules broken on purpose: copies of an op that are wrong in one place, to see whether a check detects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.op import Op

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[Any], Any]


def _one_entry(gx: Any) -> Any:
    changed = np.array(gx)
    if changed.size:
        largest = int(np.argmax(np.abs(changed)))
        changed.reshape(-1)[largest] *= 1.001
    return changed


CHANGES: dict[str, Change] = {
    "sign": lambda gx: -gx,
    "factor 1.001": lambda gx: gx * 1.001,
    "one entry by 0.1 %": _one_entry,
    "zero": lambda gx: gx * 0,
}
"""What is done to a cotangent: each is to be detected wherever the gradient is not zero."""


def broken(op: Op[..., Any], position: int, change: Change) -> Op[..., Any]:
    """A copy of `op`, not registered, whose cotangent for the array at `position` is changed."""

    def changed(gx: Any) -> Any:
        return None if gx is None else change(gx)

    if op.rules is not None:
        rules = list(op.rules)
        rule = rules[position]
        rules[position] = lambda *args, **params: changed(rule(*args, **params))
        return like(op, vjp=tuple(rules))

    def whole(gy: Any, y: Any, *arrays: Any, needs: tuple[bool, ...], **params: Any) -> tuple[Any, ...]:
        found = list(op.whole_rule(gy, y, arrays, params, needs))
        found[position] = changed(found[position])
        return tuple(found)

    return like(op, vjp=whole)


def like(op: Op[..., Any], **changes: Any) -> Op[..., Any]:
    """A copy of `op`, not registered, with another `forward`, `vjp` or `broadcasts`."""
    given = {"forward": op.forward, "broadcasts": op.broadcasts, "spec": op.spec, "name": op.name, **changes}
    if "vjp" not in given:
        if op.rules is not None:
            given["vjp"] = op.rules
        else:
            given["vjp"] = lambda gy, y, *arrays, needs, **params: op.whole_rule(gy, y, arrays, params, needs)
    return Op(**given)


def positions(op: Op[..., Any]) -> list[int]:
    """Places of the arrays that take a gradient in any of the op's cases."""
    return sorted(
        {i for case in op.spec.cases for i, array in enumerate(case.arrays) if array.takes_gradient}
    )
