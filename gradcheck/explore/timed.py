"""One more example of a verification, within the time that is left."""

from __future__ import annotations

from collections.abc import Callable

from gradcheck.backends.tree import described, leaves
from gradcheck.explore.drawn import DrawnCall
from gradcheck.explore.limits import Clock, TooLong, limited
from gradcheck.explore.outcomes import Outcome

MOST = 0.25
"""Part of the time that a single example may take."""


def timed(
    judge: Callable[[DrawnCall], Outcome], call: DrawnCall, clock: Clock, left_out: list[str], done: int
) -> Outcome | None:
    """The outcome of one more example after `done`, None where the time is over. One that takes too much of it is left out."""
    share = clock.seconds * MOST
    try:
        with limited(min(clock.left, share)):
            outcome = judge(call)
    except TooLong:
        if clock.left > 0:
            given = ", ".join([described(leaf) for _, leaf in leaves(call.inputs, "")])
            left_out.append(f"{given}, for which a check took longer than {share:g} s")
            return Outcome(None, f"a check took longer than {share:g} s")
        left_out.append(f"what came after {done} examples: {clock.seconds:g} s were over (max_seconds)")
        return None
    clock.step()
    return outcome
