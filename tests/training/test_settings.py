"""The settings of a run, and models of one's own."""

import json
import signal
import sys
from dataclasses import asdict

import pytest
from running import on_epoch, result, resume, train

from gradcore.cli import main
from gradcore.errors import DomainError
from gradcore.io import load_tensors
from gradcore.runs.settings import OPTIMIZERS, Settings, from_json, schedule

MODULE = """
from gradcore import nn
def net(shape, classes, rng):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4, rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(4, classes, rng=rng))
def nothing(shape, classes, rng):
    return None
number = 3
"""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hyperparameters_reach_the_optimizer(name):
    make, defaults = OPTIMIZERS[name]
    chosen = dict.fromkeys(defaults, 0.25)
    from gradcore import Tensor

    optimizer = make([Tensor([1.0], True)], **Settings(optimizer=name, **chosen).hyper())
    assert {key: getattr(optimizer, key) for key in defaults} == chosen
    optimizer = make([Tensor([1.0], True)], **Settings(optimizer=name).hyper())
    assert {key: getattr(optimizer, key) for key in defaults} == defaults
    known = {"lr", "momentum", "weight_decay"} & set(make.hyper)
    assert known == set(defaults)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mpl"}, "--model mpl: expected mlp or cnn, or module:function"),
        ({"model": "a b:c"}, "--model a b:c: expected"),
        (
            {"model": "cnn", "hidden": (3,)},
            "--hidden: only the mlp has hidden layers to choose, and the model is cnn",
        ),
        ({"hidden": (3, 0)}, "--hidden 0: expected a whole number from 1 to 65536"),
        ({"hidden": (1,) * 65}, "--hidden: 65 layers, expected at most 64"),
        ({"batch_size": 0}, "--batch-size 0: expected a whole number from 1"),
        ({"seed": -1}, "--seed -1"),
        ({"epochs": True}, "--epochs True"),
        ({"patience": 0}, "--patience 0"),
        ({"optimizer": "lion"}, "--optimizer lion: expected one of adam, adamw, rmsprop, sgd"),
        ({"momentum": 0.5}, "--momentum: adam has no momentum"),
        ({"optimizer": "sgd", "momentum": 1.0}, "--momentum 1.0: expected a number from 0, below 1.0"),
        ({"lr": float("nan")}, "--lr nan"),
        ({"lr": 0}, "--lr 0: expected a number above 0"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0"),
        ({"clip_norm": 0.0}, "--clip-norm 0: expected a number above 0"),
        ({"clip_norm": float("inf")}, "--clip-norm inf"),
        ({"checkpoint_every": -1}, "--checkpoint-every -1"),
        ({"schedule": "step"}, "--schedule step: expected constant, linear, cosine, or warmup:FRACTION:NAME"),
        ({"schedule": "warmup"}, "--schedule warmup: expected"),
        ({"schedule": "warmup:2"}, "--schedule warmup:2: expected"),
        ({"schedule": "warmup:0.1:step"}, "--schedule warmup:0.1:step: expected"),
        ({"schedule": "linear:0.1"}, "--schedule linear:0.1: expected"),
        ({"data": ""}, "--data '': expected a name"),
    ],
)
def test_settings_that_can_not_be_are_refused(changes, message):
    with pytest.raises(DomainError) as caught:
        Settings(**changes)
    assert message in str(caught.value)


def test_settings_come_back_from_json():
    for settings in (
        Settings(),
        Settings(hidden=(3, 2), lr=0.1, patience=3).complete(),
        Settings(model="a.b:c.d"),
    ):
        assert from_json(json.loads(json.dumps(asdict(settings)))) == settings


def test_schedules_by_name():
    assert schedule("constant")(0.3) == 1.0
    assert schedule("linear")(0.25) == 0.75
    assert schedule("cosine")(0.5) == pytest.approx(0.5)
    assert [schedule("warmup:0.5:linear")(t) for t in (0.25, 0.5, 0.75)] == [0.5, 1.0, 0.5]
    assert [schedule("warmup:0.5")(t) for t in (0.25, 0.5, 0.75)] == [0.5, 1.0, 1.0]


def test_options_reach_the_run(data, tmp_path):
    assert (
        train("--hidden", "5,4", "--patience", "1", "--clip-norm", "0.5", "--schedule", "warmup:0.2:cosine")
        == 0
    )
    tensors, _ = load_tensors(tmp_path / "out/model.safetensors")
    assert sorted(array.shape for name, array in tensors.items() if name.endswith("weight")) == [
        (4, 10),
        (5, 4),
        (12, 5),
    ]
    assert train("--hidden", "none", "--weight-decay", "0.1", out="none") == 0
    tensors, _ = load_tensors(tmp_path / "none/model.safetensors")
    assert [array.shape for name, array in tensors.items() if name.endswith("weight")] == [(12, 10)]
    assert train("--hidden", "none", out="plain") == 0
    assert result(tmp_path / "plain")[0] != result(tmp_path / "none")[0]


def test_words_that_are_no_numbers_are_refused(capsys):
    for option, word, message in [
        ("--hidden", "a", "a is no list of widths"), ("--momentum", "b", "b is not a number"), ("--model", "mpl", "expected mlp or cnn"),
    ]:  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            main(["train", option, word])
        assert message in capsys.readouterr().err


# --- models of one's own ------------------------------------------------------------------------------------------


@pytest.fixture
def module(data, tmp_path, monkeypatch):
    (tmp_path / "mine_for_tests.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "mine_for_tests", raising=False)
    yield "mine_for_tests"
    sys.modules.pop("mine_for_tests", None)


def test_a_model_of_ones_own_is_trained_resumed_and_used(module, tmp_path, capsys, monkeypatch):
    assert train("--model", f"{module}:net", out="whole") == 0
    with monkeypatch.context() as patch:
        on_epoch(patch, 2, lambda: signal.raise_signal(signal.SIGTERM))
        assert train("--model", f"{module}:net") == 128 + signal.SIGTERM
    assert resume() == 0
    assert result(tmp_path / "out") == result(tmp_path / "whole")
    capsys.readouterr()
    assert main(["predict", "out", "--data", "data", "--limit", "2", "--model", f"{module}:net"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["evaluate", "out", "--data", "data"]) == 1
    assert f"pass --model {module}:net if you trust" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "returned a NoneType: expected a Module for inputs (n, 1, 3, 4) and 10 classes"),
        ("number", "is a int: expected a function of (input_shape, classes, rng) that returns a Module"),
        ("absent", "can't be loaded: module 'mine_for_tests' has no attribute 'absent'"),
    ],
)
def test_a_function_that_makes_no_model_is_refused(module, capsys, name, message):
    assert train("--model", f"{module}:{name}") == 1
    assert message in capsys.readouterr().err
    assert train("--model", "mine_that_is_not_there:net") == 1
    assert "can't be loaded: No module named" in capsys.readouterr().err
