"""The error that a wrong gradient raises."""

from __future__ import annotations

from gradcheck.report.report import Report
from gradcheck.report.verification import Verification


class GradientError(AssertionError):
    """A gradient is wrong, or breaks a contract; `report` holds what was found, and the message is complete without it.

    verification: what `verify` found over all examples, where it raised this; `report` is that of the smallest one.
    """

    def __init__(self, report: Report, verification: Verification | None = None) -> None:
        super().__init__(str(report if verification is None else verification))
        self.report = report
        self.verification = verification
