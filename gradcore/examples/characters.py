"""A recurrent network that learns a poem, one character after another, and then writes it down.

A GRU reads a character, keeps a state, and says what comes next. It is trained on pieces of the text, and started with
a few characters it goes on by itself (A. Karpathy, The unreasonable effectiveness of recurrent neural networks, 2015).

    python -m gradcore.examples.characters [--picture characters.png]
"""

from __future__ import annotations

import numpy as np

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader, Text
from gradcore.examples.common import draw, picture_of

POEM = Text.of("""'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"
""")  # Lewis Carroll, Through the Looking-Glass, 1871
LETTERS = len(POEM.vocabulary)


class Writer(nn.Module):
    """Numbers of letters (n, t) to scores of the next letter (n, t, letters), and the state after them."""

    def __init__(self, hidden=64, rng=0):
        super().__init__()
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(LETTERS, 16, rng=rng)
        self.steps = nn.GRU(16, hidden, batch_first=True, rng=rng)
        self.scores = nn.Linear(hidden, LETTERS, rng=rng)

    def forward(self, x, state=None):
        """The scores after each letter, and the state after the last."""
        y, state = self.steps(self.embedding(x), state)
        return self.scores(y), state


def train(model, epochs=15, length=24, batch=16):
    """The loss of each step: the mean of -log p of the next letter, on pieces of the text in random order."""
    losses = []
    pieces = DataLoader(POEM.windows(length, stride=1), batch_size=batch, shuffle=True, seed=0)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for x, y in pieces:
            scores, _ = model(x)
            loss = gradcore.cross_entropy(scores.reshape(-1, LETTERS), y.ravel())
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return losses


def write(model, start, count):
    """The text that starts so, with the likeliest letter after each."""
    codes = list(POEM.encode(start))
    with gradcore.no_grad():
        scores, state = model(np.array([codes]))
        for _ in range(count):
            codes.append(int(scores.data[0, -1].argmax()))
            scores, state = model(np.array([codes[-1:]]), state)
    return POEM.decode(codes)


def main() -> None:
    """Train, write, and compare with the poem."""
    picture = picture_of(__doc__)
    model = Writer()
    losses = train(model)
    start = POEM.decode(POEM.codes[:12])
    written = write(model, start, len(POEM) - len(start))
    scores, _ = model(POEM.codes[None, :-1])
    right = (scores.argmax(-1)[0] == POEM.codes[1:]).mean()
    print(written)
    print(
        f"loss: {losses[0]:.2f} -> {losses[-1]:.3f}; of the next letters {right:.0%} are right, expected above 90 %"
    )

    def paint(axes):
        axes.semilogy(losses)
        axes.set_xlabel("step")
        axes.set_ylabel("loss of the next letter")

    draw(picture, paint)
    if not right > 0.9:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
