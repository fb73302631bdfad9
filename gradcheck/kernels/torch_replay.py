"""What a tape holds, run again with the errors that rounding each result may have; of small arrays, several runs at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from gradcheck.kernels.formats import Claims
from gradcheck.kernels.noise import Pool
from gradcheck.kernels.torch_tape import Slot, Step, Tape

AT_ONCE = 1 << 16
"""So many entries may the largest array of the runs have that are made at once."""

Run = tuple[list[Any], list[Any]]
"""Outputs, and the results beside them, None for none."""


class Replay:
    """Runs of a tape with other inputs of the same shapes.

    tied: of the first inputs, where equal sizes have one number (`ties`), which move by one error, or ties would be broken. units:
    the roundoff with which each output is stored before backward reads it.
    """

    def __init__(
        self, tape: Tape, claims: Claims, units: Sequence[float], pool: Pool, tied: Sequence[Any]
    ) -> None:
        self._tape, self._claims, self._units, self._pool, self._tied = tape, claims, units, pool, tied

    def runs(self, inputs: Sequence[Any], count: int) -> Iterator[Run]:
        """So many of them."""
        most = max([math.prod(shape) for _, shape in self._wanted(inputs)], default=1)
        left, together = count, 1 << int(math.log2(max(1, min(count, AT_ONCE // max(most, 1)))))
        with torch.no_grad():
            while left:
                n = min(left, together)
                found = self._together(inputs, n) if n > 1 else None
                if found is None:  # some operation does not take several at once
                    together = n = 1
                    found = [self._played(inputs, self._drawn(inputs), None)]
                yield from found
                left -= n

    def _together(self, inputs: Sequence[Any], n: int) -> list[Run] | None:
        """Several runs at once, None where it can't be done."""
        present = [slot is not None for slot in self._tape.results]

        def one(noise: Sequence[Any], zero: Any) -> Any:
            outputs, results = self._played(inputs, noise, zero)
            return outputs, [x for x in results if x is not None]

        try:
            with _without_warnings():
                outputs, results = torch.vmap(one)(
                    self._drawn(inputs, n), torch.zeros(n, device=inputs[0].device)
                )
        except Exception:  # noqa: BLE001 - whatever it is, runs one by one are as good
            return None
        found = []
        for k in range(n):
            each = iter(results)
            found.append(([y[k] for y in outputs], [next(each)[k] if there else None for there in present]))
        return found

    # --- errors -------------------------------------------------------------------------------------------------------

    def _wanted(self, inputs: Sequence[Any]) -> Iterator[tuple[float | None, Any]]:
        """In the order in which a run takes them: how large errors are, None for N(0, 1), and their shape."""
        tape, claims = self._tape, self._claims
        yield (
            claims.inputs,
            (1 + max([int(t.max()) for t in self._tied if t is not None and t.numel()], default=0),),
        )
        yield from [(claims.inputs, x.shape) for x in inputs[len(self._tied) :]]
        for k in range(len(tape.steps) + 1):
            if k == tape.seam:
                yield from [
                    (unit / 2, own[1])
                    for unit, own in zip(self._units, tape.stored, strict=True)
                    if own is not None
                ]
            for shape, size in (
                zip(tape.steps[k].shapes, tape.steps[k].sizes, strict=True) if k < len(tape.steps) else ()
            ):
                if shape is not None:
                    yield claims.result, shape
                    if size is not None:
                        yield None, shape

    def _drawn(self, inputs: Sequence[Any], n: int | None = None) -> list[Any]:
        """The errors of a run; with a leading axis, of n."""
        pool, more = self._pool, () if n is None else (n,)
        return [
            (pool.normal(k) if error is None else pool.factors(error, k)).view((*more, *shape))
            for error, shape in self._wanted(inputs)
            for k in [math.prod((*more, *shape))]
        ]

    # --- one run, or several under vmap -------------------------------------------------------------------------------

    def _played(self, inputs: Sequence[Any], noise: Sequence[Any], zero: Any) -> Run:
        """One run. zero: of each of several runs at once, which makes what is added to it one of them too."""
        tape, errors = self._tape, iter(noise)
        values: list[Any] = [None] * tape.slots
        shared, free = next(errors), len(self._tied)
        for slot, x, same in zip(tape.inputs, inputs, self._tied, strict=False):
            values[slot] = x if same is None else x * shared[same]
        for slot, x in zip(tape.inputs[free:], inputs[free:], strict=True):
            values[slot] = x * next(errors)
        for slot, x in tape.constants.items():
            values[slot] = x
        for slot, x in tape.written.items():
            values[slot] = _own(x, zero)
        outputs: list[Any] = []
        for k, step in enumerate(tape.steps):
            if k == tape.seam:
                outputs = self._stored(values, errors)
            self._step(step, values, errors, zero)
        if tape.seam == len(tape.steps):
            outputs = self._stored(values, errors)
        return outputs, [None if slot is None else values[slot] for slot in tape.results]

    def _step(self, step: Step, values: list[Any], errors: Iterator[Any], zero: Any) -> None:
        args = [
            values[a.at] if type(a) is Slot else a if type(a) not in (tuple, list) else _filled(a, values)
            for a in step.args
        ]
        y = step.call(*args, **_filled(step.kwargs, values)) if step.kwargs else step.call(*args)
        if step.settled is not None:
            y = y | step.settled
        for slot, one, shape, size in zip(
            step.made, y if step.several else (y,), step.shapes, step.sizes, strict=True
        ):
            if shape is not None:
                one = one.mul_(next(errors)) if step.writes else one * next(errors)
                if size is not None:
                    one = one.addcmul_(size, next(errors), value=self._claims.sums)
            elif step.written and zero is not None:
                one = _own(one, zero)
            if slot is not None:
                values[slot] = one
        for slot in step.freed:
            values[slot] = None

    def _stored(self, values: list[Any], errors: Iterator[Any]) -> list[Any]:
        """The outputs; what lies in their places has the error with which the kernel stores it from here on."""
        outputs = [values[slot].clone() for slot in self._tape.outputs]
        for slot, own in zip(self._tape.outputs, self._tape.stored, strict=True):
            if own is not None:
                values[slot][own[0]].mul_(next(errors))
        return outputs


@contextmanager
def _without_warnings() -> Iterator[None]:
    """No word of operations that vmap runs one by one."""
    torch._C._functorch._set_vmap_fallback_warning_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._functorch._set_vmap_fallback_warning_enabled(True)


def _own(x: Any, zero: Any) -> Any:
    """A copy that may be written into."""
    return x.clone() if zero is None else x + zero.to(x.dtype)


def _filled(value: Any, values: list[Any]) -> Any:
    if type(value) is Slot:
        return values[value.at]
    if type(value) in (tuple, list):
        return type(value)([_filled(v, values) for v in value])
    return {k: _filled(v, values) for k, v in value.items()} if isinstance(value, dict) else value


def pool_on(device: Any, seed: int) -> Pool:
    """Normal numbers as a tensor."""
    return Pool(seed, lambda numbers: torch.from_numpy(numbers).to(device))
