"""Optimizers (SGD, RMSprop, Adam, AdamW), gradient clipping, and learning-rate `schedules`."""

from typing import Any

from gradcore import names as _names
from gradcore.optim import schedules
from gradcore.optim.adam import Adam, AdamW
from gradcore.optim.base import Optimizer
from gradcore.optim.clip import clip_grad_norm, clip_grad_value
from gradcore.optim.rmsprop import RMSprop
from gradcore.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_value", "schedules"]


def __getattr__(name: str) -> Any:
    raise _names.missing(__name__, name, _names.OPTIM)
