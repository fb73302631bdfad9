"""What a check found, worded in one place: for a terminal, a notebook and a program."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gradcheck.contracts.base import ContractResult
from gradcheck.diagnosis.faults import Fault
from gradcheck.diagnosis.pictures import Pictures
from gradcheck.report.page import LISTED, listed, report_cell, report_page
from gradcheck.report.plot import plot_check
from gradcheck.report.web import facts
from gradcheck.verdict.compare import Verdict
from gradcore.io import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1

_HEADLINES = {
    Verdict.PASS: "the gradient is right",
    Verdict.SUBGRADIENT: "the gradient is right: at a kink, it lies between the one-sided slopes",
    Verdict.FAIL: "the gradient is wrong",
    Verdict.INCONCLUSIVE: "the gradient cannot be judged here",
}


def detected(median: float, worst: float, of: str = "entry") -> str:
    """Which errors a check would have shown, in words."""
    if _above(median) == _above(worst):
        return f"an error of {_above(worst)} of its value would be detected in any {of}"
    return f"an error of {_above(median)} of its value would be detected in the median {of}, {_above(worst)} in the worst"


def _above(size: float) -> str:
    """A size to one digit, never below it: 3.2e-10 is "4e-10"."""
    rounded = f"{size:.0e}"
    if float(rounded) < size:
        rounded = f"{size + 0.5 * math.pow(10.0, math.floor(math.log10(size))):.0e}"
    return rounded


@dataclass(frozen=True, slots=True)
class InputResult:
    """The verdict on the gradient by one input.

    verdict: None where the input was not judged by itself. vacuous: gradient and truth are zero. Of a pass, the errors in
    one entry that would be detected: sensitivity: in the median entry, relative to its own value; worst: in the worst one;
    zero: in an entry whose gradient is zero, relative to the largest entry; all infinite where there is no such entry.
    hidden: how many entries are left out of these, as they are too small for an error of their own size to show.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    verdict: Verdict | None
    sensitivity: float
    vacuous: bool
    worst: float = math.inf
    zero: float = math.inf
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one check. True as a condition where the verdict is pass or subgradient.

    name: the function's. gradient: whose gradient was checked, in words. order: 1, or 2 for a gradient checked as a function. reason: why an inconclusive check is that.
    sensitivity, worst: the largest of the inputs'. ratio: the largest error in units of its bound, over 1 for a
    fail, NaN where nothing was measured. evaluations, pulls: forward and vjp calls made. snippet: code that shows the
    fault again. judged: of a pass, which part of the entries it covers, "" for all. at_kink: whether an output that
    counts is at a kink. excuses: why a difference from the
    numeric derivative is no mistake, by the names in `gradcheck.verdict.excuses`. second: the report on the second order,
    where it was requested. pictures: what `plot` draws, measured when it is wanted.
    """

    name: str
    verdict: Verdict
    inputs: tuple[InputResult, ...]
    contracts: tuple[ContractResult, ...] = ()
    faults: tuple[Fault, ...] = ()
    reason: str = ""
    note: str = ""
    order: int = 1
    seed: int = 0
    evaluations: int = 0
    pulls: int = 0
    snippet: str = ""
    ratio: float = math.nan
    judged: str = ""
    at_kink: bool = False
    excuses: dict[str, str] = field(default_factory=dict)
    second: Report | None = field(default=None)
    gradient: str = ""
    pictures: Pictures | None = field(default=None, repr=False, compare=False)

    @property
    def sensitivity(self) -> float:
        """The smallest relative error in the median entry that would be detected, of the worst input with a gradient."""
        return max([i.sensitivity for i in self._seen], default=math.inf)

    @property
    def worst(self) -> float:
        """The same in the worst entry of any input."""
        return max([i.worst for i in self._seen], default=math.inf)

    @property
    def _seen(self) -> list[InputResult]:
        return [i for i in self.inputs if not i.vacuous and i.verdict is not None]

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes of all faults, the clearest first."""
        return tuple([f.cause for f in self.faults])

    @property
    def vacuous(self) -> tuple[str, ...]:
        """Inputs whose gradient is zero at this point, so that nothing else was tested."""
        return tuple([i.path for i in self.inputs if i.vacuous])

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the broken contracts."""
        return tuple([c.name for c in self.contracts if c.status == "broken"])

    def __bool__(self) -> bool:
        return self.verdict in (Verdict.PASS, Verdict.SUBGRADIENT)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"<Report {self.verdict.value} of {self.name}, order {self.order}, {self.evaluations} evaluations>"

    def _repr_html_(self) -> str:
        return report_cell(_plain(self), lambda fault: _because(self, fault["cause"]))

    def to_html(self) -> str:
        """The report as one HTML page that needs nothing else, with its pictures: see `gradcheck.report.page`."""
        return report_page(_plain(self), self.drawn()[0], facts(sys.modules))

    def drawn(self) -> list[dict[str, Any] | None]:
        """Its pictures as plain data (see `gradcheck.diagnosis.pictures`), one item, for a page."""
        return [None if self.pictures is None else self.pictures.plain()]

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write `to_html` to a file, whole or not at all. Raises `gradcore.errors.OutputError` where it can't be written."""
        write_atomically(path, self.to_html().encode())

    def plot(self) -> Figure:
        """A matplotlib figure: why this step was chosen, and where the gradient is wrong. Needs the extra `plot`.

        The error of differences against their step, with the bound drawn in, the chosen step and the error of the rule; and the
        error of the gradient over the array, with the wrong entries marked. The function is called again for it, some hundred
        times, at the values that it was checked with.
        """
        drawn = {"curve": None, "maps": []} if self.pictures is None else self.pictures.plain()
        return plot_check(drawn, f"{self.verdict.value.upper()}  {self.name}")

    def to_json(self) -> str:
        """The report as JSON text, one object with these keys (schema 1; `gradcheck.report.schema.schema("report")` is the JSON schema):

        schema (1) · name · gradient · verdict ("pass", "subgradient", "fail", "inconclusive") · headline · reason · note · judged · order · seed ·
        evaluations · pulls · sensitivity, worst (null: infinite) · ratio (null: infinite or nothing measured) · inputs:
        list of {path, shape, dtype, verdict or null, sensitivity, worst, zero: numbers or null, vacuous, hidden, text} · contracts: list of {name, status ("held", "broken", "skipped"), text,
        because: the broken one that it follows from, or ""} ·
        faults: list of {cause, text, input, index or null, analytic, numeric, bound: numbers or null; a complex number is
        [real, imaginary], and NaN and infinities are the texts "nan", "inf", "-inf"} · excuses: object of sentences by name ·
        snippet · second (such an object or null).
        """
        return json.dumps(_plain(self), indent=2, allow_nan=False)

    def with_second(self, second: Report) -> Report:
        """This report with that on the second order: the worse verdict of the two counts."""
        rank = (Verdict.PASS, Verdict.SUBGRADIENT, Verdict.INCONCLUSIVE, Verdict.FAIL)
        return replace(self, second=second, verdict=max(self.verdict, second.verdict, key=rank.index))


def _lines(r: Report) -> list[str]:
    own = _own_verdict(r)
    lines = [f"{own.value.upper()}  {r.name}: {_headline(r, own)}"]
    if r.gradient:
        lines.append(f"  checked: {r.gradient}")
    if own is Verdict.INCONCLUSIVE:
        lines.append(f"  why: {r.reason}")
    for f in r.faults:
        lines += [f"  {f.cause}: {f.text}", *[f"    {text}" for text in _because(r, f.cause)]]
    shown, others = listed(r.inputs, _verdict, LISTED)
    lines += [f"  {i.path}  {i.dtype} {i.shape}  {_words(i)}" for i in shown]
    lines += [f"  {others}"] * bool(others)
    lines += [f"  excused ({name}): {text}" for name, text in r.excuses.items()]
    if r.note:
        lines.append(f"  note: {r.note}")
    skipped = [c for c in r.contracts if c.status == "skipped"]
    if r.contracts:
        held = sum(c.status == "held" for c in r.contracts)
        lines.append(f"  contracts: {held} held, {len(r.broken)} broken, {len(skipped)} left out")
    lines.append(f"  {r.evaluations} forward and {r.pulls} vjp calls, seed {r.seed}")
    if r.snippet:
        lines += ["  to reproduce:", *("    " + line for line in r.snippet.splitlines())]
    if r.second is not None:
        lines += ["  " + line for line in _lines(r.second)]
    return lines


def _own_verdict(r: Report) -> Verdict:
    """The verdict without that of the second order."""
    if r.second is None:
        return r.verdict
    if r.faults:
        return Verdict.FAIL
    if r.reason:
        return Verdict.INCONCLUSIVE
    kinked = any(i.verdict is Verdict.SUBGRADIENT for i in r.inputs)
    return Verdict.SUBGRADIENT if kinked else Verdict.PASS


def _headline(r: Report, own: Verdict) -> str:
    gradient = "gradient of the gradient" if r.order == 2 else "gradient"
    if own is Verdict.FAIL:
        return headline_of_fail(r).replace("gradient", gradient, 1)
    part = f" for the {r.judged} that could be judged" if r.judged else ""
    return _HEADLINES[own].replace("is right", f"is right{part}").replace("gradient", gradient, 1)


def _headlines(r: Report) -> str:
    """The headline, with that of the second order where this makes the verdict."""
    own = _own_verdict(r)
    text = _headline(r, own)
    return (
        text
        if r.second is None or own is r.verdict
        else f"{text}, and {_headline(r.second, r.second.verdict)}"
    )


def headline_of_fail(r: Report) -> str:
    """What a fail is about: the contract that is broken first, with the verdict on the values beside it; or the values."""
    if r.faults and all(f.input.startswith("output") for f in r.faults):
        return "the forward values are wrong"
    beside = [f for f in r.faults if f.cause in r.broken and f.cause != "cotangent_shape"]
    if not beside or r.faults[0] not in beside:
        return "the gradient raises" if r.causes[:1] == ("raises",) else _HEADLINES[Verdict.FAIL]
    more = f" (and {len(beside) - 1} more below)" if len(beside) > 1 else ""
    return f"{_clause(beside[0].text)}{more}; {_of_values(r, wrong=len(beside) < len(r.faults))}"


def _clause(text: str) -> str:
    """What a sentence says before it comes to details."""
    return text.partition(": ")[0]


def _of_values(r: Report, wrong: bool) -> str:
    judged = [i.verdict for i in r.inputs if i.verdict is not None]
    if wrong or Verdict.FAIL in judged:
        return _HEADLINES[Verdict.FAIL]
    right = bool(judged) and all(v in (Verdict.PASS, Verdict.SUBGRADIENT) for v in judged)
    return f"the values of the gradient {'are right' if right else 'cannot be judged'}"


def _because(r: Report, cause: str) -> list[str]:
    """The contracts that follow from this fault, as no faults of their own."""
    names = [c.name for c in r.contracts if c.because and c.because == cause]
    return [f"not judged, as they would follow: {', '.join(names)}"] * bool(names)


def _verdict(i: InputResult) -> str | None:
    return None if i.verdict is None else i.verdict.value


def _words(i: InputResult) -> str:
    if i.verdict is None:
        return "not judged by itself"
    if i.vacuous and i.verdict is not Verdict.INCONCLUSIVE:
        return "pass, but vacuous: gradient and truth are zero at this point, so try another one"
    if i.verdict not in (Verdict.PASS, Verdict.SUBGRADIENT):
        return str(i.verdict.value)
    total, parts = math.prod(i.shape), []
    if math.isfinite(i.worst):
        parts.append(detected(i.sensitivity, i.worst))
    if math.isfinite(i.zero):
        parts.append(f"in those of zero, one of {_above(i.zero)} of the largest entry")
    if i.hidden:
        parts.append(f"{i.hidden} of {total} entries are too small to be judged")
    return "; ".join([i.verdict.value, *parts])


def _number(value: float | complex | None) -> Any:
    if value is None:
        return None
    if isinstance(value, complex):
        return [_number(value.real), _number(value.imag)]
    return float(value) if math.isfinite(value) else str(float(value))


def _plain(r: Report) -> dict[str, Any]:
    def size(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "schema": SCHEMA,
        "name": r.name,
        "gradient": r.gradient,
        "verdict": r.verdict.value,
        "headline": _headlines(r),
        "reason": r.reason,
        "note": r.note,
        "judged": r.judged,
        "order": r.order,
        "seed": r.seed,
        "evaluations": r.evaluations,
        "pulls": r.pulls,
        "sensitivity": size(r.sensitivity),
        "worst": size(r.worst),
        "ratio": size(r.ratio),
        "inputs": [
            {
                "path": i.path,
                "shape": list(i.shape),
                "dtype": i.dtype,
                "verdict": None if i.verdict is None else i.verdict.value,
                "sensitivity": size(i.sensitivity),
                "worst": size(i.worst),
                "zero": size(i.zero),
                "vacuous": i.vacuous,
                "hidden": i.hidden,
                "text": _words(i),
            }
            for i in r.inputs
        ],
        "contracts": [
            {"name": c.name, "status": c.status, "text": c.text, "because": c.because} for c in r.contracts
        ],
        "faults": [
            {
                "cause": f.cause,
                "text": f.text,
                "input": f.input,
                "index": None if f.index is None else list(f.index),
                "analytic": _number(f.analytic),
                "numeric": _number(f.numeric),
                "bound": _number(f.bound),
            }
            for f in r.faults
        ],
        "excuses": r.excuses,
        "snippet": r.snippet,
        "second": None if r.second is None else _plain(r.second),
    }
