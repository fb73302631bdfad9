"""Measures gradcore's speed against the same work by hand in NumPy (the floor), PyTorch, JAX, autograd and MyGrad; and gradcheck's.

    python ci/bench/run.py [--quick] [--only NAME ...] [--json FILE] [--threads N] [--check]

Implementations take turns of a few milliseconds, so that other work on the machine slows all of them alike. Reports the
median of each round's ratio, with its quartiles, and at the end a table of them. Nothing is timed before all have computed
the same values. PyTorch is timed in its default, eager mode, JAX compiled. With `--check`, exits with 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timing import Race

# The aims: seconds, seconds an op, between lengths; others are ratios to PyTorch.
IMPORT, DEEP, FLAT = 0.015, 3e-6, 1.15
VERIFY, LOCATE = 0.4, 3.0
LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)


@dataclass
class Report:
    """Lines for the reader, figures for the file, rows of the table at the end, and the aims that were missed."""

    rounds: float
    figures: dict[str, object] = field(default_factory=dict)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        print(f"\n{text}")

    def race(self, name: str, found: Race, aim: float | None = None, captured: float | None = None) -> None:
        """One line an implementation: time, ratio to PyTorch, ratio to the floor. captured: the aim of a captured step."""
        from contest import CAPTURED, FLOOR, OURS, TORCH
        from timing import shown

        print(f"  {'':16}{'time':>12}   {'of torch':<20} {'of numpy by hand':<20}")
        lines: dict[str, object] = {}
        for contender in found.seconds:
            seconds = found.time(contender)
            ratios = {
                other: found.ratio(contender, other) for other in (TORCH, FLOOR) if other in found.seconds
            }
            cells = [
                f"{ratios[other]!s:<20}" if other in ratios else f"{'-':<20}" for other in (TORCH, FLOOR)
            ]
            print(f"  {contender:16}{_time(seconds):>12}   {' '.join(cells)}".rstrip())
            lines[contender] = {"seconds": seconds, **{f"of {k}": asdict(v) for k, v in ratios.items()}}
        for contender, reason in found.skipped.items():
            print(f"  {contender:16}skipped: {reason}")
        for contender, note in found.notes.items():
            print(f"  {contender:16}note: {note}")
        self.figures[name] = lines
        if TORCH not in found.seconds:
            return
        of_torch = {other: found.ratio(other, TORCH).median for other in found.seconds}
        peers = {
            other: ratio for other, ratio in of_torch.items() if other not in (FLOOR, OURS, CAPTURED, TORCH)
        }
        best = min(peers, key=lambda other: peers[other], default=None)
        peer = "-" if best is None else f"{best} {shown(peers[best])}"
        for row, ours, most in ((name, OURS, aim), (f"{name}, captured", CAPTURED, captured)):
            if ours in of_torch:
                floor = shown(of_torch[FLOOR]) if FLOOR in of_torch else "-"
                self.rows.append((row, floor, peer, shown(of_torch[ours]), shown(most) if most else "-"))
                if most is not None:
                    self.aim(row, of_torch[ours], most, "x PyTorch")

    def seconds(self, name: str, found: float, aim: float) -> None:
        """A line for a time that nobody else is raced for."""
        print(f"  {_time(found)}")
        self.figures[name] = {"seconds": found}
        self.rows.append((name, "-", "-", _time(found), _time(aim)))
        self.aim(name, found, aim, "s")

    def aim(self, name: str, value: float, aim: float, unit: str) -> None:
        """State the aim, and whether it was met."""
        met = value <= aim
        print(f"  {'met' if met else 'MISSED'}: {value:.3g} {unit}, aim at most {aim:g}")
        if not met:
            self.missed.append(f"{name}: {value:.3g} {unit}, aim {aim:g}")


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def _chain(report: Report) -> None:
    import chain

    report.title(f"100 elementwise ops on shape (4,), forward and backward ({chain.OPS})")
    report.race("chain of 100 ops on (4,)", chain.bench(round(200 * report.rounds)), 0.4, 0.2)


def _mlp(report: Report) -> None:
    import mlp

    for widths, size, *aims in (
        (mlp.TINY, 8, 0.42, 0.28),
        (mlp.REFERENCE, 32, 0.57, 0.53),
        (mlp.REFERENCE, 256, 0.82, None),
    ):
        layers = "-".join(map(str, widths))
        report.title(f"training step of {layers}, batch {size}, cross-entropy, SGD")
        report.race(f"MLP {layers}, batch {size}", mlp.bench(widths, size, round(120 * report.rounds)), *aims)


def _convnet(report: Report) -> None:
    import convnet

    for size, aim in ((32, None), (64, 0.65)):
        report.title(
            f"training step of conv16-relu-pool-conv32-relu-pool-linear on 1x28x28, batch {size}, SGD"
        )
        report.race(f"convnet, batch {size}", convnet.bench(size, round(60 * report.rounds)), aim)


def _conv(report: Report) -> None:
    import images
    import single

    report.title("conv2d 32->64, 3x3, padding 1, on 28x28, batch 32: forward and backward")
    report.race("conv2d 32->64, 28x28, batch 32", single.bench(images.CONV, round(30 * report.rounds)), 1.3)


def _norm(report: Report) -> None:
    import images
    import single

    report.title(
        "batch norm in training on (64, 32, 28, 28), running averages included: forward and backward"
    )
    report.race("batch norm (64, 32, 28, 28)", single.bench(images.NORM, round(40 * report.rounds)), 1.1)


def _gelu(report: Report) -> None:
    import activations
    import single

    report.title("gelu with tanh on (512, 1024): forward and backward")
    report.race("gelu (tanh), (512, 1024)", single.bench(activations.GELU, round(60 * report.rounds)), 0.75)


def _rows(report: Report) -> None:
    import rows
    import single

    for name, work, aim in (("softmax", rows.SOFTMAX, 1.8), ("layer norm", rows.LAYER_NORM, 2.4)):
        report.title(f"{name} over the rows of (512, 1024): forward and backward")
        report.race(f"{name}, (512, 1024)", single.bench(work, round(60 * report.rounds)), aim)


def _adam(report: Report) -> None:
    import adam

    for layout, aim in zip(adam.LAYOUTS, (0.33, None), strict=True):
        report.title(f"step of Adam over {layout} parameters")
        report.race(f"Adam, {layout}", adam.bench(layout, round(80 * report.rounds)), aim)


def _import(report: Report) -> None:
    import imports

    found = imports.bench(round(30 * report.rounds))
    report.title("import gradcore, above NumPy's own, in a fresh interpreter with compiled modules")
    print(f"  {found.median * 1e3:.1f} ms ({found.low * 1e3:.1f}-{found.high * 1e3:.1f})")
    report.figures["import"] = asdict(found)
    report.rows.append(
        ("import above NumPy's", "-", "-", f"{found.median * 1e3:.0f} ms", f"{IMPORT * 1e3:.0f} ms")
    )
    report.aim("import", found.median, IMPORT, "s")


def _depth(report: Report) -> None:
    import depth
    from contest import OURS

    report.title("cost an op in chains of 1e2 to 1e6 ops: forward, backward and freed")
    for name in (OURS, "torch", "autograd", "mygrad"):
        lengths = LENGTHS if name == OURS else LENGTHS[:3]
        found = depth.bench(name, lengths, max(2, round(6 * report.rounds)))
        if isinstance(found, str):
            print(f"  {name:16}skipped: {found}")
            continue
        costs = "  ".join(f"{ops:.0e}: {s * 1e6:.2f} us" for ops, s in found.seconds.items())
        peaks = " ".join(f"{p:.0f}" for p in found.peaks)
        print(f"  {name:16}{costs}   peak memory by pass, MB: {peaks} (before: {found.start:.0f})")
        report.figures[f"depth {name}"] = asdict(found)
        if name == OURS:
            cost = max(found.seconds.values())
            report.rows.append(
                ("an op of the dearest chain", "-", "-", f"{cost * 1e6:.1f} us", f"{DEEP * 1e6:.0f} us")
            )
            report.aim("depth", cost, DEEP, "s an op of the dearest length")
            report.aim("growth", found.flatness, FLAT, "x between the cheapest and the dearest length")
            growth = (found.peaks[-1] - found.peaks[0]) / (found.peaks[0] - found.start)
            report.aim("memory", growth, 0.02, "of a pass's memory, growth from the first pass to the last")


def _checks(report: Report) -> None:
    import checks

    aims = (0.12, 0.03, 0.04, 0.04, 0.012)
    for (name, work), aim in zip(checks.WORK.items(), aims, strict=True):
        report.title(f"check of {name}, all contracts, against torch.autograd.gradcheck")
        report.race(f"check of {name}", checks.bench(work, round(20 * report.rounds)), aim)
    rounds = max(2, round(5 * report.rounds))
    report.title(f"verify of a right rule on (4, 5), {checks.EXAMPLES} examples")
    report.seconds("verify on (4, 5)", checks.verification(rounds), VERIFY)
    report.title("a check of 1e6 entries, of which one is wrong and located")
    report.seconds("one wrong entry of 1e6", checks.location(max(1, rounds // 2)), LOCATE)


BENCHES: dict[str, Callable[[Report], None]] = {
    "chain": _chain,
    "mlp": _mlp,
    "convnet": _convnet,
    "conv": _conv,
    "gelu": _gelu,
    "rows": _rows,
    "norm": _norm,
    "adam": _adam,
    "checks": _checks,
    "import": _import,
    "depth": _depth,
}


def _libraries() -> Iterator[str]:
    import importlib.metadata

    for name in ("gradcore", "numpy", "torch", "jax", "autograd", "mygrad"):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} not installed"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the rounds")
    parser.add_argument("--only", action="append", choices=BENCHES, help="this one (may be repeated)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS and of PyTorch alike (default 1)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where an aim is missed")
    options = parser.parse_args()

    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)  # read when NumPy and PyTorch load
    if options.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

    load = f"load {os.getloadavg()[0]:.1f}, " if hasattr(os, "getloadavg") else ""
    print(f"Python {platform.python_version()}, {', '.join(_libraries())}")
    print(f"{options.threads} BLAS and PyTorch threads, {load}{os.cpu_count()} processors", flush=True)
    rounds = 0.2 if options.quick else 1.0
    figures: dict[str, object] = {}
    table: list[tuple[str, ...]] = []
    missed: list[str] = []
    for name in options.only or BENCHES:
        found = _in_a_process_of_its_own(name, rounds, options.threads)
        figures.update(found.figures)
        table += found.rows
        missed += found.missed
    print("\nPyTorch eager = 1 (of a check, its gradcheck in full mode):\n")
    head = ("workload", "by hand", "best other peer", "gradcore", "aim")
    for line in (head, ("---",) * len(head), *table):
        print(f"| {' | '.join(line)} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    print("\nall aims met" if not missed else "\nmissed: " + "; ".join(missed))
    return 1 if options.check and missed else 0


def _in_a_process_of_its_own(name: str, rounds: float, threads: int) -> Report:
    """One bench in a fresh interpreter: what an earlier one did to the allocator speeds up or slows down the next.

    After one free of 16 MB, for example, PyTorch's Adam takes half as long, as it no longer runs into page faults.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_bench, name, rounds, threads).result()


def _bench(name: str, rounds: float, threads: int) -> Report:
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(threads)
    report = Report(rounds)
    BENCHES[name](report)
    sys.stdout.flush()
    return report


if __name__ == "__main__":
    sys.exit(main())
