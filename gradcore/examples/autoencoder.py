"""A variational autoencoder: handwritten digits laid out on a plane, and new ones for any point of it.

The encoder gives each picture a normal distribution on the plane, the decoder turns a point into the probability that each
pixel is dark. The loss is -log p(picture | point) + KL(distribution || standard normal), which is never below -log p(picture)
(D. P. Kingma, M. Welling, Auto-encoding variational Bayes, ICLR 2014, equation 10).

    python -m gradcore.examples.autoencoder [--picture digits.png]
"""

from __future__ import annotations

import numpy as np

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader, load_digits
from gradcore.examples.common import draw, picture_of

PIXELS, HIDDEN = 64, 128


class Autoencoder(nn.Module):
    """Pictures (n, 64) and noise (n, 2) to the logits of each pixel, and the mean and log-variance of each point."""

    def __init__(self, rng=0):
        super().__init__()
        rng = np.random.default_rng(rng)
        self.encoder = nn.mlp((PIXELS, HIDDEN, 4), rng=rng)
        self.decoder = nn.mlp((2, HIDDEN, HIDDEN, PIXELS), rng=rng)

    def forward(self, x, noise):
        """The point is mean + deviation x noise, so that it has derivatives by both."""
        parts = self.encoder(x)
        mean, log_variance = parts[:, :2], parts[:, 2:]
        return self.decoder(mean + np.exp(log_variance / 2) * noise), mean, log_variance


def dark(images):
    """Which pixels are dark, as numbers (n, 64)."""
    return (images.reshape(-1, PIXELS) > 0.5).astype(np.float32)


def bound(model, x, rng):
    """The loss of a picture, averaged over pictures."""
    noise = rng.standard_normal((len(x), 2)).astype(np.float32)
    logits, mean, log_variance = model(x, noise)
    unlike = gradcore.binary_cross_entropy_with_logits(logits, x, "sum")
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    return (unlike + divergence) / len(x)


def map_of(model, rows=9, columns=17):
    """What the decoder makes of a grid of points, as one picture."""
    across, down = np.meshgrid(np.linspace(-2.4, 2.4, columns), np.linspace(2, -2, rows))
    points = np.stack([across, down], -1).reshape(-1, 2).astype(np.float32)
    with gradcore.no_grad():
        made = gradcore.sigmoid(model.decoder(points)).data
    apart = np.pad(made.reshape(rows, columns, 8, 8), [(0, 0), (0, 0), (1, 1), (0, 0)])
    return apart.transpose(0, 2, 1, 3).reshape(10 * rows, 8 * columns)


def main() -> None:
    """Train, and compare on the digits for testing with pixels that are drawn one by one, as dark as the mean digit."""
    picture = picture_of(__doc__)
    digits = load_digits()
    test, usual = dark(digits.test.images), dark(digits.train.images).mean(0).clip(1e-3, 1 - 1e-3)
    model, rng = Autoencoder(), np.random.default_rng(0)
    batches = DataLoader(digits.train, batch_size=64, shuffle=True, seed=0)
    optimizer, epochs, losses = optim.Adam(model.parameters()), 60, []
    for epoch in range(epochs):
        optimizer.lr = 3e-3 * (1 - epoch / epochs)
        for images, _ in batches:
            loss = bound(model, dark(images), rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with gradcore.no_grad():
            losses.append(bound(model, test, rng).item())
    one_by_one = -(test * np.log(usual) + (1 - test) * np.log(1 - usual)).sum(1).mean()
    print(
        f"loss of a digit for testing: {losses[0]:.2f} -> {losses[-1]:.2f}, expected below 20.5; of pixels one by one {one_by_one:.2f}"
    )

    def paint(axes):
        axes.imshow(map_of(model), cmap="gray_r", extent=(-2.55, 2.55, -2.25, 2.25))
        axes.set_title("what the decoder makes of points of the plane")

    draw(picture, paint)
    if not losses[-1] < 20.5:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
