"""A kernel beside its reference over a domain around an example: sizes with remainders, magnitudes, ties, masked rows, layouts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of, rebuild
from gradcheck.diagnosis.faults import Fault
from gradcheck.errors import CallError, ForwardError, OutsideError, ShapesDifferError
from gradcheck.explore.domain import Around, Shapes
from gradcheck.explore.drawn import DrawnCall, Plan, as_it_is, near
from gradcheck.explore.like import around
from gradcheck.explore.limits import Clock, TooLong, limited
from gradcheck.explore.outcomes import Outcome, beyond, enough, failing, lies_beyond, main_kinds, summary
from gradcheck.explore.resized import FAR
from gradcheck.explore.smallest import SHRINKING, Smallest
from gradcheck.explore.timed import timed
from gradcheck.kernels.casting import cast, code, in_numbers
from gradcheck.kernels.check import check_kernel
from gradcheck.kernels.sides import reference_of, subject_of
from gradcheck.report.report import Report
from gradcheck.report.verification import Edge, Verification
from gradcheck.verdict.compare import Verdict

Kind: TypeAlias = tuple[str, int]

POWERS = (16, 32, 64, 128, 256)
"""Sizes of the blocks that kernels work in: those around them leave remainders, and the next one makes a second block."""

WIDEST = 40_000
"""Entries of all arrays of an example, or twice those of the caller's."""

PROBE, TIMES = 2.0, 20.0
"""Seconds, or times the seconds of the example, that an input may take that is only tried."""

FINDING = 0.3
"""Part of the time for finding out what the kernel takes."""

LAYOUTS = ("dense", "dense", "transposed", "gaps")


@dataclass
class KernelExplorer:
    """One verification of a kernel. options: of `check_kernel`, the same for each example."""

    kernel: Callable[..., Any]
    reference: Callable[..., Any]
    vjp: Callable[..., Any] | None
    options: Mapping[str, Any]
    max_examples: int
    seed: int
    max_seconds: float
    count_edges: bool
    outcomes: list[Outcome] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def over(self, like: Any, wrt: Any, params: dict[str, Any]) -> Verification:
        """Check the example itself, then drawn ones, then find the smallest that fails for each cause."""
        __tracebackhide__ = True
        self._like = like if isinstance(like, tuple) else tuple(like) if isinstance(like, list) else (like,)
        self._clock = Clock(self.max_seconds, self.max_examples)
        self._wrt, start = wrt, time.monotonic()
        try:
            first = self._check(self._like, params, drawn=False)
            self._probe = max(PROBE, TIMES * (time.monotonic() - start))
            self._end_of_finding = (1 - FINDING) * self._clock.left
            inputs = in_numbers(self._like)
            size = sum([leaf.size for _, leaf in leaves(inputs, "") if isinstance(leaf, np.ndarray)])
            self._widest = max(WIDEST, 2 * size)
            self.outcomes.append(Outcome(first, "", size, DrawnCall(inputs, params, wrt, "dense", 0)))
            domain = self._domain(inputs, params)
            for plan in itertools.islice(plans(domain, self.seed), self.max_examples - 1):
                if failing(self.outcomes) and (first.verdict is Verdict.FAIL or enough(self.outcomes)):
                    break
                outcome = self._timely(plan.call(domain, wrt), domain)
                if outcome is None:
                    break
                self.outcomes.append(outcome)
            failures = [self._smallest(kind, domain) for kind in main_kinds(failing(self.outcomes))]
            beyond_it = [] if failures else main_kinds(failing(self.outcomes, edges=True))
            edges = [self._edge(kind, domain) for kind in beyond_it]
        finally:
            self._clock.close()
        return summary(
            self.outcomes,
            failures,
            edges,
            name=name_of(self.kernel),
            domain=domain.words(),
            left_out=list(dict.fromkeys(self.left_out)),
            seed=self.seed,
            count_edges=self.count_edges,
        )

    def _domain(self, inputs: tuple[Any, ...], params: dict[str, Any]) -> Around:
        """What kernel and reference both take. Of a mask, some rows are false throughout."""
        domain = around(self._shapes, self.reference, None, inputs, params, forms=False)
        for leaf in domain.arrays:
            if leaf.array.dtype.kind == "b":
                leaf.styles = ("given", "random", "rows")
            elif leaf.array.dtype.kind in "iu" and not np.any(leaf.array < 0):
                leaf.styles = tuple([s for s in leaf.styles if s != "negative"])
            elif leaf.array.dtype.kind == "f":
                if not np.isfinite(leaf.array).all():  # an additive mask
                    leaf.styles = ("given",)
                elif "large" in leaf.styles:
                    leaf.styles = (*leaf.styles, "small", "larger")
        return domain

    def _shapes(self, inputs: tuple[Any, ...], params: dict[str, Any]) -> Shapes:
        """Shapes of the outputs, () where the kernel or the reference refuses the inputs."""
        if self._clock.left <= self._end_of_finding:
            self.left_out.append(
                "sizes and values for which the time was too short to find out whether they are taken"
            )
            return ()
        try:
            with limited(self._probe), np.errstate(all="ignore"):
                made = cast(inputs, self._like)
                subject = subject_of(self.kernel, made, self.vjp, params, None)
                shapes = tuple([v.array.shape for v in subject.outputs()])
                found = reference_of(self.reference, subject, made, params, 0).outputs
        except TooLong:
            given = ", ".join([described(leaf) for _, leaf in leaves(inputs, "")])
            self.left_out.append(f"{given}, for which forward took longer than {self._probe:.0f} s")
            return ()
        except Exception:  # noqa: BLE001 - whatever it raises, it does not take these inputs
            return ()
        return shapes if all(np.isfinite(y).all() for y in found) else ()

    # --- one example --------------------------------------------------------------------------------------------------

    def _check(self, inputs: tuple[Any, ...], params: dict[str, Any], *, drawn: bool = True) -> Report:
        report = check_kernel(
            self.kernel,
            inputs,
            self.reference,
            vjp=self.vjp,
            wrt=self._wrt,
            params=params,
            seed=self.seed,
            drawn=drawn,
            **self.options,
        )
        if report.verdict is not Verdict.FAIL:
            return report
        more = "".join([f"\nparams = {params!r}"] * bool(params))
        return replace(report, snippet=f"{code(inputs)}{more}")

    def _judge(self, call: DrawnCall, domain: Around) -> Outcome:
        call = replace(call, inputs=sorted_as(call.inputs, domain.inputs))
        size = sum([leaf.size for _, leaf in leaves(call.inputs, "") if isinstance(leaf, np.ndarray)])
        if size > self._widest:
            return Outcome(None, f"more than {self._widest:,.0f} entries")
        made = cast(call.inputs, self._like, "dense" if call.plan is None else call.plan.layout)
        try:
            report = self._check(made, call.params)
        except ShapesDifferError as error:
            report = self._of_shapes(error, made)
        except OutsideError as error:
            return Outcome(
                None,
                f"forward: {'the reference is not finite' if 'finite' in str(error) else 'out of the range of the dtype'}",
            )
        except ForwardError as error:
            return Outcome(None, f"forward raised {type(error.__cause__).__name__}")
        except CallError:
            return Outcome(None, "a call that can't be judged")
        refused = report.causes == ("raises",)  # as loud as forward that raises
        return Outcome(report, "", size, call, refused or lies_beyond(report, call.plan, domain))

    def _of_shapes(self, error: Exception, inputs: tuple[Any, ...]) -> Report:
        fault = Fault("output_shape", str(error).partition(": ")[0], "output")
        return Report(
            name_of(self.kernel), Verdict.FAIL, (), faults=(fault,), seed=self.seed, snippet=code(inputs)
        )

    def _timely(self, call: DrawnCall, domain: Around) -> Outcome | None:
        return timed(lambda c: self._judge(c, domain), call, self._clock, self.left_out, len(self.outcomes))

    # --- the smallest -------------------------------------------------------------------------------------------------

    def _edge(self, kind: Kind, domain: Around) -> Edge:
        report = self._smallest(kind, domain, edges=True)
        first = next(o for o in failing(self.outcomes, edges=True) if o.kind == kind)
        return Edge(beyond(replace(first, report=report), domain), report)

    def _smallest(self, kind: Kind, domain: Around, *, edges: bool = False) -> Report:
        """The report on the smallest example of this kind that is found."""
        found = [o for o in failing(self.outcomes, edges=edges) if o.kind == kind]
        best = min(found, key=lambda o: o.size)
        search = Smallest(
            lambda call: self._judge(call, domain),
            lambda o: o.kind == kind and o.edge == edges,
            lambda call: () if call.plan is None else call.plan.cuts(domain, call),
            max(SHRINKING, self._clock.left / 3),
        )
        smallest = search.among(near(best.plan or as_it_is(domain), domain, self._wrt), best, 40, self.seed)
        if smallest.report is None:
            raise CallError("an example failed without a report")
        return smallest.report


def sorted_as(inputs: tuple[Any, ...], like: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drawn whole numbers in order where the example's are, with some of them equal: numbers of segments."""
    flat = []
    for (_, leaf), (_, example) in zip(leaves(inputs, ""), leaves(like, ""), strict=True):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iu" and leaf.ndim == 1 and example.size > 2:
            steps = np.diff(example)
            if np.all(steps >= 0) and np.any(steps == 0) and np.any(steps > 0):
                leaf = np.sort(leaf)
        flat.append(leaf)
    made: tuple[Any, ...] = rebuild(inputs, iter(flat))
    return made


def plans(domain: Around, seed: int) -> Iterator[Plan]:
    """Without end: first each letter alone at sizes around the powers of two, each static value and each style; then all mixed."""
    rng = np.random.default_rng([seed, 17])
    given = as_it_is(domain)
    n = itertools.count()
    random = _styles(domain, "random")
    around_powers = [p + d for p in POWERS for d in (1, -1)]
    for letter in range(len(domain.sizes)):
        yield replace(given, sizes=_at(given.sizes, letter, 2 * POWERS[-2] + 1), styles=random, seed=next(n))
    for name, values in domain.statics.items():
        for value in values[1:]:
            statics = tuple([(k, value if k == name else v) for k, v in given.statics])
            yield replace(given, statics=statics, seed=next(n))
    sizes = [rng.permutation(around_powers) for _ in domain.sizes]
    styles = [_cycle([s for s in leaf.styles if s not in FAR], rng) for leaf in domain.arrays]
    far = _cycle(
        [(i, s) for i, leaf in enumerate(domain.arrays) for s in leaf.styles if s in FAR] or [None], rng
    )
    layouts = _cycle(LAYOUTS, rng)
    chosen = [_cycle(v, rng) for v in domain.statics.values()]
    for k in itertools.count():
        drawn = [next(s) for s in styles]
        odd = next(far) if k % 8 == 7 else None
        if odd is not None:
            drawn[odd[0]] = odd[1]
        yield Plan(
            _sizes(given.sizes, sizes, k, rng),
            tuple(zip(domain.statics, [next(v) for v in chosen], strict=True)),
            tuple(drawn),
            False,
            next(n),
            "dense",
            0,
            next(layouts),
        )


def _sizes(
    given: tuple[int, ...], options: Sequence[Array], k: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """The example's own; one letter near a power of two; all small and odd; all near powers that fit together; a single entry."""
    how = k % 4
    if how == 0 or not given:
        return given
    if how == 1:
        letter = (k // 4) % len(given)
        near = tuple([min(s, int(rng.integers(1, 20))) for s in given]) if k % 8 == 5 else given
        return _at(near, letter, int(options[letter][(k // 4) % len(options[letter])]))
    if how == 2:
        return tuple([int(rng.choice([1, 2, 3, 5, 7, 9, 17, 33])) for _ in given])
    most = WIDEST ** (1 / max(len(given), 1))
    fits = [[int(o) for o in some if o <= max(most, 17)] for some in options]
    return tuple([int(rng.choice([*some, s])) for some, s in zip(fits, given, strict=True)])


def _at(sizes: tuple[int, ...], letter: int, size: int) -> tuple[int, ...]:
    return (*sizes[:letter], size, *sizes[letter + 1 :])


def _styles(domain: Around, style: str) -> tuple[str, ...]:
    """This style for every array that takes it, the example's values for the others."""
    return tuple([style if style in leaf.styles else "given" for leaf in domain.arrays])


def _cycle(options: Sequence[Any], rng: np.random.Generator) -> Iterator[Any]:
    while True:
        for i in rng.permutation(len(options)):
            yield options[i]
