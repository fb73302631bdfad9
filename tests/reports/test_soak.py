"""The soak sees what grows, and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from programs import load

from gradcore import Tensor

soak = load("reports/soak")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def frozen():
    """What other tests have loaded (PyTorch, JAX) is left out of each collection: it takes most of its time."""
    gc.freeze()
    yield
    gc.unfreeze()


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
    "step",
    [keeps, keeps_arrays, opens],
    ids=["objects", "memory", "files"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("frozen")
def test_what_grows_is_reported(step, monkeypatch, capsys):
    monkeypatch.setattr(soak, "loop", step)
    monkeypatch.setattr(sys, "argv", ["soak.py", "--steps", "900", "loop"])
    assert soak.main() == 1
    assert "grows: loop" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_grows_in_a_loop_of_our_own():
    # in a process of its own: that of many tests holds gigabytes, which move by more than this loop may take
    call = [sys.executable, str(ROOT / "ci" / "reports" / "soak.py"), "--steps", "900", "loop"]
    run = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "grows: nothing" in run.stdout
