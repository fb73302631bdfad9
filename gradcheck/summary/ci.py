"""What a CI system reads of a run: properties of a test in JUnit's XML, and annotations of GitHub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck.summary.results import Cell, Check, Summary
from gradcheck.summary.table import sensitivity_text

ANNOTATIONS = 10
"""GitHub shows no more errors of one step."""

LONGEST = 1_000
"""Characters of a property's value and of an annotation's message."""


def properties(checks: Iterable[Check]) -> list[tuple[str, str]]:
    """Properties of one test, for each of its records: verdict, examples, what was detected, and the cause of a failure.

    >>> from collections import Counter
    >>> made = Check("op", "sin", "gradient", "test_it.py::test_sin", Counter({"pass": 3}), 2e-10, "passed", 0.1)
    >>> for name, value in properties([made]):
    ...     print(name, "=", value)
    gradcheck.sin.gradient.verdict = pass
    gradcheck.sin.gradient.examples = 3
    gradcheck.sin.gradient.counts = pass 3
    gradcheck.sin.gradient.detects = 2e-10
    """
    found = []
    for check in checks:
        cell = Cell([check])
        verdict = "fail" if cell.failed else "inconclusive" if cell.undecided else "pass"
        values = {
            "verdict": verdict,
            "examples": str(check.examples),
            "counts": ", ".join([f"{name} {n}" for name, n in check.counts.items() if n]),
            "detects": "" if check.sensitivity is None else sensitivity_text(check.sensitivity),
            "hidden": str(check.hidden) if check.hidden else "",
            "cause": ", ".join(dict.fromkeys([f["cause"] for f in check.failures if f["cause"]])),
            "message": "\n".join([f["text"] for f in check.failures]),
        }
        name = f"gradcheck.{check.entry}.{check.checked}"
        found += [(f"{name}.{key}", value[:LONGEST]) for key, value in values.items() if value]
    return found


def totals(summary: Summary) -> dict[str, str]:
    """Properties of a whole run."""
    wrong = [entry.name for entry in summary.entries if entry.failed]
    return {
        "gradcheck.verdict": "fail" if wrong else "pass" if summary else "inconclusive",
        "gradcheck.entries": str(len(summary.entries)),
        "gradcheck.failed": str(len(wrong)),
        "gradcheck.examples": str(summary.examples),
    }


def on_github(environment: Mapping[str, str]) -> bool:
    """Whether this is a run of GitHub's Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def errors(
    summary: Summary, places: Mapping[str, tuple[str, int]], root: Path, environment: Mapping[str, str]
) -> list[str]:
    """A command for each failure, which GitHub shows at the line of its test; the last one counts those left out.

    places: file and line of each test, the file relative to `root`.
    """
    lines = []
    failures = summary.failures
    room = ANNOTATIONS if len(failures) <= ANNOTATIONS else ANNOTATIONS - 1
    for check, failure in failures[:room]:
        title = f"gradcheck: {check.entry}, {check.checked}: {failure['cause'] or 'failed'}"
        lines.append(annotation(title, _message(failure), _place(places.get(check.test), root, environment)))
    if len(failures) > room:
        left = len(failures) - room
        lines.append(annotation("gradcheck", f"{left} more failures: the summary lists them", None))
    return lines


def _message(failure: Mapping[str, Any]) -> str:
    texts: Sequence[str] = [failure["text"], *[f"{f['cause']}: {f['text']}" for f in failure["faults"]]]
    return "\n".join(texts)[:LONGEST]


def _place(
    place: tuple[str, int] | None, root: Path, environment: Mapping[str, str]
) -> tuple[str, int] | None:
    """File relative to the repository, and the line."""
    if place is None:
        return None
    file, line = place
    whole = os.path.normpath(root / file)
    workspace = environment.get("GITHUB_WORKSPACE", "")
    inside = workspace and Path(whole).is_relative_to(workspace)
    return (Path(whole).relative_to(workspace).as_posix() if inside else Path(file).as_posix()), line


def annotation(title: str, message: str, place: tuple[str, int] | None) -> str:
    r"""One `::error` command by GitHub's rules: what has a meaning in it is written as % and two digits.

    >>> annotation("a, b: c", "100% wrong\nhere", ("tests/test_a.py", 7))
    '::error file=tests/test_a.py,line=7,title=a%2C b%3A c::100%25 wrong%0Ahere'
    """
    values = {} if place is None else {"file": place[0], "line": str(place[1])}
    named = ",".join([f"{key}={_value(value)}" for key, value in {**values, "title": title}.items()])
    return f"::error {named}::{_text(message)}"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
