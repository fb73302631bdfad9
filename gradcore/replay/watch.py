"""What a step changes by itself, which a replay would leave out: seen by looking before and after."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.replay.program import NotCapturable, same_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gradcore.replay.guards import Surroundings
    from gradcore.replay.leaves import Leaf


def reasoned(event: Callable[..., None]) -> Callable[..., None]:
    """The event of a recorder, by which there can be no replay where it says so."""

    def handled(self: Any, *args: Any) -> None:
        try:
            event(self, *args)
        except NotCapturable as error:
            self.fail(str(error))

    return handled


class Watch:
    """The attributes, generators and tensors around a step, as they were when it began or a callback had ended.

    leaves: those that the recorder knows. used: ids of the arrays around that enter calls. args: arrays that the step got. fail: is called with what is wrong.
    """

    def __init__(
        self,
        around: Surroundings,
        leaves: Mapping[int, Leaf],
        used: Mapping[int, Any],
        args: Iterable[Any],
        fail: Callable[[str], None],
    ) -> None:
        self.around = around
        self.free: set[tuple[int, Any]] = set()  # attributes that callbacks change
        self.leaves = leaves
        self._used = used
        self._fail = fail
        self._places = around.snapshot()
        self._draws = around.draws()
        self._data = {id(t): (t, t.data, t.data.copy()) for t in around.tensors.values()}
        self._grads = {id(t): (t, t.grad) for t in around.tensors.values()}
        data = {id(t.data) for t in around.tensors.values()}
        self._arrays = [a for a in (*around.arrays.values(), *args) if id(a) not in data]
        self._sums = [_sum(a) for a in self._arrays]

    def check(self) -> None:
        """Refuse what the step has changed by itself since the last callback."""
        around = self.around
        now = around.snapshot()
        for i, key in around.differences(self._places, now):
            self._fail(
                f"the step changes {around.places[i].name}.{key}, which a replay would leave out: change it outside of the step, "
                "or in gradcore.callback(function, ...)"
            )
        for i, key in self.free:
            if id(around.places[i].known.get(key)) in self._used:
                self._fail(
                    f"a callback replaces {around.places[i].name}.{key}, which the step uses, by another array, and a replay would "
                    "go on with the old one: write into it, a[...] = new, or read it in gradcore.callback(function, ...)"
                )
        if not _alike(around.draws(), self._draws):
            self._fail(
                "the step draws random numbers, and a replay would use the same ones again: draw them by "
                "gradcore.callback(rng.random, shape)"
            )
        for array, before in zip(self._arrays, self._sums, strict=True):
            if _sum(array) != before:
                self._fail(
                    f"the step writes into an array of shape {array.shape} itself, which a replay would leave out: do it in "
                    "gradcore.callback(function, ...)"
                )
        for tensor, data, values in self._data.values():
            if tensor.data is not data or not same_bits(data, values):
                self._fail(
                    f"the step changes the data of a tensor of shape {tensor.shape}, which a replay would leave out: use an "
                    "optimizer, x -= y under no_grad, or gradcore.callback(function, ...)"
                )
        for entry in self.leaves.values():
            if id(entry.tensor) not in self._data and entry.argument is None:
                self._data[id(entry.tensor)] = (entry.tensor, entry.tensor.data, entry.tensor.data.copy())
        for tensor, grad in self._grads.values():
            found = self.leaves.get(id(tensor))
            expected = grad if found is None or not found.cleared else found.grad
            if tensor.grad is not expected:
                self._fail(
                    f"the step sets the grad of a tensor of shape {tensor.shape} itself, which a replay would leave out: use "
                    "zero_grad(), or gradcore.callback(function, ...)"
                )

    def settle(self) -> None:
        """Take what a callback has changed for given."""
        now = self.around.snapshot()
        self.free.update(self.around.differences(self._places, now))
        self._places = now
        self._draws = self.around.draws()
        self._sums = [_sum(a) for a in self._arrays]
        self._data = {key: (t, t.data, t.data.copy()) for key, (t, _, _) in self._data.items()}
        self._grads = {key: (t, t.grad) for key, (t, _) in self._grads.items()}


def _sum(array: Any) -> int:
    """A checksum of the entries; those of Python objects are not looked at."""
    return zlib.crc32(np.ascontiguousarray(array).data) if array.dtype.kind in "fiubc" else 0


def _alike(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray):
        return bool(np.array_equal(x, y))
    if isinstance(x, dict):
        return all(_alike(x[key], y[key]) for key in x)
    if isinstance(x, list | tuple):
        return len(x) == len(y) and all(map(_alike, x, y))
    return bool(x == y)
