"""gradcore: a compact NumPy tensor and autograd library whose every rule is verified numerically.

Tensors: tensor, Tensor, zeros, ones, full, arange, eye, rand, randn, and zeros_like and so on; x.backward() fills x.grad.
Ops: functions and methods of tensors (`gradcore.registry.ops` lists them), and NumPy's own functions called on tensors.
Models: `gradcore.nn` (layers, losses, Module), `gradcore.optim` (SGD, RMSprop, Adam, AdamW, schedules, clipping).
Training: `gradcore.data` (load, DataLoader), `gradcore.train` (Trainer, evaluate), `check_model` before the first step.
Speed: `capture(step)` replays a step as a flat list of NumPy calls; `callback` for what it is to call again each time.
Files: `save(path, model)` and `load_into(path, model)`; `gradcore.io` for arrays.
Gradients: no_grad, enable_grad; anomaly names the op that first makes NaN or infinity; `op` and `composed` make ops of your own; `gradcore.errors` lists the errors.

nn, optim, data, train, io, save, load_into, check_model and capture are loaded when they are first used.
"""

import importlib as _importlib
import typing as _typing

from gradcore import errors, registry, spec
from gradcore.allocation import keep_freed_memory as _keep_freed_memory
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
from gradcore.losses import *  # noqa: F403
from gradcore.losses import __all__ as _losses
from gradcore.modes import callback, enable_grad, is_grad_enabled, no_grad
from gradcore.op import Op, composed, op
from gradcore.ops import *  # noqa: F403
from gradcore.ops import __all__ as _ops
from gradcore.tensor import Tensor
from gradcore.tracing import anomaly

_keep_freed_memory()

__version__ = "0.1.0"

__all__ = [
    "Op", "Tensor", "anomaly", "arange", "callback", "capture", "composed", "enable_grad", "errors", "eye", "full", "full_like", "is_grad_enabled",
    "nn", "no_grad", "ones", "ones_like", "op", "optim", "rand", "rand_like", "randn", "randn_like", "registry", "spec", "tensor",
    "checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp",
    "zeros", "zeros_like", "check_model", "data", "io", "load_into", "save", "train", *_losses, *_ops,
]  # fmt: skip

if _typing.TYPE_CHECKING:
    from gradcore import data, io, nn, optim, train
    from gradcore.preflight import check_model
    from gradcore.recompute import checkpoint
    from gradcore.replay import capture
    from gradcore.saving import load_into, save
    from gradcore.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

_LATE = {
    **dict.fromkeys(
        ("grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"),
        "gradcore.transforms",
    ),
    "data": "gradcore.data",
    "io": "gradcore.io",
    "nn": "gradcore.nn",
    "optim": "gradcore.optim",
    "train": "gradcore.train",
    "capture": "gradcore.replay",
    "checkpoint": "gradcore.recompute",
    "check_model": "gradcore.preflight",
    "load_into": "gradcore.saving",
    "save": "gradcore.saving",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _LATE:
        names = _importlib.import_module("gradcore.names")
        raise names.missing(__name__, name, names.PACKAGE)
    module = _importlib.import_module(_LATE[name])
    found = module if _LATE[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
