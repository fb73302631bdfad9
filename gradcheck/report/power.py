"""What `power` measured, worded: which planted mistakes a test detects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planted:
    """One mistake planted into a rule. input: whose cotangent was changed, "" for that of the output.

    detected: whether the test fails with it. same: whether the wrong rule gives what the right one gives at these inputs.
    """

    mistake: str
    input: str
    detected: bool
    same: bool
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """How many of the planted mistakes one test detects; true as a condition where it detects all of them."""

    name: str
    planted: tuple[Planted, ...]

    @property
    def detected(self) -> int:
        """How many were detected."""
        return sum(p.detected for p in self.planted)

    @property
    def score(self) -> float:
        """The part that was detected, 1.0 for all."""
        return self.detected / len(self.planted)

    @property
    def missed(self) -> tuple[Planted, ...]:
        """Those that were not."""
        return tuple([p for p in self.planted if not p.detected])

    def __bool__(self) -> bool:
        return not self.missed

    def __str__(self) -> str:
        width = max(len(p.mistake) for p in self.planted)
        lines = [
            f"{self.name}: this test detects {self.detected} of {len(self.planted)} planted mistakes ({self.score:.0%})"
        ]
        for p in self.planted:
            outcome = f"detected as {p.cause}" if p.detected else "MISSED"
            why = (
                ": these inputs do not show it, as the wrong rule gives the same for them"
                if p.same and not p.detected
                else ""
            )
            lines.append(f"  {p.mistake:{width}}  {p.input or 'gy':12}  {outcome}{why}")
        return "\n".join(lines)
