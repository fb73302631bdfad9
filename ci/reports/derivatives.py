"""What the reports on a framework's own derivatives share: each of its functions at drawn inputs, none called wrong.

`torch_functions.py` and `jax_functions.py` are made of it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import common

from gradcheck import CallError, gradcheck


def parser_of(description: str) -> argparse.ArgumentParser:
    """The parser of such a report."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=common.at_least_one, default=1, help="draws of each function")
    parser.add_argument("--only", default="", help="functions with this in their name")
    return parser


def judge(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    framework: str,
    functions: Collection[tuple[Callable[..., Any], str, Mapping[str, Any]]],
    inputs: Callable[[Sequence[str], int], tuple[Any, ...]],
    known: Mapping[tuple[str, str], str],
    **more: Any,
) -> int:
    """Check, print, and return the exit status; exits with 2 where `--only` leaves no function.

    framework: its name, and version, for the lines printed. functions: each with the kinds of its inputs, a word each, and its
    parameters. inputs: from kinds and a seed. known: what is wrong in the framework itself, by function and cause, or causes as in "precision or value":
    what shows it. more: keywords for `gradcheck`.
    """
    start, verdicts, missed = time.perf_counter(), Counter(), []
    every = [case for case in functions if options.only in case[0].__name__]
    if not every:
        parser.exit(
            2,
            f"{parser.prog}: no function has {options.only!r} in its name: name one, or none to check all\n",
        )
    for f, kinds, params in every:
        for seed in range(options.seeds):
            name, drawn = f"{f.__name__}({kinds}) {params or ''}", inputs(kinds.split(), seed)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    report = gradcheck(f, drawn, params=params, seed=seed, raise_exception=False, **more)
            except CallError as error:
                verdicts["refused"] += 1
                missed.append(f"{name}, seed {seed}: {error}")
                continue
            verdicts[report.verdict.value] += 1
            listed = any(
                f.__name__ == n and cause in causes.split(" or ")
                for n, causes in known
                for cause in report.causes[:1]
            )
            if report.verdict.value == "fail" and not listed:
                missed.append(f"{name}, seed {seed}: {report.faults[0].cause}: {report.faults[0].text}")
            if report.verdict.value == "inconclusive":
                print(f"inconclusive: {name}, seed {seed}: {report.reason}")
    counts = ", ".join([f"{n} {verdict}" for verdict, n in verdicts.items()])
    seconds = time.perf_counter() - start
    print(f"{framework}: {len(every)} functions, {options.seeds} draws each, in {seconds:.0f} s: {counts}")
    for (name, cause), words in known.items():
        print(f"wrong in {framework}: {name}, {cause}: {words}")
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0
