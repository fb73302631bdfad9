"""Breaks every rule of every op in every way of `gradcheck.verification.CHANGES`, and runs stage 1's check on each.

    python ci/reports/broken_rules.py [--examples 40] [NAME ...]

Prints one line per op: how many broken copies were killed, and after how many examples at most. A copy that passes on all
examples has survived: it is listed with its case, and the exit status is 1. A case whose gradient is zero throughout (x^0,
for example) cannot kill a copy and is not counted.
"""

from __future__ import annotations

import argparse
import sys

import common
from hypothesis import HealthCheck, Phase, given, settings

from gradcheck import GradientError
from gradcheck.strategies import examples
from gradcheck.verification import CHANGES, broken, cases, check_gradient, positions
from gradcore import Op


class Killed(Exception):  # noqa: N818
    """Ends the search."""


def search(unit, wrong, position, count):
    """(examples until it was killed or None, whether the gradient was ever other than zero)."""
    tried, alive = 0, False

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(examples(unit.case))
    def look(example):
        nonlocal tried, alive
        tried += 1
        if position >= len(example.arrays) or not example.takes_gradient[position]:
            return
        try:
            check_gradient(wrong, example)
        except GradientError:
            raise Killed from None
        right = check_gradient(unit.entry, example)
        alive = alive or any(i.path == f"inputs[{position}]" and not i.vacuous for i in right.inputs)

    try:
        look()
    except Killed:
        return tried, True
    return None, alive


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="ops to break; all of them by default")
    parser.add_argument(
        "--examples", type=common.at_least_one, default=40, help="examples tried for each broken copy"
    )
    options = parser.parse_args()
    every = [u for u in cases.ops() if isinstance(u.entry, Op)]
    common.require_known(parser, "ops", options.names, {u.name for u in every})
    units = [u for u in every if not options.names or u.name in options.names]
    survivors, total = [], 0
    for name in dict.fromkeys(u.name for u in units):
        made, seen, most, zero = 0, 0, 0, 0
        for unit in (u for u in units if u.name == name):
            for position in positions(unit.entry):
                array = unit.case.arrays[min(position, len(unit.case.arrays) - 1)]
                if position >= len(unit.case.arrays) or not array.takes_gradient:
                    continue
                for change, function in CHANGES.items():
                    count, alive = search(
                        unit, broken(unit.entry, position, function), position, options.examples
                    )
                    made += alive
                    zero += not alive
                    if count is not None:
                        seen, most = seen + 1, max(most, count)
                    elif alive:
                        survivors.append(f"{unit.id}: rule {position}, {change}")
        total += made
        rest = f", {zero} where the gradient is zero throughout" if zero else ""
        print(f"{name:20} {seen:4} of {made:4} killed, after {most:3} examples at most{rest}", flush=True)
    print(f"{total - len(survivors)} of {total} broken rules killed")
    for line in survivors:
        print("survived:", line)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
