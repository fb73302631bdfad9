"""What PyTorch's users look for as `torch.nn.functional`: the functions that are in `gradcore` itself, by the same names.

`linear` is not among them: PyTorch's takes the weight transposed, as (out_features, in_features).
"""

from gradcore.losses import cross_entropy, mse_loss
from gradcore.ops.conv import conv2d
from gradcore.ops.elementwise import relu, sigmoid, tanh
from gradcore.ops.pool import avg_pool2d, max_pool2d
from gradcore.ops.reduce import log_softmax, softmax

__all__ = [
    "avg_pool2d", "conv2d", "cross_entropy", "log_softmax", "max_pool2d", "mse_loss", "relu", "sigmoid", "softmax",
    "tanh",
]  # fmt: skip
