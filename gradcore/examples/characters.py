"""A recurrent network that learns a poem, one character after another, and then writes it down.

A GRU reads a character, keeps a state, and says what comes next. It is trained on pieces of the text, and started with
a few characters it goes on by itself (A. Karpathy, The unreasonable effectiveness of recurrent neural networks, 2015).

    python -m gradcore.examples.characters [--picture characters.png]
"""

from __future__ import annotations

import numpy as np

import gradcore
from gradcore import nn, optim
from gradcore.examples.common import draw, picture_of

POEM = """'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"
"""  # Lewis Carroll, Through the Looking-Glass, 1871
LETTERS = sorted(set(POEM))
TEXT = np.array([LETTERS.index(letter) for letter in POEM])


class Writer(nn.Module):
    """Numbers of letters (n, t) to scores of the next letter (n, t, letters), and the state after them."""

    def __init__(self, hidden=64, rng=0):
        super().__init__()
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(len(LETTERS), 16, rng=rng)
        self.steps = nn.GRU(16, hidden, batch_first=True, rng=rng)
        self.scores = nn.Linear(hidden, len(LETTERS), rng=rng)

    def forward(self, x, state=None):
        """The scores after each letter, and the state after the last."""
        y, state = self.steps(self.embedding(x), state)
        return self.scores(y), state


def train(model, steps=250, length=24, batch=16):
    """The loss of each step: the mean of -log p of the next letter, on pieces of the text."""
    rng, losses = np.random.default_rng(0), []
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        starts = rng.integers(0, len(TEXT) - length, batch)
        pieces = TEXT[starts[:, None] + np.arange(length + 1)]
        scores, _ = model(pieces[:, :-1])
        loss = gradcore.cross_entropy(scores.reshape(-1, len(LETTERS)), pieces[:, 1:].ravel())
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def write(model, start, count):
    """The text that starts so, with the likeliest letter after each."""
    text = start
    with gradcore.no_grad():
        scores, state = model(np.array([[LETTERS.index(letter) for letter in start]]))
        for _ in range(count):
            letter = int(scores.data[0, -1].argmax())
            text += LETTERS[letter]
            scores, state = model(np.array([[letter]]), state)
    return text


def main() -> None:
    """Train, write, and compare with the poem."""
    picture = picture_of(__doc__)
    model = Writer()
    losses = train(model)
    start = POEM[:12]
    written = write(model, start, len(POEM) - len(start))
    scores, _ = model(TEXT[None, :-1])
    right = (scores.argmax(-1)[0] == TEXT[1:]).mean()
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
