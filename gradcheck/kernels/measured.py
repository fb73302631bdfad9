"""One check of a kernel: which cotangents it is tried with, what the reference gives, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.errors import CallError, RuleError, ShapesDifferError
from gradcheck.kernels.allowance import DRAWS, Judged, rms
from gradcheck.kernels.formats import FORMATS, Claims, Format
from gradcheck.kernels.results import Results
from gradcheck.kernels.subject import Kernel, Ran, Value

BUDGET = 60
"""Evaluations of kernel and reference together."""

SINGLE = 2.0**-24

REPEATS = 5
"""Calls of a kernel that is not the same from call to call."""


class Reference(Protocol):
    """The same mathematics in float64, with a derivative, exact or with errors."""

    name: str
    outputs: tuple[Array, ...]
    notes: list[str]
    """What could not be looked into."""

    def pull(self, gys: Sequence[Array | None]) -> None:
        """Ask for the derivative for these cotangents of the outputs as well."""

    def ready(self) -> None:
        """After the last `pull`."""

    def exact(self) -> Results:
        """Without errors."""

    def at(self, arrays: Sequence[Array]) -> Reference:
        """The same reference on other arrays."""

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arrays, nothing recorded."""

    def noisy(self, claims: Claims, units: Sequence[float], draws: int) -> Iterator[Results]:
        """So many runs with errors. units: the roundoff with which each output is stored before the backward pass reads it."""


@dataclass
class Measured:
    """What was run: truth, allowances and the kernel's own arrays.

    gys: cotangents, all entries of their own; ones whose rows are all alike; the caller's, where there are any. calls, pulls, references: how many.
    """

    kernel: Kernel
    reference: Reference
    claims: Claims
    seed: int
    judged: list[Judged] = field(default_factory=list)
    spreads: list[tuple[str, Array]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changed: str = ""
    misshapen: str = ""
    kinked: set[str] = field(default_factory=set)
    calls: int = 0
    pulls: int = 0
    references: int = 0
    gys: list[list[Array | None]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    known: dict[Claims, Results] = field(default_factory=dict)
    truth: Results = field(default_factory=lambda: Results([], []))
    slack: Results = field(default_factory=lambda: Results([], []))

    def run(self, *, backward: bool = True) -> None:
        """Run everything. Raises `RuleError` where the kernel's backward does, `CallError` where nothing can be judged."""
        self.outputs = self.kernel.outputs()
        self.calls += 1
        self._same_shapes()
        if backward:
            self.gys = drawn(self.outputs, self.seed)
            if self.kernel.given is not None:
                self.gys.append(
                    [None if gy is None else self.kernel.value("gy", gy).array for gy in self.kernel.given]
                )
            for gys in self.gys:
                self.reference.pull(gys)
        try:
            self.reference.ready()
        except CallError:
            raise
        except Exception as error:
            raise CallError(
                f"the reference {self.reference.name} could not be differentiated: {type(error).__name__}: {error}"
            ) from error
        self.truth = self.reference.exact()
        self.references += 2
        self.slack = self.noise(self.claims, DRAWS)
        if not backward:
            again = self.kernel.outputs()
            self.calls += 1
            self._judge_outputs(self.outputs)
            self._vary([Ran(self.outputs, []), Ran(again, [])], backward=False)
            return
        first, second = self.pull(0, "dense"), self.pull(0, "dense")
        self._vary([first, second], backward=True)
        self._judge_outputs(first.outputs)
        self._judge_pulled(0, "dense", first)
        tried = [(int(layout == "broadcast"), layout) for layout in self.kernel.layouts]
        for which, layout in (*tried, *[(2, "given")] * (self.kernel.given is not None)):
            try:
                ran = self.pull(which, layout)
            except RuleError as error:
                self.notes.append(
                    f"the kernel refuses a cotangent with {_WORDS[layout]} ({_short(error)}), as autograd may hand it one: call "
                    "gy.contiguous() (np.ascontiguousarray(gy)) first in backward"
                )
                if layout not in ("broadcast", "given"):
                    continue
                layout = "dense copy" if which == 1 else "given copy"
                ran = self.pull(which, "dense")
            self._judge_pulled(which, layout, ran)

    def pull(self, which: int, layout: str) -> Ran:
        """The kernel, forward and backward."""
        self.calls += 1
        self.pulls += 1
        ran = self.kernel.run(self.gys[which], layout)
        self.changed = self.changed or ran.changed
        return ran

    def noise(self, claims: Claims, draws: int) -> Results:
        """The rms effect of the errors, in the places of what they have an effect on."""
        if claims in self.known:
            return self.known[claims]
        units = [0.0 if v.format is None else v.format.unit for v in self.outputs]
        exact = self.truth
        sums = Results(
            [np.zeros(y.shape) for y in exact.outputs],
            [[None if g is None else np.zeros(g.shape) for g in p] for p in exact.pulled],
        )
        with np.errstate(all="ignore"):
            for drawn in self.reference.noisy(claims, units, draws):
                self.references += 1
                for total, y, e in zip(sums.outputs, drawn.outputs, exact.outputs, strict=True):
                    total += np.square(y - e)
                for totals, gs, es in zip(sums.pulled, drawn.pulled, exact.pulled, strict=True):
                    for gtotal, g, ge in zip(totals, gs, es, strict=True):
                        if gtotal is not None and g is not None and ge is not None:
                            gtotal += np.square(g - ge)
        found = self.known[claims] = Results(
            [
                self._with_floor(t / draws, y, claims)
                for t, y in zip(sums.outputs, exact.outputs, strict=True)
            ],
            [
                [
                    None if t is None or g is None else self._with_floor(t / draws, g, claims)
                    for t, g in zip(p, gs, strict=True)
                ]
                for p, gs in zip(sums.pulled, exact.pulled, strict=True)
            ],
        )
        return found

    def _with_floor(self, squares: Array, exact: Array, claims: Claims) -> Array:
        """The rms of each entry; where errors cancel by chance, or by the form of the reference, that of a typical entry.

        A kernel may be written in another form, in which they do not. In units of float32's roundoff at most, as a claim of
        stored results says nothing about entries that are much smaller than others.
        """
        squares = np.where(np.isnan(squares), np.inf, squares)
        squares = np.where(np.isfinite(exact), squares, 0.0)
        finite = squares[np.isfinite(squares)]
        typical = np.sqrt(finite.mean()) if finite.size else 0.0
        return np.maximum(np.sqrt(squares), typical * min(1.0, SINGLE / claims.result))

    def outside(self) -> str:
        """Why these inputs lie outside of the domain of the mathematics, "" where they do not."""
        if not all(np.isfinite(y).all() for y in self.truth.outputs):
            return f"the reference {self.reference.name} is not finite on these inputs"
        for j in self.judged:
            if np.any(np.abs(j.truth) + j.limit > j.format.largest):
                return f"{j.path} is out of the range of {j.format.name}"
        return ""

    def _same_shapes(self) -> None:
        ours, theirs = [v.array.shape for v in self.outputs], [y.shape for y in self.reference.outputs]
        if ours != theirs:
            raise ShapesDifferError(
                f"the reference {self.reference.name} returns {_shapes(theirs)}, and {self.kernel.name} returns {_shapes(ours)}: "
                "the reference has to return arrays of the kernel's shapes, in the same order"
            )

    def _judge_outputs(self, outputs: Sequence[Value]) -> None:
        for v, truth, slack in zip(outputs, self.truth.outputs, self.slack.outputs, strict=True):
            if v.format is not None:
                self.judged.append(
                    Judged(v.path, "", v.array, truth, slack + self._spread_of(v.path), v.format)
                )

    def _judge_pulled(self, which: int, layout: str, ran: Ran) -> None:
        for item, gx, truth, slack in zip(
            self.kernel.inputs, ran.pulled, self.truth.pulled[which], self.slack.pulled[which], strict=True
        ):
            if not item.wanted or item.format is None:
                continue
            zeros = np.zeros(item.array.shape)
            truth, slack = (zeros if truth is None else truth), (zeros if slack is None else slack)
            if gx is None:
                if np.any(truth) and item.path not in self.missing:
                    self.missing.append(item.path)
                continue
            if gx.array.shape != item.array.shape:
                self.misshapen = f"the cotangent of {item.path} has shape {gx.array.shape}, and {item.path} has {item.array.shape}"
                continue
            made = gx.format or item.format
            self.judged.append(
                Judged(item.path, layout, gx.array, truth, slack + self._spread_of(item.path), made)
            )

    def _spread_of(self, path: str) -> Any:
        return next((spread for of, spread in self.spreads if of == path), 0.0)

    def affords(self, more: int) -> bool:
        """Whether so many further evaluations may be made for a diagnosis."""
        return self.calls + self.references + more <= BUDGET

    def truth_with(self, place: int, array: Array, j: Judged) -> Array | None:
        """What the reference gives in the place of a judged array where one input is another; None where it refuses it."""
        arrays = [v.array for v in self.kernel.inputs]
        arrays[place] = array
        self.references += 1
        try:
            if not j.layout:
                return self.reference.values(arrays)[[v.path for v in self.outputs].index(j.path)]
            other = self.reference.at(arrays)
            other.pull(self.gys[j.which])
            other.ready()
            return other.exact().pulled[0][[v.path for v in self.kernel.inputs].index(j.path)]
        except Exception:  # noqa: BLE001 - out of its domain
            return None

    def _vary(self, runs: list[Ran], *, backward: bool) -> None:
        """Whether calls differ from each other: then more of them are made, and their spread is measured."""
        if _bits(runs[0]) == _bits(runs[1]):
            return
        while len(runs) < REPEATS:
            if backward:
                runs.append(self.pull(0, "dense"))
            else:
                self.calls += 1
                runs.append(Ran(self.kernel.outputs(), []))
        for values in zip(*[_values(r) for r in runs], strict=True):
            arrays = [v.array for v in values]
            if values[0].format is None:
                continue
            mean = np.mean(arrays, axis=0)
            self.spreads.append((values[0].path, rms(arrays, mean)))


_WORDS = {
    "gaps": "gaps between its entries",
    "transposed": "transposed strides",
    "broadcast": "strides of 0",
    "given": "the strides of gy=",
}


def _values(ran: Ran) -> list[Value]:
    return [*ran.outputs, *[v for v in ran.pulled if v is not None]]


def _bits(ran: Ran) -> list[bytes]:
    return [v.array.tobytes() for v in _values(ran)]


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120]


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "nothing"


def drawn(outputs: Sequence[Value], seed: int) -> list[list[Array | None]]:
    """Two cotangents in the outputs' formats: one of independent entries, and one whose rows are all alike."""
    rng = np.random.default_rng(seed)
    dense: list[Array | None] = []
    alike: list[Array | None] = []
    for v in outputs:
        fmt: Format | None = v.format
        if fmt is None:
            dense.append(None)
            alike.append(None)
            continue
        shape = v.array.shape
        dense.append(fmt.rounded(rng.standard_normal(shape)))
        # Of few bits: the sum of equal terms is biased, where each rounding goes the same way.
        row = FORMATS["bfloat16"].rounded(rng.standard_normal(shape[1:]))
        alike.append(np.array(np.broadcast_to(row, shape), order="C"))
    return [dense, alike]
