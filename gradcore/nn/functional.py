"""What PyTorch's users look for as `torch.nn.functional`: the functions that are in `gradcore` itself, by the same names.

`linear` is not among them: PyTorch's takes the weight transposed, as (out_features, in_features).
"""

from gradcore.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    ctc_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
    triplet_margin_loss,
)
from gradcore.ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    silu,
    softplus,
    softsign,
)
from gradcore.ops.attention import scaled_dot_product_attention
from gradcore.ops.conv import conv2d
from gradcore.ops.conv1d import conv1d
from gradcore.ops.conv_transpose import conv_transpose2d
from gradcore.ops.exponential import sigmoid
from gradcore.ops.patches import fold, unfold
from gradcore.ops.pool import avg_pool2d, max_pool2d
from gradcore.ops.reduce import log_softmax, softmax
from gradcore.ops.resize import adaptive_avg_pool2d, adaptive_max_pool2d, interpolate
from gradcore.ops.trigonometric import tanh

__all__ = [
    "adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "conv1d", "conv2d", "conv_transpose2d", "cosine_embedding_loss",
    "cross_entropy", "ctc_loss", "elu", "fold", "gelu", "glu", "hardsigmoid", "hardswish", "hardtanh", "hinge_loss", "huber_loss",
    "interpolate", "kl_div", "l1_loss", "leaky_relu", "log_softmax", "logsigmoid", "max_pool2d", "mish", "mse_loss",
    "nll_loss", "prelu", "relu", "relu6", "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss",
    "softmax", "softplus", "softsign", "tanh", "triplet_margin_loss", "unfold",
]  # fmt: skip
