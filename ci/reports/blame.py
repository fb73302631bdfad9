"""Random models of 200 ops with one wrong op in each: whether `explain` names that one, and no other; and right ones.

    python ci/reports/blame.py [--models 100] [--ops 200] [--only gradcore|torch]

A model is drawn from its seed: elementwise ops, products, reductions, broadcasts, indexing, skip connections, in float64 and
float32 in turn. One op gets a wrong rule: one of the changes of `gradcheck.verification.CHANGES`, in one of its inputs, at a
place where it changes the cotangent. In PyTorch a third to a half of the calls are custom Functions, and one of these is wrong.
Prints how many wrong ops were named, alone and at their place; how many right models had an op blamed, or one
without a verdict; and the processor time of one `explain`. The exit status is 1 where any of these is so, where one was missed, or
where one took 2 s or more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import common
from blamed_models import Core

LIMIT = 2.0
"""Seconds of processor time that one `explain` may take."""


def timed(model: Any) -> tuple[Any, float]:
    """The explanation of a model, and the processor time that it took."""
    started = time.process_time()
    found = model.explained()
    return found, time.process_time() - started


def run(kind: Any, models: int, ops: int, name: str) -> bool:
    """One line of the report; whether all is as it should be."""
    kind(0, 20, np.float64).explained()  # PyTorch's first backward pass imports SymPy
    alone, blamed, undecided, seconds, lines = 0, 0, 0, [], []
    for seed in range(models):
        dtype = (np.float64, np.float32)[seed % 2]
        right = kind(seed, ops, dtype)
        found, took = timed(right)
        seconds.append(took)
        blamed += bool(found.blamed)
        undecided += not found.blamed and not found
        if not found:
            lines.append(f"  seed {seed}, right: {str(found)[:600]}")
        wrong = kind(seed, ops, dtype, right.place(np.random.default_rng([seed, 2])))
        found, took = timed(wrong)
        seconds.append(took)
        if wrong.named(found):
            alone += 1
        else:
            lines.append(f"  seed {seed}, {wrong.wrong}: {found!r}")
    print(
        f"{name:9} {alone} of {models} wrong ops named, and only these; {blamed} of {models} right models with an op blamed, "
        f"{undecided} without a verdict on one; {ops} ops each, {statistics.median(seconds):.2f} s of processor time, at most {max(seconds):.2f}",
        flush=True,
    )
    for line in lines[:20]:
        print(line)
    return alone == models and blamed == undecided == 0 and max(seconds) < LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", type=common.at_least_one, default=100, help="models, wrong ones and right ones, for each"
    )
    parser.add_argument("--ops", type=common.at_least_one, default=200, help="calls of ops in a model")
    parser.add_argument("--only", choices=["gradcore", "torch"], help="one of the two")
    options = parser.parse_args()
    good = True
    with np.errstate(all="ignore"):
        if options.only != "torch":
            good &= run(Core, options.models, options.ops, "gradcore")
        if options.only != "gradcore":
            from blamed_torch import Torch

            good &= run(Torch, options.models, options.ops, "PyTorch")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
