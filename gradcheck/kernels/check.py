"""From a kernel and its reference to a report."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.backends.arguments import seed_of
from gradcheck.diagnosis.case import Cause
from gradcheck.diagnosis.faults import Fault
from gradcheck.diagnosis.pictures import Pictures, of_errors
from gradcheck.errors import CallError, OutsideError, RuleError
from gradcheck.kernels.allowance import Judged
from gradcheck.kernels.causes import why
from gradcheck.kernels.kinks import at_kinks
from gradcheck.kernels.measured import Measured
from gradcheck.kernels.sides import claims_of, cotangents_of, reference_of, require_runs, subject_of
from gradcheck.kernels.trusted import differs
from gradcheck.kernels.where import placed
from gradcheck.report.report import InputResult, Report
from gradcheck.verdict.compare import Verdict

LISTED = 4


def check_kernel(
    kernel: Callable[..., Any],
    inputs: Any,
    reference: Callable[..., Any],
    *,
    vjp: Callable[..., Any] | None = None,
    wrt: Any = None,
    params: Any = None,
    gy: Any = None,
    accumulate: str | None = None,
    intermediates: str | None = None,
    seed: int = 0,
    backward: bool = True,
    drawn: bool = False,
    note: str = "",
) -> Report:
    """Judge a kernel in its own dtype beside `reference` in float64.

    backward: False leaves the gradient out. drawn: whether the inputs are another example of those of an earlier check: the
    reference's own derivative is known to be right, and `OutsideError` is raised outside of its domain.
    """
    subject = subject_of(kernel, inputs, vjp, params, wrt, backward=backward)
    accumulate, intermediates = accumulate or "float32", intermediates or "float32"
    claims = claims_of(subject, accumulate, intermediates)
    require_runs(subject)
    against = reference_of(reference, subject, inputs, params, seed_of(seed))
    subject.given = cotangents_of(gy, subject, subject.outputs())
    m = Measured(subject, against, claims, seed_of(seed))
    faults: list[Fault] = []
    try:
        m.run(backward=backward)
    except RuleError as error:
        faults.append(
            Fault(
                "raises", f"the gradient of {subject.name} raised {error}, on inputs that its forward takes"
            )
        )
    faults += [Fault("cotangent_shape", m.misshapen)] * bool(m.misshapen)
    if drawn and m.outside():
        raise OutsideError(m.outside())
    if backward and not faults and not drawn:
        wrong = differs(m)
        if wrong:
            raise CallError(wrong)
    faults += _of_missing(m) + _of_changes(m) + _of_spread(m) + _of_values(m)
    m.notes += [*against.notes, *[note] * bool(note)]
    m.calls += 1
    return _report(m, faults, f"accumulate={accumulate!r}, intermediates={intermediates!r}")


def _of_missing(m: Measured) -> list[Fault]:
    return [
        Fault("missing", f"the kernel gives no gradient for {path}, and the reference depends on it", path)
        for path in m.missing
    ]


def _of_changes(m: Measured) -> list[Fault]:
    if not m.changed:
        return []
    return [
        Fault("mutation", f"the kernel wrote into {m.changed}, which others may read as well: work on a copy")
    ]


def _of_spread(m: Measured) -> list[Fault]:
    faults = []
    for path, spread in m.spreads:
        j = next((j for j in m.judged if j.path == path), None)
        if j is not None and np.any(spread > j.limit - 9 * spread):
            faults.append(
                Fault(
                    "deterministic",
                    f"{path} differs from call to call by more than rounding explains (rms {float(spread.max()):.3g}): look for random "
                    "numbers, a race, or memory that is read before it is written",
                    path,
                )
            )
    return faults


def _of_values(m: Measured) -> list[Fault]:
    wrong: list[Judged] = []
    excused: list[Judged] = []
    seen = set(m.missing)
    for j in m.judged:
        if j.path in seen or not j.wrong:
            continue
        if any(_alike(j, other) for other in excused) or at_kinks(m, j):
            m.kinked.add(j.path)
            excused.append(j)
            continue
        seen.add(j.path)
        wrong.append(j)
    return [_fault(m, j) for j in wrong[:LISTED]]  # a cause may take all the evaluations that are left


def _alike(j: Judged, other: Judged) -> bool:
    """Whether it is the same, for the same cotangent in another layout."""
    with np.errstate(invalid="ignore"):
        near = np.abs(j.actual - other.actual) <= j.limit
    return j.path == other.path and j.which == other.which and bool(np.all(near))


def _fault(m: Measured, j: Judged) -> Fault:
    cause = why(m, j) or Cause(
        "value",
        "neither rounding nor a simple change explains the difference: the mathematics is another one",
    )
    at = np.unravel_index(int(np.argmax(j.ratios)), j.truth.shape)
    index = tuple([int(i) for i in at])
    where = f"{j.path}[{', '.join(map(str, index))}]" if index else j.path
    actual, truth, limit = float(j.actual[index]), float(j.truth[index]), float(j.limit[index])
    ulp = j.format.ulp(truth)
    layout = f" (cotangent: {j.layout})" if j.layout not in ("", "dense") else ""
    if j.bad.any():
        text = (
            f"at {where}{layout} the kernel gives {actual:.6g}, and the reference {truth:.6g}: {abs(actual - truth) / ulp:.3g} units in the "
            f"last place of {j.format.name} off, where rounding allows {limit / ulp:.2g}"
        )
        place = placed(j.bad)
        text += f"; {place}" if place else ""
    else:
        text = (
            f"{j.path}{layout} as a whole is off by {j.norm_ratio:.3g} times what rounding allows in root mean square, though no entry alone "
            f"is (at most {j.ratios.max():.2g} of its allowance, at {where})"
        )
    sentence = cause.text[:1].upper() + cause.text[1:]
    return Fault(
        cause.word,
        f"{text}. {sentence}{'' if sentence.endswith('?') else '.'}",
        j.path,
        index,
        actual,
        truth,
        limit,
    )


def _report(m: Measured, faults: list[Fault], claims: str) -> Report:
    kinked = Verdict.SUBGRADIENT if m.kinked else Verdict.PASS
    verdict = Verdict.FAIL if faults else kinked
    wrong = {f.input for f in faults}
    ratio = max([j.ratio for j in m.judged if faults or j.path not in m.kinked], default=math.nan)
    notes = list(dict.fromkeys(m.notes))
    if m.judged and not faults and not m.kinked:
        worst = max(m.judged, key=lambda j: j.ratio)
        notes.insert(0, f"the largest error is {worst.ratio:.2g} of what rounding allows ({worst.path})")
    for path, spread in m.spreads:
        notes.append(
            f"{path} is not the same from call to call (rms {float(spread.max()):.2g}), by which its allowance is widened"
        )
    return Report(
        name=m.kernel.name,
        gradient=f"{m.kernel.gradient}, beside the reference {m.reference.name} in float64 ({claims})",
        verdict=verdict,
        at_kink=bool(m.kinked),
        inputs=tuple([_input(m, path, path in wrong) for path in dict.fromkeys([j.path for j in m.judged])]),
        faults=tuple(faults),
        note="; ".join(notes),
        seed=m.seed,
        evaluations=m.calls + m.references,
        pulls=m.pulls,
        ratio=ratio,
        pictures=_pictures(m, wrong),
    )


def _pictures(m: Measured, wrong: set[str]) -> Pictures | None:
    """The map of the array that is wrong, or of the one with the largest error."""
    judged = [j for j in m.judged if j.path in wrong] or m.judged
    if not judged:
        return None
    worst = max(judged, key=lambda j: j.ratio)
    return of_errors(worst.path, worst.ratios, worst.bad & (worst.path in wrong))


def _input(m: Measured, path: str, wrong: bool) -> InputResult:
    """One output or input: what errors would have been detected in it."""
    j = next(j for j in m.judged if j.path == path)
    size = np.abs(j.truth)
    seen = (size > j.limit) & np.isfinite(size)
    relative = j.limit[seen] / size[seen]
    top = float(np.max(size, where=np.isfinite(size), initial=0.0))
    zero = size == 0
    return InputResult(
        path,
        j.truth.shape,
        j.format.name,
        Verdict.FAIL if wrong else Verdict.SUBGRADIENT if path in m.kinked else Verdict.PASS,
        float(np.median(relative)) if relative.size else math.inf,
        not np.any(j.truth) and not np.any(j.actual),
        float(relative.max()) if relative.size else math.inf,
        float(np.max(j.limit[zero])) / top if zero.any() and top else math.inf,
        int(np.count_nonzero(~seen & ~zero)),
    )
