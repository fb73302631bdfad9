"""The differentiable primitives and what is composed of them: forward, vjp and spec of each stand together."""

from gradcore.ops.arithmetic import add, div, maximum, minimum, mul, pow, sub, where
from gradcore.ops.elementwise import abs, exp, log, neg, relu, sigmoid, sqrt, tanh
from gradcore.ops.index import getitem, scatter_add
from gradcore.ops.linalg import linear, matmul
from gradcore.ops.normalize import batch_norm
from gradcore.ops.reduce import log_softmax, logsumexp, max, mean, min, softmax, sum
from gradcore.ops.shape import astype, broadcast_to, concatenate, reshape, transpose

__all__ = [
    "abs", "add", "astype", "batch_norm", "broadcast_to", "concatenate", "div", "exp", "getitem", "linear", "log", "log_softmax",
    "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mul", "neg", "pow", "relu", "reshape",
    "scatter_add", "sigmoid", "softmax", "sqrt", "sub", "sum", "tanh", "transpose", "where",
]  # fmt: skip
