"""The report on what autograd and MyGrad have: each of their functions is here, or is listed with a reason that holds."""

import subprocess
import sys
from pathlib import Path

import pytest
from programs import module

pytest.importorskip("autograd")
pytest.importorskip("mygrad")
report = module("ci.reports.peers")
ROOT = Path(__file__).parents[2]


def test_every_function_of_theirs_is_here_or_has_a_reason():
    # in a process of its own: other tests give autograd rules of theirs
    call = [sys.executable, str(ROOT / "ci" / "reports" / "peers.py")]
    run = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "by our name: concatenate_args=concatenate, expit=sigmoid" in run.stdout


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (lambda r: {k: v.replace("linspace", "") for k, v in r.items()}, "MISSING: linspace: write it"),
        (lambda r: {**r, "none": "sin"}, "NOT NEEDED: sin is listed, and is here"),
        (lambda r: {**r, "none": "nowhere"}, "NOT NEEDED: nowhere is listed, and autograd has no such function"),
        (lambda r: {**r, report.NAMED: r[report.NAMED].replace("=sigmoid", "=sigmoyd")}, "MISSING: expit is to be sigmoyd"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_hold_is_a_failure(reasons, words, monkeypatch, capsys):
    monkeypatch.setitem(report.PEERS, "autograd", (report.autograds, reasons(report.AUTOGRAD)))
    assert report.main() == 1
    assert words in capsys.readouterr().out
