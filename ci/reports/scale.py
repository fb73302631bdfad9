"""Checks that a verdict depends neither on an array's size (1 to 1e6) nor on its scale (1e-8 to 1e8, in and out).

    python ci/reports/scale.py [--most 1000000] [--only FUNCTION] [--quick] [--show]

One entry of a gradient is 1e-3 off, doubled, of the wrong sign or zero. Every cell of the grid shows the verdicts on the
right gradient and on these four mistakes, in this order: `.` the right verdict (pass, or fail), `i` inconclusive, `S`
subgradient, `P` a mistake passed, `F` a right gradient failed, `?` a fail that names another entry than the wrong one. Exits
with 1 where anything but dots is in the grid.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import common
import numpy as np

from gradcheck import Report, Verdict, gradcheck

MISTAKES: dict[str, Callable[[Any], Any] | None] = {
    "right": None,
    "1e-3": lambda g: g * 1.001,
    "factor 2": lambda g: g * 2,
    "sign": lambda g: -g,
    "zeroed": lambda g: g * 0,
}
SCALES = (1e-8, 1.0, 1e8)
DTYPES = (np.float64, np.float32)


@dataclass(frozen=True)
class Kind:
    """A function of one array and its rule; `low` and `high` bound the entries; `log`: uniform in the logarithm."""

    name: str
    f: Callable[..., Any]
    rule: Callable[..., Any]
    low: float
    high: float
    log: bool = False


KINDS = (
    Kind("tanh", np.tanh, lambda gy, y, x: gy * (1 - y * y), -2, 2),
    Kind("sum of squares", lambda x: (x * x).sum(), lambda gy, y, x: 2 * gy * x, 0.5, 2),
    Kind("cube, 4 decades", lambda x: x * x * x, lambda gy, y, x: 3 * gy * x * x, 1e-2, 1e2, log=True),
    Kind("log, 8 decades", np.log, lambda gy, y, x: gy / x, 1e-4, 1e4, log=True),
)


def points(kind: Kind, n: int, rng: np.random.Generator) -> np.ndarray:
    """The inputs before scaling."""
    if kind.log:
        return np.exp(rng.uniform(np.log(kind.low), np.log(kind.high), n))
    return rng.uniform(kind.low, kind.high, n)


def check(
    kind: Kind, n: int, dtype: Any, inner: float, outer: float, mistake: str, seed: int = 0
) -> tuple[Report, int]:
    """The report on a gradient with that mistake in one entry, and the entry."""
    rng = np.random.default_rng([seed, n])
    x = (points(kind, n, rng) * inner).astype(dtype)
    at, spoil = int(rng.integers(n)), MISTAKES[mistake]

    def forward(x: Any) -> Any:
        return outer * kind.f(x / inner)

    def rule(gy: Any, y: Any, x: Any) -> Any:
        gx = kind.rule(gy * outer, y / outer, x / inner) / inner
        if spoil is not None:
            gx[at] = spoil(gx[at])
        return gx

    return gradcheck(forward, (x,), vjp=rule, contracts=False, seed=seed, raise_exception=False), at


def letter(report: Report, at: int, right: bool) -> str:
    """What the grid shows of one check."""
    if right:
        return {Verdict.PASS: ".", Verdict.FAIL: "F", Verdict.SUBGRADIENT: "S"}.get(report.verdict, "i")
    if report.verdict is Verdict.FAIL:
        return "." if report.faults[0].index == (at,) else "?"
    return "i" if report.verdict is Verdict.INCONCLUSIVE else "P"


def sizes(most: int, quick: bool) -> list[int]:
    """Powers of ten."""
    every = [10**k for k in range(7) if 10**k <= most]
    return every[::3] if quick else every


def grid(most: int, quick: bool, only: str | None = None) -> Iterator[tuple[str, dict[int, str], list[str]]]:
    """Rows of the grid: what, the letters by size, and what was odd."""
    for kind, dtype in itertools.product([k for k in KINDS if only in (None, k.name)], DTYPES):
        for inner, outer in itertools.product(SCALES, SCALES):
            row, odd = {}, []
            for n in sizes(most, quick):
                if n > 10_000 and not inner == outer == 1.0 and (inner, outer) != (1e-8, 1e8):
                    continue  # what these show at 1e4, they show at 1e6
                row[n] = ""
                for mistake in MISTAKES:
                    report, at = check(kind, n, dtype, inner, outer, mistake)
                    found = letter(report, at, mistake == "right")
                    row[n] += found
                    if found != ".":
                        odd.append(f"{found}: {mistake} at {at} of {n}:\n{report}")
            yield f"{kind.name:<16}{np.dtype(dtype)!s:<9}{inner:>7g}{outer:>7g}", row, odd


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=common.at_least_one, default=1_000_000, help="largest array")
    parser.add_argument("--only", choices=[k.name for k in KINDS], help="one function")
    parser.add_argument("--quick", action="store_true", help="every third size")
    parser.add_argument("--show", action="store_true", help="print the report of each check that is no dot")
    options = parser.parse_args(arguments)
    start, columns = time.perf_counter(), sizes(options.most, options.quick)
    print(f"in every cell: {', '.join(MISTAKES)}")
    print(
        f"{'function':<16}{'dtype':<9}{'in':>7}{'out':>7}  " + "".join(f"{f'n = {n:g}':>11}" for n in columns)
    )
    checks = different = 0
    for title, row, odd in grid(options.most, options.quick, options.only):
        print(f"{title}  " + "".join(f"{row.get(n, ''):>11}" for n in columns), flush=True)
        checks += sum(map(len, row.values()))
        different += len(odd)
        if options.show:
            print("\n".join(odd))
    print(f"{different} of {checks} verdicts are wrong or inconclusive, {time.perf_counter() - start:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
