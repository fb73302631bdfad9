"""A reference in PyTorch: recorded once in float64, backward included, and run again with errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.errors import CallError
from gradcheck.kernels.formats import Claims
from gradcheck.kernels.noise import ties
from gradcheck.kernels.results import Results, same
from gradcheck.kernels.torch_replay import Replay, pool_on
from gradcheck.kernels.torch_tape import Tape

MAXIMA = {torch.amax, torch.max, torch.amin, torch.min}
MAXIMA |= {torch.Tensor.amax, torch.Tensor.max, torch.Tensor.amin, torch.Tensor.min}


class _Maxima(TorchFunctionMode):  # type: ignore[misc]
    """Sees maxima, and takes them for constants. seen: whether there are any."""

    def __init__(self, *, constant: bool) -> None:
        super().__init__()
        self._constant, self.seen = constant, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        if func not in MAXIMA:
            return y
        self.seen = True
        if not self._constant:
            return y
        if torch.is_tensor(y):
            return y.detach()
        return type(y)([one.detach() for one in y])


class _Run:
    """One exact run of a reference under a tape: forward at once, and backward for each list of cotangents.

    given: the cotangents that backward has read.
    """

    def __init__(
        self, forward: Callable[[list[Any]], list[Any]], arrays: Sequence[Any], *, constant: bool
    ) -> None:
        self._own = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in arrays]
        self.tape, self.maxima = Tape(self._own), _Maxima(constant=constant)
        with sdpa_kernel(SDPBackend.MATH), self.maxima, self.tape:
            self._ys = forward(self._own)
        self.outputs = [_numbers(y).copy() for y in self._ys]
        self.tape.turn(self._ys)
        self.given: list[Any] = []

    def backward(self, gys: Sequence[Sequence[Any]]) -> Results:
        """All results; the graph is freed, and the tape at its end."""
        pulled = [self._pulled(some) for some in gys]
        self.tape.end([gx for some in pulled for gx in some])
        found = [[None if gx is None else _numbers(gx) for gx in some] for some in pulled]
        self._own, self._ys = [], []
        return Results(self.outputs, found)

    def _pulled(self, gys: Sequence[Any]) -> list[Any]:
        roots = [(y, gy) for y, gy in zip(self._ys, gys, strict=True) if gy is not None and y.requires_grad]
        sources = [x for x in self._own if x.requires_grad]
        if not roots:
            return [None] * len(self._own)
        for _, gy in roots:
            self.tape.enter(gy)
            self.given.append(gy)
        with self.tape:
            given = torch.autograd.grad(
                [y for y, _ in roots], sources, [gy for _, gy in roots], retain_graph=True, allow_unused=True
            )
        found = iter(given)
        return [next(found) if x.requires_grad else None for x in self._own]


class TorchReference:
    """`g` on float64 tensors, and its `torch.autograd` derivative for some cotangents."""

    def __init__(
        self,
        g: Callable[..., Any],
        call: Callable[[list[Any]], Any],
        arrays: Sequence[Array],
        device: Any,
        seed: int = 0,
    ) -> None:
        self.notes: list[str] = []
        self.name, self._g, self._call, self._device = name_of(g), g, call, device
        self._arrays = self._tensors(arrays)
        self._gys: list[list[Any]] = []
        self._pool = pool_on(device, seed)
        self._run = self._recorded(constant=False)
        self.outputs = tuple(self._run.outputs)

    def pull(self, gys: Sequence[Array | None]) -> None:
        """Ask for the derivative for these cotangents as well."""
        self._gys.append([None if gy is None else torch.as_tensor(gy).to(self._device).clone() for gy in gys])

    def ready(self) -> None:
        """Run backward, and find out whether maxima are subtracted against overflow only, as in `recorded`."""
        self._tied = [
            None if t is None else torch.from_numpy(t).to(self._device)
            for t in ties([_numbers(x) for x in self._arrays])
        ]
        self._exact = self._finished(self._run)
        if self._run.maxima.seen:
            arrays = [_numbers(x) for x in self._arrays]
            constant = self._recorded(constant=True)
            without = self._finished(constant)
            if all(
                same(
                    a,
                    b,
                    arrays,
                    [
                        (y, None if gy is None else _numbers(gy))
                        for y, gy in zip(self.outputs, gys, strict=True)
                    ],
                )
                for a, b, gys in zip(self._exact.pulled, without.pulled, self._gys, strict=True)
            ):
                self._run = constant

    def at(self, arrays: Sequence[Array]) -> TorchReference:
        """The same reference on other arrays."""
        return TorchReference(self._g, self._call, arrays, self._device)

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arrays, nothing recorded."""
        with torch.no_grad():
            return [
                _numbers(y) for _, y in leaves(self._call(self._tensors(arrays)), "output") if y is not None
            ]

    def exact(self) -> Results:
        """Outputs and cotangents without errors."""
        return self._exact

    def noisy(self, claims: Claims, units: Sequence[float], draws: int) -> Iterator[Results]:
        """The same with errors. units: the roundoff with which each output is stored before the backward pass reads it."""
        replay = Replay(self._run.tape, claims, units, self._pool, self._tied)
        for outputs, found in replay.runs([*self._arrays, *self._run.given], draws):
            each = iter([None if gx is None else _numbers(gx) for gx in found])
            pulled = [[next(each) for _ in self._arrays] for _ in self._gys]
            yield Results([_numbers(y) for y in outputs], pulled)

    def _tensors(self, arrays: Sequence[Array]) -> list[Any]:
        return [torch.as_tensor(np.ascontiguousarray(a)).to(self._device) for a in arrays]

    def _recorded(self, *, constant: bool) -> _Run:
        """Forward, recorded."""

        def forward(own: list[Any]) -> list[Any]:
            return [self._output(path, y) for path, y in leaves(self._call(own), "output") if y is not None]

        return self._in_double(_Run(forward, self._arrays, constant=constant))

    def _finished(self, run: _Run) -> Results:
        found = run.backward(self._gys)
        self._in_double(run)
        return found

    def _in_double(self, run: _Run) -> _Run:
        if run.tape.narrow:
            raise CallError(
                f"the reference {self.name} works in {run.tape.narrow}, and it has to be exact beside the kernel: make its "
                "constants and conversions float64, or leave them out"
            )
        return run

    def _output(self, path: str, y: Any) -> Any:
        if not torch.is_tensor(y):
            raise CallError(
                f"the reference {self.name} returned {described(y)} ({path}): return a tensor for each of the kernel's"
            )
        return y


def _numbers(tensor: Any) -> Array:
    found: Array = tensor.detach().cpu().numpy()
    return found
