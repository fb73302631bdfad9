"""What a captured step may be given: Tensors, containers, models and optimizers."""

import numpy as np
import pytest
from both import assert_same
from small import batches

import gradcore
from gradcore import Tensor, nn, optim


def test_arguments_that_are_tensors_and_containers():
    def step(batch, *, scale):
        x, (y,) = batch["x"], batch["rest"]
        x.zero_grad()
        loss = ((x * y) * scale).sum()
        loss.backward()
        return {"loss": loss, "gradient": [x.grad]}

    captured = gradcore.capture(step)
    for k in range(8):
        scale, y = 2.0 if k < 5 else 3.0, np.arange(3.0)
        x, other = (Tensor(np.full(3, 1.0 + k), requires_grad=True) for _ in range(2))
        found = captured({"x": x, "rest": (y,)}, scale=scale)
        assert_same(found, step({"x": other, "rest": (y,)}, scale=scale))
        assert_same(x.grad, other.grad)
    assert captured.replays == 3 + 1


def test_arguments_of_another_structure_are_not_taken_for_these():
    def step(first, second=2.0):
        if isinstance(first, list):
            return [x.detach() * second for x in first]
        return first.detach() - second

    captured = gradcore.capture(step)
    x, y = Tensor(np.arange(3.0)), Tensor(np.ones(3))
    for _ in range(4):
        assert_same(captured([x, y], 3.0), step([x, y], 3.0))
    assert_same(captured(x, y), step(x, y))
    for _ in range(4):
        assert_same(captured(x, y), step(x, y))
    assert_same(captured(x), step(x))
    assert captured.replays >= 4
    with pytest.raises(TypeError, match="step"):
        captured(x, y, x)


def test_models_and_optimizers_as_arguments():
    def make():
        model = nn.Sequential(
            nn.Linear(6, 5, rng=1), nn.BatchNorm1d(5), nn.Dropout(0.3, rng=4), nn.Linear(5, 3, rng=2)
        )
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        modes = iter([True, True, True, False, False, False, True, False, False, True])

        def step(model, optimizer, x, y):
            optimizer.zero_grad()
            loss = gradcore.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        def state():
            found = model.state_dict()
            model.train(next(modes))
            return found

        return model, optimizer, step, state

    (model, optimizer, step, state), (other, its_optimizer, its_step, its_state) = make(), make()
    captured = gradcore.capture(its_step)
    for x, y in batches(10):
        assert_same(captured(other, its_optimizer, x, y), step(model, optimizer, x, y))
        assert_same(its_state(), state())
    assert captured.replays >= 3, captured.report()
