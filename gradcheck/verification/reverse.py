"""Reverse accumulation without the engine: over a graph's plain data, by the ops' pairs and dictionaries.

What the engine does, written a second time in the plainest way: no pending heap, no recorded nodes, nothing in place. The
sums are taken in the same order, so both agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.graphs.steps import Leaf
from gradcore.graph import walk
from gradcore.op import Op
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gradcheck.graphs.graph import Graph
    from gradcheck.graphs.steps import Node


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a primitive. inputs: the keys of the values that a gradient flows to, None for the others."""

    op: Op[..., Any]
    inputs: tuple[Any, ...]
    arrays: tuple[Any, ...]
    params: Mapping[str, Any]
    key: Any
    y: Any


class Tape:
    """A graph run on arrays, with what is needed to go back: `values`, one for each step."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: list[Any] = []
        self._calls: list[_Call] = []
        self._keys: list[
            Any
        ] = []  # of each step; a composed one has that of the primitive that its result came from
        needs = graph.needs()
        for i, step in enumerate(graph.steps):
            if isinstance(step, Leaf):
                self.values.append(step.array)
                self._keys.append(i)
                continue
            inputs = tuple([None if j is None or not needs[j] else self._keys[j] for j in step.inputs])
            arrays = tuple([None if j is None else self.values[j] for j in step.inputs])
            if isinstance(step.entry, Op):
                arrays += tuple(step.entry._defaults[len(arrays) :])
                inputs += (None,) * (len(arrays) - len(inputs))
                y = np.asarray(step.entry.forward(*arrays, **step.params))
                self._calls.append(_Call(step.entry, inputs, arrays, step.params, i, y))
                self.values.append(y)
                self._keys.append(i)
            else:
                self._compose(i, step, inputs, arrays)

    def _compose(self, i: int, node: Node, inputs: Sequence[Any], arrays: Sequence[Any]) -> None:
        """A composed function's own calls, as they are recorded; only their list is taken from the engine."""
        leaves: dict[Any, Tensor] = {}
        given: list[Any] = []
        for key, array in zip(inputs, arrays, strict=True):
            if key is None:
                given.append(array)
            else:
                given.append(leaves.setdefault(key, Tensor(array, requires_grad=True)))
        out = node.entry(*given, **node.params)
        keys = {id(tensor): key for key, tensor in leaves.items()}
        if isinstance(out, Tensor) and out.requires_grad:
            for number, made in enumerate(walk(out)):
                if id(made) in keys:
                    continue
                keys[id(made)] = (i, number)
                parents = tuple([None if p is None else keys[id(p)] for p in made._parents])
                self._calls.append(
                    _Call(made._op, parents, made._arrays, made._params or {}, (i, number), made.data)
                )
        self.values.append(np.asarray(out.data if isinstance(out, Tensor) else out))
        self._keys.append(keys.get(id(out), i))

    def pulled(self, gys: Sequence[tuple[int, Any]], *, record: bool = False) -> dict[int, Any]:
        """For each leaf that the outputs depend on its cotangent. gys: (step, cotangent) pairs.

        record: by rules that run on Tensors, which may add in another order than on arrays.
        """
        totals: dict[Any, Any] = {}
        for i, gy in gys:
            _add(totals, self._keys[i], np.array(gy))
        for call in reversed(self._calls):
            gy = totals.pop(call.key, None)
            if gy is None:
                continue
            needs = tuple([key is not None for key in call.inputs])
            y, arrays = call.y, call.arrays
            if record:
                gy, y = Tensor(gy), Tensor(y)
                arrays = tuple([Tensor(x) if need else x for x, need in zip(arrays, needs, strict=True)])
            found = cotangents_of(call.op, gy, y, arrays, call.params, needs)
            for key, gx in zip(call.inputs, found, strict=True):
                if key is not None:
                    _add(totals, key, gx)
        return totals


def _add(totals: dict[Any, Any], key: Any, gy: Any) -> None:
    totals[key] = totals[key] + gy if key in totals else gy


def cotangents_of(
    op: Op[..., Any],
    gy: Any,
    y: Any,
    arrays: Sequence[Any],
    params: Mapping[str, Any],
    needs: tuple[bool, ...],
) -> list[Any]:
    """What the rules give for the arrays of `needs`, broadcasting and promotion undone; None for the others."""
    if op.rules is None:
        found = op.whole_rule(gy, y, tuple(arrays), params, needs)
    else:
        found = tuple(
            [
                rule(gy, y, *arrays, **params) if need else None
                for rule, need in zip(op.rules, needs, strict=True)
            ]
        )
    plain = [gx.data if isinstance(gx, Tensor) else gx for gx in found]
    return [
        _fitted(gx, x) if need and gx is not None else None
        for gx, x, need in zip(plain, arrays, needs, strict=True)
    ]


def _fitted(gx: Any, x: Any) -> Any:
    """Summed over what the shape of x had to be stretched along, and in the dtype of x."""
    if gx.shape != x.shape:
        aligned = (1,) * (gx.ndim - x.ndim) + x.shape
        stretched = [
            i
            for i, (n, m) in enumerate(zip(gx.shape, aligned, strict=True))
            if n != m or i < gx.ndim - x.ndim
        ]
        gx = np.sum(gx, axis=tuple(stretched), keepdims=True).reshape(x.shape)
    return gx.astype(x.dtype, copy=False)  # in the same layout: sums would be taken in another order
