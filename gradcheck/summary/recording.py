"""The side that runs the tests: what a test records travels as a property of pytest's reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification
    from gradcheck.verification import Tally

PROPERTY = "gradcheck"
UNRECORDED = "unrecorded"


@pytest.fixture
def gradcheck_record(request: pytest.FixtureRequest) -> Any:
    """`gradcheck_record(entry, checked, *results, kind="function")` puts what a test found into gradcheck's summary.

    entry: the row, such as the name of the function that is verified. checked: the column, such as "gradient". results:
    what `gradcheck` or `verify` returned. kind: rows of one kind stand together. Returns a `Tally`, whose `add` takes
    more of them while the test runs, and whose `conclude` fails where they decided too little.

    A test that fails is shown as a failure of what it recorded; so record before a check that may raise::

        def test_softplus(gradcheck_record):
            tally = gradcheck_record("softplus", "gradient")
            tally.add(verify(softplus, like=(x,), vjp=rule))
    """
    node = request.node
    places = [len(node.user_properties)]
    # All that is known where the test fails before it records something, or its process dies.
    unknown = {"kind": "test", "entry": node.name, "property": UNRECORDED}
    node.user_properties.append((PROPERTY, json.dumps(unknown)))

    def record(entry: str, checked: str, *results: Report | Verification, kind: str = "function") -> Tally:
        for name, value in (("entry", entry), ("checked", checked), ("kind", kind)):
            if not isinstance(value, str) or not value or not value.isprintable():
                raise ValueError(f"gradcheck_record: {name} has to be one line of text; got {value!r}")
        from gradcheck.verification import Tally

        tally = Tally(entry)
        row: dict[str, Any] = {"kind": kind, "entry": entry, "property": checked}
        place = places.pop() if places else len(node.user_properties)
        node.user_properties[place : place + 1] = [(PROPERTY, json.dumps(row))]

        def conclude() -> None:
            row.update(counts=dict(tally.counts), sensitivity=tally.sensitivity)
            node.user_properties[place] = (PROPERTY, json.dumps(row))

        request.addfinalizer(conclude)
        for result in results:
            tally.add(result)
        return tally

    return record
