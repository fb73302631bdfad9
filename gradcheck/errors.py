"""Errors of the checker: a gradient that is wrong, and a call that can't be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


class CallError(ValueError):
    """The check was called in a way that can't give a verdict; the message says what came and what to pass."""


class ForwardError(CallError):
    """The function raised on these inputs, or on others very near: they are none of its domain."""


class RuleError(Exception):
    """A vjp or backward pass raised on inputs that its forward takes: told as a failed check, never let out."""
