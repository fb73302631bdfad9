"""gradcore: a compact NumPy tensor and autograd library whose every rule is verified numerically."""

from gradcore import errors, nn, optim, registry, spec
from gradcore.create import (
    arange,
    eye,
    full,
    full_like,
    ones,
    ones_like,
    rand,
    rand_like,
    randn,
    randn_like,
    tensor,
    zeros,
    zeros_like,
)
from gradcore.graph import enable_grad, is_grad_enabled, no_grad
from gradcore.losses import cross_entropy, mse_loss
from gradcore.op import Op, composed, op
from gradcore.ops import *  # noqa: F403
from gradcore.ops import __all__ as _ops
from gradcore.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "Op", "Tensor", "arange", "composed", "enable_grad", "errors", "eye", "full", "full_like", "is_grad_enabled",
    "cross_entropy", "mse_loss", "nn", "no_grad", "ones", "ones_like", "op", "optim", "rand", "rand_like", "randn", "randn_like", "registry", "spec", "tensor",
    "zeros", "zeros_like", *_ops,
]  # fmt: skip
