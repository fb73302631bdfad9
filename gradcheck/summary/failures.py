"""What is known of a failure, as plain data of bounded size: it travels with pytest's reports, and is shown in the files."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification

FAULTS = 4
INPUTS = 8
NAME = 200
SENTENCE = 1_000
TEXT = 4_000
"""Most items and characters of a failure."""


def of_result(result: Report | Verification, *, drawn: bool = False) -> dict[str, Any]:
    """The failure that a result with the verdict "fail" is: of many examples, the smallest one. drawn: with its pictures."""
    plain = json.loads(result.to_json())
    examples = [*plain.get("failures", []), *[edge["report"] for edge in plain.get("edges", [])]]
    report = examples[0] if examples else plain
    if not report["faults"] and report["second"]:
        report = report["second"]
    faults = [
        {
            **fault,
            "cause": cut(fault["cause"], NAME),
            "input": cut(fault["input"], NAME),
            "text": cut(fault["text"], SENTENCE),
        }
        for fault in report["faults"][:FAULTS]
    ]
    inputs = [
        {"path": cut(i["path"], NAME), "dtype": i["dtype"], "shape": i["shape"]}
        for i in report["inputs"][:INPUTS]
    ]
    return {
        "function": cut(plain["name"], NAME),
        "cause": faults[0]["cause"] if faults else "",
        "text": cut(str(result).partition("\n")[0], SENTENCE),
        "faults": faults,
        "inputs": inputs,
        "smallest": bool(examples),
        "snippet": cut(report["snippet"], TEXT),
        "examples": plain.get("examples", 1),
        "seed": plain["seed"],
        "pictures": _pictures(result) if drawn else None,
    }


def _pictures(result: Any) -> dict[str, Any] | None:
    report = getattr(result, "smallest", result)
    if report is None:
        return None
    pictures = (report.second if not report.faults and report.second is not None else report).pictures
    drawn: dict[str, Any] | None = None if pictures is None else pictures.plain()
    return drawn


def of_error(error: BaseException, *, drawn: bool = False) -> list[dict[str, Any]]:
    """The failures that an exception reports: those of a `GradientError`, of each error of a group, or its message."""
    if isinstance(error, BaseExceptionGroup):
        return [failure for each in error.exceptions for failure in of_error(each, drawn=drawn)]
    notes = list(map(str, getattr(error, "__notes__", ())))
    known = sys.modules.get("gradcheck.report.failure")
    if known is not None and isinstance(error, known.GradientError):
        result = error.report if error.verification is None else error.verification
        found = of_result(result, drawn=drawn)
        return [{**found, "text": cut("\n".join([found["text"], *notes]), TEXT)}]
    return [in_words(type(error).__name__, "\n".join([str(error), *notes]))]


def in_words(cause: str, text: str) -> dict[str, Any]:
    """A failure of which only a message is known."""
    nothing: dict[str, Any] = {
        "faults": [],
        "inputs": [],
        "smallest": False,
        "snippet": "",
        "examples": 0,
        "seed": None,
        "pictures": None,
    }
    return {"function": "", "cause": cut(cause, NAME), "text": cut(text, TEXT), **nothing}


def cut(text: str, most: int) -> str:
    """The text, or its beginning and how much of it is left out.

    >>> cut("a gradient", 5)
    'a gra [5 more characters]'
    """
    return text if len(text) <= most else f"{text[:most]} [{len(text) - most:,} more characters]"
