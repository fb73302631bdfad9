"""A small transformer that learns to sort: eight digits go in, and come out from the smallest to the largest.

Each place has to look at all the others to know which digit belongs there. Two layers of attention, Vaswani et al., Attention
is all you need, NIPS 2017, with the norms in front; the sequences to test are new ones.

    python -m gradcore.examples.transformer [--picture transformer.png]
"""

from __future__ import annotations

import numpy as np

import gradcore
from gradcore import nn, optim
from gradcore.examples.common import draw, picture_of

LENGTH, DIGITS = 8, 10


class Sorter(nn.Module):
    """Digits (n, t) to scores of the digit at each place of the sorted sequence (n, t, digits)."""

    def __init__(self, size=32, heads=4, layers=2, rng=0):
        super().__init__()
        rng = np.random.default_rng(rng)
        self.digits = nn.Embedding(DIGITS, size, rng=rng)
        self.places = nn.Embedding(LENGTH, size, rng=rng)
        self.layers = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(
                    size, heads, 2 * size, dropout=0.0, batch_first=True, norm_first=True, rng=rng
                )
                for _ in range(layers)
            ]
        )
        self.norm = nn.LayerNorm(size)
        self.scores = nn.Linear(size, DIGITS, rng=rng)

    def forward(self, x):
        """The scores."""
        y = self.digits(x) + self.places(np.arange(x.shape[1]))
        for layer in self.layers:
            y = layer(y)
        return self.scores(self.norm(y))


def drawn(rng, n):
    """n sequences of digits, as likely each."""
    return rng.integers(0, DIGITS, (n, LENGTH))


def accuracy(model, x):
    """The share of the places that are right."""
    with gradcore.no_grad():
        return float((model(x).data.argmax(-1) == np.sort(x)).mean())


def main() -> None:
    """Train on new sequences at each step, and test."""
    picture = picture_of(__doc__)
    model, rng = Sorter(), np.random.default_rng(0)
    steps, losses = 400, []
    optimizer = optim.Adam(model.parameters())
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for _ in range(steps):
        x = drawn(rng, 64)
        loss = gradcore.cross_entropy(model(x).reshape(-1, DIGITS), np.sort(x).ravel())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    new = drawn(np.random.default_rng(1), 1000)
    right = accuracy(model, new)
    print(f"{new[0]} -> {model(new[:1]).data[0].argmax(-1)}")
    print(
        f"loss: {losses[0]:.2f} -> {losses[-1]:.4f}; of the places of {len(new)} new sequences {right:.2%} are right, "
        "expected above 98 %"
    )

    def paint(axes):
        axes.semilogy(losses)
        axes.set_xlabel("step")
        axes.set_ylabel("loss of a place")

    draw(picture, paint)
    if not right > 0.98:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
