"""The soak sees what grows, and nothing else."""

from __future__ import annotations

import sys

import pytest
from programs import load

from gradcore import Tensor

soak = load("reports/soak")


def keeps():
    kept = []
    while True:
        kept.append(Tensor([1.0]))
        yield


def keeps_arrays():
    kept = []
    while True:
        kept.append(bytearray(b"x" * 200_000))
        yield


def opens():
    kept = []
    while True:
        kept.append(open("/dev/null"))  # noqa: SIM115
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("step", "status"),
    [(None, 0), (keeps, 1), (keeps_arrays, 1), (opens, 1)],
    ids=["ours", "objects", "memory", "files"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_grows_is_reported(step, status, monkeypatch, capsys):
    if step is not None:
        monkeypatch.setattr(soak, "loop", step)
    monkeypatch.setattr(sys, "argv", ["soak.py", "--steps", "900", "loop"])
    assert soak.main() == status
    assert f"grows: {'loop' if status else 'nothing'}" in capsys.readouterr().out
