"""Kernels in low precision: right ones called wrong, wrong ones found, and by what; other rules of thumb beside it.

python ci/reports/kernels.py [--draws N] [--right N] [NAME ...]

Each wrong kernel is drawn N times (20), each right one as many times or as --right says, over shapes, magnitudes and dtypes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from common import at_least_one, require_known  # isort: skip  (it makes `catalogue` importable)
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ci.catalogue.kernels import KERNELS
from ci.catalogue.kernels.base import ALL, Defect, Draw, Kernel
from gradcheck import gradcheck

RULES = ("ours", "assert_close", "2e-2/2e-2", "twice eager", "norm 1e-2")


def gradients(f: Any, inputs: Sequence[Any], gys: Sequence[Any] | None) -> tuple[list[Any], list[Any]]:
    """Outputs and cotangents, and the cotangents of the outputs drawn where None were given."""
    explicit = any(x.requires_grad for x in inputs)
    own = [
        x.detach().clone().requires_grad_(x.is_floating_point() and (x.requires_grad or not explicit))
        for x in inputs
    ]
    ys = f(*own)
    ys = list(ys) if isinstance(ys, tuple) else [ys]
    if gys is None:
        generator = torch.Generator().manual_seed(0)
        gys = [torch.randn(y.shape, generator=generator).to(y.dtype) for y in ys]
    sources = [x for x in own if x.requires_grad]
    found = torch.autograd.grad(
        ys, sources, [gy.to(y.dtype) for gy, y in zip(gys, ys, strict=True)], allow_unused=True
    )
    return [
        *[y.detach() for y in ys],
        *[torch.zeros_like(x) if g is None else g for g, x in zip(found, sources, strict=True)],
    ], list(gys)


def by_rules(kernel: Kernel, defect: str, inputs: Sequence[Any]) -> dict[str, bool]:
    """Whether each of the rules of thumb rejects."""
    actual, gys = gradients(kernel.function(defect), inputs, None)
    explicit = any(x.requires_grad for x in inputs)
    double = [
        x.detach().double().requires_grad_(x.requires_grad) if x.is_floating_point() else x for x in inputs
    ]
    exact, _ = gradients(kernel.reference, double, gys)
    eager, _ = gradients(kernel.reference, inputs, gys)
    del explicit
    return {
        "assert_close": any(not close(a, e) for a, e in zip(actual, exact, strict=True)),
        "2e-2/2e-2": any(not close(a, e, rtol=2e-2, atol=2e-2) for a, e in zip(actual, exact, strict=True)),
        "twice eager": any(
            not float((a - e).abs().max())
            <= 2 * float((b.double() - e).abs().max()) + 1e-7 * float(e.abs().max())
            for a, b, e in zip(actual, eager, exact, strict=True)
        ),
        "norm 1e-2": any(
            not float((a - e).norm()) <= 1e-2 * float(e.norm()) for a, e in zip(actual, exact, strict=True)
        ),
    }


def close(actual: Any, exact: Any, **tolerances: float) -> bool:
    """Whether `torch.testing.assert_close` accepts it."""
    try:
        torch.testing.assert_close(actual, exact.to(actual.dtype), **tolerances)
    except AssertionError:
        return False
    return True


def drawn(kernel: Kernel, dtypes: Sequence[Any], draws: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Inputs, the dtypes taking turns."""
    for i in range(draws):
        dtype = dtypes[i % len(dtypes)]
        yield dtype, kernel.inputs(Draw(dtype, 1000 + i))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of the kernels; all by default")
    parser.add_argument(
        "--draws", type=int, default=20, help="of inputs, for each kernel; 0: the right ones only"
    )
    parser.add_argument("--right", type=at_least_one, help="draws of the right ones, where others are wanted")
    given = parser.parse_args(arguments)
    require_known(parser, "kernels", given.names, [k.name for k in KERNELS])
    torch.set_num_threads(1)
    chosen = [k for k in KERNELS if not given.names or k.name in given.names]
    alarms, caught, most = Counter[str](), Counter[str](), Counter[str]()
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    right = wrong = misnamed = 0
    started = time.perf_counter()
    print(f"{'kernel':<26}{'defect':<32}{'found on':>9}  largest ratio, causes")
    for kernel in chosen:
        for defect in (Defect("", ()), *kernel.defects):
            n = given.right or given.draws if not defect.name else given.draws
            if not n:
                continue
            rejected, ratios, named = Counter[str](), [], Counter[str]()
            for i, (_, inputs) in enumerate(drawn(kernel, defect.dtypes if defect.name else ALL, n)):
                report = gradcheck(
                    kernel.function(defect.name),
                    inputs,
                    reference=kernel.reference,
                    raise_exception=False,
                    seed=i,
                    **kernel.claims,
                )
                most["evaluations"] = max(most["evaluations"], report.evaluations)
                rejected["ours"] += not report
                ratios.append(report.ratio)
                if not report:
                    named[report.causes[0]] += 1
                    misnamed += bool(defect.name) and not set(report.causes) & set(defect.causes)
                for rule, yes in by_rules(kernel, defect.name, inputs).items():
                    rejected[rule] += yes
            if defect.name:
                wrong += 1
                caught.update([rule for rule in RULES if rejected[rule]])
                causes[", ".join([c for c, _ in named.most_common(1)])][kernel.name] += 1
            else:
                right += 1
                alarms.update([rule for rule in RULES if rejected[rule]])
            line = f"{kernel.name:<26}{defect.name or '(right)':<32}{rejected['ours']:>4}/{n:<4}"
            print(
                f"{line}  {max(ratios):.3g}  {dict(named)}  {'MISSED' if bool(defect.name) != bool(rejected['ours']) else ''}",
                flush=True,
            )
    print(
        f"\n{right} right and {wrong} wrong kernels, {given.draws} draws each, {time.perf_counter() - started:.0f} s"
    )
    print(f"{'':<16}{'wrong rejected':>16}{'right rejected':>16}  (on one draw or more)")
    for rule in RULES:
        print(f"{rule:<16}{caught[rule]:>16}{alarms[rule]:>16}")
    print(
        f"causes named first: { {c: sum(n.values()) for c, n in causes.items()} }; reports with none of the expected ones: {misnamed}"
    )
    print(f"at most {most['evaluations']} evaluations of kernel and reference in one check")
    return 1 if alarms["ours"] or caught["ours"] < wrong else 0


if __name__ == "__main__":
    sys.exit(main())
