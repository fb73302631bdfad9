"""Whether a planted mistake is detected: the checks of stage 1 over drawn examples, expected to raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from gradcheck.report.failure import GradientError
from gradcheck.verification import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine

SEEK = settings(
    max_examples=60, phases=[Phase.generate], derandomize=True, database=None, deadline=None, print_blob=False
)
"""Some examples, the same ones every time; the first that shows a mistake will do, however large."""


def detected(strategy: st.SearchStrategy[Any], check: Callable[[Any], Any]) -> str:
    """The check's message for the first example that it raises on. Raises `VerificationError` where it passes them all."""

    @SEEK
    @given(strategy)
    def holds(example: Any) -> None:
        check(example)

    return _message(holds)


def detected_in_a_run(machine: type[RuleBasedStateMachine]) -> str:
    """The same for a state machine."""
    many = settings(SEEK, max_examples=200, stateful_step_count=25)
    return _message(lambda: run_state_machine_as_test(machine, settings=many))


def _message(holds: Callable[[], Any]) -> str:
    try:
        holds()
    except (VerificationError, GradientError) as error:
        return str(error)
    raise VerificationError("the mistake was not detected on any example")
