"""What `explain` found, worded: which op is wrong, the line that called it, and the numbers."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gradcheck.report import web
from gradcheck.report.graph import GraphOp, neighbourhood
from gradcheck.report.page import explanation_cell, explanation_page
from gradcheck.report.plot import plot_graphs
from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict
from gradcore.io import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["rule", "changed", "lost", "nonfinite", "hook"]
"""A wrong rule; values that were changed after the forward; a derivative lost between ops; NaN or infinity made; a hook."""

SCHEMA = 1

LISTED = 8
"""Of more places than this, the others are counted."""

DRAWN = 3
"""Most graphs in a picture: one for each place at fault that no other one shows."""

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
    kind itself. report: of `gradcheck` on this op alone, where its rule is wrong. at: its index in the explanation's graph. origin: that
    of the op whose values come without a derivative, -1 for none.
    """

    kind: Kind
    op: str
    place: int
    text: str
    cause: str
    source: str = ""
    shapes: str = ""
    report: Report | None = None
    at: int = -1
    origin: int = -1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which ops of a recorded computation are at fault; true as a condition where none is and the gradient was verified.

    name: of what was explained. ops: how many ops were recorded. verified: how many of them have a rule that is right at the
    values that it saw. trusted: how many are the framework's own, and were taken for right. blamed: the places at fault, in the
    order of the calls. unjudged: ops on which there is no verdict, with the reason. whole: the report on the gradient of the
    whole, where that is not right. whole_right: whether it was checked, and is. graph: the recorded ops and their inputs.
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
    seed: int = 0
    graph: tuple[GraphOp, ...] = field(default=(), repr=False, compare=False)

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

    def _repr_html_(self) -> str:
        return explanation_cell(_plain(self))

    def plans(self) -> list[dict[str, Any]]:
        """For each place at fault the ops around it, laid out (see `gradcheck.report.graph`); of the result where none is.

        A place that another one's graph shows has none of its own.
        """
        lost = [(b.origin, b.at) for b in self.blamed if b.origin >= 0 and b.at >= 0]
        ops = [k for k, op in enumerate(self.graph) if op.state != "input" and op.place]
        centres = [b.at for b in self.blamed if b.at >= 0] or ops[-1:]
        found: list[dict[str, Any]] = []
        seen: set[int] = set()
        for at in centres:
            if at not in seen and len(found) < DRAWN:
                plan = neighbourhood(self.graph, at, lost)
                seen |= {box["op"] for box in plan["boxes"]}
                found.append(plan)
        return found

    def plot(self) -> Figure:
        """A matplotlib figure: the ops around each that is at fault, this one in red. Needs the extra `plot`.

        Each box has an op's name, the dtype and shape of its result and the line that called it. Of a large graph those near
        are drawn, and the others counted.
        """
        return plot_graphs(self.plans(), f"{self.verdict.value.upper()}  {self.name}: {_headline(self)}")

    def to_html(self) -> str:
        """One web page that needs no network: the verdict, what is wrong, and the graph of ops around it."""
        drawn = [None if b.report is None else b.report.drawn()[0] for b in self.blamed[:DRAWN]]
        return explanation_page(_plain(self), self.plans(), drawn, web.facts(sys.modules))

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write `to_html` to a file, whole or not at all. Raises `gradcore.errors.OutputError` where it can't be written."""
        write_atomically(path, self.to_html().encode())

    def to_json(self) -> str:
        """The explanation as JSON text, one object with these keys (schema 1; `gradcheck.report.schema.schema("explanation")`):

        schema (1) · name · verdict ("pass", "fail", "inconclusive") · headline · checked: list of
        sentences · ops · verified · trusted · blamed: list of {kind, op, place, text, cause, source, shapes, report: as of `Report.to_json`, or null} · unjudged: list of texts ·
        whole: such a report or null · whole_right · note · seed.
        """
        return json.dumps(_plain(self), indent=2, allow_nan=False)


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
    lines += [f"  {text}" for text in _counts(e)]
    snippets = [b.report.snippet for b in e.blamed if b.report is not None and b.report.snippet]
    if snippets:
        lines += ["  to reproduce:", *("    " + line for line in snippets[0].splitlines())]
    return lines


def _counts(e: Explanation) -> list[str]:
    own, found = e.ops - e.trusted, []
    if own or not e.trusted:
        found.append(f"{e.verified} of {own} ops were verified at the values that they saw")
    if e.trusted:
        whole = "; the gradient of the whole is right" if e.whole_right else ""
        found.append(f"{e.trusted} of the framework's own were taken for right{whole}")
    return found


def _plain(e: Explanation) -> dict[str, Any]:
    def of(report: Report | None) -> Any:
        return None if report is None else json.loads(report.to_json())

    return {
        "schema": SCHEMA,
        "name": e.name,
        "verdict": e.verdict.value,
        "headline": _headline(e),
        "checked": _counts(e),
        "ops": e.ops,
        "verified": e.verified,
        "trusted": e.trusted,
        "blamed": [
            {
                "kind": b.kind,
                "op": b.op,
                "place": b.place,
                "text": b.text,
                "cause": b.cause,
                "source": b.source,
                "shapes": b.shapes,
                "report": of(b.report),
            }
            for b in e.blamed
        ],
        "unjudged": list(e.unjudged),
        "whole": of(e.whole),
        "whole_right": e.whole_right,
        "note": e.note,
        "seed": e.seed,
    }


def _headline(e: Explanation) -> str:
    if not e.blamed:
        if e.verdict is Verdict.FAIL:
            seen = (
                "no op that could be judged is wrong" if e.unjudged else "every op that was recorded is right"
            )
            return f"the gradient is wrong, and {seen}"
        return "no op is at fault" if e.verdict is Verdict.PASS else "no op was found to be at fault"
    first = e.blamed[0]
    more = f", and {len(e.blamed) - 1} more" if len(e.blamed) > 1 else ""
    where = f" (call {first.place} of {e.ops})" if first.kind != "lost" and first.place else ""
    return _HEADLINES[first.kind].format(op=first.op) + where + more
