"""Derivatives of torch, torch.nn.functional, torch.linalg and torch.special at drawn inputs: none may be called wrong.

    python ci/reports/torch_functions.py --seeds 2

What is really wrong in PyTorch is listed in KNOWN, with what shows it; a fail that is not listed there is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import common

from gradcheck import CallError, gradcheck

KNOWN = {
    (
        "digamma",
        "precision",
    ): "its derivative, torch.polygamma(1, x), has a relative error of 5e-10 in double precision: "
    "torch.polygamma(1, torch.tensor(0.35).double()) differs from 9.24045904220581 in the tenth digit",
    (
        "hardsigmoid",
        "factor",
    ): "1/6 is a constant in single precision: at 0 in double precision its derivative is 0.16666667163",
    (
        "linalg_matrix_exp",
        "linear",
    ): "its gradient for gy times 2**20 differs from 2**20 times that for gy by 1e-9 in double "
    "precision: gy is a block of a larger matrix whose norm decides on the scaling",
}
"""What is wrong in PyTorch itself, by function and cause: what shows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=common.at_least_one, default=1, help="draws of each function")
    parser.add_argument("--only", default="", help="functions with this in their name")
    options = parser.parse_args(arguments)
    try:
        import torch
    except ImportError:
        print("torch is not installed: nothing to check")
        return 2
    from ci.catalogue.frameworks.torch_right import argument, functions

    torch.set_num_threads(1)
    start, verdicts, missed = time.perf_counter(), Counter(), []
    every = [case for case in functions() if options.only in case[0].__name__]
    if not every:
        parser.exit(
            2,
            f"{parser.prog}: no function has {options.only!r} in its name: name one, or none to check all\n",
        )
    for f, kinds, params in every:
        for seed in range(options.seeds):
            g = torch.Generator().manual_seed(seed)
            inputs = tuple([argument(kind, g) for kind in kinds.split()])
            name = f"{f.__name__}({kinds}) {params or ''}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    report = gradcheck(f, inputs, params=params, seed=seed, raise_exception=False)
            except CallError as error:
                verdicts["refused"] += 1
                missed.append(f"{name}, seed {seed}: {error}")
                continue
            verdicts[report.verdict.value] += 1
            known = report.faults and any(
                f.__name__ == of and report.causes[0] in causes.split(", ") for of, causes in KNOWN
            )
            if report.verdict.value == "fail" and not known:
                missed.append(f"{name}, seed {seed}: {report.faults[0].cause}: {report.faults[0].text}")
            if report.verdict.value == "inconclusive":
                print(f"inconclusive: {name}, seed {seed}: {report.reason}")
    counts = ", ".join([f"{n} {verdict}" for verdict, n in verdicts.items()])
    print(
        f"{len(every)} functions, {options.seeds} draws each, in {time.perf_counter() - start:.0f} s: {counts}"
    )
    for (name, cause), words in KNOWN.items():
        print(f"wrong in PyTorch: {name}, {cause}: {words}")
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
