"""The report on layers exits with 1 where one differs from PyTorch's in an output or in a gradient."""

from __future__ import annotations

import importlib

import pytest

from gradcore import nn, registry

pytest.importorskip("torch", reason="PyTorch is not installed")


class InputGateFirst(nn.LSTM):
    """The forget gate in the place of the input gate."""

    def _step(self, from_x, from_h, state):
        n = self.hidden_size
        order = [*range(n, 2 * n), *range(n), *range(2 * n, 4 * n)]
        return nn.LSTM._step(from_x[..., order], from_h[..., order], state)


class BiasHeld(nn.Linear):
    """The right output, and no gradient for the bias."""

    def forward(self, x):
        y = super().forward(x)
        return y if self.bias is None else y - self.bias + self.bias.data


@pytest.mark.parametrize(("name", "planted"), [("LSTM", InputGateFirst), ("Linear", BiasHeld)])
def test_a_layer_that_differs_from_pytorchs_is_missed(load, monkeypatch, capsys, name, planted):
    report = load("layers_side_by_side")
    assert report.main([name, "--examples", "2"]) == 0
    monkeypatch.setitem(registry.layers, name, planted)
    assert report.main([name, "--examples", "2"]) == 1
    assert f"MISSED: {name}" in capsys.readouterr().out


def test_a_layer_without_a_counterpart_is_missed(load, monkeypatch, capsys):
    report = load("layers_side_by_side")
    counterparts = importlib.import_module("ci.catalogue.frameworks.layer_counterparts")
    assert report.main(["Standardize", "--examples", "1"]) == 0
    assert "not compared: Standardize: " in capsys.readouterr().out
    monkeypatch.setattr(counterparts, "NONE", {})
    assert report.main(["Standardize", "--examples", "1"]) == 1
    assert "MISSED: Standardize: it has no counterpart" in capsys.readouterr().out


def test_every_layer_is_as_pytorch_has_it(load):
    assert load("layers_side_by_side").main(["--examples", "1"]) == 0
