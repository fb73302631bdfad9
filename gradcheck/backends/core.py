"""A function of gradcore Tensors, whose gradient is the engine's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array, Input, Subject, Traits, differentiable
from gradcheck.backends.tree import described, leaves, name_of, rebuild
from gradcheck.errors import CallError, RuleError
from gradcore.graph import backward_pass
from gradcore.modes import enable_grad, no_grad
from gradcore.tensor import Tensor


class Core:
    """`f` on Tensors. Arrays that were given as arrays and carry no gradient stay arrays; `params` go as keywords."""

    accumulates = True
    primal: Subject | None = None
    composed = True
    traits = Traits(reads="{}.data", makes="Tensor({})")
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        f: Callable[..., Any],
        template: tuple[Any, ...],
        inputs: tuple[Input, ...],
        places: Sequence[int],
        params: Mapping[str, Any],
    ) -> None:
        self.f, self.inputs, self.params = f, inputs, dict(params)
        self.name = name_of(f)
        self.gradient = f"gradcore's derivative of {self.name}"
        self.output_paths: tuple[str, ...] = ()
        self._template = template
        self._flat = [leaf for _, leaf in leaves(template, "")]
        self._places = tuple(places)

    def _call(
        self, arrays: Sequence[Array], *, record: bool
    ) -> tuple[list[Tensor | None], list[Tensor], Any]:
        flat = list(self._flat)
        made: dict[int, Tensor] = {}
        tensors: list[Tensor | None] = []
        for place, item, array in zip(self._places, self.inputs, arrays, strict=True):
            if not item.differentiable and not isinstance(self._flat[place], Tensor):
                flat[place] = array
                tensors.append(None)
                continue
            tensor = made.get(id(array))  # one array in two places is one Tensor, as in f(x, x)
            if tensor is None:
                tensor = made[id(array)] = Tensor(array, requires_grad=record and item.wanted)
            flat[place] = tensor
            tensors.append(tensor)
        result = self.f(*rebuild(self._template, iter(flat)), **self.params)
        outputs, paths = [], []
        for path, leaf in leaves(result, "output"):
            if not isinstance(leaf, Tensor):
                raise CallError(
                    f"{self.name} returned {described(leaf)} ({path}) where gradcore Tensors went in: return a Tensor, "
                    "or a tuple or dict of Tensors. For a plain NumPy function pass its rule as vjp="
                )
            outputs.append(leaf)
            paths.append(path)
        self.output_paths = tuple(paths)
        return tensors, outputs, result

    def by_rule(
        self, _arrays: Sequence[Array], _outputs: Sequence[Array], _gys: Sequence[Array | None]
    ) -> None:
        """Nothing: the engine's rules belong to the ops, not to this function."""

    def run(self, arrays: Sequence[Array]) -> CoreRun:
        """Forward on Tensors that share these arrays, recorded."""
        with enable_grad():
            tensors, outputs, result = self._call(arrays, record=True)
        return CoreRun(tensors, outputs, result)

    def values(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The differentiable outputs, nothing recorded."""
        with no_grad():
            return differentiable([t.data for t in self._call(arrays, record=False)[1]])


class CoreRun:
    """One recorded forward call."""

    def __init__(self, tensors: Sequence[Tensor | None], results: Sequence[Tensor], result: Any) -> None:
        self._tensors, self._results, self.result = tensors, results, result
        self.outputs = tuple([t.data for t in results])

    def _roots(self, gys: Sequence[Array | None]) -> list[tuple[Tensor, Array]]:
        return [
            (y, gy) for y, gy in zip(self._results, gys, strict=True) if gy is not None and y.requires_grad
        ]

    def pull(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """One cotangent per input array; the whole of it at the first of several places of one array."""
        try:
            found = backward_pass(self._roots(gys), retain_graph=True)
        except Exception as error:
            raise RuleError(f"{type(error).__name__}: {error}") from error
        return self._placed({id(leaf): np.asarray(gx) for leaf, gx in found})

    def accumulated(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """What `backward` leaves in the `grad` of each input."""
        for tensor in self._tensors:
            if tensor is not None:
                tensor.grad = None
        try:
            for root, gy in self._roots(gys):
                root.backward(gy, retain_graph=True)
        except Exception as error:
            raise RuleError(f"{type(error).__name__}: {error}") from error
        grads = self._placed({id(t): t.grad for t in self._tensors if t is not None and t.grad is not None})
        for tensor in self._tensors:
            if tensor is not None:
                tensor.grad = None
        return grads

    def _placed(self, by_tensor: dict[int, Array]) -> list[Array | None]:
        return [None if tensor is None else by_tensor.pop(id(tensor), None) for tensor in self._tensors]


def as_tensors(inputs: Any) -> Any:
    """The same structure with floating arrays as Tensors that share their memory, for gradcore to differentiate by."""

    def tensor(leaf: Any) -> Any:
        floating = isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc"
        return Tensor(np.asarray(leaf)) if floating else leaf

    return rebuild(inputs, (tensor(leaf) for _, leaf in leaves(inputs, "")))


def gradient_function(f: Callable[..., Any], wanted: frozenset[str]) -> Callable[..., tuple[Tensor, ...]]:
    """`(*inputs, gys) -> gxs` as a function of Tensors: the backward pass of `f` itself, recorded.

    wanted: names of the inputs to differentiate by. gys: a tuple of cotangents of f's outputs, None for none.
    """

    def gradient(*args: Any, **params: Any) -> tuple[Tensor, ...]:
        *inputs, gys = args
        flat: list[Any] = []
        sources: list[Tensor] = []
        for path, leaf in leaves(tuple(inputs), "inputs"):
            source = leaf
            if path in wanted and isinstance(leaf, Tensor):
                source = leaf if leaf.requires_grad else Tensor(leaf.data, requires_grad=True)
                sources.append(source)
            flat.append(source)
        with enable_grad():
            result = f(*rebuild(tuple(inputs), iter(flat)), **params)
            outputs = [leaf for _, leaf in leaves(result, "output")]
            roots = [
                (y, gy) for y, gy in zip(outputs, gys, strict=True) if gy is not None and y.requires_grad
            ]
            found = backward_pass(roots, retain_graph=True, record=True)
        by_source = {id(leaf): gx for leaf, gx in found}
        return tuple([by_source.get(id(s), Tensor(np.zeros_like(s.data))) for s in sources])

    gradient.__name__ = f"the gradient of {name_of(f)}"
    return gradient


def rule_function(f: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    """`(*inputs, gy) -> gxs` as a function of Tensors, from a NumPy pair whose functions gradcore has rules for."""

    def gradient(*args: Any, **params: Any) -> tuple[Any, ...]:
        *inputs, gy = args
        found = rule(gy, f(*inputs, **params), *inputs, **params)
        return tuple([leaf for _, leaf in leaves(found, "output") if isinstance(leaf, Tensor)])

    gradient.__name__ = f"the gradient of {name_of(f)}"
    return gradient
