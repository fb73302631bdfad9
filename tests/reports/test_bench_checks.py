"""The bench of checks times nothing before all contenders have differentiated the same function, and found it right."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "ci" / "bench"


@pytest.fixture
def checks(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield importlib.import_module("checks")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


def names():
    return ["softmax cross-entropy (16, 10)", "linear (8, 32) -> (8, 16)", "conv2d (2, 3, 8, 8) * (4, 3, 3, 3)",
            "layer norm (4, 64)", "MLP 64-32-10"]  # fmt: skip


def test_every_function_of_the_bench_is_one_of_these(checks):
    assert list(checks.WORK) == names()


@pytest.mark.parametrize("name", names())
def test_all_contenders_differentiate_the_same_function_and_pass(checks, name):
    work = checks.WORK[name]
    made = {contender: kind(work) for contender, kind in checks.CONTENDERS.items() if contender != "torch"}
    for contender in made.values():
        contender.run()
    importlib.import_module("contest").agree({n: c.values() for n, c in made.items()}, 1e-9)


def test_two_functions_that_differ_are_not_raced(checks):
    work = checks.WORK["linear (8, 32) -> (8, 16)"]
    other = dataclasses.replace(work, torch=lambda: lambda x, w, b: x @ w + 2 * b)
    with pytest.raises(
        importlib.import_module("contest").DisagreementError, match="gradient 2: torch and gradcore differ"
    ):
        checks.bench(other, 1)


def test_a_wrong_rule_is_not_timed(checks):
    work = checks.WORK["linear (8, 32) -> (8, 16)"]

    def doubled(*arguments):
        gx, gw, gb = work.rule(*arguments)
        return gx, 2 * gw, gb

    with pytest.raises(checks.WrongVerdictError, match="_Ours: a right gradient did not pass"):
        checks.bench(dataclasses.replace(work, rule=doubled), 1)


def test_a_time_alone_has_a_row_and_an_aim(checks, capsys):
    report = importlib.import_module("run").Report(1.0)
    report.seconds("quick", 0.2, 0.4)
    report.seconds("slow", 5.0, 3.0)
    assert report.rows == [
        ("quick", "-", "-", "200.00 ms", "400.00 ms"),
        ("slow", "-", "-", "5.00 s", "3.00 s"),
    ]
    assert report.missed == ["slow: 5 s, aim 3"]
    assert "met: 0.2 s, aim at most 0.4" in capsys.readouterr().out
