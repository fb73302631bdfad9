"""The training loop itself."""

import io

import numpy as np
import pytest

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader
from gradcore.errors import DataError, DivergenceError, DomainError
from gradcore.progress import Bar, Lines, Silent, automatic
from gradcore.train import Trainer, evaluate


def two_moons(n=64, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi, n)
    label = rng.integers(0, 2, n)
    x = np.stack([np.cos(angle) + label, np.sin(angle) * (1 - 2 * label)], 1)
    return (x + 0.05 * rng.normal(size=x.shape)).astype(np.float32), label


def trainer(lr=0.05, **more):
    model = nn.mlp((2, 16, 2), rng=0)
    return Trainer(
        model, optim.Adam(model.parameters(), lr=lr), progress=more.pop("progress", Silent()), **more
    )


def test_two_moons_are_separated():
    training = trainer()
    batches = DataLoader(*two_moons(), batch_size=16, shuffle=True, seed=0)
    records = training.fit(batches, 40, test=DataLoader(*two_moons(seed=1)))
    assert records[-1]["test_accuracy"] > 0.95


def test_a_regression_has_a_loss_and_no_accuracy():
    x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    model = nn.mlp((1, 16, 1), rng=0)
    training = Trainer(model, optim.Adam(model.parameters(), lr=0.02), gradcore.mse_loss, progress=Silent())
    records = training.fit(DataLoader(x, x**2, batch_size=8), 60)
    assert "train_accuracy" not in records[-1]
    assert records[-1]["train_loss"] < 0.01


def test_the_loss_of_an_epoch_is_the_average_over_examples_not_over_batches():
    x, y = two_moons(5)
    training = trainer(lr=1e-12)
    expected = float(gradcore.cross_entropy(training.model(x), y))
    (record,) = training.fit(DataLoader(x, y, batch_size=4), 1)
    assert record["train_loss"] == pytest.approx(expected, rel=1e-6)


def test_fitting_again_goes_on_counting_epochs():
    training = trainer()
    batches = DataLoader(*two_moons(), batch_size=16)
    training.fit(batches, 2)
    assert [record["epoch"] for record in training.fit(batches, 2)] == [3, 4]
    assert len(training.history) == 4


def test_the_schedule_scales_lr_from_step_to_step_and_leaves_it_as_it_was():
    seen = []

    class Watching(optim.SGD):
        def step(self):
            seen.append(self.lr)
            super().step()

    model = nn.mlp((2, 4, 2), rng=0)
    training = Trainer(
        model, Watching(model.parameters(), lr=1.0), schedule=optim.schedules.linear, progress=Silent()
    )
    training.fit(DataLoader(*two_moons(16), batch_size=8), 2)
    assert seen == [1.0, 0.75, 0.5, 0.25]
    assert training.optimizer.lr == 1.0


def test_gradients_are_clipped_to_the_norm_asked_for():
    norms = []

    class Watching(optim.SGD):
        def step(self):
            norms.append(np.sqrt(sum((p.grad**2).sum() for p in self.params)))
            super().step()

    model = nn.mlp((2, 4, 2), rng=0)
    training = Trainer(model, Watching(model.parameters(), lr=0.1), clip_norm=1e-3, progress=Silent())
    training.fit(DataLoader(*two_moons(16), batch_size=8), 1)
    assert norms == pytest.approx([1e-3] * 2, rel=1e-5)


def test_evaluation_switches_dropout_off_and_back_on():
    model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Dropout(0.5, rng=0), nn.Linear(8, 2, rng=1))
    batches = DataLoader(*two_moons(32), batch_size=8)
    assert evaluate(model, batches) == evaluate(model, batches)
    assert model[1].training


def test_a_loss_that_overflows_names_the_first_op_whose_output_was_not_finite():
    training = trainer()
    training.model[1].weight.data[...] = 3e38
    with pytest.raises(
        DivergenceError, match=r"epoch 1, batch 1: the first op whose output is not finite is linear"
    ):
        training.fit(DataLoader(*two_moons(16), batch_size=8), 1)


def test_a_parameter_that_is_not_finite_is_named():
    training = trainer()
    training.model[3].bias.data[0, 1] = np.nan
    with pytest.raises(
        DivergenceError, match=r"parameter 3.bias of shape \(1, 2\) is not finite.*smaller lr"
    ):
        training.fit(DataLoader(*two_moons(16), batch_size=8), 1)


def test_an_input_that_is_not_finite_is_named():
    x, y = two_moons(16)
    x[9, 1] = np.inf
    with pytest.raises(
        DivergenceError, match=r"batch 2: the input batch itself is not finite, first at index \[1, 1\]"
    ):
        trainer().fit(DataLoader(x, y, batch_size=8), 1)


def test_a_learning_rate_far_too_large_ends_in_a_divergence_error_not_in_nan():
    model = nn.mlp((2, 8, 2), rng=0)
    training = Trainer(model, optim.SGD(model.parameters(), lr=1e30), progress=Silent())
    with pytest.raises(DivergenceError, match="Use a smaller lr"):
        training.fit(DataLoader(*two_moons(64), batch_size=8), 5)


def test_the_history_keeps_the_epochs_before_a_divergence():
    training = trainer()
    batches = DataLoader(*two_moons(16), batch_size=8)
    training.fit(batches, 2)
    training.model[1].weight.data[...] = np.inf
    with pytest.raises(DivergenceError):
        training.fit(batches, 1)
    assert len(training.history) == 2


def test_no_batches_and_negative_epochs_are_refused():
    with pytest.raises(DataError, match="no batches"):
        trainer().fit([], 1)
    with pytest.raises(DomainError, match="epochs=-1"):
        trainer().fit(DataLoader(*two_moons()), -1)


def test_a_stream_that_is_no_terminal_gets_one_plain_line_an_epoch():
    stream = io.StringIO()
    progress = automatic(stream)
    assert isinstance(progress, Lines)
    trainer(progress=progress).fit(
        DataLoader(*two_moons(), batch_size=16), 2, test=DataLoader(*two_moons(seed=1))
    )
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["Epoch 1", "Epoch 2"]
    assert all("Loss = " in line and "test accuracy" in line for line in lines)


def test_a_terminal_gets_a_live_bar_and_keeps_the_lines():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = automatic(stream)
    assert isinstance(progress, Bar)
    trainer(progress=progress).fit(DataLoader(*two_moons(), batch_size=16), 3)
    text = stream.getvalue()
    assert "Epoch 3: Loss = " in text
    assert "\x1b[" in text  # the bar moved
