"""Counts the results of the checks of one entry."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from gradcheck.contracts import ON_REQUEST, of_every_subject
from gradcheck.report.report import Report
from gradcheck.report.verification import Verification
from gradcheck.verdict.compare import Verdict
from gradcheck.verification.outcome import VerificationError

VACUOUS = "vacuous"

NEED_MORE = {"integers_get_none", "aliased_arguments"}
"""Contracts that need an input of integers, or two that are alike, which not everything has."""


@dataclass
class Tally:
    """The results of the checks of one entry, so that a check that never decides anything is not taken for a pass.

    counts: examples by verdict, where "vacuous" is a pass whose every gradient is zero. sensitivity: that of the worst
    pass, None where none has one. inconclusive: examples that decided nothing, a kink among them where a smooth point was
    meant; reasons: their reports. informed, of expected: inputs whose gradient was seen. held: contracts that were examined
    and held; skipped: why others were not. hidden: entries of the passes that are too small to be judged.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    sensitivity: float | None = None
    inconclusive: int = 0
    informed: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    hidden: int = 0

    @property
    def examples(self) -> int:
        """How many examples were judged."""
        return self.counts.total()

    @property
    def vacuous(self) -> int:
        """How many passed with a gradient of zero."""
        return self.counts[VACUOUS]

    @property
    def decisive(self) -> int:
        """How many were decisive."""
        return self.examples - self.inconclusive - self.vacuous

    def passed(self) -> None:
        """Count an example of a check that passes by returning."""
        self.counts[Verdict.PASS.value] += 1

    def add(self, result: Report | Verification, smooth: bool = True) -> Report | Verification:
        """Count one report, or what `verify` found over many examples, and hand it on.

        smooth: whether a kink counts as inconclusive. Raises TypeError for what is neither.
        """
        if isinstance(result, Verification):
            self._add_verification(result)
        elif isinstance(result, Report):
            self._add_report(result, smooth)
        else:
            raise TypeError(
                f"{self.name}: expected a gradcheck Report or Verification, got {type(result).__name__}: pass on what "
                "gradcheck() or verify() returned"
            )
        return result

    def conclude(self, everything: bool = True) -> None:
        """Raises `VerificationError` where no check decided anything, or more than half of them by what is not chance (two
        standard deviations) were inconclusive; and, unless `everything` is False, where some input's gradient was never seen,
        or some contract never examined.
        """
        blind = sorted(self.expected - self.informed) if everything else []
        if blind and self.decisive + self.inconclusive:  # for x^0, all of them vacuous is right
            raise VerificationError(
                f"{self.name}: no example showed a gradient by {', '.join(blind)}: it was zero or could not be measured "
                "at any of them. Change the spec's domain, or declare the array differentiable=False"
            )
        left = sorted(of_every_subject() - ON_REQUEST - self.held - NEED_MORE) if everything else []
        if left and self.decisive and (self.held or self.skipped):
            raise VerificationError(
                f"{self.name}: no example showed whether {', '.join(left)} holds: "
                f"{self.skipped.get(left[0], 'it was not tried')}. Change the spec's domain"
            )
        decided = self.decisive + self.vacuous
        if self.inconclusive and (not decided or self.inconclusive - decided > 2 * math.sqrt(self.examples)):
            raise VerificationError(
                f"{self.name}: {self.inconclusive} of {self.examples} checks were inconclusive. Change the spec's domain to one "
                f"where a derivative can be measured. The last one:\n{self.reasons[-1]}"
            )

    def _add_report(self, report: Report, smooth: bool) -> None:
        self.expected |= {i.path for i in report.inputs}
        self.held |= {c.name for c in report.contracts if c.status == "held"}
        self.skipped.update({c.name: c.text for c in report.contracts if c.status == "skipped"})
        self.informed |= {
            i.path
            for i in report.inputs
            if not i.vacuous
            and (i.verdict is Verdict.PASS or (i.verdict is Verdict.SUBGRADIENT and not smooth))
        }
        unclear = report.verdict is Verdict.INCONCLUSIVE or (smooth and report.verdict is Verdict.SUBGRADIENT)
        vacuous = bool(report) and not unclear and len(report.vacuous) == len(report.inputs)
        self.counts[VACUOUS if vacuous else report.verdict.value] += 1
        if unclear:
            self.inconclusive += 1
            self.reasons.append(str(report))
        if report:
            self.hidden += sum([i.hidden for i in report.inputs])
        if report.verdict is Verdict.PASS:
            self._worst(report.sensitivity)

    def _add_verification(self, found: Verification) -> None:
        self.counts.update(found.verdicts)
        self.hidden += found.hidden
        if not math.isfinite(found.sensitivity):  # no pass had a gradient to see
            self.counts[VACUOUS] += self.counts.pop(Verdict.PASS.value, 0)
        unclear = found.verdicts.get(Verdict.INCONCLUSIVE.value, 0)
        if not found.examples:  # forward took none
            unclear = 1
            self.counts[Verdict.INCONCLUSIVE.value] += 1
        if unclear:
            self.inconclusive += unclear
            self.reasons.append(str(found))
        self._worst(found.sensitivity)

    def _worst(self, sensitivity: float) -> None:
        if math.isfinite(sensitivity):
            self.sensitivity = max(self.sensitivity or 0.0, sensitivity)
