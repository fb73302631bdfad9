"""Layers, losses as modules, initialisers, and ready-made models."""

from gradcore.nn import init
from gradcore.nn.activation import Dropout, Flatten, ReLU, Sigmoid, Tanh
from gradcore.nn.linear import Linear
from gradcore.nn.losses import CrossEntropyLoss, MSELoss
from gradcore.nn.models import mlp
from gradcore.nn.module import Module, Sequential, functional_call
from gradcore.nn.norm import BatchNorm1d, BatchNorm2d

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "MSELoss",
    "Module",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional_call",
    "init",
    "mlp",
]
