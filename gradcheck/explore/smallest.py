"""The smallest example that fails in one way: sizes and choices by Hypothesis, then values one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import Phase
from hypothesis import strategies as st

from gradcheck.explore.drawn import DrawnCall
from gradcheck.explore.limits import Clock, TooLong, limited
from gradcheck.explore.outcomes import Outcome
from gradcheck.explore.running import Found, run_examples
from gradcheck.explore.simpler import Simpler

SHRINKS, SHRINKING = 200, 5.0
"""So many examples are checked on the way to the smallest one, and at least so many seconds may be taken for it."""

VALUES = 60
"""So many of them are kept for values, where the domain says which there are."""


@dataclass
class Smallest:
    """One search. judge: the outcome of a call. same: whether it fails in the way that is sought. cuts: a call made smaller."""

    judge: Callable[[DrawnCall], Outcome]
    same: Callable[[Outcome], bool]
    cuts: Callable[[DrawnCall], Iterable[DrawnCall]]
    seconds: float
    tried: int = 0
    found: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._clock = Clock(self.seconds, SHRINKS)

    def among(self, strategy: st.SearchStrategy[DrawnCall], best: Outcome, count: int, seed: int) -> Outcome:
        """The smallest example of what the strategy draws, `best` where none is smaller."""
        __tracebackhide__ = True
        seen: dict[str, bool] = {}

        def visit(call: DrawnCall) -> None:
            key = repr(call)
            if key not in seen:  # Hypothesis calls it again with what it has seen: the answer stays
                kept = VALUES if call.allows is not None else 0
                seen[key] = (
                    not (self.found and self.tried >= SHRINKS - kept) and self._fails(call) is not None
                )
            if seen[key]:
                raise Found

        run_examples(strategy, visit, [Phase.generate, Phase.shrink], count, seed)
        smallest = min([best, *self.found], key=lambda o: (o.size, o.digits))
        return self._plainest(smallest)

    def _fails(self, call: DrawnCall) -> Outcome | None:
        """The outcome where it fails in the same way; None where it does not, or the time is over."""
        if self._clock.left <= 0:
            return None
        self.tried += 1
        try:
            with limited(self._clock.left):
                outcome = self.judge(call)
        except TooLong:
            return None
        if not self.same(outcome):
            return None
        self.found.append(outcome)
        return outcome

    def _plainest(self, smallest: Outcome) -> Outcome:
        end = min(SHRINKS, self.tried + VALUES)
        smaller: Outcome | None = smallest
        while smaller is not None and smaller.call is not None:
            smallest = smaller
            tries = (self._fails(call) for call in self.cuts(smaller.call) if self.tried < end)
            smaller = next((o for o in tries if o is not None), None)
        call = smallest.call
        if call is None or call.allows is None:
            return smallest

        def fails(inputs: tuple[Any, ...]) -> Outcome | None:
            return self._fails(replace(call, inputs=inputs)) if self.tried < end else None

        return Simpler(call.inputs, call.allows, fails).run() or smallest
