"""What `verify` found over many examples, worded for a terminal, a notebook and a program."""

from __future__ import annotations

import html
import json
import math
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.report.page import verification_cell, verification_page
from gradcheck.report.plot import plot_examples
from gradcheck.report.report import Report, detected, headline_of_fail
from gradcheck.report.web import facts
from gradcheck.verdict.compare import Verdict
from gradcore.io import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1

_HEADLINES = {
    Verdict.PASS: "no example shows a wrong gradient",
    Verdict.SUBGRADIENT: "no example shows a wrong gradient; all are at kinks",
    Verdict.FAIL: "the gradient is wrong",
    Verdict.INCONCLUSIVE: "the gradient cannot be judged here",
}


@dataclass(frozen=True, slots=True)
class Edge:
    """A fail beyond what the caller's example shows. words: where. report: on the smallest example found."""

    words: str
    report: Report


@dataclass(frozen=True, slots=True)
class Sample:
    """An example: its inputs in writing, and why it is inconclusive, or where the least would be detected in it."""

    inputs: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tried:
    """An example in short: entries of its inputs, the typical size of its numbers (0: none), its verdict.

    beyond: whether it lies beyond the example of the caller.
    """

    size: int
    scale: float
    verdict: str
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of `verify`. True as a condition where the verdict is pass or subgradient.

    name: the function's. gradient: whose gradient was checked, in words. examples: how many were judged. set_aside: how many more were not, as forward raised or gave NaN
    or infinity; `aside` counts why. beyond: how many more lie beyond the example of the caller. verdicts: how many examples
    had each verdict (before shrinking). sensitivity: smallest relative error in the median entry that would be detected at
    the worst of the passes, and median_sensitivity at the median one (see `Report`); worst: the worst one. ratio: largest error in units of its bound among
    those that passed. vacuous: inputs whose gradient was zero at every example. causes: how often each cause was the first
    one reported. failures: the reports on the smallest failing example of up to three causes. edges: what is wrong only
    beyond the example. undecided: inconclusive examples. domain: what was drawn from. left_out: what was not tried.
    reason: why the gradient could not be judged. hidden: how many entries of the passes are too small to be judged. tried:
    every example that was judged, in short.
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
    failures: tuple[Report, ...]
    domain: str
    seed: int
    reason: str = ""
    evaluations: int = 0
    median_sensitivity: float = math.inf
    edges: tuple[Edge, ...] = ()
    undecided: tuple[Sample, ...] = ()
    worst: Sample | None = None
    beyond: int = 0
    left_out: tuple[str, ...] = ()
    gradient: str = ""
    hidden: int = 0
    tried: tuple[Tried, ...] = ()

    @property
    def smallest(self) -> Report | None:
        """The report on the smallest failing example of the main cause, of an edge where edges count; None for none."""
        if self.failures:
            return self.failures[0]
        return self.edges[0].report if self.verdict is Verdict.FAIL and self.edges else None

    def __bool__(self) -> bool:
        return self.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"<Verification {self.verdict.value} of {self.name}, {self.examples} examples>"

    def _repr_html_(self) -> str:
        edges = [f"<p>edge {html.escape(e.words)}</p>{e.report._repr_html_()}" for e in self.edges]
        return verification_cell(_plain(self), [*[r._repr_html_() for r in self.failures], *edges])

    def to_html(self) -> str:
        """The result as one HTML page that needs nothing else, with pictures: see `gradcheck.report.page`."""
        return verification_page(_plain(self), facts(sys.modules), self.drawn())

    def drawn(self) -> list[dict[str, Any] | None]:
        """The pictures of each failure and then of each edge, for a page."""
        reports = [*self.failures, *[edge.report for edge in self.edges]]
        return [drawn for report in reports for drawn in report.drawn()]

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write `to_html` to a file, whole or not at all. Raises `gradcore.errors.OutputError` where it can't be written."""
        write_atomically(path, self.to_html().encode())

    def plot(self) -> Figure:
        """A matplotlib figure: the examples over their size and the scale of their values, by verdict. Needs the extra `plot`."""
        return plot_examples(_plain(self)["tried"], f"{self.verdict.value.upper()}  {self.name}")

    def to_json(self) -> str:
        """The result as JSON text, one object with these keys (schema 1; `gradcheck.report.schema.schema("verification")`):

        schema (1) · name · gradient · verdict ("pass", "subgradient", "fail", "inconclusive") · headline · reason · examples · set_aside ·
        verdicts: object of counts by verdict · aside: object of counts by why · beyond · sensitivity, median_sensitivity and
        ratio (null: infinite or unknown) · vacuous: list of inputs · causes: object of counts by cause · domain · left_out:
        list of sentences · seed · evaluations · failures: list of reports on the smallest example of each cause, as of
        `Report.to_json` · edges: list of {words, report} · undecided: list of {inputs, reason} ·
        worst: {inputs, reason} or null · hidden · tried: list of {size, scale, verdict, beyond}.
        """
        return json.dumps(_plain(self), indent=2, allow_nan=False)


def _headline(v: Verification) -> str:
    return _HEADLINES[v.verdict] if v.smallest is None else headline_of_fail(v.smallest)


def _head(v: Verification) -> list[str]:
    counts = ", ".join([f"{n} {name}" for name, n in v.verdicts.items()])
    beside = f"; {len(v.edges)} edge{'s' * (len(v.edges) > 1)} below" if v.edges and not v.failures else ""
    lines = [f"{v.verdict.value.upper()}  {v.name}: {_headline(v)}{beside}"]
    if v.gradient:
        lines.append(f"  checked: {v.gradient}")
    if v.reason:
        lines.append(f"  why: {v.reason}")
    tried = f"{v.examples} example{'s' * (v.examples != 1)} tried"
    lines.append(f"  {tried}{': ' if counts else ''}{counts}")
    if v.beyond:
        lines.append(f"  {v.beyond} more tried beyond what the example shows")
    if v.set_aside:
        why = ", ".join([f"{n} x {text}" for text, n in v.aside.items()])
        lines.append(f"  {v.set_aside} more set aside, outside of the domain of forward: {why}")
    if len(v.causes) > 1 and v.failures:
        lines.append(f"  causes: {', '.join([f'{name} ({n})' for name, n in v.causes.items()])}")
    if v.undecided:
        first = v.undecided[0]
        lines.append(f"  the first inconclusive example: {first.inputs}: {first.reason}")
    if math.isfinite(v.median_sensitivity):
        lines.append(f"  in a median entry, {detected(v.median_sensitivity, v.sensitivity, 'example')}")
    if v.worst is not None and v.sensitivity > v.median_sensitivity:
        lines.append(f"  the worst one: {v.worst.inputs}: {v.worst.reason}")
    if v.vacuous:
        lines.append(f"  vacuous: the gradient by {', '.join(v.vacuous)} was zero at every example")
    if v.domain:
        lines.append(f"  domain: {v.domain}")
    lines += [f"  not tried: {text}" for text in v.left_out]
    lines.append(f"  seed {v.seed}, {v.evaluations} forward calls")
    return lines


def _lines(v: Verification) -> list[str]:
    lines = _head(v)
    for k, report in enumerate(v.failures):
        first = "the smallest failing example" if not k else "the smallest one of another cause"
        lines += [f"  {first}:", *_indented(report)]
    for edge in v.edges:
        lines += [f"  edge, {edge.words or 'beyond the example'}:", *_indented(edge.report)]
    return lines


def _indented(report: Report) -> list[str]:
    return ["    " + line for line in str(report).splitlines()]


def _plain(v: Verification) -> dict[str, Any]:
    def size(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "schema": SCHEMA,
        "name": v.name,
        "gradient": v.gradient,
        "verdict": v.verdict.value,
        "headline": _headline(v),
        "reason": v.reason,
        "examples": v.examples,
        "set_aside": v.set_aside,
        "verdicts": v.verdicts,
        "aside": v.aside,
        "beyond": v.beyond,
        "sensitivity": size(v.sensitivity),
        "median_sensitivity": size(v.median_sensitivity),
        "ratio": size(v.ratio),
        "vacuous": list(v.vacuous),
        "causes": v.causes,
        "domain": v.domain,
        "left_out": list(v.left_out),
        "seed": v.seed,
        "evaluations": v.evaluations,
        "failures": [json.loads(r.to_json()) for r in v.failures],
        "edges": [{"words": e.words, "report": json.loads(e.report.to_json())} for e in v.edges],
        "undecided": [{"inputs": u.inputs, "reason": u.reason} for u in v.undecided],
        "worst": None if v.worst is None else {"inputs": v.worst.inputs, "reason": v.worst.reason},
        "hidden": v.hidden,
        "tried": [
            {"size": t.size, "scale": t.scale, "verdict": t.verdict, "beyond": t.beyond} for t in v.tried
        ],
    }
