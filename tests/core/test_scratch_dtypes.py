"""What ops and optimizers write to on their way has the dtype of their arrays: float64 there would be slow, and round otherwise."""

import numpy as np
import pytest

from gradcore import Tensor, optim
from gradcore.ops import (
    activations,
    batch_norm,
    erfc,
    gelu,
    layer_norm,
    log_softmax,
    normalize,
    reduce,
    row_norms,
    softmax,
    special,
)
from gradcore.optim import base

MAKERS = {"empty", "zeros", "ones", "full"}
ROWS, IMAGES = (40, 6), (3, 4, 5, 6)


class Watched:
    """NumPy, whose new arrays are seen."""

    def __init__(self, seen):
        self._seen = seen

    def __getattr__(self, name):
        value = getattr(np, name)
        if name not in MAKERS:
            return value

        def make(*args, **options):
            made = value(*args, **options)
            self._seen.append(made.dtype)
            return made

        return make


@pytest.fixture
def made(monkeypatch):
    """The dtypes of the arrays that were made."""
    seen = []
    for module in (activations, normalize, reduce, row_norms, special, base):
        monkeypatch.setattr(module, "np", Watched(seen))
    return seen


OPS = {
    "softmax": (softmax, ROWS),
    "log_softmax": (log_softmax, ROWS),
    "layer_norm": (layer_norm, ROWS, (6,), (6,)),
    "batch_norm": (batch_norm, IMAGES, (4,), (4,)),
    "gelu with tanh": (lambda x: gelu(x, "tanh"), ROWS),
    "gelu": (gelu, ROWS),
    "erfc": (erfc, ROWS),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_of_an_op_and_its_rule(name, dtype, made):
    function, *shapes = OPS[name]
    rng = np.random.default_rng(0)
    tensors = [Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]
    y = function(*tensors)
    y.backward(np.ones(y.shape, dtype))
    assert y.dtype == dtype
    assert set(made) <= {np.dtype(dtype)}
    assert made or (name, dtype) in {("gelu", np.float64), ("erfc", np.float64)}


@pytest.mark.parametrize("entries", [50, 20_000])
def test_of_an_optimizer(entries, made):
    p = Tensor(np.ones(entries, np.float32), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = np.ones(entries, np.float32)
    optimizer.step()
    assert set(made) == {np.dtype(np.float32)}
