"""What the examples of a verification came to: which failed, where an example of the caller's shows nothing, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.backends.tree import leaves
from gradcheck.backends.values import array_in
from gradcheck.diagnosis.snippet import literal
from gradcheck.explore.domain import Around
from gradcheck.explore.drawn import DrawnCall, Plan
from gradcheck.report.report import Report
from gradcheck.report.verification import Edge, Sample, Tried, Verification
from gradcheck.verdict.compare import Verdict

ENOUGH = 5
"""So many failing examples are collected before one cause is chosen and shrunk."""

LARGE_ENOUGH = 6
"""An example of so many entries distinguishes one cause from another; of few entries, a factor explains anything."""

CAUSES = 3
"""So many distinct kinds of fails are reported, each with its smallest example."""

KEPT = 20
"""So many inconclusive examples are kept with their inputs."""

WRITTEN = 12
"""Of the worst pass, an array of more entries than this is written with some of them."""


@dataclass
class Outcome:
    """One example: its report, or why it was set aside. edge: it shows nothing about the domain of the caller's example.

    call: what was judged.
    """

    report: Report | None
    aside: str = ""
    size: int = 0
    call: DrawnCall | None = None
    edge: bool = False

    @property
    def plan(self) -> Plan | None:
        """How its call was made from an example, None where it was not."""
        return None if self.call is None else self.call.plan

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The inputs of its call."""
        return () if self.call is None else self.call.inputs

    @property
    def refused(self) -> bool:
        """Whether the example cannot be judged, whatever f makes of it."""
        return self.report is None and not self.aside.startswith(("forward", "a check"))

    @property
    def failed(self) -> bool:
        """Whether the gradient is wrong at this example."""
        return self.report is not None and self.report.verdict is Verdict.FAIL

    @property
    def cause(self) -> str:
        """The first cause reported, "" where nothing is wrong."""
        return self.report.causes[0] if self.report is not None and self.report.causes else ""

    @property
    def kind(self) -> tuple[str, int]:
        """What it is one of: its cause; of an edge, also the form of its shapes."""
        return self.cause, self.plan.form if self.edge and self.plan is not None else 0

    @property
    def digits(self) -> int:
        """How long the example is in writing."""
        return 0 if self.report is None else len(self.report.snippet)


def lies_beyond(report: Report, plan: Plan | None, domain: Around | None) -> bool:
    """Whether an example lies beyond what the caller's own shows, so that a fail there is no fail of the whole.

    A rule that raises on a shape or a static value that it was not shown refuses it. A cotangent of the wrong shape, for
    operands that broadcast in another way or have another number of axes than the example's, is as loud: an engine raises.
    A rule that gives NaN at a kink, where there is no derivative, or where a shape makes the function constant (the
    deviation of a single entry), was not shown one.
    """
    if plan is None or domain is None:
        return False
    cause = report.causes[0] if report.causes else ""
    refuses = cause == "raises" and plan.is_new(domain)
    misshapen = "cotangent_shape" in report.broken and plan.form > 0
    constant = bool(report.faults) and report.faults[0].numeric == 0.0 and plan.is_new(domain)
    no_derivative = cause == "nonfinite" and (report.at_kink or constant)
    return refuses or misshapen or no_derivative or plan.is_edge(domain)


def failing(outcomes: Sequence[Outcome], *, edges: bool = False) -> list[Outcome]:
    """Those that failed; `edges`: those beyond the caller's example in place of the others."""
    return [o for o in outcomes if o.failed and o.edge == edges]


def enough(outcomes: Sequence[Outcome]) -> bool:
    """Whether enough examples have failed to choose a cause: some large ones, or many.

    Those of another form than the example's do not count: a broadcast that is not summed must not hide what else is wrong.
    """
    failed = [o for o in failing(outcomes) if o.plan is None or not o.plan.form]
    return len(failed) >= 4 * ENOUGH or (
        len(failed) >= ENOUGH and sum(o.size >= LARGE_ENOUGH for o in failed) >= ENOUGH // 2
    )


def main_kinds(failed: Sequence[Outcome]) -> list[tuple[str, int]]:
    """Distinct kinds of fails, that which the larger half of the failing examples has most often first."""
    ordered = sorted(failed, key=lambda o: -o.size)
    larger = [o for o in ordered if o.size >= LARGE_ENOUGH] or ordered[: (len(ordered) + 1) // 2]
    counts = [Counter([o.kind for o in some]).most_common() for some in (larger, ordered)]
    return list(dict.fromkeys([kind for count in counts for kind, _ in count]))[:CAUSES]


def beyond(o: Outcome, domain: Around) -> str:
    """Where an edge lies, in words."""
    if o.plan is None or o.report is None:
        return ""
    form = domain.every_form()[o.plan.form].words
    words = ["at size 0"] * (0 in o.plan.sizes) + [f"for {form}"] * bool(form)
    words += [
        f"at {s} values" for s in dict.fromkeys(o.plan.styles) if s in ("tiny", "huge", "larger", "rank one")
    ]
    words += ["at values of another sign"] * ("any sign" in o.plan.styles)
    paths = [leaf.path for leaf in domain.arrays]
    for name, value in o.plan.statics:
        if type(value) is not type(domain.statics[name][0]) or value != domain.statics[name][0]:
            place = name if isinstance(name, str) else f"the static input {name}"
            words.append(f"with {place} = {value!r}")
    if not words:
        shapes = [str(i.shape) for i in o.report.inputs if i.path in paths]
        shapes = shapes or [
            str(np.shape(leaf)) for _, leaf in leaves(o.inputs, "") if array_in(leaf) is not None
        ]
        words = [f"at shapes {', '.join(shapes)}"]
    return ", ".join(words)


def _of_domain(outcomes: Sequence[Outcome], verdict: Verdict) -> list[tuple[Outcome, Report]]:
    """The examples of this verdict within the domain, with their reports."""
    return [
        (o, o.report) for o in outcomes if o.report is not None and o.report.verdict is verdict and not o.edge
    ]


def _worst(passed: Sequence[tuple[Outcome, Report]]) -> Sample | None:
    """Of the passes, the one that would show the least, and in which input."""
    if not passed:
        return None
    o, r = max(passed, key=lambda each: each[1].sensitivity)
    at = max(r.inputs, key=lambda i: i.sensitivity if math.isfinite(i.sensitivity) else 0.0)
    why = "; ".join([*r.excuses.values(), r.note] if r.note else r.excuses.values())
    return Sample(literal(o.inputs, WRITTEN), f"{at.path} {at.dtype} {at.shape}{f', {why}' if why else ''}")


def summary(
    outcomes: Sequence[Outcome],
    failures: Sequence[Report],
    edges: Sequence[Edge],
    *,
    name: str,
    domain: str,
    left_out: Sequence[str],
    seed: int,
    count_edges: bool,
) -> Verification:
    """The result of a verification: its verdict, counts, and the smallest example of each cause."""
    reports = [o.report for o in outcomes if o.report is not None]
    core = [o.report for o in outcomes if o.report is not None and not o.edge]
    verdicts = Counter([r.verdict.value for r in core])
    reason = ""
    if failures or (edges and count_edges):
        verdict = Verdict.FAIL
    elif not core:
        verdict, reason = Verdict.INCONCLUSIVE, "forward took none of the examples"
    elif verdicts["pass"]:
        verdict = Verdict.PASS
    elif verdicts["subgradient"]:
        verdict = Verdict.SUBGRADIENT
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = next(r.reason for r in core if r.verdict is Verdict.INCONCLUSIVE)
    good = [r for r in core if r]
    judged = [i for r in core for i in r.inputs if i.verdict is not None]
    informed = {i.path for i in judged if not i.vacuous and i.verdict is not Verdict.INCONCLUSIVE}
    passed = [(o, r) for o, r in _of_domain(outcomes, Verdict.PASS) if math.isfinite(r.sensitivity)]
    sharp = sorted([r.sensitivity for _, r in passed])
    aside = Counter([o.aside for o in outcomes if o.report is None])
    undecided = [
        Sample(literal(o.inputs), r.reason) for o, r in _of_domain(outcomes, Verdict.INCONCLUSIVE)[:KEPT]
    ]
    return Verification(
        name=reports[0].name if reports else name,
        gradient=reports[0].gradient if reports else "",
        verdict=verdict,
        examples=len(core),
        set_aside=sum(aside.values()),
        verdicts={v.value: verdicts[v.value] for v in Verdict if verdicts[v.value]},
        aside=dict(aside.most_common()),
        sensitivity=sharp[-1] if sharp else math.inf,
        median_sensitivity=sharp[len(sharp) // 2] if sharp else math.inf,
        ratio=max([r.ratio for r in good if math.isfinite(r.ratio)], default=math.nan),
        vacuous=tuple(sorted({i.path for i in judged} - informed)),
        causes=dict(Counter([o.cause for o in failing(outcomes)]).most_common()),
        failures=tuple(failures),
        edges=tuple(edges),
        undecided=tuple(undecided),
        worst=_worst(passed),
        beyond=len(reports) - len(core),
        domain=domain,
        left_out=tuple(left_out),
        seed=seed,
        reason=reason,
        evaluations=sum(r.evaluations for r in reports),
        hidden=sum(i.hidden for r in good for i in r.inputs),
        tried=tuple(
            [
                Tried(o.size, _scale(o.inputs), o.report.verdict.value, o.edge)
                for o in outcomes
                if o.report is not None
            ]
        ),
    )


def _scale(inputs: tuple[Any, ...]) -> float:
    """The typical size of the floating numbers among the inputs: the middle one, 0 where all are zero or none is there."""
    found = [array_in(leaf) for _, leaf in leaves(inputs, "")]
    sizes = [np.abs(a).reshape(-1) for a in found if a is not None and a.dtype.kind in "fc" and a.size]
    every = np.concatenate([s.astype(np.float64) for s in sizes]) if sizes else np.zeros(0)
    every = every[np.isfinite(every) & (every > 0)]
    return float(np.median(every)) if every.size else 0.0
