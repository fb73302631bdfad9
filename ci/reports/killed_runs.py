"""Ends training runs at random moments, in every way that a run can be ended, and compares what is resumed bit by bit.

    python ci/reports/killed_runs.py [--kills 200] [--signals 20] [--trouble 20] [--seed 0]

A run is `gradcore train` on 300 digits in a process of its own, with four configurations in turn (Adam, SGD with a model of
one's own that draws random numbers, a convolutional network, RMSprop with patience), and a checkpoint after each step or
after each epoch. Each is compared with the same run left alone: model, best model, optimizer, generators and history.

kills: SIGKILL at a random moment, also while a file is written, up to three times before the run may end.
signals: so many each of SIGTERM, SIGHUP, SIGINT, SIGXCPU, and of two signals within 5 ms: exit status 128 + n, no temporary file.
trouble: so many each of a full disk (no file may grow beyond 8,000 bytes, which is less than a checkpoint), a read-only folder, a folder that vanishes or is
replaced by a file in the middle of the run, for good or for a while: the whole run is in its folder or where the message says.
Exits with 1 where anything differs or is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common  # noqa: F401
import matplotlib.figure  # noqa: F401 (loaded once, before the forks)
from small_runs import draw_nothing, write_data

from gradcore import cli
from gradcore.io import load_tensors
from gradcore.train import Checkpoints

CONFIGURATIONS = {
    "adam": ["--checkpoint-every", "0"],
    "own": ["--model", "small_runs:own", "--optimizer", "sgd", "--schedule", "cosine", "--clip-norm", "1"],
    "cnn": ["--model", "cnn", "--epochs", "2", "--schedule", "warmup:0.2:linear", "--checkpoint-every", "0"],
    "rmsprop": ["--optimizer", "rmsprop", "--momentum", "0.9", "--patience", "2", "--epochs", "6"],
}
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGXCPU")
TROUBLE = ("full", "read-only", "vanished", "a file")


def obey_permissions() -> None:
    """Give up root's right to write where the permissions forbid it (CAP_DAC_OVERRIDE); nothing for other users."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) or os.geteuid():
        return
    data[0] &= ~2
    data[1] &= ~2
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def start(arguments: list[str], log: Path, *, temporary: Path, unprivileged: bool = False) -> int:
    """Fork a process that runs the command; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        for name in SIGNALS:  # what started us may have set them to be ignored
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = io.TextIOWrapper(io.FileIO(1, "w")), io.TextIOWrapper(io.FileIO(2, "w"))
        tempfile.tempdir = str(temporary)
        if unprivileged:
            obey_permissions()
        status = cli.main(arguments)
    except BaseException:  # noqa: BLE001 (whatever it is, it is to be in the log, and this process to end here)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int, seconds: float) -> int | None:
    """The exit status (minus the signal's number where one killed it), or None after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def finish(pid: int) -> int:
    """The exit status; a process that does not end within two minutes is killed."""
    status = wait(pid, 120)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return -99
    return status


def wait_for(folder: Path, pattern: str, seconds: float = 20) -> bool:
    """Wait until there is such a file in the folder."""
    end = time.monotonic() + seconds
    while not any(folder.glob(pattern)):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def result(folder: Path) -> dict[str, Any]:
    """All that a run has reached, without what depends on the clock."""
    found = Checkpoints(folder, 1, print).load()
    if found is None:
        raise FileNotFoundError(f"no checkpoint in {folder}")
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    for record in (*history, *found.state["history"]):
        del record["seconds"]
    del found.state["seconds"]
    arrays = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in found.tensors.items()}
    for name in ("model.safetensors", "best.safetensors"):
        tensors, metadata = load_tensors(folder / name)
        arrays |= {f"{name}:{key}": (a.dtype.str, a.shape, a.tobytes()) for key, a in tensors.items()}
        arrays[name] = metadata
    return {"arrays": arrays, "state": found.state, "history": history}


@dataclass
class Bench:
    """Runs the trials and gathers what went wrong."""

    root: Path
    rng: random.Random

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.number = 0
        self.expected: dict[str, dict[str, Any]] = {}
        self.times: dict[str, float] = {}
        write_data(self.root / "data")
        for name in CONFIGURATIONS:
            folder = self.root / f"whole-{name}"
            begun = time.monotonic()
            status = finish(start(self.command(name, folder), self.log(folder), temporary=self.root))
            if status:
                raise RuntimeError(f"{name} does not run at all: {self.log(folder).read_text()}")
            self.times[name] = time.monotonic() - begun
            self.expected[name] = result(folder)

    def command(self, name: str, folder: Path) -> list[str]:
        """A run of this configuration, from the start."""
        fixed = ["--data", str(self.root / "data"), "--batch-size", "16", "--epochs", "3", "--no-preflight"]
        return ["train", *fixed, *CONFIGURATIONS[name], "--out", str(folder)]

    def log(self, folder: Path) -> Path:
        """What a run prints."""
        return folder.with_suffix(".log")

    def new(self) -> tuple[str, Path]:
        """The next configuration, and a folder for it."""
        self.number += 1
        name = list(CONFIGURATIONS)[self.number % len(CONFIGURATIONS)]
        return name, self.root / f"run-{self.number}"

    def wrong(self, what: str, folder: Path) -> None:
        """Note a finding, with what the run printed."""
        text = self.log(folder).read_text() if self.log(folder).exists() else ""
        self.problems.append(f"{what} ({folder.name})\n  " + "\n  ".join(text.splitlines()[-6:]))
        print(self.problems[-1], flush=True)

    def compare(self, what: str, name: str, folder: Path, log: Path | None = None) -> None:
        """Compare a run that has ended with the one that was left alone."""
        try:
            found = result(folder)
        except (OSError, ValueError) as error:
            self.wrong(f"{what}: {error}", log or folder)
            return
        for part, value in self.expected[name].items():
            if found[part] != value:
                keys = (
                    [key for key in value if found[part].get(key) != value[key]]
                    if isinstance(value, dict)
                    else []
                )
                self.wrong(f"{what}: {part} differs {keys[:4]}", log or folder)
        if left := [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".damaged"))]:
            self.wrong(f"{what}: left {left}", log or folder)

    def resume_command(self, name: str, folder: Path) -> list[str]:
        """What goes on with a run, or begins it where it was ended before it had begun."""
        if (folder / "config.json").exists():
            return ["train", "--resume", str(folder)]
        self.counts["ended before the run had begun"] += 1
        return self.command(name, folder)

    def clean(self, folder: Path) -> None:
        """Remove what a trial left."""
        shutil.rmtree(folder, ignore_errors=True)
        self.log(folder).unlink(missing_ok=True)

    # --- the trials -----------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL, up to three times, then resume to the end."""
        name, folder = self.new()
        for _ in range(self.rng.randint(1, 3)):
            pid = start(self.resume_command(name, folder), self.log(folder), temporary=self.root)
            if (status := wait(pid, self.rng.uniform(0.02, 1.02) * self.times[name])) is not None:
                self.counts["ended before it was killed"] += 1
                if status:
                    self.wrong(f"exit status {status}", folder)
                break
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self.counts["SIGKILL"] += 1
            if folder.is_dir() and any(path.name.endswith(".tmp") for path in folder.iterdir()):
                self.counts["SIGKILL while a file was written"] += 1
        status = finish(start(self.resume_command(name, folder), self.log(folder), temporary=self.root))
        if status:
            self.wrong(f"resuming after SIGKILL: exit status {status}", folder)
        else:
            self.compare("after SIGKILL", name, folder)
        self.clean(folder)

    def end(self, what: str) -> None:
        """A signal, or two, then resume."""
        name, folder = self.new()
        first, *more = [what] if what in SIGNALS else self.rng.choices(SIGNALS, k=2)
        pid = start(self.command(name, folder), self.log(folder), temporary=self.root)
        if not wait_for(folder, "config.json"):
            self.wrong("the run did not begin", folder)
        if wait(pid, self.rng.uniform(0.0, 0.9) * self.times[name]) is None:
            os.kill(pid, getattr(signal, first))
            for other in more:
                time.sleep(self.rng.uniform(0, 0.005))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, getattr(signal, other))
            status = finish(pid)
            self.counts[what] += 1
            allowed = {128 + getattr(signal, each) for each in (first, *more)}
            if status not in allowed and not (status == 0 and (folder / "mistakes.png").exists()):
                self.wrong(f"{what}: exit status {status}", folder)
            if left := [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".damaged"))]:
                self.wrong(f"{what}: left {left}", folder)
        status = finish(start(["train", "--resume", str(folder)], self.log(folder), temporary=self.root))
        if status:
            self.wrong(f"resuming after {what}: exit status {status}", folder)
        else:
            self.compare(f"after {what}", name, folder)
        self.clean(folder)

    def trouble(self, what: str) -> None:
        """Trouble with the folder in the middle of the run, for good or for a while."""
        name, folder = self.new()
        temporary = self.root / f"temporary-{self.number}"
        temporary.mkdir()
        folder.mkdir()
        os.chmod(temporary, 0o777)
        pid = start(
            self.command(name, folder),
            self.log(folder),
            temporary=temporary,
            unprivileged=what == "read-only",
        )
        if not wait_for(folder, "checkpoint-*.safetensors"):
            self.wrong("the run did not begin", folder)
            finish(pid)
            return
        if wait(pid, self.rng.uniform(0.02, 0.4) * self.times[name]) is not None:
            self.counts["ended before the trouble"] += 1
            self.compare(what, name, folder)
            self.clean(folder)
            return
        aside = folder.with_name(f"{folder.name}-aside")
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        self.break_folder(what, pid, folder, aside)
        status = None
        for_good = (
            self.rng.random() < 0.5 and what != "full"
        )  # all disks are full for this process, /tmp as well
        if not for_good:
            status = wait(pid, self.rng.uniform(0.02, 0.4) * self.times[name])
            self.mend_folder(what, pid, folder, aside, before)
        status = finish(pid) if status is None else status
        self.counts[what] += 1
        text = self.log(folder).read_text()
        moved = re.search(r"The whole run is in (\S+) instead", text)
        if status == 0:
            self.compare(what, name, folder)
        elif moved:
            self.counts[f"{what}: moved"] += 1
            self.compare(what, name, Path(moved[1]), folder)
        elif what == "full" and (folder / "config.json").exists() and "Traceback" not in text:
            # Every disk was full for this process until its end; what was reached before is there.
            self.counts["full: resumed"] += 1
            if finish(start(["train", "--resume", str(folder)], self.log(folder), temporary=temporary)):
                self.wrong("full: can't be resumed", folder)
            self.compare(what, name, folder)
        else:
            self.wrong(f"{what}: exit status {status}", folder)
        if for_good:
            self.mend_folder(what, pid, folder, aside, before)
        for path in (aside, temporary):
            shutil.rmtree(path, ignore_errors=True)
        if folder.is_file():
            folder.unlink()
        self.clean(folder)

    def break_folder(self, what: str, pid: int, folder: Path, aside: Path) -> None:
        """Make writing to the folder fail."""
        if what == "full":
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
        elif what == "read-only":
            os.chmod(folder, 0o555)
        else:
            folder.rename(aside)
            if what == "a file":
                folder.write_text("in the way")

    def mend_folder(self, what: str, pid: int, folder: Path, aside: Path, before: tuple[int, int]) -> None:
        """Make it work again."""
        if what == "full":
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        elif what == "read-only":
            os.chmod(folder, 0o755)
        elif aside.exists():
            if what == "a file":
                folder.unlink()
            aside.rename(folder)


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("kills", 200), ("signals", 20), ("trouble", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kills + options.signals + options.trouble < 1:
        parser.exit(2, f"{parser.prog}: that leaves nothing to do\n")
    with tempfile.TemporaryDirectory(prefix="killed-runs-") as root:
        os.chmod(root, 0o755)
        bench = Bench(Path(root), random.Random(options.seed))
        for number in range(options.kills):
            bench.kill()
            if number % 20 == 19:
                print(f"{number + 1} runs killed, {len(bench.problems)} findings", flush=True)
        for what in (*SIGNALS, "two signals"):
            for _ in range(options.signals):
                bench.end(what)
        for what in TROUBLE:
            for _ in range(options.trouble):
                bench.trouble(what)
    for what, count in bench.counts.items():
        print(f"{count:5} {what}")
    print(f"{len(bench.problems)} findings (seed {options.seed})")
    return 1 if bench.problems else 0


if __name__ == "__main__":
    draw_nothing()
    sys.exit(main())
