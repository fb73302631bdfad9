"""Learned optimisation: the learning rate and momentum of gradient descent, found by differentiating through its steps.

The loss after 15 steps on a badly scaled quadratic is a function of both numbers. Its gradient, a derivative through 15
gradients, trains them (D. Maclaurin, D. Duvenaud, R. P. Adams, Gradient-based hyperparameter optimization through reversible
learning, ICML 2015).

    python -m gradcore.examples.learned_steps [--picture learned.png]
"""

from __future__ import annotations

import numpy as np

from gradcore import Tensor, grad, optim
from gradcore.examples.common import draw, picture_of

SCALES = np.array([1.0, 3.0, 10.0])
STARTS = np.random.default_rng(0).standard_normal((8, 3))


def loss(w):
    """Eight quadratics side by side."""
    return 0.5 * (SCALES * w * w).sum() / len(STARTS)


def after(settings, steps=15):
    """The loss after so many steps with these settings, log(lr) and a number that a sigmoid turns into the momentum."""
    lr, momentum = np.exp(settings[0]), 1 / (1 + np.exp(-settings[1]))
    w, velocity = STARTS, 0.0
    for _ in range(steps):
        velocity = momentum * velocity - lr * grad(lambda w: loss(w) * len(STARTS))(w)
        w = w + velocity
    return loss(w)


def main() -> None:
    """Train the settings, and compare with the best that a search over 400 finds."""
    picture = picture_of(__doc__)
    settings, history = Tensor(np.array([np.log(0.01), -2.0]), requires_grad=True), []
    optimizer = optim.Adam([settings], lr=0.05)
    for _ in range(400):
        value = np.log(after(settings))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(np.exp(value.item()))
    best = min(
        after(np.array([np.log(lr), np.log(m / (1 - m))])).item()
        for lr in np.geomspace(0.01, 0.3, 20)
        for m in np.linspace(0.02, 0.9, 20)
    )
    reached = history[-1]
    lr, momentum = np.exp(settings.data[0]), 1 / (1 + np.exp(-settings.data[1]))
    print(f"loss after 15 steps: {history[0]:.3g} -> {reached:.3g} with lr {lr:.3f}, momentum {momentum:.3f}")
    print(f"the best of a grid of 400 settings: {best:.3g}; expected below 1e-5")

    def paint(axes):
        axes.semilogy(history, label="loss after 15 steps")
        axes.axhline(best, color="grey", linestyle="--", label="best of 400 settings")
        axes.set_xlabel("step of the settings")
        axes.legend()

    draw(picture, paint)
    if not reached < 1e-5:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
