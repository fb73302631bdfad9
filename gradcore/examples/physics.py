"""A physics-informed network: u'' + pi^2 u = -10 pi^2 sin(2 pi x) / 3 on [0, 1/2], learned from the equation alone.

The loss holds second derivatives of the network by its input, and is differentiated by the parameters: three orders in all
(M. Raissi, P. Perdikaris, G. E. Karniadakis, Physics-informed neural networks, Journal of Computational Physics 378 (2019) 686).
With u(0) = u(1/2) = 0 the solution is u = (10/9) sin(2 pi x).

    python -m gradcore.examples.physics [--picture physics.png]
"""

from __future__ import annotations

import math

import numpy as np

from gradcore import Tensor, grad, nn, optim
from gradcore.examples.common import draw, picture_of

END = 0.5
SIZE = 10 / 9


def exact(x):
    """The solution."""
    return SIZE * np.sin(2 * math.pi * x)


def main() -> None:
    """Train, and compare with the solution."""
    picture = picture_of(__doc__)
    model = nn.Sequential(
        nn.Linear(1, 24, rng=0), nn.Tanh(), nn.Linear(24, 24, rng=1), nn.Tanh(), nn.Linear(24, 1, rng=2)
    )
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def u(x):
        return 16.0 * x * (END - x) * model(x)  # zero at both ends, whatever the network says

    def slope(x):
        return grad(lambda x: u(x).sum())(x)

    x = np.linspace(0, END, 33)[1:-1, None]
    force = -(10 / 3) * math.pi**2 * np.sin(2 * math.pi * x)
    steps, losses = 1200, []
    for step in range(steps):
        optimizer.lr = 1e-2 * (1 - step / steps)
        points = Tensor(x, requires_grad=True)
        curvature = grad(lambda x: slope(x).sum())(points)
        residual = curvature + math.pi**2 * u(points) - force
        loss = (residual * residual).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    t = np.linspace(0, END, 101)[:, None]
    found = u(Tensor(t)).data
    error = float(np.max(np.abs(found - exact(t))) / SIZE)
    print(
        f"loss {losses[0]:.3g} -> {losses[-1]:.3g}; largest error of u {error:.2e} of its size, expected below 1e-2"
    )
    if not error < 1e-2:
        raise SystemExit(1)

    def paint(axes):
        axes.plot(t, exact(t), label="the solution")
        axes.plot(t, found, "--", label="the network")
        axes.plot(x, np.zeros_like(x), "k|", label="where the equation is tried")
        axes.legend()

    draw(picture, paint)


if __name__ == "__main__":
    main()
