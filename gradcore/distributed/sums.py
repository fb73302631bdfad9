"""The sum over ranks as an op."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.op import Array, Op
from gradcore.spec import OpSpec, case, reals

if TYPE_CHECKING:
    from gradcore.distributed.group import Group


def _forward(x: Array, /, group: Group | None = None) -> Array:
    return x.copy() if group is None else group.sum(x)


def _rule(gy: Array, _y: Array, _x: Array, group: Group | None = None) -> Array:
    # Each rank's output holds each rank's input, so a cotangent is the sum of all ranks' too.
    return all_sum(gy, group=group)


all_sum: Op[..., Any] = Op(
    _forward, (_rule,), OpSpec(case(reals("...")), reference=lambda x: x), name="all_sum"
)
"""The sum of x over all ranks, on each of them; without a group, x itself. It is not in the registry, as one process can't show its derivative."""
