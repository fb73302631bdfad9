"""The tally that a test is given: it keeps the results that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gradcheck.report.report import Report
from gradcheck.report.verification import Verification
from gradcheck.verdict.compare import Verdict
from gradcheck.verification import Tally


def _nothing(result: Report | Verification) -> None:
    """Do nothing."""


@dataclass
class RecordedTally(Tally):
    """A `Tally` that hands each failed result on to the record that it belongs to."""

    failed: Callable[[Report | Verification], None] = field(default=_nothing, repr=False, compare=False)

    def add(self, result: Report | Verification, smooth: bool = True) -> Report | Verification:
        """Count one result, as `Tally.add` does; one that failed will fail the test."""
        super().add(result, smooth)
        if result.verdict is Verdict.FAIL:
            self.failed(result)
        return result
