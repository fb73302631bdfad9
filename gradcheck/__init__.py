"""gradcheck: proves gradients numerically, with a verdict that rests on a measured error bound.

Importing it loads nothing but itself (the pytest plugin imports it at every start); the names below are loaded when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.blame.explain import explain
    from gradcheck.blame.power import power
    from gradcheck.campaigns.campaign import Campaign, campaign
    from gradcheck.campaigns.marks import checked
    from gradcheck.check import gradcheck, gradgradcheck
    from gradcheck.errors import CallError, ForwardError
    from gradcheck.explore.verify import verify
    from gradcheck.grads import check_grads
    from gradcheck.kernels.close import assert_close
    from gradcheck.numeric.derivative import derivative
    from gradcheck.numeric.result import Derivative
    from gradcheck.report.explanation import Explanation
    from gradcheck.report.failure import GradientError
    from gradcheck.report.power import Power
    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification
    from gradcheck.verdict.compare import Verdict

_HOMES = {
    "gradcheck": "check",
    "gradgradcheck": "check",
    "assert_close": "kernels.close",
    "campaign": "campaigns.campaign",
    "checked": "campaigns.marks",
    "check_grads": "grads",
    "Verdict": "verdict.compare",
    "Derivative": "numeric.result",
    "derivative": "numeric.derivative",
    "CallError": "errors",
    "Campaign": "campaigns.campaign",
    "ForwardError": "errors",
    "GradientError": "report.failure",
    "Report": "report.report",
    "Explanation": "report.explanation",
    "explain": "blame.explain",
    "Power": "report.power",
    "power": "blame.power",
    "Verification": "report.verification",
    "verify": "explore.verify",
}

__all__ = [
    "CallError",
    "Campaign",
    "Derivative",
    "Explanation",
    "ForwardError",
    "GradientError",
    "Power",
    "Report",
    "Verdict",
    "Verification",
    "assert_close",
    "campaign",
    "check_grads",
    "checked",
    "derivative",
    "explain",
    "gradcheck",
    "gradgradcheck",
    "power",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "hypothesis":
            raise
        return _without_hypothesis
    return value


def _without_hypothesis(*_: Any, **__: Any) -> None:
    """Stands for `verify` where Hypothesis is not installed."""
    from gradcheck.errors import NEEDS_HYPOTHESIS, CallError

    raise CallError(NEEDS_HYPOTHESIS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
