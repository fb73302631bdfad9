"""Runs random test suites through the two-stage gate and checks each run's log.

    python ci/reports/gate_stress.py [--runs 150] [--minutes 10] [--seed 0] [--timeout 90]

Each suite has random passes, failures, errors, skips, crashes (`os._exit`) and sleeps in three stages. It is run with
random options: 0 to 4 workers, `load` or `worksteal`, `-x`, `--maxfail`, `--max-worker-restart`. Every test writes its
start and end with a clock that all processes share. A conftest writes the test reports.

A run is right if it ends in time, if each collected test has exactly one outcome (unless the options may lose some), and if
no training test starts before the last verification test has ended, or at all after a failed one or where all were
skipped. Exits with 1 where a run is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import common

CONFTEST = """
import json, os, time
from pathlib import Path
import pytest

LOG = Path(__file__).with_name("log")

def write(*entry):
    line = json.dumps([time.clock_gettime(time.CLOCK_MONOTONIC), *entry]) + "\\n"
    fd = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    if "gradcheck-gate" in item.nodeid:
        return (yield)
    write("start", item.nodeid)
    try:
        return (yield)
    finally:
        write("end", item.nodeid)

def pytest_runtest_setup(item):
    write("setup", item.nodeid)

def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" not in os.environ:
        reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
        write("report", report.nodeid, report.when, report.outcome, reason)

@pytest.fixture(scope="module")
def shared(request):
    yield
    write("module-teardown", request.node.nodeid)

@pytest.fixture(scope="session", autouse=True)
def whole():
    yield
"""

BODIES = {
    "pass": "pass",
    "sleep": "time.sleep({:.3f})",
    "fail": "assert False",
    "skip": "pytest.skip('by itself')",
    "crash": "os._exit(3)",
}
HEAD = """
import os, time
import pytest

@pytest.fixture
def bad_setup():
    raise RuntimeError("setup")

@pytest.fixture
def bad_teardown():
    yield
    raise RuntimeError("teardown")
"""
FAILING = {"fail", "crash", "bad_setup", "bad_teardown"}
REPORTS = {
    "pass": Counter(["setup passed", "call passed", "teardown passed"]),
    "fail": Counter(["setup passed", "call failed", "teardown passed"]),
    "skip": Counter(["setup passed", "call skipped", "teardown passed"]),
    "bad_setup": Counter(["setup failed", "teardown passed"]),
    "bad_teardown": Counter(["setup passed", "call passed", "teardown failed"]),
}
STAGES = ("verification", "ordinary", "training")


@dataclass
class Case:
    """One suite with its options."""

    folder: Path
    options: list[str]
    kinds: dict[str, str] = field(default_factory=dict)  # node id -> what the test does
    lossy: bool = False  # the options allow tests to go unreported

    def stage(self, name: str) -> list[str]:
        """The node ids of a stage."""
        return [nodeid for nodeid in self.kinds if nodeid.startswith(name)]


def draw_kind(rng: random.Random, trouble: float, workers: int) -> str:
    """What one test does; trouble is the chance that it fails."""
    if rng.random() < trouble:
        return rng.choice(["fail", "bad_setup", "bad_teardown", *(["crash"] * 3 if workers else [])])
    return rng.choices(["pass", "sleep", "skip"], [6, 5, 1])[0]


def write_suite(folder: Path, rng: random.Random) -> Case:
    """Draw a suite and its options."""
    workers = rng.choice([0, 1, 2, 2, 3, 4])
    dist = rng.choice(["load", "worksteal"])
    case = Case(folder, ["-n", str(workers)] + (["--dist", dist] if workers else []))
    folder.joinpath("conftest.py").write_text(CONFTEST)
    folder.joinpath("pytest.ini").write_text(
        "[pytest]\ngradcheck_verification = verification\ngradcheck_training = training\n"
    )
    clean = rng.random() < 0.4
    for stage in STAGES:
        trouble = 0.0 if clean and stage == "verification" else rng.choice([0.0, 0.05, 0.2])
        folder.joinpath(stage).mkdir()
        for number in range(rng.choice([1, 1, 2, 3]) if stage != "ordinary" else rng.choice([0, 1, 2])):
            path = folder / stage / f"test_{stage}_{number}.py"
            lines = [HEAD]
            for index in range(rng.choice([1, 2, 5, 12])):
                kind = draw_kind(rng, trouble, workers)
                fixtures = [kind] if kind.startswith("bad") else rng.choice([[], ["shared"]])
                body = BODIES.get(kind, "pass").format(rng.choice([0.001, 0.01, 0.05, 0.15]))
                lines.append(f"def test_{index}({', '.join(fixtures)}):\n    {body}\n")
                case.kinds[f"{stage}/{path.name}::test_{index}"] = kind
            path.write_text("\n".join(lines))
    crashes = sum(kind == "crash" for kind in case.kinds.values())
    if workers:
        restarts = rng.choice([None, None, 0, 1, 30])
        if restarts is not None:
            case.options.append(f"--max-worker-restart={restarts}")
        case.lossy = crashes > (4 * workers if restarts is None else restarts)
    if rng.random() < 0.2:
        case.options.append(rng.choice(["-x", "--maxfail=2", "--stepwise"]))
        case.lossy = True
    return case


def run(case: Case, timeout: float) -> tuple[str, list[str]]:
    """Run the suite; return pytest's output and what was wrong."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "--tb=no", "-p", "no:hypothesispytest", *case.options]
    with subprocess.Popen(
        command, cwd=case.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.terminate()
            return process.communicate()[0], [f"no end after {timeout} s"]
    problems = check(case, (case.folder / "log").read_text())
    if "INTERNALERROR" in output:
        problems.append("internal error")
    if not any(line.startswith("gate: ") for line in output.splitlines()):
        problems.append("no line of the gate")
    return output, problems


def check(case: Case, log: str) -> list[str]:
    """What the log shows that must not be."""
    started: dict[str, list[float]] = defaultdict(list)
    set_up: set[str] = set()
    last_verification = 0.0
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, str] = {}
    for when, event, name, *rest in map(json.loads, log.splitlines()):
        if event == "start":
            started[name].append(when)
        elif event == "setup":
            set_up.add(name)
        elif event == "report":
            phase, outcome, reason = rest
            outcomes[name][f"{phase} {outcome}"] += 1
            if reason:
                reasons[name] = reason
        if event in ("start", "end") and name.startswith("verification"):
            last_verification = max(last_verification, when)
        if event == "module-teardown" and name.startswith("verification"):
            last_verification = max(last_verification, when)
    problems = []
    verification, training = case.stage("verification"), case.stage("training")
    ran = [name for name in training if name in set_up]
    failed = [name for name in verification if case.kinds[name] in FAILING]
    unverified = all(case.kinds[name] == "skip" for name in verification)
    early = [name for name in ran if started[name][0] < last_verification]
    problems += [f"{name} started before the last verification test had ended" for name in early]
    problems += [f"{name} ran although {failed[0]} failed" for name in ran if failed]
    problems += [f"{name} ran although nothing was verified" for name in ran if unverified]
    for name, kind in case.kinds.items():
        if len(started[name]) > 1:
            problems.append(f"{name} ran {len(started[name])} times")
        seen = outcomes[name]
        if not seen:
            held_back = name in training and not ran
            if held_back or not case.lossy:
                problems.append(f"{name} has no outcome")
        elif name in training and name not in set_up:
            if seen != Counter({"setup skipped": 1, "teardown passed": 1}):
                problems.append(f"{name} was held back, but its reports are {dict(seen)}")
            elif not (case.lossy or unverified) and not any(check in reasons[name] for check in failed):
                problems.append(f"{name} was skipped without naming a check: {reasons[name]}")
        elif kind == "crash":
            # What the worker sent just before it died may be lost.
            if seen - Counter({"setup passed": 1}) != Counter({"??? failed": 1}):
                problems.append(f"{name} crashed, but its reports are {dict(seen)}")
        elif seen != REPORTS.get(kind, REPORTS["pass"]):
            problems.append(f"{name} ({kind}) has the reports {dict(seen)}")
    if not (failed or unverified or case.lossy) and len(ran) < len(training):
        problems.append(f"only {len(ran)} of {len(training)} training tests ran behind an open gate")
    return problems


def main() -> int:
    """Run until the runs or the minutes are used up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=common.at_least_one, default=150)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds that one run may take")
    arguments = parser.parse_args()
    begin, done, wrong = time.monotonic(), 0, 0
    seen: Counter[str] = Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        if time.monotonic() - begin > 60 * arguments.minutes:
            break
        with tempfile.TemporaryDirectory(prefix="gate") as name:
            case = write_suite(Path(name), random.Random(seed))
            output, problems = run(case, arguments.timeout)
        done += 1
        line = next((line for line in output.splitlines() if line.startswith("gate: ")), "gate: -")
        how = ("closed by", "training open", "not opened")
        seen[next((words for words in how if words in line), "run ended before training")] += 1
        seen[" ".join(case.options[:4])] += 1
        if problems:
            wrong += 1
            print(f"seed {seed}: pytest {' '.join(case.options)}", *problems, sep="\n  ")
            print("    " + output.replace("\n", "\n    "))
    print(f"{done} runs in {time.monotonic() - begin:.0f} s, {wrong} wrong")
    for what, count in sorted(seen.items()):
        print(f"{count:5d} {what}")
    return 1 if wrong or not done else 0


if __name__ == "__main__":
    sys.exit(main())
