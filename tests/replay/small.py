"""Small steps to capture: three parameters times the input, summed; and batches of a classifier."""

import numpy as np

from gradcore import Tensor


def parameter():
    return Tensor(np.array([1.0, 2.0, 3.0], np.float32), requires_grad=True)


def calls(count=5):
    return [(np.arange(3, dtype=np.float32) + k,) for k in range(count)]


def loss_of(w, x, scale=1.0):
    return (w * x * scale).sum()


def batches(count, rows=8, width=6, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((rows, width)).astype(np.float32), rng.integers(0, 3, rows))
        for _ in range(count)
    ]


class Object:
    """Holds what a step uses."""

    def __init__(self, **attributes):
        vars(self).update(attributes)
