"""Races over one op: its value, and the gradients of all its arrays from a given cotangent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from contest import FLOOR, JAX, OURS, TORCH, Contender, Values, contest
from timing import Race

# Made by a function, so that each contender alone imports its library.
Made = Callable[[], Callable[..., Any]]


@dataclass(frozen=True)
class Work:
    """One op. arrays: its inputs, then the cotangent, the same at every call. by_hand: makes of them the work by hand.

    The work by hand gives the value and then the gradients, in buffers that it allocated once. functions: the op in each
    library that has it, by the contender's name.
    """

    arrays: Callable[[], Sequence[np.ndarray]]
    by_hand: Callable[..., Callable[[], Sequence[np.ndarray]]]
    functions: Mapping[str, Made]
    tolerance: float = 1e-5


class _Single(Contender):
    found: Sequence[Any]

    def __init__(self, work: Work) -> None:
        *self.inputs, self.gy = work.arrays()
        self.start(work)

    def start(self, work: Work) -> None:
        raise NotImplementedError

    def values(self) -> Values:
        names = ["y", *[f"gradient {i}" for i in range(len(self.inputs))]]
        return {name: np.asarray(found) for name, found in zip(names, self.found, strict=True)}


class _Floor(_Single):
    def start(self, work: Work) -> None:
        self.by_hand = work.by_hand(*self.inputs, self.gy)

    def run(self) -> None:
        self.found = self.by_hand()


class _Gradcore(_Single):
    def start(self, work: Work) -> None:
        import gradcore

        self.function = work.functions[OURS]()
        self.tensors = [gradcore.Tensor(a, True) for a in self.inputs]

    def run(self) -> None:
        for t in self.tensors:
            t.grad = None
        y = self.function(*self.tensors)
        y.backward(self.gy)
        self.found = [y.data, *[t.grad for t in self.tensors]]


class _Torch(_Single):
    def start(self, work: Work) -> None:
        import torch

        self.function = work.functions[TORCH]()
        self.tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in self.inputs]
        self.torch_gy = torch.from_numpy(self.gy.copy())

    def run(self) -> None:
        for t in self.tensors:
            t.grad = None
        y = self.function(*self.tensors)
        y.backward(self.torch_gy)
        self.found = [y.detach(), *[t.grad for t in self.tensors]]


class _Jax(_Single):
    def start(self, work: Work) -> None:
        import jax

        function = work.functions[JAX]()

        def both(gy: Any, *inputs: Any) -> Any:
            y, pull = jax.vjp(function, *inputs)
            return (y, *pull(gy))

        self.both = jax.jit(both)
        self.jax_arrays = [jax.numpy.asarray(a) for a in (self.gy, *self.inputs)]

    def run(self) -> None:
        self.found = [a.block_until_ready() for a in self.both(*self.jax_arrays)]


class _MyGrad(_Single):
    def start(self, work: Work) -> None:
        import mygrad

        self.function = work.functions["mygrad"]()
        self.tensors = [mygrad.tensor(a) for a in self.inputs]

    def run(self) -> None:
        for t in self.tensors:
            t.null_grad()
        y = self.function(*self.tensors)
        y.backward(self.gy)
        self.found = [y.data, *[t.grad for t in self.tensors]]


CONTENDERS: dict[str, type[_Single]] = {
    FLOOR: _Floor, OURS: _Gradcore, TORCH: _Torch, JAX: _Jax, "mygrad": _MyGrad,
}  # fmt: skip


def bench(work: Work, rounds: int) -> Race:
    """Race all implementations of one op."""
    kinds = {name: kind for name, kind in CONTENDERS.items() if name == FLOOR or name in work.functions}
    return contest({name: partial(kind, work) for name, kind in kinds.items()}, rounds, work.tolerance)
