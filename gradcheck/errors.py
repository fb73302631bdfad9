"""Errors of a call that cannot be judged."""

from __future__ import annotations

NEEDS_HYPOTHESIS = "drawing examples needs Hypothesis, which is not installed: pip install 'gradcore[test]'"


class CallError(ValueError):
    """The check was called in a way that can't give a verdict; the message says what came and what to pass."""


class ForwardError(CallError):
    """The function raised on these inputs, or on others very near: they are outside of its domain."""


class ShapesDifferError(CallError):
    """A kernel and its reference return arrays of different shapes."""


class OutsideError(CallError):
    """The reference is not finite on these inputs, or out of the range of the kernel's dtype."""


class RuleError(Exception):
    """A vjp or backward pass raised on inputs that its forward takes: reported as a failed check, never let out."""
