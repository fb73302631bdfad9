"""Layers at an example: the value against the reference, and the gradient by every input and every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.check import gradcheck
from gradcheck.verification.outcome import VerificationError, described
from gradcheck.verification.rounding import check_agreement
from gradcore.nn.module import functional_call
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gradcheck.report import Report
    from gradcheck.strategies import Example
    from gradcore.nn.module import Module


@dataclass(frozen=True)
class LayerCall:
    """A layer to be built anew for each call: class, constructor arguments, mode, and state.

    parameters: by name, drawn anew, since a layer's initial zeros and ones hide mistakes. buffers: as forward passes in
    training have left them. Each call starts from this state, so that it is a pure function and replays Dropout.
    """

    cls: type[Module]
    params: Mapping[str, Any]
    training: bool
    parameters: dict[str, NDArray[Any]]
    buffers: dict[str, NDArray[Any]]
    dtype: np.dtype[Any]

    @classmethod
    def draw(cls, layer: type[Module], example: Example, training: bool, style: str, seed: int) -> LayerCall:
        """A call for this example; style: "random" parameters, or "zeros" for half of their entries."""
        dtype = np.result_type(*[a.dtype for a in example.arrays if a is not None and a.dtype.kind == "f"])
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
                made.train()(*_shaken(example, rng))
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
        made = _built(self.cls, self.params, dtype)
        state = made.state_dict()
        made.load_state_dict({**state, **{n: b.astype(state[n].dtype) for n, b in self.buffers.items()}})
        return functional_call(made.train(self.training), parameters, *arrays)

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        return f"{self.cls.__name__} in {mode}"

    @property
    def __name__(self) -> str:
        return str(self)


def _built(layer: type[Module], params: Mapping[str, Any], dtype: np.dtype[Any]) -> Module:
    return layer(**params).astype(dtype)


def _shaken(example: Example, rng: np.random.Generator) -> list[Any]:
    return [
        a * (1 + rng.standard_normal(a.shape)).astype(a.dtype) if a is not None and a.dtype.kind == "f" else a
        for a in example.arrays
    ]


def check_layer_value(call: LayerCall, example: Example) -> None:
    """The output against the reference, on arrays as on Tensors, with its shape and dtype. Raises `VerificationError`."""
    names = list(call.parameters)
    what = f"{call} on {described(example.arrays, call.params)}"

    def layer(*values: Any) -> Any:
        arrays, parameters = values[: len(example.arrays)], values[len(example.arrays) :]
        y = call(*[_tensor(a) for a in arrays], dict(zip(names, map(Tensor, parameters), strict=True)))
        return y.data

    def reference(*values: Any) -> Any:
        arrays, parameters = values[: len(example.arrays)], values[len(example.arrays) :]
        state = {n: b.astype(np.float64) for n, b in call.buffers.items()}
        state.update(zip(names, parameters, strict=True))
        return call.cls.spec.reference(state, call.training, *arrays, **call.params)  # type: ignore[attr-defined]

    values = [*example.arrays, *call.parameters.values()]
    y = layer(*values)
    if y.dtype != call.dtype:
        raise VerificationError(f"{what}: the output is {y.dtype}, and the input {call.dtype}")
    moves = [*example.takes_gradient, *(True for _ in names)]
    check_agreement(what, layer, reference, values, moves)


def _tensor(a: Any) -> Any:
    return Tensor(a) if a is not None and a.dtype.kind == "f" else a


def check_layer_gradient(call: LayerCall, example: Example, *, seed: int = 0) -> Report:
    """The gradient by every input that takes one and every parameter, against numeric derivatives.

    Raises `GradientError`.
    """
    inputs = (*example.arrays, call.parameters)
    wanted: list[int | str] = [i for i, takes in enumerate(example.takes_gradient) if takes]
    wanted += [f"inputs[{len(example.arrays)}][{name!r}]" for name in call.parameters]
    return gradcheck(call, inputs, wrt=wanted, seed=seed)
