"""Gradients verified before the first step: of that model, that loss, on that batch."""

from dataclasses import replace

import numpy as np
import pytest

import gradcheck
import gradcore
from gradcheck import Verdict
from gradcore import nn, preflight, registry
from gradcore.cli import main
from gradcore.nn.models import build
from gradcore.preflight import PreflightError, check_model


def batch(shape=(1, 8, 8), n=32):
    rng = np.random.default_rng(0)
    return rng.random((n, *shape), dtype=np.float32), rng.integers(0, 10, n)


def check(model, x, y, loss=gradcore.cross_entropy):
    return check_model(model, loss, x, y)


@pytest.fixture
def broken(monkeypatch):
    def scale(name, factor, index):
        rules = list(registry.ops[name].rules)
        right = rules[index]
        rules[index] = lambda *args, **params: right(*args, **params) * np.float32(factor)
        monkeypatch.setattr(registry.ops[name], "rules", tuple(rules))

    return scale


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_right_gradients_are_told_in_one_line(model):
    line = check(build(model, (1, 8, 8), 10, 0), *batch())
    assert line.startswith("Verified the gradients of all ")
    assert "on a batch of 32" in line
    assert "\n" not in line


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize(("name", "index"), [("linear", 1), ("linear", 2), ("relu", 0), ("linear", 0)])
@pytest.mark.parametrize("factor", [-1.0, 1.05])
def test_a_wrong_rule_stops_training_and_names_the_parameters(broken, name, index, factor):
    broken(name, factor, index)
    with pytest.raises(PreflightError, match="gradients of this model and loss are wrong"):
        check(build("mlp", (1, 8, 8), 10, 0), *batch())


@pytest.mark.parametrize("seed", range(4))
def test_blank_examples_where_all_relus_are_on_their_kinks_are_no_wrong_gradient(seed):
    images, labels = batch()
    line = check(build("mlp", (1, 8, 8), 10, seed), np.zeros_like(images), labels)
    assert "on a batch of 32" in line  # verified or inconclusive, but not reported as wrong


def test_a_wrong_rule_is_found_with_blank_examples_too(broken):
    broken("linear", 1.05, 2)
    with pytest.raises(PreflightError, match="wrong"):
        check(build("mlp", (1, 8, 8), 10, 0), np.zeros((32, 1, 8, 8), np.float32), batch()[1])


def test_the_command_stops_before_the_first_step_and_says_how_to_go_on(broken, tmp_path, capsys):
    broken("linear", 1.05, 1)
    assert main(["train", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "Epoch" not in told.out
    assert "2.weight" in told.err
    assert "--no-preflight" in told.err
    assert main(["train", "--out", str(tmp_path), "--epochs", "1", "--no-preflight"]) == 0


def test_the_command_says_that_it_verified(tmp_path, capsys):
    assert main(["train", "--epochs", "0", "--out", str(tmp_path)]) == 0
    assert "Verified the gradients of all 6 parameters" in capsys.readouterr().out


def test_running_averages_and_generators_are_as_before():
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 8, rng=0),
        nn.BatchNorm1d(8),
        nn.Dropout(0.5, rng=0),
        nn.Linear(8, 10, rng=1),
    )
    before = model.state_dict(), model[3].rng.bit_generator.state
    assert check(model, *batch()).startswith("Verified")
    after = model.state_dict(), model[3].rng.bit_generator.state
    assert all(np.array_equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_whose_gradient_is_zero_is_named():
    # What BatchNorm takes away again: the true gradient of that bias is 0, and the computed one rounding.
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, rng=0), nn.BatchNorm1d(8), nn.Linear(8, 10, rng=1))
    line = check(model, *batch())
    assert line.startswith("Verified the gradients of all 6 parameters")
    assert line.endswith("; zero on this batch: the gradient of inputs[0]['1.bias']")


def test_a_parameter_whose_gradient_cannot_be_measured_is_named_and_not_called_verified(monkeypatch):
    def of_one_nothing_is_known(*args, **options):
        report = gradcheck.gradcheck(*args, **options)
        first = replace(report.inputs[0], verdict=Verdict.INCONCLUSIVE)
        return replace(report, inputs=(first, *report.inputs[1:]), reason="it is hidden")

    monkeypatch.setattr(preflight, "gradcheck", of_one_nothing_is_known)
    line = check(nn.Sequential(nn.Flatten(), nn.Linear(64, 10, rng=0)), *batch())
    assert line.startswith("Verified the gradients of 1 of 2 parameters")
    assert line.endswith("; inputs[0]['1.weight'] cannot be measured: it is hidden")


def test_a_loss_that_differs_from_call_to_call_is_not_called_verified():
    rng = np.random.default_rng(0)

    def noisy(outputs, labels):
        return gradcore.cross_entropy(outputs, labels) * (1 + 0.5 * rng.random())

    line = check(build("mlp", (1, 8, 8), 10, 0), *batch(), loss=noisy)
    assert line.startswith("Could not verify the gradients")
    assert "two calls at the same point gave different values" in line


def test_the_check_costs_far_less_than_an_epoch_of_real_data():
    forwards = 0

    def counting(outputs, labels):
        nonlocal forwards
        forwards += 1
        return gradcore.cross_entropy(outputs, labels)

    check(build("mlp", (1, 28, 28), 10, 0), *batch((1, 28, 28)), loss=counting)
    assert forwards < 120
