"""Each of gradcore's layers as PyTorch has it: the module for the same arguments, and the state by PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

State = dict[str, Any]


@dataclass(frozen=True)
class Counterpart:
    """A module of PyTorch's.

    names: its names for arguments of ours that it calls otherwise. more: arguments that it gets besides. state: from our
    parameters and buffers, as tensors by name, to its own.
    """

    module: Callable[..., nn.Module]
    names: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    state: Callable[[State], State] = dict

    def made(self, params: Mapping[str, Any]) -> nn.Module:
        """A new module for a layer's arguments, in double precision."""
        given = {self.names.get(name, name): value for name, value in params.items() if name != "rng"}
        return self.module(**given, **self.more).double()


def _projected(state: State) -> State:
    """The state of a module with Linears in it: those weights alone end in .weight and have two axes."""
    found = {}
    for name, v in state.items():
        turned = name.endswith(".weight") and v.ndim == 2
        flat = name.endswith(".bias") and v.ndim == 2
        found[name] = v.T if turned else v.flatten() if flat else v
    return found


def _linear(state: State) -> State:
    """PyTorch's weight is (out, in), its bias has one axis."""
    return {name: v.T if name == "weight" else v.flatten() for name, v in state.items()}


class _Flatten(nn.Flatten):
    """One of a vector as well, whose entries are rows of one feature."""

    def forward(self, x: Any) -> Any:
        return x[:, None] if x.ndim == 1 else super().forward(x)


class _Hardsigmoid(nn.Module):
    """PyTorch's own rule takes a sixth in single precision, so that its derivative is off by 3e-8."""

    def forward(self, x: Any) -> Any:
        return torch.clamp(x / 6 + 0.5, 0, 1)


_AXIS = {"axis": "dim"}
_FEATURES = {"features": "num_features"}

_OTHERWISE = {
    "Flatten": Counterpart(_Flatten),
    "Hardsigmoid": Counterpart(_Hardsigmoid),
    "Linear": Counterpart(nn.Linear, state=_linear),
    "LeakyReLU": Counterpart(nn.LeakyReLU, {"slope": "negative_slope"}),
    "GLU": Counterpart(nn.GLU, _AXIS),
    "Softmax": Counterpart(nn.Softmax, _AXIS),
    "LogSoftmax": Counterpart(nn.LogSoftmax, _AXIS),
    "MultiheadAttention": Counterpart(nn.MultiheadAttention, state=_projected),
    "TransformerEncoderLayer": Counterpart(nn.TransformerEncoderLayer, state=_projected),
    "BatchNorm1d": Counterpart(nn.BatchNorm1d, _FEATURES),
    "BatchNorm2d": Counterpart(nn.BatchNorm2d, _FEATURES),
    "InstanceNorm1d": Counterpart(nn.InstanceNorm1d, more={"affine": True}),
    "InstanceNorm2d": Counterpart(nn.InstanceNorm2d, more={"affine": True}),
}

NONE = {"Standardize": "PyTorch has it in torchvision alone"}
"""Layers that PyTorch does not have, and why they are not compared."""

DRAW = ("Dropout", "RNN", "LSTM", "GRU", "MultiheadAttention", "TransformerEncoderLayer")
"""Those that may draw numbers in training, which are other ones in PyTorch: with dropout they are compared in evaluation."""


def counterpart(name: str) -> Counterpart | None:
    """The one of a layer, None where PyTorch has no module of its name."""
    if name in _OTHERWISE:
        return _OTHERWISE[name]
    found = getattr(nn, name, None)
    return None if found is None else Counterpart(found)
