"""verify: a function's gradient over a whole domain, and the smallest example that shows it wrong."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import Phase, target
from hypothesis import strategies as st

from gradcheck.backends import Call, as_subject
from gradcheck.backends.arguments import params_of, seed_of, whole
from gradcheck.backends.protocol import differentiable
from gradcheck.backends.tree import described, leaves, name_of, rebuild
from gradcheck.check import gradcheck
from gradcheck.errors import CallError, ForwardError
from gradcheck.explore.drawn import DrawnCall, Plan, around_example, near, of_cases, of_tuples, sweep
from gradcheck.explore.like import Around, around
from gradcheck.explore.running import Found, Stop, run_examples
from gradcheck.report.failure import GradientError
from gradcheck.report.report import Report
from gradcheck.report.verification import Verification
from gradcheck.strategies.cotangents import cotangent
from gradcheck.verdict.compare import Verdict
from gradcore.spec import Case
from gradcore.tensor import Tensor

ENOUGH = 5
"""So many failing examples are collected before one cause is chosen and shrunk."""

WIDEST = 100_000
"""Around an example that gives fewer, one with more output entries than this takes long and shows no more than another."""

SHRINKS = 200
"""So many examples are checked on the way to the smallest one."""

LARGE_ENOUGH = 6
"""An example of so many entries distinguishes one cause from another; of few entries, a factor explains anything."""


def verify(
    f: Callable[..., Any],
    domain: Any = None,
    *,
    like: Any = None,
    vjp: Callable[..., Any] | None = None,
    wrt: int | str | Sequence[int | str] | None = None,
    params: Mapping[str, Any] | None = None,
    max_examples: int = 100,
    seed: int = 0,
    raise_exception: bool = True,
) -> Verification:
    """Check the gradient of `f` over a domain: shapes, values, static parameters and cotangents are drawn by Hypothesis.

    f, vjp, wrt: as for `gradcheck`. Every example is checked with all contracts.
    domain: a `gradcore.spec` case, several, or a spec; or a Hypothesis strategy of tuples with the inputs. By default the
    spec of `f`, where it has one.
    like: one example of the inputs in place of a domain. Other sizes, special values and other static parameters that
    forward takes are found by running it. Where it raises or is not finite, an example is set aside.
    params: static parameters by name; with `like` an example of them, else the same for every example.
    max_examples: how many are drawn. seed: the same one draws the same examples.
    raise_exception: whether a fail raises `GradientError`, whose `verification` is the result and whose message is it.

    Raises `GradientError` on a fail, `CallError` where the call can't be judged.

    >>> result = verify(np.sin, like=(np.array([0.5, 2.0]),), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=20)
    >>> bool(result), result.verdicts["pass"] > 10
    (True, True)
    """
    __tracebackhide__ = True
    max_examples = whole("max_examples", max_examples, 1, "as at least one example has to be drawn")
    explorer = _Explorer(f, vjp, max_examples, seed_of(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # special values overflow and divide by zero on purpose
        result = explorer.over(domain, like, wrt, params_of(params))
    if raise_exception and result.verdict is Verdict.FAIL and result.smallest is not None:
        raise GradientError(result.smallest, result)
    return result


@dataclass
class _Outcome:
    """One example: its report, or why it was set aside."""

    report: Report | None
    aside: str = ""
    size: int = 0
    plan: Plan | None = None

    @property
    def refused(self) -> bool:
        """Whether the example can't be judged, whatever f makes of it."""
        return self.report is None and not self.aside.startswith("forward")

    @property
    def cause(self) -> str:
        """The first cause reported, "" where nothing is wrong."""
        return self.report.causes[0] if self.report is not None and self.report.causes else ""


@dataclass
class _Explorer:
    f: Callable[..., Any]
    vjp: Callable[..., Any] | None
    max_examples: int
    seed: int
    outcomes: list[_Outcome] = field(default_factory=list)
    widest: float = math.inf
    """Most output entries of an example that is judged."""
    refusal: CallError | None = None
    """The error of the first example that can't be judged."""

    def over(self, domain: Any, like: Any, wrt: Any, params: dict[str, Any]) -> Verification:
        """Check the example itself, then drawn ones; then find the smallest that fails for the same cause."""
        __tracebackhide__ = True
        words = ""
        if like is not None:
            if domain is not None:
                raise CallError("both a domain and like= were given: pass one of them")
            inputs = like if isinstance(like, tuple) else tuple(like) if isinstance(like, list) else (like,)
            as_subject(Call(self.f, inputs, self.vjp, wrt, params))
            first = self._judge(DrawnCall(inputs, params, wrt, "dense", 0), example=True)
            self.outcomes.append(first)
            if first.report is None:
                return self._result(first.aside)
            derived = around(lambda i, p: self._aside(i, p, wrt)[0] == "", self.f, self.vjp, inputs, params)
            words = derived.words()
            strategy = around_example(derived, wrt)
            swept = 2 * self.max_examples // 3
            self._sweep(derived, wrt, swept)
            left = self.max_examples - swept
        else:
            derived, strategy, left = None, self._strategy(domain, params, wrt), self.max_examples
        if not self._failing() and left:
            self._collect(strategy, left)
        if self.refusal is not None and all(o.refused for o in self.outcomes):
            raise self.refusal
        smallest = None
        if self._failing():
            cause = self._cause()
            plan = next((o.plan for o in self._failing() if o.cause == cause and o.plan is not None), None)
            if derived is not None and plan is not None:
                strategy = near(plan, derived, wrt)
            smallest = self._smallest(strategy, cause)
        return self._result(words, smallest)

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

    def _aside(self, inputs: tuple[Any, ...], params: dict[str, Any], wrt: Any) -> tuple[str, Any]:
        """Why forward does not take these inputs ("" where it does), and what it returns for them."""
        __tracebackhide__ = True
        try:
            subject = as_subject(Call(self.f, inputs, self.vjp, wrt, params))
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
        return ("" if floating else "forward gave no floating array"), floating

    def _judge(self, call: DrawnCall, *, example: bool = False) -> _Outcome:
        __tracebackhide__ = True
        inputs = _fresh(call.inputs)
        try:
            why, outputs = self._aside(inputs, call.params, call.wrt)
            if why and not (example and why == "forward gave no floating array"):
                if example:  # the user's own: gradcheck reports what is wrong with it
                    gradcheck(self.f, inputs, vjp=self.vjp, wrt=call.wrt, params=call.params)
                return _Outcome(None, why)
            entries = sum(y.size for y in outputs or ())
            if example:
                self.widest = max(WIDEST, 4 * entries)
            elif entries > self.widest:
                return _Outcome(None, f"forward gave more than {self.widest:,.0f} entries")
            kind, gy = call.cotangent, None
            if kind != "dense":
                made = [cotangent(y.shape, y.dtype, kind, call.seed + i) for i, y in enumerate(outputs)]
                gy = made[0] if len(made) == 1 else tuple(made)
            report = gradcheck(
                self.f,
                _fresh(call.inputs),
                vjp=self.vjp,
                wrt=call.wrt,
                params=call.params,
                gy=gy,
                seed=self.seed,
                raise_exception=False,
            )
        except ForwardError as error:
            if example:
                raise
            return _Outcome(None, f"forward raised {type(error.__cause__).__name__}")
        return _Outcome(report, size=sum(math.prod(i.shape) for i in report.inputs))

    # --- many ---------------------------------------------------------------------------------------------------------

    def _sweep(self, domain: Around, wrt: Any, count: int) -> None:
        """Judge every special class around an example, until some examples have failed."""
        __tracebackhide__ = True
        if self._failing():  # a fail of the example itself is the clearest one
            return
        for plan in sweep(domain, count, self.seed):
            outcome = self._judge(plan.call(domain, wrt))
            outcome.plan = plan
            self.outcomes.append(outcome)
            if self._enough():
                return

    def _collect(self, strategy: st.SearchStrategy[DrawnCall], count: int) -> None:
        """Judge drawn examples until some have failed; the last quarter is drawn where errors are large."""
        __tracebackhide__ = True

        def visit(call: DrawnCall) -> None:
            __tracebackhide__ = True
            outcome = self._judge(call)
            self.outcomes.append(outcome)
            if self._enough():
                raise Stop
            if outcome.report is not None and math.isfinite(outcome.report.ratio):
                target(min(outcome.report.ratio, 1e3), label="error in units of its bound")

        seeking = count // 4
        run_examples(strategy, visit, [Phase.generate], count - seeking, self.seed)
        if seeking and not self._failing():
            run_examples(strategy, visit, [Phase.generate, Phase.target], seeking, self.seed + 1)

    def _failing(self) -> list[_Outcome]:
        return [o for o in self.outcomes if o.report is not None and o.report.verdict is Verdict.FAIL]

    def _enough(self) -> bool:
        """Whether enough examples have failed to choose a cause: some large ones, or many."""
        failing = self._failing()
        return len(failing) >= 4 * ENOUGH or (
            len(failing) >= ENOUGH and sum(o.size >= LARGE_ENOUGH for o in failing) >= ENOUGH // 2
        )

    def _cause(self) -> str:
        """The cause to be shrunk: the one reported most often for the larger half of the failing examples."""
        failing = sorted(self._failing(), key=lambda o: -o.size)
        larger = [o for o in failing if o.size >= LARGE_ENOUGH] or failing[: (len(failing) + 1) // 2]
        return Counter([o.cause for o in larger]).most_common(1)[0][0]

    def _smallest(self, strategy: st.SearchStrategy[DrawnCall], cause: str) -> Report:
        """The report on the smallest example found whose first cause is this one."""
        __tracebackhide__ = True
        best = min([o for o in self._failing() if o.cause == cause], key=lambda o: o.size)
        found: list[tuple[str, _Outcome]] = []
        seen: dict[str, bool] = {}

        def visit(call: DrawnCall) -> None:
            __tracebackhide__ = True
            key = repr(call)
            fails = seen.get(key)
            if fails is None:
                if found and len(seen) > SHRINKS:
                    return
                outcome = self._judge(call)
                fails = seen[key] = outcome.cause == cause
                if fails:
                    found.append((key, outcome))
            if fails:
                raise Found

        run_examples(strategy, visit, [Phase.generate, Phase.shrink], self.max_examples, self.seed)
        smallest = min([best, *(o for _, o in found)], key=lambda o: (o.size, _digits(o)))
        if smallest.report is None:
            raise CallError("an example failed without a report")
        return smallest.report

    # --- the result ---------------------------------------------------------------------------------------------------

    def _result(self, words: str, smallest: Report | None = None) -> Verification:
        reports = [o.report for o in self.outcomes if o.report is not None]
        verdicts = Counter([r.verdict.value for r in reports])
        reason = ""
        if smallest is not None:
            verdict = Verdict.FAIL
        elif not reports:
            verdict, reason = Verdict.INCONCLUSIVE, "forward took none of the examples"
        elif verdicts["pass"]:
            verdict = Verdict.PASS
        elif verdicts["subgradient"]:
            verdict = Verdict.SUBGRADIENT
        else:
            verdict = Verdict.INCONCLUSIVE
            reason = next(r.reason for r in reports if r.verdict is Verdict.INCONCLUSIVE)
        good = [r for r in reports if r]
        judged = [i for r in reports for i in r.inputs if i.verdict is not None]
        informed = {i.path for i in judged if not i.vacuous and i.verdict is not Verdict.INCONCLUSIVE}
        sharp = [r.sensitivity for r in good if math.isfinite(r.sensitivity) and r.verdict is Verdict.PASS]
        ratios = [r.ratio for r in good if math.isfinite(r.ratio)]
        aside = Counter([o.aside for o in self.outcomes if o.report is None])
        causes = Counter([o.cause for o in self._failing()])
        return Verification(
            name=reports[0].name if reports else name_of(self.f),
            gradient=reports[0].gradient if reports else "",
            verdict=verdict,
            examples=len(reports),
            set_aside=sum(aside.values()),
            verdicts={v.value: verdicts[v.value] for v in Verdict if verdicts[v.value]},
            aside=dict(aside.most_common()),
            sensitivity=max(sharp, default=math.inf),
            ratio=max(ratios, default=math.nan),
            vacuous=tuple(sorted({i.path for i in judged} - informed)),
            causes=dict(causes.most_common()),
            smallest=smallest,
            domain=words,
            seed=self.seed,
            reason=reason,
            evaluations=sum(r.evaluations for r in reports),
        )


def _fresh(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with arrays of their own, so that a forward that writes into them does not change the example."""

    def copied(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return Tensor(leaf.data.copy(), requires_grad=leaf.requires_grad)
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf

    made: tuple[Any, ...] = rebuild(inputs, (copied(leaf) for _, leaf in leaves(inputs, "inputs")))
    return made


def _digits(outcome: _Outcome) -> int:
    """How long the example is in writing."""
    return 0 if outcome.report is None else len(outcome.report.snippet)
