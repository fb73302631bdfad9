"""What is often passed to a Trainer in the place of something else."""

import numpy as np
import pytest

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader, load
from gradcore.errors import ArgumentError, DataError, GraphError
from gradcore.progress import Silent
from gradcore.train import Trainer


def model():
    return nn.mlp((64, 10), rng=0)


def trainer(**more):
    network = model()
    return Trainer(network, optim.SGD(network.parameters()), progress=Silent(), **more)


M = model()
DIGITS = load("digits")
BATCHES = DataLoader(DIGITS.test, batch_size=100)
CALLS = {
    "another model's": (
        lambda: Trainer(M, optim.SGD(model().parameters())), GraphError, r"holds 2 parameters and none of them is the model's.*SGD\(model\.parameters\(\)\)"),
    "class of optimizer": (lambda: Trainer(M, optim.SGD), ArgumentError, r"as the optimizer: make one of.*optim\.SGD\(model\.parameters\(\)\)"),
    "no optimizer": (lambda: Trainer(M, 0.1), ArgumentError, r"got 0\.1 as the optimizer.*optim\.Adam\(model\.parameters\(\)\)"),
    "class of model": (lambda: Trainer(nn.Linear, optim.SGD(M.parameters())), ArgumentError, "as the model.*made by calling the class"),
    "no model": (lambda: Trainer(print, optim.SGD(M.parameters())), ArgumentError, r"as the model: pass a gradcore\.nn\.Module$"),
    "loss by name": (lambda: trainer(loss="cross_entropy"), ArgumentError, r"loss='cross_entropy'.*such as loss=gradcore\.cross_entropy$"),
    "another name": (lambda: trainer(loss="nll"), ArgumentError, r"such as loss=gradcore\.cross_entropy or gradcore\.mse_loss$"),
    "class of loss": (lambda: trainer(loss=nn.MSELoss), ArgumentError, r"the class MSELoss as the loss: make one of it, loss=MSELoss\(\)"),
    "data set": (lambda: trainer().fit(DIGITS.train, 1), ArgumentError, r"batches to train on.*Dataset holds single.*DataLoader\(dataset, batch_size=32"),
    "split": (lambda: trainer().fit(DIGITS, 1), ArgumentError, r"Split holds single examples.*DataLoader\(split\.train,"),
    "array": (lambda: trainer().fit(DIGITS.train.images, 1), ArgumentError, r"pairs of inputs and targets, and ndarray is none.*DataLoader\(inputs, targets"),
    "tensor": (lambda: trainer().fit(gradcore.ones(2, 2), 1), ArgumentError, "and Tensor is none"),
    "generator": (lambda: trainer().fit(iter(BATCHES), 1), ArgumentError, "and generator is none"),
    "no batches": (lambda: trainer().fit([], 1), DataError, "there are no batches to train on"),
    "no test": (lambda: trainer().fit(BATCHES, 1, test=[]), DataError, "there are no batches to test on"),
    "data set to test on": (lambda: trainer().fit(BATCHES, 1, test=DIGITS.test), ArgumentError, "batches to test on are expected"),
    "loss of None": (lambda: trainer(loss=lambda y, t: None).fit(BATCHES, 1), ArgumentError, "the loss function returned None: expected a Tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_is_answered_with_what_to_write(name):
    call, error, message = CALLS[name]
    with pytest.raises(error, match=message):
        call()


def test_an_optimizer_of_some_of_the_parameters_will_do():
    network = model()
    Trainer(network, optim.SGD([network[1].bias]), progress=Silent()).fit(BATCHES, 1)


def test_the_preflight_refuses_a_wrong_gradient_and_changes_nothing(monkeypatch):
    made = trainer()
    before = made.model.state_dict()
    monkeypatch.setattr(
        gradcore.losses.classes.cross_entropy_op, "rules", (lambda gy, y, x, t, **p: gy * x, None)
    )
    with pytest.raises(gradcore.errors.GradcoreError, match="the gradients of this model and loss are wrong"):
        made.fit(BATCHES, 1, preflight=True)
    for name, array in made.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert made.history == []


def test_the_preflight_reports_and_leaves_the_order_of_the_data_alone():
    said = []

    class Said(Silent):
        def message(self, text):
            said.append(text)

    weights = []
    for preflight in (True, False):
        network = model()
        made = Trainer(network, optim.SGD(network.parameters()), progress=Said())
        made.fit(DataLoader(DIGITS.test, batch_size=100, shuffle=True, seed=3), 2, preflight=preflight)
        weights.append(network[1].weight.data)
    np.testing.assert_array_equal(*weights)
    assert len(said) == 1
    assert said[0].startswith("Verified the gradients of all 2 parameters on a batch of 100")
