"""The side that writes: gathers what the tests recorded, shows it at the end, and writes the requested files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck.summary import ci, table
from gradcheck.summary.failures import in_words
from gradcheck.summary.frames import Frames
from gradcheck.summary.recording import LOADED, OUTPUT, PROPERTY, UNRECORDED, Recording, records_in
from gradcheck.summary.results import Check, Summary, gathered

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

NOTHING = "no collected test has the fixture gradcheck_record, which puts results there"

_FILES = {"--gradcheck-json": "JSON", "--gradcheck-html": "a web page"}


def add_options(parser: pytest.Parser) -> None:
    """Declare `--gradcheck-json` and `--gradcheck-html`."""
    group = parser.getgroup("gradcheck", "verification of gradients")
    for option, what in _FILES.items():
        group.addoption(option, metavar="FILE", help=f"write the summary of what was verified as {what}")


def install(config: pytest.Config) -> None:
    """Register what runs beside each test, and in the process that writes the collector.

    Raises `pytest.UsageError` where a requested file can't be written.
    """
    config.pluginmanager.register(Recording(), "gradcheck-recording")
    config.pluginmanager.register(Frames(), "gradcheck-frames")
    if hasattr(config, "workerinput"):
        return
    files = {}
    for option in _FILES:
        given = config.getoption(option)
        if given is not None and not config.getoption("collectonly"):
            files[option] = _writable(config.invocation_params.dir / given, option)
    config.pluginmanager.register(Collector(config, files), "gradcheck-summary")


def _writable(path: Path, option: str) -> Path:
    from gradcore.errors import OutputError
    from gradcore.io import ensure_writable

    if path.is_dir():
        raise pytest.UsageError(f"{option}: {path} is a folder: name a file")
    folder = path.parent
    while not folder.exists():  # it is made when there is something to write
        folder = folder.parent
    try:
        ensure_writable(folder)
    except OutputError as error:
        raise pytest.UsageError(f"{option}: {error}") from error
    return path


class Collector:
    """Watches pytest's reports; a plugin of the process that writes them (alone or xdist controller)."""

    def __init__(self, config: pytest.Config, files: dict[str, Path]) -> None:
        self._config = config
        self._files = files
        self._places: dict[str, tuple[str, int]] = {}
        self._loaded: set[str] = set()  # by the workers
        self._checks: dict[str, list[Check]] = {}
        self._begun: dict[str, list[dict[str, Any]]] = {}
        self._outcomes: dict[str, tuple[str, float]] = {}
        self._unwritten: list[str] = []
        self._collected = False

    @property
    def summary(self) -> Summary:
        """What has been verified so far."""
        return Summary([check for checks in self._checks.values() for check in checks])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note whether there is anything to summarise."""
        self._collected = records_in(session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Note it of an xdist worker's tests, which it reports when it ends."""
        output = getattr(node, "workeroutput", {})
        self._collected |= bool(output.get(OUTPUT))
        self._loaded.update(output.get(LOADED, ()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test: what it recorded comes with the last one, or not at all if a worker crashes.

        xdist reports a crash under the test that the worker ran; what the first phase brought identifies the check. Other
        plugins, such as that of JUnit's XML, then find properties that can be read.
        """
        test = report.nodeid
        records = _recorded(report)
        if records:
            report.user_properties[:] = [item for item in report.user_properties if item[0] != PROPERTY]
            self._places[test] = (report.location[0], (report.location[1] or 0) + 1)
        if report.when not in ("setup", "call", "teardown"):
            begun = self._begun.pop(test, [])
            for row in begun[-1:]:
                row.setdefault("failures", []).append(in_words("crash", "the process of this test has ended"))
            self._keep(test, begun, "crashed", report.duration)
        elif report.when == "setup":
            self._begun[test] = records
            self._outcomes[test] = ("failed" if report.failed else "skipped", 0.0)
        elif report.when == "call":
            xfailed = report.skipped and hasattr(report, "wasxfail")
            self._outcomes[test] = ("failed" if xfailed else report.outcome, report.duration)
        else:
            self._begun.pop(test, None)
            outcome, seconds = self._outcomes.pop(test, ("skipped", 0.0))
            if report.failed or outcome != "skipped":
                self._keep(test, records, "failed" if report.failed else outcome, seconds)
                report.user_properties += ci.properties(self._checks.get(test, ()))

    @property
    def _found(self) -> bool:
        """Whether a check was collected, that is, a test that records."""
        return self._collected or bool(self._checks)

    def _keep(self, test: str, recorded: list[dict[str, Any]], outcome: str, seconds: float) -> None:
        known = [row for row in recorded if outcome != "passed" or row["property"] != UNRECORDED]
        if recorded:
            self._checks[test] = gathered(known, test, outcome, seconds)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, unless no check was collected; a run whose files can't be written has failed."""
        if self._found:
            self._total()
        if not self._files or not self._found:
            return
        from gradcheck.report.web import facts
        from gradcheck.summary import page
        from gradcore.errors import OutputError
        from gradcore.io import ensure_writable, write_atomically

        words = {"--gradcheck-json": Summary.to_json, "--gradcheck-html": page.html_page}
        known = facts({*sys.modules, *self._loaded}, project=self._config.rootpath.name)
        found = Summary(self.summary.checks, known)
        for option, path in self._files.items():
            try:
                if not path.parent.exists():
                    ensure_writable(path.parent)
                write_atomically(path, words[option](found).encode())
            except OutputError as error:
                self._unwritten.append(f"{option}: {error}")
        if self._unwritten and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _total(self) -> None:
        """Add what the whole run verified to JUnit's XML, where that is written."""
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is not None:
            for name, value in ci.totals(self.summary).items():
                xml.add_global_property(name, value)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, config: pytest.Config) -> None:
        """Show the table, or under ``-q`` only what failed; where nothing was verified, nothing."""
        if self.summary:
            terminalreporter.write_sep("=", "gradients verified")
            width, brief = shutil.get_terminal_size().columns, config.get_verbosity() < 0
            for line in table.lines(self.summary, width, brief):
                terminalreporter.write_line(line.text, **line.markup)
        if ci.on_github(os.environ):
            for text in ci.errors(self.summary, self._places, config.rootpath, os.environ):
                terminalreporter.write_line(text)
        for text in self._unwritten:
            terminalreporter.write_line(text, red=True)
        if not self._unwritten:
            for path in self._files.values():
                text = f"written: {path}" if self._found else f"not written: {path}: {NOTHING}"
                terminalreporter.write_line(text)


def _recorded(report: pytest.TestReport) -> list[dict[str, Any]]:
    return [json.loads(str(text)) for name, text in report.user_properties if name == PROPERTY]
