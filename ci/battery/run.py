"""Compares the numeric derivative with known truth: whether the error bound holds, how tight it is, what it costs.

    python ci/battery/run.py [--quick] [--seed N] [--show]

Exits with 1 where an aim is missed: |error| <= bound in at least 99.9 % of the cases, and a median relative error bound
below 1e-10 for smooth float64 functions. `--quick` takes every tenth case. `--show` lists each case whose error is larger
than its bound.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
from functions import DIGITS, Case, cases

from gradcheck.numeric.derivative import derivative

COVERAGE, TIGHTNESS = 0.999, 1e-10


@dataclass(frozen=True)
class Outcome:
    """One case: error, bound and truth of every output element, and the evaluations taken."""

    case: Case
    error: np.ndarray
    bound: np.ndarray
    truth: np.ndarray
    evaluations: int

    @property
    def covered(self) -> bool:
        """Whether every output's error is within its bound."""
        return bool(np.all(self.error <= self.bound))

    @property
    def relative(self) -> float:
        """Largest bound over |truth|; infinite where the truth is zero and the bound is not."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.bound == 0, 0.0, self.bound / np.abs(self.truth))
        return float(np.max(ratio, initial=0.0))


def measure(case: Case) -> Outcome:
    """Derivative of one case against its truth; the difference is taken in many digits."""
    numeric = derivative(case.f, case.x, case.v)
    value, bound = np.atleast_1d(numeric.value), np.atleast_1d(numeric.bound)
    truth = np.atleast_1d(case.truth())
    with mpmath.workdps(DIGITS):
        error = [
            float(abs(mpmath.mpf(float(a)) - b)) if np.isfinite(a) else np.inf
            for a, b in zip(value.flat, truth.flat, strict=True)
        ]
    exact = np.array([float(t) for t in truth.flat])
    return Outcome(case, np.array(error), bound.reshape(-1), exact, numeric.evaluations)


def table(outcomes: Sequence[Outcome]) -> str:
    """Report by family."""
    lines = [
        f"{'family':<16}{'cases':>7}{'covered':>10}{'median bound/|g|':>18}{'useless':>9}{'evaluations: median':>21}{'max':>5}"
    ]
    families = list(dict.fromkeys(outcome.case.family for outcome in outcomes))
    for family in [*families, "all"]:
        part = [o for o in outcomes if family in (o.case.family, "all")]
        covered = sum(o.covered for o in part) / len(part)
        relative = np.array([o.relative for o in part])
        spent = [o.evaluations for o in part]
        lines.append(
            f"{family:<16}{len(part):>7}{covered:>10.2%}{np.median(relative):>18.1e}{np.mean(relative > 0.5):>9.1%}"
            f"{np.median(spent):>21.0f}{max(spent):>5}"
        )
    return "\n".join(lines)


def misses(outcomes: Sequence[Outcome]) -> list[str]:
    """The aims that were not met, as sentences."""
    found = []
    covered = sum(o.covered for o in outcomes) / len(outcomes)
    if covered < COVERAGE:
        found.append(f"the error bound covers {covered:.2%} of the cases, below {COVERAGE:.1%}")
    smooth = [o.relative for o in outcomes if o.case.family == "smooth"]
    if smooth and not np.median(smooth) < TIGHTNESS:
        found.append(
            f"the median relative error bound of smooth functions is {np.median(smooth):.1e}, not below {TIGHTNESS:g}"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="every tenth case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--show", action="store_true", help="list each case whose error is larger than its bound"
    )
    options = parser.parse_args(arguments)
    chosen = cases(options.seed)[:: 10 if options.quick else 1]
    outcomes = [measure(case) for case in chosen]
    print(table(outcomes))
    if options.show:
        for o in outcomes:
            if not o.covered:
                worst = int(np.argmax(o.error - o.bound))
                print(
                    f"not covered: {o.case.family}: {o.case.name}: truth {o.truth[worst]:.6g}, error {o.error[worst]:.2e}, "
                    f"bound {o.bound[worst]:.2e}"
                )
    missed = misses(outcomes)
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
