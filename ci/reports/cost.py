"""Measures the cost of a check: forward evaluations by size, time against torch.autograd.gradcheck, and 1e6 inputs.

    python ci/reports/cost.py [--rounds 5] [--most 3000] [--without-torch]

Prints three tables. Exits with 1 where a smooth function takes more than 30 forward evaluations, contracts included. Also
where a check of 300 inputs or more takes longer than torch's full mode, or where its lead does not grow with n. The two are
timed in turn, and ratios are medians over the rounds. Without torch, its table is left out with a line that says so.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import common
import numpy as np

from gradcheck import gradcheck

LIMIT = 30
"""Forward evaluations of one check of a smooth function."""

FROM = 300
"""Inputs from which on a check has to be faster than torch's."""

SIZES = (10, 30, 100, 300, 1000, 3000)

Pair = tuple[Callable[..., Any], Callable[..., Any]]

SMOOTH: dict[str, Pair] = {
    "tanh": (np.tanh, lambda gy, y, x: gy * (1 - y * y)),
    "x³": (lambda x: x**3, lambda gy, y, x: 3 * gy * x * x),
    "sum of sin": (lambda x: np.sin(x).sum(), lambda gy, y, x: gy * np.cos(x)),
    "2-norm": (lambda x: np.sqrt((x * x).sum()), lambda gy, y, x: gy * x / y),
    "softmax": (
        lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
        lambda gy, y, x: y * (gy - (gy * y).sum()),
    ),
    "cumulative sum": (np.cumsum, lambda gy, y, x: np.cumsum(gy[::-1])[::-1].copy()),
    "a b": (np.multiply, lambda gy, y, a, b: (gy * b, gy * a)),
}


def inputs_of(name: str, n: int, dtype: Any) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([n, 1])
    return tuple([rng.standard_normal(n).astype(dtype) for _ in range(2 if name == "a b" else 1)])


def evaluations(sizes: Sequence[int]) -> list[str]:
    """The first table; returns what missed its aim."""
    print("forward evaluations of one check, contracts included (verdict, where it is no pass)")
    print(f"{'function':<16}{'dtype':<9}" + "".join(f"{f'n = {n}':>12}" for n in sizes))
    missed = []
    for name, (f, rule) in SMOOTH.items():
        for dtype in (np.float64, np.float32):
            cells = []
            for n in sizes:
                report = gradcheck(f, inputs_of(name, n, dtype), vjp=rule, raise_exception=False)
                cells.append(f"{report.evaluations}{'' if report else ' ' + report.verdict.value}")
                if report.evaluations > LIMIT or not report:
                    missed.append(f"{name}, {np.dtype(dtype)}, n = {n}: {cells[-1]} evaluations")
            print(f"{name:<16}{np.dtype(dtype)!s:<9}" + "".join(f"{c:>12}" for c in cells))
    return missed


def contest(sizes: Sequence[int], rounds: int) -> list[str]:
    """The second table: time against torch's full and fast modes on the same function."""
    try:
        import torch
    except ImportError:
        print("torch is not installed: no comparison with torch.autograd.gradcheck")
        return []
    torch.set_num_threads(1)

    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.tanh(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, gy: Any) -> Any:
            (y,) = ctx.saved_tensors
            return gy * (1 - y * y)

    f, rule = SMOOTH["tanh"]
    print(
        "time of one check of tanh, float64, one thread, in ms: of a NumPy pair, of the same torch Function as for torch"
    )
    print(
        f"{'n':>6}{'NumPy pair':>12}{'Function':>12}{'torch, full':>14}{'torch, fast':>14}{'full / NumPy':>14}{'quartiles':>14}"
        f"{'full / Function':>17}{'fast / Function':>17}"
    )
    missed, leads = [], {}
    for n in sizes:
        x = inputs_of("tanh", n, np.float64)[0]
        tensor = torch.tensor(x, requires_grad=True)
        count = 3 if n <= 100 else 1
        runs: dict[str, Callable[[], object]] = {
            "pair": partial(gradcheck, f, (x,), vjp=rule),
            "function": partial(gradcheck, Tanh, (tensor,)),
            "full": partial(torch.autograd.gradcheck, Tanh.apply, (tensor,)),
            "fast": partial(torch.autograd.gradcheck, Tanh.apply, (tensor,), fast_mode=True),
        }
        times: dict[str, list[float]] = {name: [] for name in runs}
        for k in range(rounds + 1):
            for name, run in runs.items():
                seconds = timed(run, count)
                times[name] += [seconds] if k else []  # the first round warms up
        ratios = [b / a for a, b in zip(times["pair"], times["full"], strict=True)]
        leads[n] = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4)
        middle = {name: statistics.median(found) for name, found in times.items()}
        print(
            f"{n:>6}{1e3 * middle['pair']:>12.1f}{1e3 * middle['function']:>12.1f}{1e3 * middle['full']:>14.1f}"
            f"{1e3 * middle['fast']:>14.1f}{leads[n]:>14.2f}{f'{low:.2f}-{high:.2f}':>14}"
            f"{middle['full'] / middle['function']:>17.2f}{middle['fast'] / middle['function']:>17.2f}",
            flush=True,
        )
        if n >= FROM and leads[n] < 1:
            missed.append(
                f"n = {n}: torch's full mode takes {leads[n]:.2f} times as long as ours, not longer"
            )
    late = [lead for n, lead in leads.items() if n >= 100]
    if any(b <= a for a, b in itertools.pairwise(late)):
        missed.append(f"the lead does not grow with n: {', '.join(f'{r:.2f}' for r in late)}")
    return missed


def timed(run: Callable[[], object], count: int) -> float:
    """Seconds of one call, the mean of `count`."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def million(n: int = 1_000_000) -> None:
    """The third table: seconds, and memory above the inputs, in units of the input array."""
    print(f"one check of n = {n:g} inputs")
    print(f"{'function':<16}{'dtype':<9}{'time':>9}{'memory / input':>16}{'evaluations':>13}{'forward':>10}")
    for name in ("tanh", "sum of sin", "cumulative sum"):
        f, rule = SMOOTH[name]
        for dtype in (np.float64, np.float32):
            x = inputs_of(name, n, dtype)
            run = partial(gradcheck, f, x, vjp=rule, raise_exception=False)
            seconds = min(timed(run, 1) for _ in range(2))
            tracemalloc.start()
            report = run()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            alone = timed(partial(f, *x), 3)
            print(
                f"{name:<16}{np.dtype(dtype)!s:<9}{seconds:>7.2f} s{peak / x[0].nbytes:>16.1f}{report.evaluations:>13}"
                f"{1e3 * alone:>7.1f} ms"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=common.at_least_one, default=5, help="timed rounds")
    parser.add_argument("--most", type=int, default=3000, help="largest n against torch")
    parser.add_argument("--without-torch", action="store_true")
    options = parser.parse_args(arguments)
    sizes = [n for n in SIZES if n <= options.most]
    if not sizes and not options.without_torch:
        parser.exit(
            2,
            f"{parser.prog}: --most {options.most} leaves no size to time: the smallest is {SIZES[0]}; "
            "give a larger number, or --without-torch\n",
        )
    missed = evaluations((1, 10, 100, 1000, 10_000, 100_000))
    if not options.without_torch:
        print()
        missed += contest(sizes, max(options.rounds, 2))
    print()
    million()
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
