"""What an optimizer's running values hold, by their names; and that their size changes no bit."""

import numpy as np
import pytest
from optimizers import parameter

from gradcore import optim, registry

G, H = 3.0, -0.5  # the gradients of two steps from 1.0, along which nothing is the same by chance
LATE = {"betas": (0.75, 0.5)}

# What is held after both steps, written out.
HELD = {
    "Adadelta": ({"rho": 0.75, "eps": 0.25}, lambda: _adadelta(0.75, 0.25)),
    "Adagrad": ({}, lambda: {"square_sum": G * G + H * H}),
    "Adam": ({**LATE, "amsgrad": True}, lambda: {"sum": 0.75 * G + H, "square_sum": 0.5 * G * G + H * H, "largest": G * G}),
    "AdamW": ({**LATE, "weight_decay": 0.0}, lambda: {"sum": 0.75 * G + H, "square_sum": 0.5 * G * G + H * H}),
    "Adamax": (LATE, lambda: {"mean": 0.75 * 0.25 * G + 0.25 * H, "largest": max(0.5 * (G + 1e-8), abs(H) + 1e-8)}),
    "Lion": (LATE, lambda: {"mean": 0.5 * 0.5 * G + 0.5 * H}),
    "Muon": ({"momentum": 0.75}, lambda: {"mean": 0.75 * 0.25 * G + 0.25 * H}),
    "NAdam": (LATE, lambda: {"mean": 0.75 * 0.25 * G + 0.25 * H, "square": 0.25 * G * G + 0.5 * H * H}),
    "RAdam": (LATE, lambda: {"mean": 0.75 * 0.25 * G + 0.25 * H, "square": 0.25 * G * G + 0.5 * H * H}),
    "RMSprop": ({"alpha": 0.75, "centered": True}, lambda: _centred(0.75)),
    "SGD": ({"momentum": 0.5}, lambda: {"velocity": 0.5 * G + H}),
}  # fmt: skip


def _adadelta(rho, eps):
    square = moved = 0.0
    for g in (G, H):
        square = rho * square + (1 - rho) * g * g
        move = ((moved + eps) / (square + eps)) ** 0.5 * g
        moved = rho * moved + (1 - rho) * move * move
    return {"square": square, "moved": moved}


def _centred(alpha):
    mean = (1 - alpha) * (alpha * G + H)
    return {"mean": mean, "variance": (1 - alpha) * (alpha * G * G + H * H) - mean * mean}


@pytest.mark.parametrize("name", HELD)
def test_a_state_holds_by_name_what_the_name_says(name):
    options, expected = HELD[name]
    p = parameter([[1.0]])
    optimizer = getattr(optim, name)([p], **options)
    for g in (G, H):
        p.grad = np.array([[g]])
        optimizer.step()
    held = {key[2:]: a.item() for key, a in optimizer.state_dict().items() if key.startswith("0.")}
    assert held == pytest.approx(expected(), rel=1e-12)


@pytest.mark.parametrize("name", [n for n, cls in registry.optimizers.items() if cls.elementwise])
def test_a_large_parameter_moves_as_its_entries_do_alone(name):
    """80,000 bytes are more than the scratch that is kept: it is another one, of the parameter's dtype as well."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=20_000), rng.normal(size=(3, 20_000))
    found = []
    for part in (slice(None), slice(50)):
        p = parameter(start[part], np.float32)
        optimizer = getattr(optim, name)([p], lr=0.01)
        for g in gradients:
            p.grad = g[part].astype(np.float32)
            optimizer.step()
        found.append(p.data[:50])
    np.testing.assert_array_equal(*found)
