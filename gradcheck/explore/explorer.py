"""The examples of a verification: the caller's own, those around it or of a domain, and the smallest that fail."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from hypothesis import Phase, target
from hypothesis import strategies as st

from gradcheck.backends import Call, as_subject
from gradcheck.backends.protocol import Array, Run, differentiable
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.check import gradcheck
from gradcheck.errors import CallError, ForwardError, RuleError
from gradcheck.explore.domain import Around, Shapes, complexified, fresh, kind_of
from gradcheck.explore.drawn import DrawnCall, around_example, as_it_is, near, of_cases, of_tuples, sweep
from gradcheck.explore.like import around
from gradcheck.explore.limits import Clock, TooLong, limited
from gradcheck.explore.outcomes import (
    CAUSES,
    Outcome,
    beyond,
    enough,
    failing,
    lies_beyond,
    main_kinds,
    summary,
)
from gradcheck.explore.running import Stop, run_examples
from gradcheck.explore.smallest import SHRINKING, Smallest
from gradcheck.explore.timed import timed
from gradcheck.report.report import Report
from gradcheck.report.verification import Edge, Verification
from gradcheck.strategies.cotangents import cotangent
from gradcore.spec import Case

WIDEST = 100_000
"""Around an example that gives fewer, one with more output entries than this takes long and shows no more than another."""

PROBE, TIMES = 1.0, 50.0
"""Seconds, or times the seconds of the example, that forward may take for an input that is only tried."""

Kind: TypeAlias = tuple[str, int]
"""A cause, and the form of shapes where an edge shows it."""

WHATEVER = "forward gave no floating array"


@dataclass
class Explorer:
    """One verification: what is checked, and how long; the outcomes of its examples so far."""

    f: Callable[..., Any]
    vjp: Callable[..., Any] | None
    max_examples: int
    seed: int
    max_seconds: float = 30.0
    count_edges: bool = False
    complex: bool = False
    straight_through: Callable[..., Any] | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    widest: float = math.inf
    """Most output entries of an example that is judged."""
    refusal: CallError | None = None
    """Why the first example that cannot be judged cannot."""

    def __post_init__(self) -> None:
        self._clock = Clock(self.max_seconds, self.max_examples)
        self._probe = PROBE

    def over(self, domain: Any, like: Any, wrt: Any, params: dict[str, Any]) -> Verification:
        """Check the example itself, then drawn ones, then find the smallest that fails for each cause."""
        __tracebackhide__ = True
        if like is not None and domain is not None:
            raise CallError("both a domain and like= were given: pass one of them")
        try:
            if like is None:
                return self._over_domain(self._strategy(domain, params, wrt))
            inputs = like if isinstance(like, tuple) else tuple(like) if isinstance(like, list) else (like,)
            return self._over_examples(inputs, wrt, params)
        finally:
            self._clock.close()

    def _over_domain(self, strategy: st.SearchStrategy[DrawnCall]) -> Verification:
        __tracebackhide__ = True
        self._collect(strategy, self.max_examples, None)
        return self._result("", [], [self._smallest(strategy, k, None) for k in self._kinds()])

    def _over_examples(self, inputs: tuple[Any, ...], wrt: Any, params: dict[str, Any]) -> Verification:
        __tracebackhide__ = True
        as_subject(Call(self.f, inputs, self.vjp, wrt, params, straight_through=self.straight_through))
        start = time.monotonic()
        first = self._judge(DrawnCall(inputs, params, wrt, "dense", 0), None, example=True)
        self._probe = max(PROBE, TIMES * (time.monotonic() - start) / 100)
        self.outcomes.append(first)
        if first.report is None:
            return self._result(first.aside, [], [])
        examples = [inputs]
        real = [leaf for _, leaf in leaves(inputs, "") if kind_of(leaf) == "f"]
        if self.complex:
            examples.append(complexified(inputs))
        elif real and all(kind_of(leaf) != "c" for _, leaf in leaves(inputs, "")):
            self.left_out.append("complex numbers (complex=True)")
        domains = [
            around(
                lambda i, p: self._shapes(i, p, wrt),
                self.f,
                self.vjp,
                example,
                params,
                pulls=lambda i, p: self._pulls(i, p, wrt),
                values=lambda i, p: self._values(i, p, wrt),
                seconds=self.max_seconds,
            )
            for example in examples
        ]
        for domain in domains:
            self.left_out += domain.left_out
            count = self.max_examples // len(domains)
            self._sweep(domain, wrt, 2 * count // 3)
            if not failing(self.outcomes):
                self._collect(around_example(domain, wrt), count - 2 * count // 3, domain)
        failures = [self._smallest_near(kind, domains, wrt) for kind in self._kinds()]
        beyond_it = [] if failures else main_kinds(failing(self.outcomes, edges=True))
        edges = [self._edge(kind, domains, wrt) for kind in beyond_it]
        return self._result("; ".join(d.words() for d in domains), edges, failures)

    def _strategy(self, domain: Any, params: dict[str, Any], wrt: Any) -> st.SearchStrategy[DrawnCall]:
        __tracebackhide__ = True
        if domain is None:
            domain = getattr(self.f, "spec", None)
        if isinstance(domain, st.SearchStrategy):
            return of_tuples(domain, params, wrt)
        cases = getattr(domain, "cases", domain)
        cases = (cases,) if isinstance(cases, Case) else cases
        if isinstance(cases, tuple | list) and cases and all(isinstance(c, Case) for c in cases):
            return of_cases(cases, params, wrt)
        raise CallError(
            f"the domain is {described(domain)}: pass a gradcore.spec case, such as case(reals('n')), a Hypothesis strategy "
            "of tuples with the inputs, or one example of the inputs as like=(x, w)"
        )

    # --- one example --------------------------------------------------------------------------------------------------

    def _run(self, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> tuple[str, Run | None]:
        """A forward call: why these inputs are outside of its domain ("" where they are not), and the run."""
        __tracebackhide__ = True
        try:
            subject = as_subject(
                Call(self.f, inputs, self.vjp, wrt, params, straight_through=self.straight_through)
            )
        except CallError as error:
            self.refusal = self.refusal or error
            nothing = str(error).startswith("nothing")
            return "nothing to differentiate by" if nothing else "a call that can't be judged", None
        try:
            with np.errstate(all="ignore"):
                run = subject.run([np.array(item.array) for item in subject.inputs])
        except CallError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it raises, it does not take these inputs
            return f"forward raised {type(error).__name__}", None
        floating = differentiable(run.outputs)
        if not all(np.isfinite(y).all() for y in floating):
            return "forward gave NaN or infinity", None
        return ("" if floating else WHATEVER), run

    def _values(self, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> tuple[Array, ...] | None:
        """The floating outputs, None where forward refuses the inputs or does not end, or the time is over."""
        if self._clock.left <= 0:
            return None
        try:
            with limited(self._probe):
                why, run = self._run(fresh(inputs), params, wrt)
        except TooLong:
            given = ", ".join([described(leaf) for _, leaf in leaves(inputs, "")])
            named = "".join([f", {name}={value!r}" for name, value in params.items()])
            self.left_out.append(f"{given}{named}, for which forward took longer than {self._probe:.0f} s")
            return None
        return None if why or run is None else tuple([y.copy() for y in differentiable(run.outputs)])

    def _shapes(self, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> Shapes:
        """Shapes of the floating outputs, () where forward refuses the inputs or does not end."""
        return tuple([y.shape for y in self._values(inputs, params, wrt) or ()])

    def _pulls(self, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> bool:
        """Whether the rule raises nothing for these inputs, which forward takes."""
        try:
            with limited(2 * self._probe), np.errstate(all="ignore"):
                _, run = self._run(fresh(inputs), params, wrt)
                if run is not None:
                    run.pull([np.ones_like(y) if y.dtype.kind in "fc" else None for y in run.outputs])
        except (RuleError, CallError, TooLong):
            return False
        return True

    def _judge(self, call: DrawnCall, domain: Around | None, *, example: bool = False) -> Outcome:
        __tracebackhide__ = True
        inputs = fresh(call.inputs)
        try:
            why, run = self._run(inputs, call.params, call.wrt)
            outputs = () if run is None else differentiable(run.outputs)
            if why and not (example and why == WHATEVER):
                if example:  # the user's own: gradcheck says what is wrong with it
                    gradcheck(
                        self.f,
                        inputs,
                        vjp=self.vjp,
                        wrt=call.wrt,
                        params=call.params,
                        straight_through=self.straight_through,
                    )
                return Outcome(None, why)
            entries = sum(y.size for y in outputs)
            if example:
                self.widest = max(WIDEST, 4 * entries)
            elif entries > self.widest:
                return Outcome(None, f"forward gave more than {self.widest:,.0f} entries")
            kind, gy = call.cotangent, None
            if kind != "dense":
                made = [cotangent(y.shape, y.dtype, kind, call.seed + i) for i, y in enumerate(outputs)]
                gy = made[0] if len(made) == 1 else tuple(made)
            report = self._report(call, gy)
        except ForwardError as error:
            if example:
                raise
            return Outcome(None, f"forward raised {type(error.__cause__).__name__}")
        edge = lies_beyond(report, call.plan, domain)
        size = sum(math.prod(i.shape) for i in report.inputs)
        return Outcome(report, "", size, call, edge)

    def _report(self, call: DrawnCall, gy: Any) -> Report:
        __tracebackhide__ = True
        try:
            report = gradcheck(
                self.f,
                fresh(call.inputs),
                vjp=self.vjp,
                wrt=call.wrt,
                params=call.params,
                gy=gy,
                straight_through=self.straight_through,
                seed=self.seed,
                raise_exception=False,
            )
            if gy is None or not (call.cotangent == "negative" and _refuses_strides(report)):
                return report
        except ForwardError:
            raise
        except (
            CallError
        ):  # outputs of another dtype than a moment ago, which a check without this cotangent reports
            if gy is None:
                raise
        return self._report(call, None)

    # --- many ---------------------------------------------------------------------------------------------------------

    def _timely(self, call: DrawnCall, domain: Around | None) -> Outcome | None:
        return timed(lambda c: self._judge(c, domain), call, self._clock, self.left_out, len(self.outcomes))

    def _sweep(self, domain: Around, wrt: Any, count: int) -> None:
        """Judge every special class around an example, until some examples have failed."""
        if failing(self.outcomes):  # what the example itself shows says more than any other
            return
        for plan in sweep(domain, count, self.seed):
            outcome = self._timely(plan.call(domain, wrt), domain)
            if outcome is None:
                return
            self.outcomes.append(outcome)
            if enough(self.outcomes):
                return

    def _collect(self, strategy: st.SearchStrategy[DrawnCall], count: int, domain: Around | None) -> None:
        """Judge drawn examples until some have failed; the last quarter looks where errors are large."""
        __tracebackhide__ = True

        def visit(call: DrawnCall) -> None:
            outcome = self._timely(call, domain)
            if outcome is None:
                raise Stop
            self.outcomes.append(outcome)
            if enough(self.outcomes):
                raise Stop
            if outcome.report is not None and math.isfinite(outcome.report.ratio):
                target(min(outcome.report.ratio, 1e3), label="error in units of its bound")

        if self._clock.left <= 0 or not count:
            return
        seeking = count // 4
        run_examples(strategy, visit, [Phase.generate], count - seeking, self.seed)
        if seeking and self._clock.left > 0 and not failing(self.outcomes):
            run_examples(strategy, visit, [Phase.generate, Phase.target], seeking, self.seed + 1)

    def _kinds(self) -> list[tuple[str, int]]:
        """Distinct kinds of the fails; raises where no example could be judged."""
        __tracebackhide__ = True
        if self.refusal is not None and self.outcomes and all(o.refused for o in self.outcomes):
            raise self.refusal
        return main_kinds(failing(self.outcomes))

    # --- the smallest -----------------------------------------------------------------------------------------------------

    def _smallest_near(
        self, kind: Kind, domains: Sequence[Around], wrt: Any, *, edges: bool = False
    ) -> Report:
        """The smallest example of a kind, sought among plans that are simpler than one of them."""
        found = [o for o in failing(self.outcomes, edges=edges) if o.kind == kind]
        plan = next((o.plan for o in found if o.plan is not None), None)
        domain = domains[0]
        if plan is None:
            plan = as_it_is(domain)
        able = [d for d in domains if len(d.forms) >= plan.form]
        domain = able[-1] if self.complex and len(able) > 1 else able[0]
        return self._smallest(near(plan, domain, wrt), kind, domain, edges=edges)

    def _edge(self, kind: Kind, domains: Sequence[Around], wrt: Any) -> Edge:
        report = self._smallest_near(kind, domains, wrt, edges=True)
        first = next(o for o in failing(self.outcomes, edges=True) if o.kind == kind)
        words = beyond(replace(first, report=report), domains[0]) if len(domains) == 1 else ""
        return Edge(words, report)

    def _smallest(
        self,
        strategy: st.SearchStrategy[DrawnCall],
        kind: Kind,
        domain: Around | None,
        *,
        edges: bool = False,
    ) -> Report:
        """The report on the smallest example found of this kind."""
        __tracebackhide__ = True
        best = min([o for o in failing(self.outcomes, edges=edges) if o.kind == kind], key=lambda o: o.size)
        search = Smallest(
            lambda call: self._judge(call, domain),
            lambda o: o.kind == kind and o.edge == edges,
            lambda call: () if domain is None or call.plan is None else call.plan.cuts(domain, call),
            max(SHRINKING, self._clock.left / CAUSES),
        )
        smallest = search.among(strategy, best, self.max_examples, self.seed)
        if smallest.report is None:
            raise CallError("an example failed without a report")
        return smallest.report

    def _result(self, words: str, edges: Sequence[Edge], failures: Sequence[Report]) -> Verification:
        return summary(
            self.outcomes,
            failures,
            edges,
            name=name_of(self.f),
            domain=words,
            left_out=list(dict.fromkeys(self.left_out)),
            seed=self.seed,
            count_edges=self.count_edges,
        )


def _refuses_strides(report: Report) -> bool:
    """Whether the rule raised for the strides of what it got, which it may where they are negative."""
    return report.causes == ("raises",) and "stride" in report.faults[0].text.lower()
