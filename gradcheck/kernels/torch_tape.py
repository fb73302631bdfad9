"""A run of PyTorch recorded as a list of operations, backward included.

Operations know their arguments by place in memory: autograd reads what it saved through other tensor objects, and what writes in
place is seen by all that read there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck.kernels.noise import size_of_sum
from gradcheck.kernels.torch_ops import AVERAGES, EXACT, OPENED, SUMS


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a tensor lies among the values of a run."""

    at: int


@dataclass(slots=True)
class Step:
    """One operation.

    made: the slots of its results, None for what is no tensor. several: whether it returns a list. shapes: of the results that are
    rounded, else None. sizes: what multiplies the errors of sums. writes: into an argument. written: its result is written into
    later. settled: of a comparison for equality, what it gave: equal numbers stay equal, though each may have an error of its own.
    freed: slots that nothing reads any more.
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[int | None]
    several: bool = False
    shapes: list[Any] = field(default_factory=list)
    sizes: list[Any] = field(default_factory=list)
    writes: bool = False
    written: bool = False
    settled: Any = None
    freed: list[int] = field(default_factory=list)


class Tape(TorchDispatchMode):  # type: ignore[misc]
    """Records what runs under it.

    narrow: the first result that was not in float64, "" for none. constants, written: tensors from elsewhere by slot, and those that
    are written into, as they were before. seam: how many steps come before the outputs
    are stored. stored: of each output that is rounded then, the index of its own memory and its shape.
    """

    def __init__(self, inputs: Sequence[Any]) -> None:
        super().__init__()
        self.narrow = ""
        self.steps: list[Step] = []
        self._known: dict[Any, int] = {}
        self._whole: dict[StorageWeakRef, int] = {}
        self.constants: dict[int, Any] = {}
        self.written: dict[int, Any] = {}
        self._makers: dict[int | None, Step] = {}
        self.slots = 0
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.stored: list[tuple[Any, Any] | None] = []
        self.seam = 0
        for x in inputs:
            self.enter(x)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        if name in OPENED and func in decomposition_table:
            with self:
                return decomposition_table[func](*args, **kwargs)
        if name == "lift_fresh":  # a constant that is made within, and may be written into
            func = torch.ops.aten.clone.default
        writes = func._schema.is_mutable
        given, options = self._slots(args), self._slots(kwargs)
        if writes:
            self._before_writing(func, args)
        sizes = _sizes_of_sums(func, name, args, kwargs) if _is_sum(name, args) else None
        y = func(*args, **kwargs)
        several = isinstance(y, tuple | list)
        each = list(y) if several else [y]
        tensors = [one for one in each if torch.is_tensor(one)]
        for one in tensors:
            if one.is_floating_point() and one.dtype != torch.float64:
                self.narrow = self.narrow or f"{str(one.dtype).rpartition('.')[2]} (the result of {name})"
        if not tensors and not writes:
            return y
        within = writes or any(_storage(one) in self._whole for one in tensors)
        made = [self._made(one, new=not within) for one in each]
        call = getattr(func, "impl_aten", func)  # of a prim, which vmap does not take
        step = Step(call, given, options, made, several, writes=writes)
        rounds = name not in EXACT and not func.is_view and within == writes
        step.shapes = [one.shape if rounds and _is_floating(one) else None for one in each]
        if sizes is None:
            step.sizes = [None for _ in each]
        else:
            step.sizes = [
                None if shape is None else size(one)
                for shape, size, one in zip(step.shapes, sizes, each, strict=True)
            ]
        if name == "eq":
            step.settled = y
        if not within:
            self._makers.update(dict.fromkeys([slot for slot in made if slot is not None], step))
        self.steps.append(step)
        return y

    # --- what is recorded ---------------------------------------------------------------------------------------------

    def enter(self, x: Any) -> None:
        """A further input of the runs."""
        self.inputs.append(self._made(x, new=True) or 0)

    def turn(self, outputs: Sequence[Any]) -> None:
        """Forward is at its end; what follows reads the outputs as they are stored."""
        self.outputs = [self._slot(y) for y in outputs]
        for y in outputs:
            self._mark(y)
            once = tuple([slice(0, 1) if stride == 0 else slice(None) for stride in y.stride()])
            self.stored.append((once, y[once].shape) if y.is_floating_point() else None)
        self.seam = len(self.steps)

    def end(self, results: Sequence[Any]) -> None:
        """All is recorded; results: tensors that a run gives beside the outputs, None for none."""
        self.results = [None if x is None else self._slot(x) for x in results]
        kept = {*self.outputs, *self.results}
        last: dict[int, int] = {}
        for k, step in enumerate(self.steps):
            last.update(dict.fromkeys([s.at for s in _within((step.args, step.kwargs))], k))
            last.update(dict.fromkeys([s for s in step.made if s is not None], k))
        for slot, k in last.items():
            if slot not in kept:
                self.steps[k].freed.append(slot)
        self._known.clear()
        self._whole.clear()
        self._makers.clear()

    def _slots(self, value: Any) -> Any:
        if torch.is_tensor(value):
            return Slot(self._slot(value))
        if isinstance(value, tuple | list):
            return type(value)([self._slots(v) for v in value])
        return {k: self._slots(v) for k, v in value.items()} if isinstance(value, dict) else value

    def _slot(self, tensor: Any) -> int:
        """Where a tensor lies; of one that is seen for the first time, as part of what lies there, or as a constant."""
        found = self._known.get(_place(tensor))
        if found is not None:
            return found
        whole = self._whole.get(_storage(tensor))
        made = self._new(tensor)
        if whole is None:
            self.constants[made] = tensor.detach()
            self._whole[_storage(tensor)] = made
        else:
            part = torch.ops.aten.as_strided.default
            args = (Slot(whole), list(tensor.shape), list(tensor.stride()), tensor.storage_offset())
            self.steps.append(Step(part, args, {}, [made]))
        return made

    def _made(self, tensor: Any, *, new: bool) -> int | None:
        if not torch.is_tensor(tensor):
            return None
        known = self._known.get(_place(tensor))
        if known is not None and not new:
            return known
        slot = self._new(tensor)
        if new:
            self._whole[_storage(tensor)] = slot
        return slot

    def _new(self, tensor: Any) -> int:
        self._known[_place(tensor)] = self.slots
        self.slots += 1
        return self.slots - 1

    def _before_writing(self, func: Any, args: Any) -> None:
        """Keep a constant as it was, and mark the step that made what is written into."""
        for a, declared in zip(args, func._schema.arguments, strict=False):
            if torch.is_tensor(a) and declared.alias_info is not None and declared.alias_info.is_write:
                self._mark(a)

    def _mark(self, tensor: Any) -> None:
        whole = self._whole.get(_storage(tensor))
        if whole in self._makers:
            self._makers[whole].written = True
        elif whole in self.constants:
            self.written[whole] = self.constants.pop(whole).clone()


def _within(value: Any) -> list[Slot]:
    if isinstance(value, Slot):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [s for v in value for s in _within(v)] if type(value) in (tuple, list) else []


def _storage(tensor: Any) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def _place(tensor: Any) -> Any:
    """What two tensors have in common that are the same part of memory. A weak reference, so that none takes a freed one's place."""
    return (
        _storage(tensor),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with floating tensors changed."""
    if torch.is_tensor(value):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)([_each(v, change) for v in value])
    return {k: _each(v, change) for k, v in value.items()} if isinstance(value, dict) else value


def _is_sum(name: str, args: Any) -> bool:
    accumulates = "index_put" not in name or (len(args) > 3 and bool(args[3]))
    return name in SUMS and accumulates


def _sizes_of_sums(func: Any, name: str, args: Any, kwargs: Any) -> list[Callable[[Any], Any]]:
    """By result, what its error is to be multiplied by, as a function of it: of the sum of the terms' sizes, and of ones."""

    def summed(change: Callable[[Any], Any]) -> list[Any]:
        found = func(*_each(args, change), **_each(kwargs, change))
        return list(found) if isinstance(found, tuple | list) else [found]

    def size(terms: Any, count: Any, y: Any) -> Any:
        if name in AVERAGES:
            count = max(1.0, args[0].numel() / max(y.numel(), 1))
        return size_of_sum(terms, count, y).nan_to_num(0.0, 0.0, 0.0)

    sizes, counts = summed(torch.abs), summed(torch.ones_like)
    return [functools.partial(size, terms, count) for terms, count in zip(sizes, counts, strict=True)]


def _is_floating(value: Any) -> bool:
    return bool(torch.is_tensor(value) and value.is_floating_point())
