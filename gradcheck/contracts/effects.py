"""Contracts on side effects: in-place changes, shared memory, state that a call leaves behind, chance."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.lib.array_utils import byte_bounds

from gradcheck.backends.protocol import Array, spread
from gradcheck.contracts.base import Skip, agrees, close, contract
from gradcheck.verdict.evidence import copied, same
from gradcheck.verdict.observation import Observation


@contract()
def forward_keeps_inputs(obs: Observation) -> str | None:
    """forward leaves its inputs as they were."""
    if obs.changed_by_forward:
        return f"forward changed {obs.changed_by_forward} in place: work on a copy"
    return None


@contract()
def vjp_keeps_inputs(obs: Observation) -> str | None:
    """The rule leaves the inputs as they were."""
    if obs.changed_by_vjp:
        return f"the rule changed {obs.changed_by_vjp} in place: work on a copy"
    return None


@contract()
def vjp_keeps_output(obs: Observation) -> str | None:
    """The rule leaves y, which the caller holds, as it was."""
    if obs.output_changed_by_vjp:
        return "the rule changed the output y in place, which the caller still uses: work on a copy"
    return None


@contract()
def vjp_keeps_cotangent(obs: Observation) -> str | None:
    """The rule leaves gy as it was."""
    if not same(obs.handed_gys, obs.first_gys):
        return "the rule changed the cotangent gy in place, which other consumers may get as well: work on a copy"
    return None


@contract(follows=("vjp_keeps_inputs", "vjp_keeps_output"))
def vjp_repeatable(obs: Observation) -> str | None:
    """Two pulls of one forward call give the same."""
    if not agrees(obs, obs.repeated_gx, obs.first_gx, obs.first_gys):
        return "called twice for the same forward and the same gy, the rule gave two different results"
    return None


@contract(
    follows=(
        "deterministic",
        "vjp_keeps_inputs",
        "vjp_keeps_output",
        "vjp_repeatable",
        "forward_keeps_inputs",
    )
)
def stateless(obs: Observation) -> str | None:
    """forward(a), forward(b), then the rule for a: still right, and what forward(a) returned is still there."""
    if obs.elsewhere() is None:
        raise Skip("forward takes no other values of these shapes that were tried")
    if not same(obs.run.outputs, obs.outputs_before) and not obs.output_changed_by_vjp:
        return "what forward returned was overwritten by a later forward call: return a new array each time"
    if not agrees(obs, obs.pulled(obs.first_gys), obs.first_gx, obs.first_gys):
        return (
            "after forward was called on other inputs, the rule gives another result for the first ones: it reads what "
            "the last forward left behind. Compute it from the rule's own arguments"
        )
    return None


@contract()
def deterministic(obs: Observation) -> str | None:
    """Two forward calls on the same inputs give the same."""
    again = obs.fresh()
    if close(again.outputs, obs.outputs_before):
        return None
    return (
        "two forward calls on the same inputs gave different outputs: pass what is random as an input or a seed, so that "
        "the function is one"
    )


@contract(follows=("vjp_repeatable",))
def no_shared_memory(obs: Observation) -> str | None:
    """Adding to a returned cotangent in place changes nothing else, and nothing else changes it."""
    run = obs.fresh()
    gys = [gy.copy() for gy in obs.first_gys]
    obs.pulls += 1
    found = run.accumulated(spread(run.outputs, gys))
    before = copied(found)
    obs.pulled([-gy for gy in gys], run)
    inputs, outputs = _Memory(obs.latest_given), _Memory(run.outputs)
    for path, gx, kept in zip(obs.paths, found, before, strict=True):
        if gx is None or kept is None:
            continue
        if not same([gx], [kept]):
            return f"the cotangent of {path} was overwritten by the next call of the rule: return a new array each time"
        if not gx.flags.writeable:
            continue
        if gx.size and any(n > 1 and step == 0 for n, step in zip(gx.shape, gx.strides, strict=True)):
            return f"several entries of the cotangent of {path} are one place in memory, and it is writeable: copy it"
        for i in inputs.shared_with(gx):
            return f"the cotangent of {path} is the memory of {obs.paths[i]} itself: adding to it would change {obs.paths[i]}"
        for _ in outputs.shared_with(gx):
            return f"the cotangent of {path} is the memory of the output itself: adding to it would change the output"
    if obs.subject.accumulates:
        gradients = _Memory(found)
        for i, gx in enumerate(found):
            for j in gradients.shared_with(gx):
                if j != i:
                    first, second = sorted((i, j))
                    return f"the gradients of {obs.paths[first]} and {obs.paths[second]} are one array: adding to one changes both"
    return None


class _Memory:
    """Some arrays in the order in which they lie in memory, so that finding what shares it takes no pass over all of them."""

    def __init__(self, arrays: Sequence[Array | None]) -> None:
        places = [(*_bounds(a), i) for i, a in enumerate(arrays) if a is not None and a.size]
        self._arrays, self._places = arrays, sorted(places)
        self._starts = [low for low, _, _ in self._places]
        self._reach = list(accumulate([high for _, high, _ in self._places], max))

    def shared_with(self, a: Array | None) -> Iterator[int]:
        """Positions of the arrays that share memory with this one."""
        if a is None or not a.size:
            return
        low, high = _bounds(a)
        k = bisect_left(self._starts, high) - 1
        while k >= 0 and self._reach[k] > low:
            i = self._places[k][2]
            if _overlap(a, self._arrays[i]):
                yield i
            k -= 1


def _bounds(a: Array) -> tuple[int, int]:
    """Where an array begins in memory, and where it ends."""
    if not a.flags.c_contiguous:
        return byte_bounds(a)
    low: int = a.__array_interface__["data"][0]
    return low, low + a.nbytes


def _overlap(a: Array, b: Array | None) -> bool:
    if b is None or not a.size or not np.may_share_memory(a, b):
        return False
    try:
        # The stubs know the efforts 0 and -1 only.
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return False
