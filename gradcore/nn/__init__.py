"""Layers, losses as modules, initialisers, and ready-made models.

Layers: Linear, Bilinear, Conv1d, Conv2d, ConvTranspose2d, Embedding, MaxPool2d, AvgPool2d, AdaptiveMaxPool2d, AdaptiveAvgPool2d,
Upsample, Unfold, Fold, Dropout, Flatten, Identity, Standardize.
Normalisation: BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm, GroupNorm, InstanceNorm1d, InstanceNorm2d.
Activations, which are the ops of their names: ReLU, ReLU6, LeakyReLU, ELU, CELU, SELU, GELU, SiLU, Mish, GLU, Softplus, Softsign,
Sigmoid, LogSigmoid, Tanh, Hardtanh, Hardsigmoid, Hardswish, Softmax, LogSoftmax.
Recurrent: RNN, LSTM, GRU, and RNNCell, LSTMCell, GRUCell for one step. Attention: MultiheadAttention, TransformerEncoderLayer.
Losses: CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss, MSELoss, L1Loss, HuberLoss and others. Containers: Module, Sequential, ModuleList, ModuleDict, ParameterList. Models: mlp, cnn. Initial weights: init.
`functional` holds functions under PyTorch's names, and `functional_call` puts other tensors in place of parameters. `summary` prints
a model with its shapes; `weight_norm` and `spectral_norm` change how a module's weight is held.
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
from gradcore.nn.bilinear import Bilinear
from gradcore.nn.containers import ModuleDict, ModuleList, ParameterList, Sequential
from gradcore.nn.conv1d import Conv1d
from gradcore.nn.conv2d import Conv2d
from gradcore.nn.conv_transpose2d import ConvTranspose2d
from gradcore.nn.dropout import Dropout
from gradcore.nn.embedding import Embedding
from gradcore.nn.linear import Linear
from gradcore.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    CTCLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MarginRankingLoss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    SmoothL1Loss,
    TripletMarginLoss,
)
from gradcore.nn.models import cnn, mlp
from gradcore.nn.module import Module, functional_call
from gradcore.nn.norm import BatchNorm1d, BatchNorm2d, Standardize
from gradcore.nn.pool import AvgPool2d, MaxPool2d
from gradcore.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from gradcore.nn.reparametrised import spectral_norm, weight_norm
from gradcore.nn.resizing import AdaptiveAvgPool2d, AdaptiveMaxPool2d, Fold, Unfold, Upsample
from gradcore.nn.shaping import Flatten, Identity
from gradcore.nn.summary import summary
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
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "CTCLoss",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Fold",
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
    "MarginRankingLoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "ParameterList",
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
    "Unfold",
    "Upsample",
    "cnn",
    "functional_call",
    "init",
    "mlp",
    "spectral_norm",
    "summary",
    "weight_norm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "functional":
        return importlib.import_module("gradcore.nn.functional")
    raise _names.missing(__name__, name, _names.NN)
