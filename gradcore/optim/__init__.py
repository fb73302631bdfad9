"""Optimizers and what a loop written by hand needs beside them.

SGD, RMSprop, Adam, AdamW, NAdam, RAdam, Adamax, Adagrad, Adadelta, Lion, Muon for matrices, and LBFGS, which takes a closure.
The learning rate: `schedules` are functions, for a Trainer too, and `lr_scheduler` has PyTorch's schedulers. clip_grad_norm and
clip_grad_value change gradients; EMA and SWA average weights.
"""

from typing import Any

from gradcore import names as _names
from gradcore.optim import lr_scheduler, schedules
from gradcore.optim.adadelta import Adadelta
from gradcore.optim.adagrad import Adagrad
from gradcore.optim.adam import Adam, AdamW
from gradcore.optim.adamax import Adamax
from gradcore.optim.average import EMA, SWA
from gradcore.optim.base import Optimizer
from gradcore.optim.clip import clip_grad_norm, clip_grad_value
from gradcore.optim.lbfgs import LBFGS
from gradcore.optim.lion import Lion
from gradcore.optim.muon import Muon
from gradcore.optim.nadam import NAdam
from gradcore.optim.radam import RAdam
from gradcore.optim.rmsprop import RMSprop
from gradcore.optim.sgd import SGD

__all__ = [
    "EMA", "LBFGS", "SGD", "SWA", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Muon", "NAdam", "Optimizer", "RAdam",
    "RMSprop", "clip_grad_norm", "clip_grad_value", "lr_scheduler", "schedules",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise _names.missing(__name__, name, _names.OPTIM)
