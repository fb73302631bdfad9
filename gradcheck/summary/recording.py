"""The side that runs the tests: what a test records travels as a property of pytest's reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck.summary import failures

if TYPE_CHECKING:
    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification
    from gradcheck.verification import Tally

PROPERTY = "gradcheck"
UNRECORDED = "unrecorded"
OUTPUT = "gradcheck_checks"
"""The key in xdist's `workeroutput`: whether a worker collected a test that uses the fixture."""

LOADED = "gradcheck_loaded"
"""The key in xdist's `workeroutput`: names of the modules that a worker loaded."""

MOST = 5
"""Of more failures in one record than this, the others are counted."""

NAMED = 8
"""So many inputs are named whose gradient was seen, and was not."""

WHY = ("why: ", "the first inconclusive example: ")
"""With which the line of a report begins that has the reason."""


class Record:
    """One row of one test, stored as a property of the test whenever it changes."""

    def __init__(self, node: pytest.Item, place: int, **row: Any) -> None:
        self._node = node
        self._place = place
        self.row = row
        self.tally: Tally | None = None
        self.pending: list[str] = []  # messages of failed results that have not failed the test yet
        self.raised = False  # whether they are what fails it now
        self.store()

    def store(self) -> None:
        """Bring the test's property up to date."""
        if self.tally is not None:
            self.row.update(
                counts=dict(self.tally.counts),
                sensitivity=self.tally.sensitivity,
                hidden=self.tally.hidden,
                seen=sorted(self.tally.informed)[:NAMED],
                unseen=sorted(self.tally.expected - self.tally.informed)[:NAMED],
                reason=failures.cut(_why(self.tally.reasons), failures.SENTENCE),
            )
        self._node.user_properties[self._place : self._place + 1] = [(PROPERTY, json.dumps(self.row))]

    def failed(self, result: Report | Verification) -> None:
        """Take in a result that failed."""
        self.pending.append(str(result))
        self.note([failures.of_result(result, drawn=is_drawn(self._node.config))])

    def note(self, found: list[dict[str, Any]]) -> None:
        """Keep failures, as far as there is room."""
        kept = self.row.setdefault("failures", [])
        room = MOST - len(kept)
        kept += found[:room]
        self.row["more"] = self.row.get("more", 0) + len(found[room:])
        self.store()

    def conclude(self) -> None:
        """End with the test; a result that failed after the test's own part fails the teardown."""
        self.store()
        _fail([self])


RECORDS = pytest.StashKey[list[Record]]()


@pytest.fixture
def gradcheck_record(request: pytest.FixtureRequest) -> Any:
    """`gradcheck_record(entry, checked, *results, kind="function")` puts what a test found into gradcheck's summary.

    entry: the row, such as the name of the function that is verified. checked: the column, such as "gradient". results:
    what `gradcheck` or `verify` returned. kind: rows of one kind stand together. Returns a `Tally`, whose `add` takes
    more of them while the test runs, and whose `conclude` fails where they decided too little.

    A recorded result with the verdict "fail" fails the test once its function has returned, so that all of them are
    recorded. A test that fails is shown as a failure of what it recorded; so record before a check that may raise::

        def test_softplus(gradcheck_record):
            tally = gradcheck_record("softplus", "gradient")
            tally.add(verify(softplus, like=(x,), vjp=rule))
    """
    node = request.node
    # All that is known where the test fails before it records something, or its process dies.
    unknown = Record(node, len(node.user_properties), kind="test", entry=node.name, property=UNRECORDED)
    node.stash[RECORDS] = records = [unknown]
    places = [len(node.user_properties) - 1]

    def record(entry: str, checked: str, *results: Report | Verification, kind: str = "function") -> Tally:
        for name, value in (("entry", entry), ("checked", checked), ("kind", kind)):
            if not isinstance(value, str) or not value or not value.isprintable():
                raise ValueError(f"gradcheck_record: {name} has to be one line of text; got {value!r}")
        from gradcheck.summary.recorded import RecordedTally

        if places:
            records.clear()
        place = places.pop() if places else len(node.user_properties)
        made = Record(node, place, kind=kind, entry=entry, property=checked)
        records.append(made)
        made.tally = tally = RecordedTally(entry, failed=made.failed)
        request.addfinalizer(made.conclude)
        for result in results:
            tally.add(result)
        return tally

    return record


class Recording:
    """A plugin of every process that runs tests: makes recorded failures count, and records why a test failed."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Fail a test that returns, or skips itself, after it has recorded a failed result."""
        skipped, outcome = None, None
        try:
            outcome = yield
        except pytest.skip.Exception as error:
            skipped = error
        _fail(item.stash.get(RECORDS, []))
        if skipped is not None:
            raise skipped
        return outcome

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Record the failure before pytest copies what is recorded into its report."""
        records = item.stash.get(RECORDS, [])
        error = None if call.excinfo is None else call.excinfo.value
        if not records or error is None or isinstance(error, pytest.skip.Exception):
            return
        if not any(record.raised for record in records):
            records[-1].note(failures.of_error(error, drawn=is_drawn(item.config)))
        for record in records:
            record.raised = False
            record.pending.clear()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Report to xdist's controller whether there is anything to summarise."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[OUTPUT] = records_in(session)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Report to xdist's controller which packages the tests used, whose versions the files state."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[LOADED] = sorted([name for name in sys.modules if "." not in name])


def records_in(session: pytest.Session) -> bool:
    """Whether a collected test uses the fixture."""
    return any("gradcheck_record" in getattr(item, "fixturenames", ()) for item in session.items)


def _why(reasons: list[str]) -> str:
    """Why the first inconclusive one of these reports is that, "" where none is."""
    for line in [line.strip() for text in reasons for line in text.splitlines()]:
        if line.startswith(WHY):
            return line.partition(": ")[2]
    return ""


def is_drawn(config: pytest.Config) -> bool:
    """Whether the run writes the page: its pictures take some more calls of what failed."""
    return config.getoption("--gradcheck-html") is not None


def _fail(records: list[Record]) -> None:
    __tracebackhide__ = True
    messages = [message for record in records for message in record.pending]
    for record in records:
        record.raised = bool(messages)
        record.pending.clear()
    if messages:
        more = f"\n{len(messages) - 1} more recorded results failed" if len(messages) > 1 else ""
        pytest.fail(messages[0] + more, pytrace=False)
