"""The differentiable primitives and what is composed of them: forward, vjp and spec of each stand together."""

from gradcore.ops import inplace as inplace  # this and the next add to Tensor what is no op
from gradcore.ops import methods as methods
from gradcore.ops.arithmetic import add, div, maximum, minimum, mul, pow, sub, where
from gradcore.ops.axes import squeeze, swapaxes, unsqueeze
from gradcore.ops.conv import conv2d, conv2d_input, conv2d_weight
from gradcore.ops.conv_transpose import conv_transpose2d
from gradcore.ops.elementwise import abs, cos, exp, expm1, log, log1p, neg, relu, sigmoid, sin, sqrt, tanh
from gradcore.ops.index import getitem, scatter_add
from gradcore.ops.linalg import linear, matmul
from gradcore.ops.normalize import batch_norm
from gradcore.ops.pool import avg_pool2d, avg_pool2d_input, max_pool2d, max_pool2d_input, max_pool2d_pick
from gradcore.ops.reduce import log_softmax, logsumexp, max, mean, min, softmax, sum
from gradcore.ops.shape import astype, broadcast_to, concatenate, reshape, transpose

__all__ = [
    "abs", "add", "astype", "avg_pool2d", "avg_pool2d_input", "batch_norm", "broadcast_to", "concatenate",
    "conv2d", "conv2d_input", "conv2d_weight", "conv_transpose2d", "cos", "div", "exp", "expm1", "getitem", "linear", "log", "log1p",
    "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "max_pool2d_input", "max_pool2d_pick", "maximum",
    "mean", "min", "minimum", "mul", "neg", "pow", "relu", "reshape", "scatter_add", "sigmoid", "sin", "softmax", "sqrt", "squeeze",
    "sub", "sum", "swapaxes", "tanh", "transpose", "unsqueeze", "where",
]  # fmt: skip
