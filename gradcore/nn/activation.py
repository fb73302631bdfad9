"""Activations as layers: each calls the op of its name, whose domain and reference are its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Literal

from gradcore.nn.module import Module
from gradcore.ops import activations, exponential, reduce, trigonometric
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OpSpec


def _of(function: Any) -> LayerSpec:
    """The spec of a layer that is an op."""
    spec: OpSpec = function.spec

    @wraps(spec.reference)
    def reference(_state: Any, _training: bool, *arrays: Any, **params: Any) -> Any:
        return spec.reference(*arrays, **params)

    return LayerSpec(*spec.cases, reference=reference)


class _Activation(Module):
    """A layer that calls an op."""

    function: ClassVar[Callable[..., Any]]

    def forward(self, x: Any) -> Any:
        """The op of x."""
        return type(self).function(x)


class _WithOptions(_Activation):
    """The same with the static parameters that it was made with."""

    def forward(self, x: Any) -> Any:
        """The op of x."""
        return type(self).function(x, **self._options())

    def _options(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("training", "_hooks")}

    def extra_repr(self) -> str:
        return ", ".join([f"{name}={value!r}" for name, value in self._options().items()])


@layer(spec=_of(activations.relu))
class ReLU(_Activation):
    """max(x, 0), entry by entry."""

    function = activations.relu


@layer(spec=_of(activations.relu6))
class ReLU6(_Activation):
    """min(max(x, 0), 6), entry by entry."""

    function = activations.relu6


@layer(spec=_of(activations.leaky_relu))
class LeakyReLU(_WithOptions):
    """x where x > 0, `slope` x elsewhere, entry by entry."""

    function = activations.leaky_relu

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = slope


@layer(spec=_of(activations.elu))
class ELU(_WithOptions):
    """x where x > 0, alpha (e^x - 1) elsewhere, entry by entry."""

    function = activations.elu

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


@layer(spec=_of(activations.celu))
class CELU(_WithOptions):
    """x where x > 0, alpha (e^(x / alpha) - 1) elsewhere, entry by entry."""

    function = activations.celu

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha


@layer(spec=_of(activations.selu))
class SELU(_Activation):
    """The scaled elu that keeps mean 0 and variance 1, entry by entry."""

    function = activations.selu


@layer(spec=_of(activations.gelu))
class GELU(_WithOptions):
    """x Phi(x), with Phi the normal distribution function, or its approximation by tanh, entry by entry."""

    function = activations.gelu

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = approximate


@layer(spec=_of(activations.silu))
class SiLU(_Activation):
    """x sigmoid(x), entry by entry."""

    function = activations.silu


@layer(spec=_of(activations.mish))
class Mish(_Activation):
    """x tanh(softplus(x)), entry by entry."""

    function = activations.mish


@layer(spec=_of(activations.softplus))
class Softplus(_WithOptions):
    """log(1 + e^(beta x)) / beta, entry by entry."""

    function = activations.softplus

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta


@layer(spec=_of(activations.softsign))
class Softsign(_Activation):
    """x / (1 + |x|), entry by entry."""

    function = activations.softsign


@layer(spec=_of(exponential.sigmoid))
class Sigmoid(_Activation):
    """1 / (1 + e^-x), entry by entry."""

    function = exponential.sigmoid


@layer(spec=_of(activations.logsigmoid))
class LogSigmoid(_Activation):
    """log(1 / (1 + e^-x)), entry by entry."""

    function = activations.logsigmoid


@layer(spec=_of(trigonometric.tanh))
class Tanh(_Activation):
    """tanh x, entry by entry."""

    function = trigonometric.tanh


@layer(spec=_of(activations.hardtanh))
class Hardtanh(_Activation):
    """min(max(x, -1), 1), entry by entry."""

    function = activations.hardtanh


@layer(spec=_of(activations.hardsigmoid))
class Hardsigmoid(_Activation):
    """min(max(x / 6 + 1 / 2, 0), 1), entry by entry."""

    function = activations.hardsigmoid


@layer(spec=_of(activations.hardswish))
class Hardswish(_Activation):
    """x hardsigmoid(x), entry by entry."""

    function = activations.hardswish


@layer(spec=_of(activations.glu))
class GLU(_WithOptions):
    """a sigmoid(b) for the halves a, b of x along `axis`."""

    function = activations.glu

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis


@layer(spec=_of(reduce.softmax))
class Softmax(_WithOptions):
    """e^x / sum e^x along `axis`."""

    function = reduce.softmax

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis


@layer(spec=_of(reduce.log_softmax))
class LogSoftmax(_WithOptions):
    """log softmax of x along `axis`."""

    function = reduce.log_softmax

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
