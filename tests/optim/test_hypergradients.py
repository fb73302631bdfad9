"""Derivatives of whole trajectories by the start, the gradients on the way, lr and weight decay, through each reference.

An optimizer itself writes in place and is no part of a graph; its reference, which the suite holds it to, runs on Tensors.
"""

import numpy as np
import pytest

from gradcheck import gradcheck
from gradcore import Tensor, registry

SHAPE = (2, 3)


OPTIONS = {
    "Adam": [{"amsgrad": True}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
    "SGD": [{"momentum": 0.5, "nesterov": True}],
    "Muon": [{"ns_coefficients": (1.5, -0.5, 0.0)}],
}
CASES = [
    (cls, options) for name, cls in registry.optimizers.items() for options in [{}, *OPTIONS.get(name, [])]
]


@pytest.mark.parametrize(("cls", "options"), CASES, ids=lambda x: getattr(x, "__name__", str(x)))
def test_hypergradients_through_three_steps_are_right(cls, options):
    rng = np.random.default_rng(0)
    p, *gradients = (Tensor(rng.normal(size=SHAPE)) for _ in range(4))
    lr, decay = Tensor(np.array(0.1)), Tensor(np.array(0.05))

    def end(p, lr, decay, *gradients):
        moving = [lambda x, g=g: g + 0.5 * x for g in gradients]
        *_, last = cls.spec.reference(p, moving, [1.0, 0.5, 1.0], lr=lr, weight_decay=decay, **options)
        return last

    assert gradcheck(end, (p, lr, decay, *gradients))
