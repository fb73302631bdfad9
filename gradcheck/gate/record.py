"""What the verification stage has shown so far, and the sentences that report it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pytest

from gradcheck.gate.selection import is_to_verify
from gradcheck.gate.stages import Folders, Stage

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

ALLOW = "--gradcheck-allow-unverified"
IDLE = ("collectonly", "setuponly", "setupplan")  # options of pytest under which no test is run
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
        self._skipped_files: dict[str, None] = {}
        self._by_hand = False
        self._opened = False
        self._running = False

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
        unverified = self._unverified()
        return f"gate not opened: {unverified}" if unverified else None

    @property
    def _all_finished(self) -> bool:
        return self._verification <= self._finished

    def _unverified(self) -> str:
        """How it comes that nothing was verified, where something had to be; "" where all is well.

        What was collected has to verify something, and what the settings name has to be collected, unless the command
        line leaves it out.
        """
        if self._passed or self._allowed:
            return ""
        if self._verification:
            return f"none of {_tests(len(self._verification), 'verification')} passed"
        if not self._required:
            return ""
        skipped = "".join([f", {path} was skipped" for path in list(self._skipped_files)[:NAMED]])
        return "no verification test was collected" + skipped

    @cached_property
    def _allowed(self) -> bool:
        """Whether nothing needs to be verified."""
        return any(self._config.getoption(name, False) for name in (ALLOW, *IDLE))

    @cached_property
    def _required(self) -> bool:
        """Whether some verification test has to be collected."""
        return is_to_verify(self._config, self._folders)

    def begin(self) -> None:
        """Note that tests are to run, unlike under ``--fixtures``."""
        self._running = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Close the gate for a file that can't be collected: the checks in it are unknown."""
        if report.failed and not self._folders.covers_node(Stage.TRAINING, report.nodeid):
            self._failed[report.nodeid] = " (collection error)"
        elif report.skipped and self._folders.covers_node(Stage.VERIFICATION, report.nodeid):
            self._skipped_files[report.nodeid] = None

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
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Account for training also when `-x` or the loss of all workers ended the run, but not after Ctrl-C.

        A run whose gate did not open has failed, whatever pytest makes of its tests.
        """
        if not self._running or self._config.getoption("collectonly"):
            return
        waiting = bool(self._training) and not self._opened
        if waiting and not self._by_hand:
            self.skip_training()
        if session.exitstatus == pytest.ExitCode.OK and (waiting or self.refusal() is not None):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

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
        if not self._running or self._config.getoption("collectonly"):
            return
        bad = self.refusal() is not None
        if bad or self._verification or self._training:
            terminalreporter.write_line(self.summary(), red=bad, green=not bad)
        if bad and not self._failed and self._unverified() and self._all_finished:
            text = (
                f"nothing was verified, so the run has failed; {ALLOW} lets it pass and runs training tests"
            )
            terminalreporter.write_line(text, red=True)

    def summary(self) -> str:
        """One line: what verification showed and what became of training."""
        after = self._training_summary()
        if self._failed:
            first, how = next(iter(self._failed.items()))
            more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
            return f"gate: closed by {first}{how}{more}, {after}"
        done, collected = len(self._verification & self._finished), len(self._verification)
        if done < collected:
            return f"gate: not opened, {done} of {_tests(collected, 'verification')} finished, {after}"
        unverified = self._unverified()
        if unverified:
            return f"gate: not opened, {unverified}, {after}"
        if not collected:
            return f"gate: no verification test was collected, {after}"
        neither = done - len(self._passed)
        skipped = f", {neither} skipped or xfailed" if neither else ""
        return f"gate: {_tests(len(self._passed), 'verification')} passed{skipped}, {after}"

    def _training_summary(self) -> str:
        training = _tests(len(self._training), "training")
        if not self._training:
            return "no training test was collected"
        if self._opened:
            return "training open" if self._passed else f"{training} unguarded"
        return f"{training} not run" if self._by_hand else f"{training} skipped"


def _tests(count: int, kind: str) -> str:
    return f"{count} {kind} test" + ("" if count == 1 else "s")
