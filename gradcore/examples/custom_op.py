"""An op of one's own: a first rule that is wrong, what is reported of it, the right one, and a network that uses it.

The op is "squareplus", (x + sqrt(x^2 + 4)) / 2, a smooth relu without exponentials (J. T. Barron, Squareplus: A Softplus-Like
Algebraic Rectifier, arXiv:2112.11687).

    python -m gradcore.examples.custom_op [--picture squareplus.png]
"""

from __future__ import annotations

import math

import numpy as np

import gradcore
from gradcheck import gradcheck, verify
from gradcore import nn, optim
from gradcore.data import DataLoader, load
from gradcore.examples.common import draw, picture_of
from gradcore.spec import OpSpec, case, reals
from gradcore.train import Trainer


def forward(x):
    """The mathematics, in NumPy."""
    return (x + np.sqrt(x * x + 4)) / 2


def first_try(gy, y, x):
    """By quick work: the derivative of the root without its inner derivative."""
    return gy * (1 + 1 / np.sqrt(x * x + 4)) / 2


def rule(gy, y, x):
    """y' = (1 + x / sqrt(x^2 + 4)) / 2."""
    return gy * (1 + x / np.sqrt(x * x + 4)) / 2


def registered():
    """The op, with its domain and a reference: from here on it is one of the registered ones, and verified like them."""

    @gradcore.op(
        vjp=rule,
        spec=OpSpec(
            case(reals("...")), reference=np.vectorize(lambda x: (x + math.hypot(x, 2)) / 2, otypes=[float])
        ),
    )
    def squareplus(x, /):
        """(x + sqrt(x^2 + 4)) / 2, entry by entry."""
        return forward(x)

    return squareplus


class Elementwise(nn.Module):
    """An op of one array as a layer."""

    def __init__(self, op):
        super().__init__()
        self.op = op

    def forward(self, x):
        """The op of x, of any shape."""
        return self.op(x)


def main() -> None:
    """Check, verify, train."""
    picture = picture_of(__doc__)
    squareplus = registered()
    x = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]])
    print(gradcheck(forward, (x,), vjp=first_try, raise_exception=False))
    print(gradcheck(forward, (x,), vjp=rule))
    print(verify(squareplus, max_examples=50))  # over its own spec, at both orders where it is declared
    digits = load("digits")
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 48, rng=0), Elementwise(squareplus), nn.Linear(48, 10, rng=1)
    )
    trainer = Trainer(model, optim.Adam(model.parameters(), lr=3e-3))
    batches = DataLoader(digits.train, batch_size=32, shuffle=True, seed=0)
    history = trainer.fit(batches, epochs=6, test=DataLoader(digits.test))
    accuracy = history[-1]["test_accuracy"]
    print(f"test accuracy {accuracy:.3f}, expected above 0.93")
    if accuracy < 0.93:
        raise SystemExit(1)

    def paint(axes):
        t = np.linspace(-4, 4, 200)
        axes.plot(t, forward(t), label="squareplus")
        axes.plot(t, rule(1.0, None, t), label="its derivative")
        axes.plot(t, first_try(1.0, None, t), "--", label="the first try")
        axes.legend()

    draw(picture, paint)


if __name__ == "__main__":
    main()
