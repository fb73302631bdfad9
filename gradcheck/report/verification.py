"""What `verify` found over many examples, worded for a terminal, a notebook and a program."""

from __future__ import annotations

import html
import json
import math
from dataclasses import dataclass, field
from typing import Any

from gradcheck.report.report import Report, detected
from gradcheck.verdict.compare import Verdict

SCHEMA = 1

_HEADLINES = {
    Verdict.PASS: "no example shows a wrong gradient",
    Verdict.SUBGRADIENT: "no example shows a wrong gradient; all are at kinks",
    Verdict.FAIL: "the gradient is wrong",
    Verdict.INCONCLUSIVE: "the gradient cannot be judged here",
}


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of `verify`. True as a condition where the verdict is pass or subgradient.

    name: the function's. gradient: whose gradient was checked, in words. examples: how many were judged. set_aside: how many more were not, as forward raised or gave NaN
    or infinity; `aside` counts why. verdicts: how many examples had each verdict (before shrinking). sensitivity: smallest
    error in one entry that any pass would detect, at the worst of its examples (see `Report`). ratio: largest error in units of its
    bound among those that passed. vacuous: inputs whose gradient was zero at every example. causes: how often each cause
    was the first one reported. smallest: the report on the smallest failing example found. domain: what was drawn from.
    reason: why the gradient could not be judged.
    """

    name: str
    verdict: Verdict
    examples: int
    set_aside: int
    verdicts: dict[str, int]
    aside: dict[str, int]
    sensitivity: float
    ratio: float
    vacuous: tuple[str, ...]
    causes: dict[str, int]
    smallest: Report | None
    domain: str
    seed: int
    reason: str = ""
    evaluations: int = field(default=0)
    gradient: str = ""

    def __bool__(self) -> bool:
        return self.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"<Verification {self.verdict.value} of {self.name}, {self.examples} examples>"

    def _repr_html_(self) -> str:
        smallest = "" if self.smallest is None else self.smallest._repr_html_()
        return f"<pre>{html.escape(chr(10).join(_head(self)))}</pre>{smallest}"

    def to_json(self) -> str:
        """The result as JSON text, one object with these keys (schema 1):

        schema (1) · name · gradient · verdict ("pass", "subgradient", "fail", "inconclusive") · reason · examples · set_aside ·
        verdicts: object of counts by verdict · aside: object of counts by why · sensitivity and ratio (null: infinite or
        unknown) · vacuous: list of inputs · causes: object of counts by cause · domain · seed · evaluations · smallest: the
        report on the smallest failing example as of `Report.to_json`, or null.
        """
        return json.dumps(_plain(self), indent=2, allow_nan=False)


def _head(v: Verification) -> list[str]:
    counts = ", ".join([f"{n} {name}" for name, n in v.verdicts.items()])
    lines = [f"{v.verdict.value.upper()}  {v.name}: {_HEADLINES[v.verdict]}"]
    if v.gradient:
        lines.append(f"  checked: {v.gradient}")
    if v.reason:
        lines.append(f"  why: {v.reason}")
    lines.append(f"  {v.examples} examples tried{': ' if counts else ''}{counts}")
    if v.set_aside:
        why = ", ".join([f"{n} x {text}" for text, n in v.aside.items()])
        lines.append(f"  {v.set_aside} more set aside, outside the domain of forward: {why}")
    if v.causes and v.smallest is not None and len(v.causes) > 1:
        lines.append(f"  causes: {', '.join([f'{name} ({n})' for name, n in v.causes.items()])}")
    if math.isfinite(v.sensitivity):
        lines.append(f"  at the worst example {detected(v.sensitivity)}")
    if v.vacuous:
        lines.append(f"  vacuous: the gradient by {', '.join(v.vacuous)} was zero at every example")
    if v.domain:
        lines.append(f"  domain: {v.domain}")
    lines.append(f"  seed {v.seed}, {v.evaluations} forward calls")
    return lines


def _lines(v: Verification) -> list[str]:
    lines = _head(v)
    if v.smallest is not None:
        lines += [
            "  the smallest failing example:",
            *("    " + line for line in str(v.smallest).splitlines()),
        ]
    return lines


def _plain(v: Verification) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": v.name,
        "gradient": v.gradient,
        "verdict": v.verdict.value,
        "reason": v.reason,
        "examples": v.examples,
        "set_aside": v.set_aside,
        "verdicts": v.verdicts,
        "aside": v.aside,
        "sensitivity": v.sensitivity if math.isfinite(v.sensitivity) else None,
        "ratio": v.ratio if math.isfinite(v.ratio) else None,
        "vacuous": list(v.vacuous),
        "causes": v.causes,
        "domain": v.domain,
        "seed": v.seed,
        "evaluations": v.evaluations,
        "smallest": None if v.smallest is None else json.loads(v.smallest.to_json()),
    }
