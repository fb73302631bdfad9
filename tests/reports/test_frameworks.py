"""The reports on frameworks exit with 1 where a verdict is another than it should be."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from gradcheck.verification import CHANGES, broken, like
from gradcore import Tensor, registry


def test_a_mistake_that_is_found_otherwise_in_one_framework_is_missed(load, monkeypatch, capsys):
    report = load("frameworks")
    ways = {"NumPy pair": report.installed()["NumPy pair"]}
    monkeypatch.setattr(report, "installed", lambda: ways)
    assert report.main([]) == 0
    monkeypatch.setattr(report, "MISTAKES", (replace(report.MISTAKES[0], cause="factor"),))
    assert report.main([]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_a_derivative_of_torch_called_wrong_is_missed(load, monkeypatch, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    report = load("torch_functions")
    assert report.main(["--only", "hardsigmoid"]) == 0
    monkeypatch.setattr(report, "KNOWN", {})
    assert report.main(["--only", "hardsigmoid"]) == 1
    assert "MISSED: hardsigmoid" in capsys.readouterr().out


def test_a_name_that_nothing_has_is_no_success(load):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(SystemExit) as left:
        load("torch_functions").main(["--only", "no such function"])
    assert left.value.code == 2


def value_off(exp):
    return like(exp, forward=lambda x, /: np.exp(x) * (1 + 1e-12))


def rule_off(exp):
    return broken(exp, 0, CHANGES["factor 1.001"])


def second_off(exp):
    """Its derivative is right, and taken for a constant."""
    return like(exp, vjp=lambda gy, y, x: gy * np.exp(x.data if isinstance(x, Tensor) else x))


PLANTED = {
    "value": value_off,
    "derivative by input 0 of those that take one": rule_off,
    "second derivative by input 0 of those that take one": second_off,
}


@pytest.mark.parametrize("order", PLANTED)
def test_an_op_that_differs_from_the_one_of_pytorch_is_missed(load, monkeypatch, capsys, order):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    report = load("side_by_side")
    assert report.main(["exp", "--examples", "4"]) == 0
    monkeypatch.setitem(registry.ops, "exp", PLANTED[order](registry.ops["exp"]))
    assert report.main(["exp", "--examples", "4"]) == 1
    assert f"MISSED: exp: exp, {order}: entry " in capsys.readouterr().out


def test_an_op_without_a_counterpart_is_missed(load, monkeypatch, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    report = load("side_by_side")
    counterparts = importlib.import_module("ci.catalogue.frameworks.counterparts")
    monkeypatch.delitem(counterparts.COUNTERPARTS, "exp")
    assert report.main(["exp", "--examples", "1"]) == 1
    assert "MISSED: exp: it has no counterpart" in capsys.readouterr().out


def test_what_is_wrong_in_pytorch_itself_is_told_apart(load, monkeypatch, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    report = load("side_by_side")
    assert report.main(["pow", "--examples", "20"]) == 0
    assert "pow, second derivative: its derivative by the base has lost" in capsys.readouterr().out
    monkeypatch.setattr(report, "KNOWN", {})
    assert report.main(["pow", "--examples", "20"]) == 1


def test_every_op_is_as_pytorch_has_it(load):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert load("side_by_side").main(["--examples", "1"]) == 0
