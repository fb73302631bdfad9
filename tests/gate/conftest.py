"""A small project in a temporary folder, and what a pytest run of it showed."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

LOGGING = """
import json, os, time
from pathlib import Path
import pytest

def write(*entry):
    fd = os.open(Path(__file__).with_name("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (json.dumps(entry) + "\\n").encode())
    os.close(fd)

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    write("start", item.nodeid)
    return (yield)

@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    try:
        return (yield)
    finally:
        write("end", item.nodeid)

def pytest_runtest_logreport(report):
    if "CONTROLLED" not in os.environ and not hasattr(report, "worker_id") or hasattr(report, "node"):
        write("report", report.nodeid, report.when, report.outcome, str(report.longrepr or ""))

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        os.environ["CONTROLLED"] = "1"
"""


class Run:
    """One run: its output, its exit code, and the log in which one write is one line."""

    def __init__(self, result: pytest.RunResult, log: Path) -> None:
        self.code = int(result.ret)
        self.text = result.stdout.str() + result.stderr.str()
        self.entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        self.reports: dict[str, list[str]] = defaultdict(list)
        self.reasons: dict[str, str] = {}
        for event, nodeid, *rest in self.entries:
            if event == "report":
                self.reports[nodeid].append(rest[1])
                if rest[1] == "skipped":
                    self.reasons[nodeid] = rest[2]

    @property
    def line(self) -> str:
        """The gate's line of the summary; empty if there is none."""
        return next((line for line in self.text.splitlines() if line.startswith("gate: ")), "")

    def started(self, folder: str = "") -> list[str]:
        """The tests below `folder` whose setup began and that the gate did not skip, in the order of the log."""
        begun = [entry[1] for entry in self.entries if entry[0] == "start"]
        return [
            name for name in begun if name.startswith(folder) and "Skipped: gate " not in self.reason(name)
        ]

    def reason(self, nodeid: str) -> str:
        """Why a test was skipped; empty if it was not."""
        return self.reasons.get(nodeid, "")

    def place(self, event: str, nodeid: str) -> int:
        """Where in the log a test started or ended."""
        return self.entries.index([event, nodeid])


class Project:
    """Writes files and runs pytest over them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.path = pytester.path
        self.settings("gradcheck_verification = v", "gradcheck_training = t")
        self.write("conftest.py", LOGGING)
        for folder in "v", "t":
            (self.path / folder).mkdir()

    def settings(self, *lines: str) -> None:
        """Write pytest.ini."""
        self.write("pytest.ini", "\n".join(["[pytest]", *lines]))

    def write(self, name: str, text: str) -> None:
        """Write one file."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def stages(self, verification: str, training: str) -> None:
        """Write one file of tests for each stage."""
        self.write("v/test_v.py", verification)
        self.write("t/test_t.py", training)

    def add_to_conftest(self, text: str) -> None:
        """Go on with the conftest that keeps the log."""
        self.write("conftest.py", LOGGING + text)

    def run(self, *options: str, cache: bool = False) -> Run:
        """Run pytest in a process of its own if there are workers, else in this one."""
        log = self.path / "log"
        log.unlink(missing_ok=True)
        always = ["-p", "no:hypothesispytest", "-rsfE", *([] if cache else ["-p", "no:cacheprovider"])]
        run = self._pytester.runpytest_subprocess if "-n" in options else self._pytester.runpytest_inprocess
        return Run(run(*always, *options), log)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [*os.environ]:
        if name.startswith(("PYTEST_XDIST", "PYTEST_ADDOPTS")):
            monkeypatch.delenv(name)
    return Project(pytester)
