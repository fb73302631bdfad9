"""What `explain` found, worded: which op is wrong, the line that called it, and the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict

Kind = Literal["rule", "changed", "lost", "nonfinite", "hook"]
"""A wrong rule; values that were changed after the forward; a derivative lost between ops; NaN or infinity made; a hook."""

LISTED = 8
"""Of more places than this, the others are counted."""

_HEADLINES = {
    "rule": "the rule of {op} is wrong",
    "changed": "values that {op} works with were changed in place",
    "lost": "the derivative is lost {op}",
    "nonfinite": "{op} makes values that are not finite",
    "hook": "a hook on {op} changes the gradient",
}


@dataclass(frozen=True, slots=True)
class Blame:
    """One place that is at fault.

    op: the name of the op, or "between A and B" where the derivative is lost there. place: its number in the order of the
    calls, from 1. source: the user's line that called it, "" where it is unknown. shapes: its inputs and its output, in
    words. text: what is wrong, with the numbers. cause: a word of `gradcheck.diagnosis.causes.CAUSES`, of the contracts, or the
    kind itself. report: of `gradcheck` on this op alone, where its rule is wrong.
    """

    kind: Kind
    op: str
    place: int
    text: str
    cause: str
    source: str = ""
    shapes: str = ""
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which ops of a recorded computation are at fault; true as a condition where none is and the gradient was verified.

    name: of what was explained. ops: how many ops were recorded. verified: how many of them have a rule that is right at the
    values that it saw. trusted: how many are the framework's own, and were taken for right. blamed: the places at fault, in the order of the calls. unjudged: ops on which there is no verdict,
    with the reason. whole: the report on the gradient of the whole, where that is not right. whole_right: whether it was checked, and is.
    """

    name: str
    ops: int
    verified: int
    blamed: tuple[Blame, ...] = ()
    unjudged: tuple[str, ...] = ()
    whole: Report | None = None
    whole_right: bool = False
    note: str = ""
    trusted: int = 0

    @property
    def verdict(self) -> Verdict:
        """FAIL where something is blamed or the whole is wrong, INCONCLUSIVE where nothing could be verified."""
        if self.blamed or (self.whole is not None and self.whole.verdict is Verdict.FAIL):
            return Verdict.FAIL
        judged = self.verified > 0 or self.whole_right
        return Verdict.PASS if judged and not self.unjudged else Verdict.INCONCLUSIVE

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PASS

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        names = ", ".join([b.op for b in self.blamed]) or "nothing"
        return f"<Explanation of {self.name}: {names} blamed, {self.verified} of {self.ops} ops verified>"


def _lines(e: Explanation) -> list[str]:
    lines = [f"{e.verdict.value.upper()}  {e.name}: {_headline(e)}"]
    for blame in e.blamed[:LISTED]:
        lines.append(f"  {blame.cause}: {blame.text}")
        lines += [f"    {line}" for line in (blame.source, blame.shapes) if line]
    if len(e.blamed) > LISTED:
        lines.append(f"  and {len(e.blamed) - LISTED} more places")
    if not e.blamed and e.whole is not None and e.whole.verdict is Verdict.FAIL:
        lines += ["  " + line for line in str(e.whole).splitlines()]
    lines += [f"  no verdict: {text}" for text in e.unjudged[:LISTED]]
    if len(e.unjudged) > LISTED:
        lines.append(f"  and {len(e.unjudged) - LISTED} more without a verdict")
    if e.note:
        lines.append(f"  note: {e.note}")
    own = e.ops - e.trusted
    if own or not e.trusted:
        lines.append(f"  {e.verified} of {own} ops were verified at the values that they saw")
    if e.trusted:
        whole = "; the gradient of the whole is right" if e.whole_right else ""
        lines.append(f"  {e.trusted} of the framework's own were taken for right{whole}")
    snippets = [b.report.snippet for b in e.blamed if b.report is not None and b.report.snippet]
    if snippets:
        lines += ["  to reproduce:", *("    " + line for line in snippets[0].splitlines())]
    return lines


def _headline(e: Explanation) -> str:
    if not e.blamed:
        if e.verdict is Verdict.FAIL:
            return "the gradient is wrong, and every op that was recorded is right"
        return "no op is at fault" if e.verdict is Verdict.PASS else "no op was found to be at fault"
    first = e.blamed[0]
    more = f", and {len(e.blamed) - 1} more" if len(e.blamed) > 1 else ""
    where = f" (call {first.place} of {e.ops})" if first.kind != "lost" and first.place else ""
    return _HEADLINES[first.kind].format(op=first.op) + where + more
