"""Layers, losses as modules, initialisers, and ready-made models.

Layers: Linear, Conv2d, Embedding, MaxPool2d, AvgPool2d, Dropout, Flatten, Identity, Standardize.
Normalisation: BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm, GroupNorm, InstanceNorm1d, InstanceNorm2d.
Activations, which are the ops of their names: ReLU, ReLU6, LeakyReLU, ELU, CELU, SELU, GELU, SiLU, Mish, GLU, Softplus, Softsign,
Sigmoid, LogSigmoid, Tanh, Hardtanh, Hardsigmoid, Hardswish, Softmax, LogSoftmax.
Recurrent: RNN, LSTM, GRU, and RNNCell, LSTMCell, GRUCell for one step. Attention: MultiheadAttention, TransformerEncoderLayer.
Losses: CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss, MSELoss, L1Loss, HuberLoss and others. Containers: Module, Sequential, ModuleList, ModuleDict. Models: mlp, cnn. Initial weights: init.
`functional` holds functions under PyTorch's names, and `functional_call` puts other tensors in place of parameters.
"""

import importlib
from typing import Any

from gradcore import names as _names
from gradcore.nn import init
from gradcore.nn.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from gradcore.nn.attention import MultiheadAttention
from gradcore.nn.containers import ModuleDict, ModuleList, Sequential
from gradcore.nn.conv import Conv2d
from gradcore.nn.dropout import Dropout
from gradcore.nn.embedding import Embedding
from gradcore.nn.linear import Linear
from gradcore.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
    TripletMarginLoss,
)
from gradcore.nn.models import cnn, mlp
from gradcore.nn.module import Module, functional_call
from gradcore.nn.norm import BatchNorm1d, BatchNorm2d, Standardize
from gradcore.nn.pool import AvgPool2d, MaxPool2d
from gradcore.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from gradcore.nn.shaping import Flatten, Identity
from gradcore.nn.transformer import TransformerEncoderLayer
from gradcore.nn.within import GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, RMSNorm

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "NLLLoss",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Standardize",
    "Tanh",
    "TransformerEncoderLayer",
    "TripletMarginLoss",
    "cnn",
    "functional_call",
    "init",
    "mlp",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "functional":
        return importlib.import_module("gradcore.nn.functional")
    raise _names.missing(__name__, name, _names.NN)
