"""Error of a sum in units in the last place against its length: accumulated in bfloat16 and in float32, and what is allowed.

python ci/reports/kernel_chart.py [--seeds N] [--out FILE.svg]

Prints a table; with matplotlib it draws the chart as well (`ci/reports/kernel_error.svg`). Exits with 1 where the accumulation in
float32 is called wrong, or the one in bfloat16 right at the longest length.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import at_least_one  # isort: skip  (it makes `catalogue` importable)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import ml_dtypes
import numpy as np

from gradcheck.kernels.formats import FORMATS
from gradcheck.kernels.measured import Measured
from gradcheck.kernels.sides import claims_of, reference_of, subject_of

BF16 = np.dtype(ml_dtypes.bfloat16)
LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
ROWS = 32
OUT = Path(__file__).with_name("kernel_error.svg")


@dataclass(frozen=True)
class Point:
    """Of one length: the largest errors and the smallest allowance, in units in the last place; the verdicts."""

    length: int
    low: float
    wide: float
    allowed: float
    low_wrong: int
    wide_wrong: int


def summed(dtype: Any) -> Any:
    """The sum of each row, one entry after the other in this dtype, rounded to that of the inputs."""

    def sums(x: Any) -> Any:
        total = np.zeros(len(x), dtype)
        for column in x.T:
            total = (total + column.astype(dtype)).astype(dtype)
        return total.astype(x.dtype)

    return sums


def reference(x: Any) -> Any:
    """The same in float64."""
    return np.sum(x, axis=1)


def point(length: int, seeds: int) -> Point:
    """Measured over some inputs."""
    worst, wrong, allowed = (
        {BF16: 0.0, np.dtype(np.float32): 0.0},
        dict.fromkeys((BF16, np.dtype(np.float32)), 0),
        [],
    )
    for seed in range(seeds):
        x = np.random.default_rng([seed, length]).uniform(0.5, 1.5, (ROWS, length)).astype(BF16)
        for dtype in worst:
            kernel = subject_of(summed(dtype), (x,), None, None, None, backward=False)
            exact = reference_of(reference, kernel, (x,), None, seed)
            m = Measured(kernel, exact, claims_of(kernel, "float32", "float32"), seed)
            m.run(backward=False)
            (j,) = m.judged
            ulps = np.array([FORMATS["bfloat16"].ulp(float(t)) for t in j.truth])
            worst[dtype] = max(worst[dtype], float(np.max(j.error / ulps)))
            wrong[dtype] += j.wrong
            allowed.append(float(np.min(j.limit / ulps)))
    low, wide = worst.values()
    return Point(length, low, wide, min(allowed), *wrong.values())


def table(points: Sequence[Point], seeds: int) -> str:
    """The numbers."""
    lines = [f"{'length':>8}{'in bfloat16':>13}{'in float32':>12}{'allowed':>9}   called wrong of {seeds}"]
    lines += [
        f"{p.length:>8}{p.low:>13.2f}{p.wide:>12.2f}{p.allowed:>9.2f}   {p.low_wrong} and {p.wide_wrong}"
        for p in points
    ]
    return "\n".join(lines)


def draw(points: Sequence[Point], out: Path) -> bool:
    """The chart; False where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "gradcheck", "font.size": 10})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    lengths = [p.length for p in points]
    axes.loglog(lengths, [p.low for p in points], "o-", color="#cf222e", label="accumulated in bfloat16")
    axes.loglog(lengths, [p.wide for p in points], "s-", color="#1a7f37", label="accumulated in float32")
    axes.loglog(lengths, [p.allowed for p in points], "--", color="#24292f", label="allowed")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("length of the sum")
    axes.set_ylabel("largest error, units in the last place of bfloat16")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(out, metadata={"Date": None})
    pyplot.close(figure)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=at_least_one, default=10, help="inputs for each length")
    parser.add_argument("--out", type=Path, default=OUT, help="the chart")
    given = parser.parse_args(arguments)
    points = [point(n, given.seeds) for n in LENGTHS]
    print(table(points, given.seeds))
    print(f"wrote {given.out}" if draw(points, given.out) else "no chart: matplotlib is not installed")
    return 1 if any(p.wide_wrong for p in points) or points[-1].low_wrong < given.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
