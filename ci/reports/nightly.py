"""Runs stage 1 with the `nightly` profile under several seeds: a check that fails under one of them is flaky, or a bug.

    python ci/reports/nightly.py [--seeds 10] [--first 0] [--examples N] [PYTEST ARGUMENT ...]

Prints a line for each run, and each failure with the command that replays it. Exits with 1 where anything failed.
A run draws more than a thousand examples for every op and layer, 200,000 in all, and keeps two cores busy for 7 minutes.
`--examples` gives each check another number of examples than the profile's 300.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time

import common

NO_TESTS = 5  # pytest's exit status where none was collected
SHOWN = re.compile(
    r"^(E? *Replay it:.*|FAILED .*|ERROR .*|.* examples: .*|.*(passed|failed).* in .*)$", re.MULTILINE
)


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=common.at_least_one, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--examples", type=common.at_least_one)
    options, more = parser.parse_known_args()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "auto",
        "-p",
        "no:cacheprovider",
        *(more or ["tests/verification"]),
    ]
    command += ["--hypothesis-profile", "nightly"]
    if options.examples is not None:
        command += ["--examples", str(options.examples)]
    failed = []
    for seed in range(options.first, options.first + options.seeds):
        start = time.perf_counter()
        run = subprocess.run(
            [*command, "--hypothesis-seed", str(seed)], capture_output=True, text=True, check=False
        )
        if run.returncode == NO_TESTS:
            parser.exit(
                2,
                f"{parser.prog}: no test matches {' '.join(more)}: stage 1 is tests/verification; "
                "give a part of it, or nothing to run all\n",
            )
        print(f"seed {seed}: exit status {run.returncode}, {time.perf_counter() - start:.0f} s", flush=True)
        for line in SHOWN.finditer(run.stdout):
            print("  ", line.group().strip(), flush=True)
        if run.returncode:
            failed.append(seed)
            if not SHOWN.search(run.stdout):
                print(run.stdout[-3000:], run.stderr[-3000:])
    print(f"{options.seeds - len(failed)} of {options.seeds} runs without a failure")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
