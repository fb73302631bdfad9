"""A function observed at one point: its runs, pulled cotangents and numeric derivatives, all of them counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends import StraightThrough, first_run
from gradcheck.backends.protocol import Array, Run, Subject, differentiable, spread, wide
from gradcheck.errors import CallError, ForwardError, RuleError
from gradcheck.numeric.derivative import BUDGET, derivative
from gradcheck.numeric.probes import cotangents, direction, unit_direction, wide_direction
from gradcheck.numeric.result import Derivative
from gradcheck.verdict.compare import Comparison, Verdict, compare
from gradcheck.verdict.evidence import (
    Cotangents,
    Direction,
    Evidence,
    Excuse,
    coarsest,
    constant_copy,
    copied,
    far_apart,
    infinite_in,
    marked,
    of_moving,
    same,
)
from gradcore.errors import GradcoreError


class Observation:
    """A subject at its inputs. `arrays` are its values as given, `wide` the same values in double precision.

    arrays: the values, where the subject's own may have changed since. It is made and used within
    `np.errstate(all="ignore")`.
    """

    def __init__(self, subject: Subject, seed: int, arrays: Sequence[Array] | None = None) -> None:
        self.subject = subject
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        own = [item.array for item in subject.inputs] if arrays is None else arrays
        self.arrays = [np.array(a, order="C") for a in own]
        self.wide = tuple([wide(a) for a in self.arrays])
        self.wanted = tuple([item.wanted for item in subject.inputs])
        self.paths = tuple([item.path for item in subject.inputs])
        self.pulls = 0
        self.evidence: list[Evidence] = []
        self.infinite = [  # entries that do not move: infinity plus h is infinity
            infinite_in(a) if want and a.dtype.kind in "fc" else None
            for a, want in zip(self.arrays, self.wanted, strict=True)
        ]
        self.left_out: list[NDArray[np.bool_] | None] = list(self.infinite)  # entries without a derivative
        self.first_gys: tuple[Array, ...] = ()
        self.handed_gys: list[Array] = []  # what the first pull got
        self.first_gx: Cotangents = []
        self.repeated_gx: Cotangents = []  # the second pull, of the same run
        self.second_gys: tuple[Array, ...] = ()
        self.second_gx: Cotangents = []
        # Where the outputs span many decades: see `probes.cotangents`.
        self.even_gys: tuple[Array, ...] | None = None
        self.even_gx: Cotangents = []  # what the rule gives for them, in double precision
        self.wide_gxs: list[Cotangents] = []  # what the rule gives for both in double precision
        self.latest_given: list[Array] = []  # the inputs of the last `fresh`
        self._latest: Run | None = None  # the run at the inputs after which f was not called again
        self.given = self.copies()  # what the first run got, to be compared with `arrays` afterwards
        self.forwards = 1
        self.run = first_run(subject, self.given)
        self.outputs = differentiable(self.run.outputs)
        self._dtypes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.drift: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None  # two dtypes of one output
        self._follow_dtypes(self.given, self.run)
        self.outputs_before = [y.copy() for y in self.run.outputs]
        self.changed_by_forward = self._changed(self.arrays)
        self.given_gys: tuple[Array, ...] | None = None  # the caller's own, tried besides random ones
        self.given_changed = False  # whether the rule wrote into them
        self.changed_by_vjp = ""
        self.output_changed_by_vjp = False
        self.in_double = all(x.dtype == w.dtype for x, w in zip(self.arrays, self.wide, strict=True))
        self._own = not isinstance(subject, StraightThrough)
        self._center: Any = None  # f(x) in double precision
        if self.in_double and self._own:
            self._center = tuple(differentiable(self.outputs_before))
        self.on_views: tuple[str, str] | None = None  # outcome on read-only views, see `layouts`
        self._elsewhere: Run | None = None
        self.other_arrays: list[Array] = []  # the inputs of `elsewhere`
        self.other_gx: Cotangents | None = None  # pulled there, constant along an axis
        self.target: float | None = (
            None  # set where entries move as far as the claim says is seen: see `widen`
        )
        self.sought_jumps = False  # see `jumps`
        self.turning: tuple[NDArray[np.bool_], ...] | None = None  # outputs that jump by a free choice
        self.excuses: list[Excuse] = []  # what made a difference no mistake
        self.refusal: tuple[str, str] | None = None  # who takes no negative strides, and the error
        self.broken: set[str] = set()  # contracts that are broken, as far as they have been tried
        self.places = [i for i, y in enumerate(self.run.outputs) if y.dtype.kind in "fc"]
        if not self.places:
            kinds = ", ".join(f"{y.dtype}" for y in self.run.outputs) or "no array"
            raise CallError(
                f"{subject.name} returned {kinds}, which has no derivative: return at least one floating array"
            )

    def prepare(self) -> None:
        """Pull before anything else happens to the function: the reference for what comes later."""
        self.first_gys = self.draw()
        self.handed_gys = [gy.copy() for gy in self.first_gys]
        before = self.arrays if not self.changed_by_forward else [x.copy() for x in self.given]
        self.first_gx = copied(self.pull(self.handed_gys))
        self._keep_what_poisons()
        self.changed_by_vjp = self._changed(before)
        self.output_changed_by_vjp = not same(self.run.outputs, self.outputs_before)
        self.repeated_gx = self.pulled(self.first_gys)
        intact = same(self.repeated_gx, self.first_gx) and not (
            self.changed_by_vjp or self.output_changed_by_vjp
        )
        self.second_gys = self.draw()
        later = self.run if intact else self.fresh()
        self.second_gx = self.pulled(self.second_gys, later)
        even = self.draw(even=True)
        several = [self.first_gys, self.second_gys]
        if not far_apart(even):
            self.wide_gxs = self.pulled_in_double(several)
        elif self.in_double:
            even = tuple([gy.astype(y.dtype) for gy, y in zip(even, self.outputs, strict=True)])
            self.even_gys, self.even_gx = even, self.pulled(even, later)
        else:
            found = self.pulled_in_double([*several, even])
            self.wide_gxs = found[:2]
            if found:
                self.even_gys, self.even_gx = even, found[2]

    def _keep_what_poisons(self) -> None:
        """Judge infinite entries where the rule gives NaN or infinity and every output is finite: a mask of -inf does that.

        Their derivative is 0, as no move of them changes anything.
        """
        if not marked(self.infinite) or any(infinite_in(y) is not None for y in self.outputs):
            return
        for i, (out, g) in enumerate(zip(self.infinite, self.first_gx, strict=True)):
            if out is not None and g is not None and g.shape == out.shape:
                self.infinite[i] = self.left_out[i] = out & np.isfinite(g)

    def pulled_in_double(self, several: Sequence[Sequence[Array]]) -> list[Cotangents]:
        """The rule run in double precision on the same values, for several cotangents.

        Empty where the inputs are in double precision already, or forward or the rule work in another one all the same.
        """
        if self.in_double:
            return []
        try:
            run = self.forward([w.copy() for w in self.wide])
            found = [self.pulled([wide(gy) for gy in gys], run) for gys in several]
        except Exception:  # noqa: BLE001 - a function may refuse other dtypes than its own
            return []
        if self._center is None and self._own:
            self._center = tuple([y.copy() for y in differentiable(run.outputs)])
        arrays = [
            *differentiable(run.outputs),
            *(g for gx in found for g in self.fitted(gx) if g is not None),
        ]
        return found if all(a.dtype == wide(a).dtype for a in arrays) else []

    def _changed(self, before: Sequence[Array]) -> str:
        """Names of the inputs of the first run that are no longer what they were."""
        pairs = zip(self.paths, self.given, before, strict=True)
        return ", ".join([path for path, x, was in pairs if not same([x], [was])])

    def elsewhere(self) -> Run | None:
        """A forward call on other values of the same shapes and dtypes, made once; None where f takes none of them.

        First choice: every floating input constant along an axis, as a contiguous copy.
        """
        if self._elsewhere is None:
            flat = [constant_copy(x) if x.dtype.kind in "fc" else x.copy() for x in self.arrays]
            if same(flat, self.arrays):
                flat = [x * x.dtype.type(0.75) if x.dtype.kind in "fc" else x.copy() for x in self.arrays]
            try:
                self._elsewhere = self.forward([x.copy() for x in flat])
                self.other_arrays = flat
                self.other_gx = self.pulled([constant_copy(gy) for gy in self.first_gys], self._elsewhere)
            except RuleError:
                self.other_gx = None
            except Exception:  # noqa: BLE001 - whatever f raises, these values are none of its domain
                return None
        return self._elsewhere

    def copies(self) -> list[Array]:
        """Fresh copies of the inputs, in C order."""
        return [a.copy() for a in self.arrays]

    def forward(self, arrays: Sequence[Array]) -> Run:
        """One recorded forward call on these very arrays."""
        self.forwards += 1
        self._latest = None
        run = self.subject.run(arrays)
        self._follow_dtypes(arrays, run)
        return run

    def _follow_dtypes(self, arrays: Sequence[Array], run: Run) -> None:
        """Keep the dtypes of outputs by those of inputs, and the first two that differ where they have to be alike."""
        given, made = tuple([a.dtype for a in arrays]), tuple([y.dtype for y in run.outputs])
        known = self._dtypes.setdefault(given, made)
        if known != made and self.drift is None:
            self.drift = known, made

    def fresh(self) -> Run:
        """A run at the inputs after which forward has not been called on anything else."""
        if self._latest is None:
            self.latest_given = self.copies()
            try:
                self._latest = self.forward(self.latest_given)
            except CallError:
                raise
            except Exception as error:
                raise self._raised_later(error) from error
        return self._latest

    def pull(self, gys: Sequence[Array], run: Run | None = None) -> Cotangents:
        """The rule's cotangents for those of the differentiable outputs, neither copied nor judged."""
        run = self.run if run is None else run
        self.pulls += 1
        return run.pull(spread(run.outputs, gys))

    def by_rule(
        self, arrays: Sequence[Array], outputs: Sequence[Array], gys: Sequence[Array]
    ) -> Cotangents | None:
        """What the rule gives for arrays and outputs that no forward connects, None where it cannot be run on them."""
        self.pulls += 1
        try:
            return self.subject.by_rule(arrays, outputs, spread(self.run.outputs, gys))
        except Exception:  # noqa: BLE001 - the rule does not take such arrays
            return None

    def pulled(self, gys: Sequence[Array], run: Run | None = None) -> Cotangents:
        """Copies of the rule's cotangents; the rule itself gets copies of `gys`."""
        return copied(self.pull([gy.copy() for gy in gys], run))

    def draw(
        self, *, usable: Sequence[NDArray[np.bool_]] | None = None, even: bool = False
    ) -> tuple[Array, ...]:
        """Random cotangents of the differentiable outputs; `even`: in double precision, sized by entry."""
        outputs = tuple([wide(y) for y in self.outputs]) if even else self.outputs
        return cotangents(outputs, self.rng, usable=usable, even=even)

    def aim(self, gx: Sequence[Array | None] | None = None, only: int | None = None) -> Direction:
        """A random direction for the wanted inputs, or for one of them."""
        moving = self.wanted if only is None else tuple([i == only for i in range(len(self.wanted))])
        fitted = None if gx is None else tuple(self.fitted(gx))
        if self.target is not None:
            v = wide_direction(self.wide, self.rng, gx=fitted, target=self.target, wrt=moving)
            return self._within(v)
        return self._within(direction(self.wide, self.rng, gx=fitted, wrt=moving))

    def aim_evenly(self) -> Direction:
        """A random direction in which every entry of an array moves alike."""
        if self.target is not None:
            return self.aim()
        return self._within(unit_direction(self.wide, self.rng, wrt=self.wanted))

    def _within(self, v: Direction) -> Direction:
        """`v` without the entries that are left out."""
        return tuple(
            [
                t if t is None or out is None else np.where(out, 0, t)
                for t, out in zip(v, self.left_out, strict=True)
            ]
        )

    def fitted(self, gx: Sequence[Array | None]) -> Cotangents:
        """The cotangents that have their input's shape, None in place of the others and of unwanted ones.

        Entries that are left out are zero.
        """
        result: Cotangents = []
        for g, x, want, out in zip(gx, self.wide, self.wanted, self.left_out, strict=True):
            if g is None or not want or g.shape != x.shape or g.dtype.kind not in "fcib":
                result.append(None)
            else:
                result.append(g if out is None else np.where(out, g.dtype.type(0), g))
        return result

    def nothing_left(self, left_out: Sequence[NDArray[np.bool_] | None] | None = None) -> bool:
        """Whether every entry of every wanted input was left out of the check; or is among these ones."""
        places = self.left_out if left_out is None else left_out
        outs = [out for out, want in zip(places, self.wanted, strict=True) if want]
        return all(out is not None and bool(out.all()) for out in outs)

    def numeric(
        self,
        v: Direction,
        *,
        evaluations: int = BUDGET,
        gys: Sequence[Array] | None = None,
        thorough: bool = False,
    ) -> Derivative:
        """Derivative of all differentiable outputs along `v`; with `gys`, no sharper than `<gy, J v>` needs it."""
        try:
            found = derivative(
                self.outputs_at,
                self.wide,
                v,
                max_evaluations=evaluations,
                thorough=thorough,
                y=self._center,
                gy=None if gys is None else tuple(gys),
                scale=None if self.target is None else 1.0,
            )
        except (CallError, GradcoreError):
            raise
        except (ValueError, ArithmeticError) as error:
            raise self._raised_later(error) from error
        self.forwards += found.evaluations
        self._center = found.y
        self._latest = None
        return found

    def _raised_later(self, error: Exception) -> ForwardError:
        return ForwardError(
            f"{self.subject.name} takes these inputs, and raised {type(error).__name__} when it was called with the same "
            f"values again, in double precision where they are not: {error}. A check calls f many times, so it has to "
            "take the same inputs each time"
        )

    def outputs_at(self, *arrays: Array) -> tuple[Array, ...]:
        """The differentiable outputs in double precision's arithmetic; ValueError and ArithmeticError are the edge of the domain."""
        try:
            return self.subject.values(arrays)
        except (ValueError, ArithmeticError):  # `derivative` takes these for the edge of the domain
            raise
        except Exception as error:
            raise ForwardError(
                f"{self.subject.name} takes these inputs, and raised {type(error).__name__} for others very near: "
                f"{error}. A derivative needs a function that takes all values around the point"
            ) from error

    @property
    def here(self) -> tuple[Array, ...]:
        """The differentiable outputs at the inputs in double precision, of the function whose derivative is measured."""
        if self._center is None:
            self._center = self.subject.values(self.wide)
            self.forwards += 1
            self._latest = None
        return tuple(self._center) if isinstance(self._center, tuple) else (self._center,)

    def values_at(self, arrays: Sequence[Array], of: Subject | None = None) -> tuple[Array, ...] | None:
        """Copies of the differentiable outputs at other points, one more forward call; None where f takes no such point.

        of: another function, of the first of these arrays.
        """
        self.forwards += 1
        self._latest = None
        subject = self.subject if of is None else of
        try:
            return tuple([np.array(y) for y in subject.values(arrays[: len(subject.inputs)])])
        except Exception:  # noqa: BLE001 - whatever it raises, this is none of its points
            return None

    def values_along(self, v: Direction, step: float, of: Subject | None = None) -> tuple[Array, ...] | None:
        """The same at x + step v."""
        moved = [x.copy() if t is None else x + step * t for x, t in zip(self.wide, v, strict=True)]
        return self.values_at(moved, of)

    def held(
        self,
        numeric: Derivative,
        gx: Sequence[Array | None],
        v: Direction,
        gys: Sequence[Array],
    ) -> Comparison:
        """The verdict on `gx` along `v`."""
        fitted = self.fitted(gx)
        return compare(numeric, of_moving(fitted, v), v, tuple(gys), eps=coarsest(fitted, gys))

    def eps(self, gx: Sequence[Array | None], gys: Sequence[Array]) -> float:
        """Machine epsilon of the coarsest arithmetic that the analytic side may have used."""
        return coarsest(self.fitted(gx), gys)

    def explains(self, candidate: Any, evidence: Sequence[Evidence] | None = None) -> bool:
        """Whether `candidate(gx, gys)`, another gradient made of the claimed one, agrees with all that was measured."""
        seen = self.evidence if evidence is None else evidence
        for e in seen:
            gx = candidate(list(e.gx), e.gys)
            if gx is None:
                return False
            c = self.held(e.numeric, gx, e.v, e.gys)
            if c.verdict not in (Verdict.PASS, Verdict.SUBGRADIENT) or c.vacuous:
                return False
        return bool(seen)
