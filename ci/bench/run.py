"""Measures gradcore's speed against the same work by hand in NumPy (the floor), PyTorch, JAX, autograd and MyGrad; and gradcheck's.

    python ci/bench/run.py [--quick] [--only NAME ...] [--json FILE] [--chart FILE] [--threads N ...] [--check]

Implementations take turns of a few milliseconds, so that other work on the machine slows all of them alike. Reports the
median of each round's ratio, with its quartiles. Nothing is timed before all have computed the same values. PyTorch is timed
in its default, eager mode, JAX compiled. `growth` and `depth` fit an exponent to the time of 1e2 to 1e7 elements and of 1e2
to 1e6 ops, `profile` says where the time of each workload goes, by op. All of it ends in tables. With several numbers of
threads everything that depends on it is measured with each. With `--check`, exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from report import BY_OP, RATIOS, Report, print_tables

# The aims: seconds, seconds an op, between lengths, bytes an op, of the floor's memory; others are ratios to PyTorch.
IMPORT, DEEP, FLAT, SMALL, HELD = 0.015, 3e-6, 1.15, 400, 1.3
VERIFY, LOCATE = 0.4, 3.0
T = TypeVar("T")
LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)


def _race(name: str, report: Report) -> None:
    """The workloads of one bench."""
    from workloads import WORKLOADS

    for workload in WORKLOADS:
        if workload.bench == name:
            report.title(workload.title)
            found = workload.race(max(2, round(workload.rounds * report.rounds)))
            report.race(workload.name, found, workload.aim, workload.captured)


def _import(report: Report) -> None:
    import imports

    found = imports.bench(max(2, round(30 * report.rounds)))
    report.title("import gradcore, above NumPy's own, in a fresh interpreter with compiled modules")
    print(f"  {found.median * 1e3:.1f} ms ({found.low * 1e3:.1f}-{found.high * 1e3:.1f})")
    report.figures["import"] = asdict(found)
    aim = report.shown(IMPORT * 1e3, ".0f", " ms")
    report.row(RATIOS, "import above NumPy's", "-", "-", f"{found.median * 1e3:.0f} ms", aim)
    report.aim("import", found.median, IMPORT, "s")


def _depth(report: Report) -> None:
    import depth
    from contest import FLOOR, OURS, TORCH
    from growth import Growth

    report.title("cost an op in chains of 1e2 to 1e6 ops: forward, backward and freed")
    growths = {}
    # PyTorch takes minutes and 2 GB for a million.
    for name, count in ((FLOOR, 5), (OURS, 5), (TORCH, 4), ("autograd", 3), ("mygrad", 3)):
        found = depth.bench(name, LENGTHS[:count], max(2, round(6 * report.rounds)))
        if isinstance(found, str):
            print(f"  {name:16}skipped: {found}")
            continue
        growths[name] = Growth({ops: ops * s for ops, s in found.seconds.items()})
        costs = "  ".join(f"{ops:.0e}: {s * 1e6:.2f} us" for ops, s in found.seconds.items())
        peaks = " ".join(f"{p:.0f}" for p in found.peaks)
        print(f"  {name:16}{costs}   peak memory by pass, MB: {peaks} (before: {found.start:.0f})")
        off = found.uncollected
        part = off / found.seconds[max(found.seconds)]
        print(
            f"  {'':16}of the longest {1 - part:.0%} is Python's garbage collector: {off * 1e6:.2f} us without"
        )
        report.figures[f"depth {name}"] = asdict(found)
        if name == OURS:
            cost = max(found.seconds.values())
            aim = report.shown(DEEP * 1e6, ".0f", " us")
            report.row(RATIOS, "an op of the dearest chain", "-", "-", f"{cost * 1e6:.1f} us", aim)
            report.aim("depth", cost, DEEP, "s an op of the dearest length")
            report.aim("growth", found.flatness, FLAT, "x between the cheapest and the dearest length")
            taken = (found.peaks[-1] - found.start) * 1e6 / max(found.seconds)
            report.aim("bytes", taken, SMALL, "bytes an op of the longest")
            growth = (found.peaks[-1] - found.peaks[0]) / (found.peaks[0] - found.start)
            report.aim("memory", growth, 0.02, "of a pass's memory, growth from the first pass to the last")
    report.title("the same chains, seconds in all")
    report.growth("ops", growths)


def _memory(report: Report) -> None:
    import memory
    from contest import FLOOR, OURS

    report.title("the most that a training step holds at a time, beyond weights and batch")
    for found in memory.bench():
        shown = ", ".join(
            f"{who} {count / 1e6:.2f} MB ({found.of_floor(who):.2f})" for who, count in found.bytes.items()
        )
        print(f"  {found.name:32}{shown}")
        floor, ours = (found.bytes[who] / 1e6 for who in (FLOOR, OURS))
        aim = report.shown(HELD * floor, ".2f", " MB")
        report.row(RATIOS, f"memory, {found.name}", f"{floor:.2f} MB", "-", f"{ours:.2f} MB", aim)
        report.figures[f"memory {found.name}"] = found.bytes
        report.aim(f"memory, {found.name}", found.of_floor(OURS), HELD, "x the floor's")


def _growth(report: Report) -> None:
    import growth

    report.title("tanh(x w + c) of 1e2 to 1e7 elements, forward and backward")
    report.growth("elements", growth.bench(growth.SIZES, max(3, round(40 * report.rounds))))


def _profile(report: Report) -> None:
    import by_op
    from workloads import WORKLOADS

    report.title("where the time of a step goes, by op: medians, in percent of the step")
    for workload in WORKLOADS:
        found = by_op.profile(workload.ours().run, max(5, round(60 * report.rounds)))
        print(
            f"  {workload.name}: {found.seconds * 1e3:.3g} ms, of which the parts account for {found.total / found.seconds:.2f}"
        )
        for row in by_op.rows(found):
            report.row(BY_OP, workload.name, *row)
        report.figures[f"profile {workload.name}"] = {
            "seconds": found.seconds,
            "calls": found.calls,
            "parts": {f"{op}, {part}": seconds for (op, part), seconds in found.parts.items()},
        }


def _checks(report: Report) -> None:
    import checks

    aims = (0.12, 0.03, 0.04, 0.04, 0.012)
    for (name, work), aim in zip(checks.WORK.items(), aims, strict=True):
        report.title(f"check of {name}, all contracts, against torch.autograd.gradcheck")
        report.race(f"check of {name}", checks.bench(work, max(2, round(20 * report.rounds))), aim)
    rounds = max(2, round(5 * report.rounds))
    report.title(f"verify of a right rule on (4, 5), {checks.EXAMPLES} examples")
    report.seconds("verify on (4, 5)", checks.verification(rounds), VERIFY)
    report.title("a check of 1e6 entries, of which one is wrong and located")
    report.seconds("one wrong entry of 1e6", checks.location(max(1, rounds // 2)), LOCATE)


RACES = ("chain", "mlp", "convnet", "conv", "gelu", "rows", "norm", "adam")
OTHERS: dict[str, Callable[[Report], None]] = {
    "import": _import, "depth": _depth, "growth": _growth, "profile": _profile,
    "memory": _memory, "checks": _checks,
}  # fmt: skip
ON_ONE_THREAD = ("import", "depth", "memory", "checks")  # whatever the number is


def _libraries() -> Iterator[str]:
    import importlib.metadata

    for name in ("gradcore", "numpy", "torch", "jax", "autograd", "mygrad"):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} not installed"


def _count(text: str) -> int:
    """An argument's type: a number of threads."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} threads can do nothing: give 1 or more")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds")
    parser.add_argument(
        "--only", action="append", choices=(*RACES, *OTHERS), help="this one (may be repeated)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--chart",
        type=Path,
        metavar="FILE",
        help="draw time against size, of growth and depth, there (needs matplotlib)",
    )
    parser.add_argument(
        "--threads", type=_count, nargs="+", default=[1], metavar="N",
        help="of BLAS, of gradcore's ops and of PyTorch alike; several to measure with each (default 1)",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    options = parser.parse_args(arguments)
    names = options.only or [*RACES, *OTHERS]
    if options.chart and not {"growth", "depth"} & set(names):
        parser.error("--chart draws what growth and depth measure: leave --only out, or add one of them")

    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    libraries = list(_libraries())
    print(f"Python {platform.python_version()}, {', '.join(libraries)}")
    print(f"{os.cpu_count()} processors, {load}", flush=True)
    reports = []
    for i, threads in enumerate(dict.fromkeys(options.threads)):
        print(
            f"\n{threads} {'thread' if threads == 1 else 'threads'} of BLAS, gradcore's ops and PyTorch",
            flush=True,
        )
        now = [name for name in names if i == 0 or name not in ON_ONE_THREAD]
        rounds = 0.2 if options.quick else 1.0
        reports += [in_a_process_of_its_own(threads, bench, name, rounds, threads) for name in now]
    print_tables(reports)
    figures: dict[int, dict[str, object]] = {}
    for report in reports:
        figures.setdefault(report.threads, {}).update(report.figures)
    if options.json:
        about = {
            "python": platform.python_version(),
            "libraries": libraries,
            "processors": os.cpu_count(),
            "load": load,
        }
        options.json.write_text(json.dumps({**about, "threads": figures}, indent=2))
    if options.chart:
        from chart import draw

        print(
            f"\nwrote {options.chart}"
            if draw(figures, options.chart)
            else "\nno chart: matplotlib is not installed"
        )
    missed = [line for report in reports for line in report.missed]
    print("\nall aims met" if not missed else "\nmissed: " + "; ".join(missed))
    return 1 if options.check and missed else 0


def in_a_process_of_its_own(threads: int, function: Callable[..., T], *arguments: Any) -> T:
    """What the function gives in a fresh interpreter, with so many threads of BLAS, of gradcore's ops and of PyTorch.

    A fresh one, as what an earlier bench did to the allocator speeds up or slows down the next: after one free of 16 MB, for
    example, PyTorch's Adam takes half as long, as it no longer runs into page faults.
    """
    from gradcore.threads import BLAS_VARIABLES, VARIABLE

    settings = dict.fromkeys((*BLAS_VARIABLES, VARIABLE), str(threads))  # read when libraries load
    if threads == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    spawn = multiprocessing.get_context("spawn")
    with mock.patch.dict(os.environ, settings), ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_told_to_torch, threads, function, *arguments).result()


def _told_to_torch(threads: int, function: Callable[..., T], *arguments: Any) -> T:
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(threads)
    found = function(*arguments)
    sys.stdout.flush()
    return found


def bench(name: str, rounds: float, threads: int) -> Report:
    """What one bench reports. rounds: a part of the usual number."""
    report = Report(rounds, threads)
    if name in OTHERS:
        OTHERS[name](report)
    else:
        _race(name, report)
    return report


if __name__ == "__main__":
    sys.exit(main())
