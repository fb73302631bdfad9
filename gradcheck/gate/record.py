"""What the verification stage has shown so far, and the sentences that report it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import pytest

from gradcheck.gate.stages import Folders, Stage

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

NAMED = 3  # failed checks that a skip reason names before it only counts


class Gate:
    """Watches the reports of one run; a plugin of the process that writes them (alone or xdist controller)."""

    def __init__(self, config: pytest.Config, folders: Folders) -> None:
        self._config = config
        self._folders = folders
        self._verification: frozenset[str] = frozenset()
        self._training: tuple[str, ...] = ()
        self._failed: dict[str, str] = {}
        self._passed: set[str] = set()
        self._finished: set[str] = set()
        self._by_hand = False
        self._opened = False

    def enrol(self, verification: Iterable[str], training: Sequence[str]) -> None:
        """Take the node ids that were collected for either stage."""
        self._verification = frozenset(verification)
        self._training = tuple(training)

    def open(self) -> None:
        """Note that training was let through."""
        self._opened = True

    def refusal(self) -> str | None:
        """Why no training test may start now; None if it may."""
        if self._failed:
            named = [name + how for name, how in list(self._failed.items())[:NAMED]]
            more = len(self._failed) - len(named)
            return "gate closed by " + ", ".join(named) + (f" and {more} more" if more else "")
        finished = len(self._verification & self._finished)
        if finished < len(self._verification):
            return f"gate not opened: only {finished} of {_tests(len(self._verification), 'verification')} finished"
        return None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Close the gate for a file that can't be collected: the checks in it are unknown."""
        if report.failed and not self._folders.covers_node(Stage.TRAINING, report.nodeid):
            self._failed[report.nodeid] = " (collection error)"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures of any phase; xdist reports the crash of a worker under the test that it ran."""
        if report.nodeid not in self._verification:
            return
        if report.failed:
            crashed = report.when not in ("setup", "call", "teardown")
            self._failed.setdefault(report.nodeid, " (worker crashed)" if crashed else "")
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that a test has ended, its teardown included."""
        self._finished.add(nodeid)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Distinguish Ctrl-C and `pytest.exit` from the interruptions that `-x` and `--stepwise` cause."""
        self._by_hand = excinfo.type is KeyboardInterrupt or isinstance(excinfo.value, pytest.exit.Exception)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Account for training also when `-x` or the loss of all workers ended the run, but not after Ctrl-C."""
        if not (self._opened or self._by_hand or self._config.getoption("collectonly")):
            self.skip_training()

    def skip_training(self) -> None:
        """Report each training test that has no report yet as skipped, with the reason."""
        reason = self.refusal() or "the run ended before training began"
        for nodeid in self._training:
            if nodeid not in self._finished:
                self._report_skipped(nodeid, reason)

    def _report_skipped(self, nodeid: str, reason: str) -> None:
        hook = self._config.hook
        path, _, domain = nodeid.partition("::")
        location = (path, None, domain.replace("::", "."))
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        outcome: Literal["skipped", "passed"]
        when: Literal["setup", "teardown"]
        for when, outcome in (("setup", "skipped"), ("teardown", "passed")):
            why = (
                (str(self._config.rootpath / path), 1, f"Skipped: {reason}") if outcome == "skipped" else None
            )
            report = pytest.TestReport(nodeid, location, {"skip": 1}, outcome, why, when)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write the gate's line."""
        if (self._verification or self._training) and not self._config.getoption("collectonly"):
            bad = self.refusal() is not None
            terminalreporter.write_line(self.summary(), red=bad, green=not bad)

    def summary(self) -> str:
        """One line: what verification showed and what became of training."""
        after = self._training_summary()
        if self._failed:
            first, how = next(iter(self._failed.items()))
            more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
            return f"gate: closed by {first}{how}{more}, {after}"
        done, collected = len(self._verification & self._finished), len(self._verification)
        if not collected:
            return f"gate: no verification test was collected, {after}"
        if done < collected:
            return f"gate: not opened, {done} of {_tests(collected, 'verification')} finished, {after}"
        neither = done - len(self._passed)
        skipped = f", {neither} skipped or xfailed" if neither else ""
        return f"gate: {_tests(len(self._passed), 'verification')} passed{skipped}, {after}"

    def _training_summary(self) -> str:
        training = _tests(len(self._training), "training")
        if not self._training:
            return "no training test was collected"
        if self._opened:
            return "training open" if self._verification else f"{training} unguarded"
        return f"{training} not run" if self._by_hand else f"{training} skipped"


def _tests(count: int, kind: str) -> str:
    return f"{count} {kind} test" + ("" if count == 1 else "s")
