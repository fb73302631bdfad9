"""Breaks every rule of every op in every way of `gradcheck.verification.CHANGES` and asks stage 1's check to notice.

    python ci/broken_rules.py [--examples 40] [NAME ...]

Prints one line per op: how many broken copies were noticed, and after how many examples at most. A copy that no example
gives away is a survivor: it is listed with its cases, and the exit status is 1. A change is expected to be noticed in
every case whose gradient is not zero throughout (x^0 is the example of one that is).
"""

from __future__ import annotations

import argparse
import sys

from hypothesis import HealthCheck, Phase, given, settings

from gradcheck import GradientError, cases
from gradcheck.strategies import examples
from gradcheck.verification import CHANGES, broken, check_gradient, positions
from gradcore import Op


class Noticed(Exception):  # noqa: N818
    """Ends the search."""


def search(unit, wrong, position, count):
    """(examples until it was noticed or None, whether the gradient was ever other than zero)."""
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
            raise Noticed from None
        right = check_gradient(unit.entry, example)
        alive = alive or any(i.path == f"inputs[{position}]" and not i.vacuous for i in right.inputs)

    try:
        look()
    except Noticed:
        return tried, True
    return None, alive


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="ops to break; all of them by default")
    parser.add_argument("--examples", type=int, default=40, help="examples tried for each broken copy")
    options = parser.parse_args()
    units = [
        u for u in cases.ops() if isinstance(u.entry, Op) and (not options.names or u.name in options.names)
    ]
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
        print(f"{name:20} {seen:4} of {made:4} noticed, after {most:3} examples at most{rest}", flush=True)
    print(f"{total - len(survivors)} of {total} broken rules noticed")
    for line in survivors:
        print("survived:", line)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
