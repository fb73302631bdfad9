"""Runs stage 1 with the `nightly` profile under several seeds: a check that fails under one of them is flaky, or a bug.

First come the tests marked `nightly`, with all of their parameters: each other run takes some of them.

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
    examples = [] if options.examples is None else ["--examples", str(options.examples)]
    failed = []
    if not more and not passes("marked nightly", ["tests", "-m", "nightly"]):
        failed.append("marked nightly")
    for seed in range(options.first, options.first + options.seeds):
        selected = [*(more or ["tests/verification"]), *examples, "--hypothesis-seed", str(seed)]
        if not passes(f"seed {seed}", selected):
            failed.append(f"seed {seed}")
    print(f"runs with a failure: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def passes(title: str, selected: list[str]) -> bool:
    """Run the selected tests and print what came of it; -> whether none failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider"]
    start = time.perf_counter()
    run = subprocess.run(
        [*command, "--hypothesis-profile", "nightly", *selected], capture_output=True, text=True, check=False
    )
    if run.returncode == NO_TESTS:
        print(
            f"no test matches {' '.join(selected)}: stage 1 is tests/verification; "
            "give a part of it, or nothing to run all",
            file=sys.stderr,
        )
        sys.exit(2)
    print(f"{title}: exit status {run.returncode}, {time.perf_counter() - start:.0f} s", flush=True)
    for line in SHOWN.finditer(run.stdout):
        print("  ", line.group().strip(), flush=True)
    if run.returncode and not SHOWN.search(run.stdout):
        print(run.stdout[-3000:], run.stderr[-3000:])
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
