"""Every optimizer in its usual settings, and what runs one by hand."""

import numpy as np

from gradcore import Tensor
from gradcore.optim import SGD, Adam, AdamW, RMSprop

ALL = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD with momentum": lambda p: SGD(p, lr=0.1, momentum=0.9),
    "SGD with Nesterov and decay": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.1),
    "RMSprop with momentum": lambda p: RMSprop(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "RMSprop, centered": lambda p: RMSprop(p, lr=0.1, momentum=0.9, centered=True),
    "Adam": lambda p: Adam(p, lr=0.1),
    "Adam with amsgrad": lambda p: Adam(p, lr=0.1, amsgrad=True),
    "Adam with decay": lambda p: Adam(p, lr=0.1, weight_decay=0.01),
    "AdamW": lambda p: AdamW(p, lr=0.1),
}


def parameter(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def run(make, gradients, start=1.0, dtype=np.float64):
    """The parameter after each step along the given gradients."""
    p = parameter([start], dtype)
    optimizer = make([p])
    seen = []
    for g in gradients:
        p.grad = np.array([g], dtype)
        optimizer.step()
        seen.append(p.item())
    return seen


def closure_of(optimizer, params, f, calls=None):
    """What LBFGS's step evaluates: the loss f(params), with its gradients; each loss is added to `calls`."""

    def closure():
        optimizer.zero_grad()
        loss = f(params)
        loss.backward()
        if calls is not None:
            calls.append(loss.item())
        return loss

    return closure
