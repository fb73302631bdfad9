"""The report on kernels exits with 1 where a right one is called wrong or a wrong one is not found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

REPORTS = Path(__file__).resolve().parents[2] / "ci" / "reports"


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(REPORTS))
    monkeypatch.syspath_prepend(str(REPORTS.parents[1]))
    spec = importlib.util.spec_from_file_location("report_kernels", REPORTS / "kernels.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_a_false_alarm_and_a_miss_count(report, monkeypatch, capsys):
    kernel = next(k for k in report.KERNELS if k.name == "huber")
    monkeypatch.setattr(report, "KERNELS", (kernel,))
    assert report.main(["--draws", "1"]) == 0
    assert "ours                           2               0" in capsys.readouterr().out
    wrong = replace(kernel, reference=lambda x, t: 1.1 * kernel.reference(x, t))
    monkeypatch.setattr(report, "KERNELS", (wrong,))
    assert report.main(["--draws", "1"]) == 1
    harmless = replace(kernel, defects=(replace(kernel.defects[0], name="none"),))
    monkeypatch.setattr(report, "KERNELS", (harmless,))
    assert report.main(["--draws", "1"]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_triton_kernels_in_its_interpreter():
    pytest.importorskip("triton")
    run = subprocess.run(  # its interpreter is chosen when it is imported
        [sys.executable, str(REPORTS / "triton_kernels.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("pass") == 4
    assert run.stdout.count("fail") == 4
