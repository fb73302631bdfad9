"""Errors of the checker: a gradient that is wrong, and a call that can't be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck.report import Report


class GradientError(AssertionError):
    """A gradient is wrong, or breaks a contract; `report` holds what was found, and the message is complete without it."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class CallError(ValueError):
    """The check was called in a way that can't give a verdict; the message says what came and what to pass."""


class RuleError(Exception):
    """A vjp or backward pass raised on inputs that its forward takes: told as a failed check, never let out."""
