"""How the checks of stage 1 are run over drawn examples, and recorded for the summary."""

import functools
import re
import time

import pytest
from hypothesis import given, reproduce_failure, settings
from hypothesis.errors import DidNotReproduce

from gradcheck.report.report import Report
from gradcheck.verification import cases


def identity(node):
    """(kind, name) of what a test is parametrised by: a unit, an optimizer, or as `name` an op's or, as losses.name, a loss's."""
    params = node.callspec.params if hasattr(node, "callspec") else {}
    for value in params.values():
        if isinstance(value, cases.Unit):
            return value.kind, value.name
        if isinstance(value, type):
            return "optimizer", value.__name__
    if "name" in params:
        folder, _, name = params["name"].rpartition(".")
        return ("loss" if folder == "losses" else "op"), name
    return "other", node.callspec.id if params else node.name


def blobs(error):
    """The decorators that Hypothesis prints with an error, or with each of a group of them; @ means a file to pytest."""
    errors = error.exceptions if isinstance(error, ExceptionGroup) else [error]
    notes = [note for e in errors for note in getattr(e, "__notes__", ())]
    return re.findall(r"@(reproduce_failure\([^)]*\))", "\n".join(notes))


@pytest.fixture
def tally(request, gradcheck_record):
    """Counts what the test finds out, for the row that it is parametrised by and the column that its mark `checks` names.

    The mark's `kind` and `entry` name another row.
    """
    node = request.node
    kind, entry = identity(node)
    mark = node.get_closest_marker("checks")
    (checked,) = mark.args if mark else [node.originalname.removeprefix("test_").replace("_", " ")]
    row = {"kind": kind, "entry": entry, **(mark.kwargs if mark else {})}
    return gradcheck_record(row["entry"], checked, kind=row["kind"])


class Shrinking:
    """The time to look for smaller examples, which Hypothesis takes minutes of for each check that fails.

    A wrong rule fails in every graph that it is part of. So each check gets half of what is left to its process, at least
    LEAST seconds: the first failure the smallest example, and the thirtieth one that is small enough.
    """

    LEAST = 2.0

    def __init__(self, seconds):
        self.left = seconds

    def limited(self, check):
        """`check`, which passes whatever it has not failed before, once the time since its first failure is over."""
        failed, end = set(), None

        @functools.wraps(check)  # for Hypothesis it has the check's source
        def run(example):
            nonlocal end
            if end is not None and time.monotonic() > end and repr(example) not in failed:
                return
            try:
                check(example)
            except Exception:
                failed.add(repr(example))
                if end is None:
                    seconds = max(self.LEAST, self.left / 2)
                    self.left -= seconds
                    end = time.monotonic() + seconds
                raise

        return run


@pytest.fixture(scope="session")
def shrinking():
    """The seconds of this process."""
    return Shrinking(60.0)


@pytest.fixture
def verify(request, tally, shrinking):
    """`verify(strategy, check)` calls the check with every example of the current profile, `share` of them.

    What the check returns, a report or nothing, is counted in the Tally that it returns. smooth: as for `Tally.add`.
    With --replay it is called with that example alone, and passes where it holds by now.
    """
    nodeid, replayed = request.node.nodeid, request.config.getoption("replay")

    def run(strategy, check, share=1.0, smooth=True):
        def holds(example):
            result = check(example)
            if isinstance(result, Report):
                tally.add(result, smooth)
            else:
                tally.passed()

        # Hypothesis distinguishes functions by source and signature, for the choices of `ci` and for its database: without
        # this, all tests would share theirs.
        holds.__annotations__["example"] = nodeid
        count = max(5, int(settings().max_examples * share))
        drawn = given(strategy)(settings(max_examples=count)(shrinking.limited(holds)))
        if replayed:
            drawn = reproduce_failure(*replayed)(drawn)
        passed = tally.examples
        try:
            drawn()
        except DidNotReproduce:
            if tally.examples == passed:  # nothing ran: the blob is of another domain
                raise
        except Exception as error:
            for blob in blobs(error):
                error.add_note(f'Replay it: pytest -n 0 "{nodeid}" --replay "{blob}"')
            raise
        return tally

    return run
