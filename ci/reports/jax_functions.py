"""Derivatives of jax.numpy, jax.nn, jax.lax and jax.scipy at drawn inputs: none may be called wrong.

    python ci/reports/jax_functions.py --seeds 2

What is really wrong in JAX is listed in KNOWN, with what shows it; a fail that is not listed there is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import common

from gradcheck import CallError, gradcheck

KNOWN: dict[tuple[str, str], str] = {}
"""What is wrong in JAX itself, by function and cause: what shows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=common.at_least_one, default=1, help="draws of each function")
    parser.add_argument("--only", default="", help="functions with this in their name")
    options = parser.parse_args(arguments)
    try:
        import jax
    except ImportError:
        print("jax is not installed: nothing to check")
        return 2
    from ci.catalogue.frameworks.jax_right import argument, functions

    start, verdicts, missed = time.perf_counter(), Counter(), []
    every = [case for case in functions() if options.only in case[0].__name__]
    for f, kinds, params in every:
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            inputs = tuple([argument(kind, rng) for kind in kinds.split()])
            name = f"{f.__name__}({kinds}) {params or ''}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    report = gradcheck(
                        f, inputs, params=params, seed=seed, backend="jax", raise_exception=False
                    )
            except CallError as error:
                verdicts["refused"] += 1
                missed.append(f"{name}, seed {seed}: {error}")
                continue
            verdicts[report.verdict.value] += 1
            known = any(f.__name__ == of and cause in report.causes for of, cause in KNOWN)
            if report.verdict.value == "fail" and not known:
                missed.append(f"{name}, seed {seed}: {report.faults[0].cause}: {report.faults[0].text}")
            if report.verdict.value == "inconclusive":
                print(f"inconclusive: {name}, seed {seed}: {report.reason}")
    counts = ", ".join([f"{n} {verdict}" for verdict, n in verdicts.items()])
    seconds = time.perf_counter() - start
    print(
        f"JAX {jax.__version__}: {len(every)} functions, {options.seeds} draws each, in {seconds:.0f} s: {counts}"
    )
    for (name, cause), words in KNOWN.items():
        print(f"wrong in JAX: {name}, {cause}: {words}")
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed or not every else 0


if __name__ == "__main__":
    sys.exit(main())
