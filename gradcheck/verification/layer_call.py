"""A layer at an example: built with drawn parameters and buffers, called on Tensors or by its spec's reference."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.tree import leaves
from gradcheck.verification.outcome import described
from gradcore.convert import plain
from gradcore.nn.module import functional_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gradcheck.strategies import Example
    from gradcore.nn.module import Module
    from gradcore.spec import LayerSpec


@dataclass(frozen=True)
class LayerCall:
    """A layer, built anew for each call where its spec says that a call changes it: class, constructor arguments, mode, state.

    parameters: by name, drawn anew, since a layer's initial zeros and ones hide mistakes. buffers: as forward passes in
    training have left them. Each call starts from this state, so that it is a pure function and replays Dropout.
    """

    cls: type[Module]
    params: Mapping[str, Any]
    training: bool
    parameters: dict[str, NDArray[Any]]
    buffers: dict[str, NDArray[Any]]
    dtype: np.dtype[Any]
    _kept: dict[Any, Module] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def draw(cls, layer: type[Module], example: Example, training: bool, style: str, seed: int) -> LayerCall:
        """A call for this example; style: "random" parameters, or "zeros" for half of their entries."""
        floats = [a.dtype for a in example.arrays if a is not None and a.dtype.kind == "f"]
        dtype = np.result_type(*floats or [np.dtype(np.float64)])  # an Embedding takes whole numbers alone
        made = _built(layer, example.params, dtype)
        names = [name for name, _ in made.named_parameters()]
        rng = np.random.default_rng(seed)
        state = made.state_dict()
        drawn = {}
        for name in names:
            values = rng.standard_normal(state[name].shape) + 0.25
            if style == "zeros":
                values = np.where(rng.random(values.shape) < 0.5, 0.0, values)
            drawn[name] = values.astype(dtype)
        if len(names) < len(state):  # buffers are what training leaves in them
            made.load_state_dict({**state, **drawn})
            for _ in range(2):
                made.train()(*arguments(layer, _shaken(example, rng)))
            state = made.state_dict()
        return cls(
            layer,
            example.params,
            training,
            drawn,
            {name: array for name, array in state.items() if name not in drawn},
            dtype,
        )

    def __call__(self, *inputs: Any) -> Any:
        """The layer's output for `(*arrays, parameters)`, the last a dict of Tensors by name."""
        *arrays, parameters = inputs
        dtype = next((p.dtype for p in parameters.values()), self.dtype)  # widened by numeric derivatives
        if self.spec.state_after is not None or dtype not in self._kept:
            self._kept[dtype] = self.layer(dtype)
        return functional_call(self._kept[dtype], parameters, *arguments(self.cls, arrays))

    def layer(self, dtype: np.dtype[Any]) -> Module:
        """A new layer in this mode, with these buffers; its parameters are as it drew them."""
        made = _built(self.cls, self.params, dtype)
        if self.buffers:
            state = made.state_dict()
            made.load_state_dict({**state, **{n: b.astype(state[n].dtype) for n, b in self.buffers.items()}})
        return made.train(self.training)

    def reference(self, *values: Any) -> Any:
        """The spec's output for `(*arrays, *parameters)`, on float64 arrays."""
        n = len(values) - len(self.parameters)
        return self.spec.reference(self._state(values[n:]), self.training, *values[:n], **self.params)

    def state_after(self, *values: Any) -> dict[str, Any]:
        """What the spec says that this call changes, by name."""
        if not self.training or self.spec.state_after is None:
            return {}
        n = len(values) - len(self.parameters)
        return dict(self.spec.state_after(self._state(values[n:]), *values[:n], **self.params))

    def _state(self, parameters: Sequence[Any]) -> dict[str, Any]:
        state = {n: b.astype(np.float64) for n, b in self.buffers.items()}
        return {**state, **dict(zip(self.parameters, parameters, strict=True))}

    @property
    def spec(self) -> LayerSpec:
        """The layer's."""
        found: LayerSpec = self.cls.spec  # type: ignore[attr-defined]
        return found

    def on(self, arrays: Sequence[Any]) -> str:
        """The call in words."""
        return f"{self} on {described(arrays, self.params)}"

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return f"{self.cls.__name__} in {mode}"

    @property
    def __name__(self) -> str:
        return str(self)


def _built(layer: type[Module], params: Mapping[str, Any], dtype: np.dtype[Any]) -> Module:
    return layer(**params).astype(dtype)


def arguments(layer: type[Module], arrays: Sequence[Any]) -> Sequence[Any]:
    """What `forward` takes for these arrays."""
    inputs = layer.spec.inputs  # type: ignore[attr-defined]
    return arrays if inputs is None else inputs(*arrays)


def outputs(result: Any) -> list[Any]:
    """The arrays of a layer's output, or of all of its outputs."""
    return [plain(part) for part in parts(result)]


def parts(result: Any) -> list[Any]:
    """A layer's output, or all of its outputs, as they are."""
    return [leaf for _, leaf in leaves(result, "") if leaf is not None]


def joined(result: Any) -> Any:
    """The output, or the entries of all outputs in a row."""
    found = outputs(result)
    return found[0] if len(found) == 1 else np.concatenate([np.ravel(y) for y in found])


def _shaken(example: Example, rng: np.random.Generator) -> list[Any]:
    return [
        a * (1 + rng.standard_normal(a.shape)).astype(a.dtype) if a is not None and a.dtype.kind == "f" else a
        for a in example.arrays
    ]


def state_of(layer: Module) -> dict[str, Any]:
    """Copies of all that a call could change: parameters, buffers, generators, modes, by name."""
    found: dict[str, Any] = dict(layer.state_dict())
    for path, module in layer.named_modules():
        for name, value in vars(module).items():
            full = f"{path}.{name}" if path else name
            if isinstance(value, np.random.Generator):
                found[full] = copy.deepcopy(value)
            elif name == "training":
                found[full] = np.array(value)
    return found
