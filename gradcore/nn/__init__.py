"""Layers, losses as modules, initialisers, and ready-made models.

Layers: Linear, Conv2d, BatchNorm1d, BatchNorm2d, Standardize, MaxPool2d, AvgPool2d, Dropout, Flatten, ReLU, Sigmoid, Tanh.
Losses: CrossEntropyLoss, MSELoss. Containers: Module, Sequential. Models: mlp, cnn. Initial weights: init.
`functional` holds functions under PyTorch's names, and `functional_call` puts other tensors in place of parameters.
"""

import importlib
from typing import Any

from gradcore import names as _names
from gradcore.nn import init
from gradcore.nn.activation import Dropout, Flatten, ReLU, Sigmoid, Tanh
from gradcore.nn.conv import Conv2d
from gradcore.nn.linear import Linear
from gradcore.nn.losses import CrossEntropyLoss, MSELoss
from gradcore.nn.models import cnn, mlp
from gradcore.nn.module import Module, Sequential, functional_call
from gradcore.nn.norm import BatchNorm1d, BatchNorm2d, Standardize
from gradcore.nn.pool import AvgPool2d, MaxPool2d

__all__ = [
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d", "CrossEntropyLoss", "Dropout", "Flatten", "Linear", "MSELoss",
    "MaxPool2d", "Module", "ReLU", "Sequential", "Sigmoid", "Standardize", "Tanh", "cnn", "functional_call", "init", "mlp",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "functional":
        return importlib.import_module("gradcore.nn.functional")
    raise _names.missing(__name__, name, _names.NN)
