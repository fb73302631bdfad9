"""The reports on frameworks exit with 1 where a verdict is another than it should be."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[2] / "ci" / "reports"


@pytest.fixture
def load(monkeypatch):
    """A report by its name, as a module."""

    def loaded(name):
        monkeypatch.syspath_prepend(str(REPORTS))
        monkeypatch.syspath_prepend(str(REPORTS.parents[1]))
        spec = importlib.util.spec_from_file_location(f"report_{name}", REPORTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        before = list(sys.path)
        spec.loader.exec_module(module)
        sys.path[:] = before
        return module

    return loaded


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
