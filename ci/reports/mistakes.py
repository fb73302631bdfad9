"""Plants wrong gradients and runs `verify` on them: on a domain, and on one example alone (`like=`).

    python ci/reports/mistakes.py [--set own|heldout] [--only domain|like] [--examples 100] [--verbose] [NAME ...]

gradcheck was developed against the mistakes of `--set own`. Those of `--set heldout` were written apart from it. Prints how
many are detected, a confusion matrix of the causes planted and reported, and the false alarms on the right functions. Exits
with 1 where an aim is missed: all mistakes detected from a domain, 95 % from one example, the right cause for 90 % of those
detected, no false alarm.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import common
from catalogue.mistakes.sets import SETS, mistakes, right_functions

from gradcheck import verify

AIMS = {"domain": 1.0, "like": 0.95}
CAUSE_AIM = 0.9


def look(mode, f, rule, inputs, params, domain, count):
    if mode == "like":
        return verify(f, like=inputs, vjp=rule, params=params, max_examples=count, raise_exception=False)
    return verify(f, domain, vjp=rule, max_examples=count, raise_exception=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mistakes or right functions; all by default")
    parser.add_argument("--set", choices=list(SETS), default="own", help="of mistakes (default: %(default)s)")
    parser.add_argument("--only", choices=list(AIMS), help="one of the two ways")
    parser.add_argument("--examples", type=common.at_least_one, default=100)
    parser.add_argument("--verbose", action="store_true", help="print every result that is not as planted")
    options = parser.parse_args()
    known = {name for name, *_ in (*mistakes(options.set), *right_functions(options.set))}
    common.require_known(parser, f"mistakes and right functions in --set {options.set}", options.names, known)
    missed = []
    for mode in [options.only] if options.only else AIMS:
        started, detected, named, total, alarms, rights, aside, tried = time.time(), 0, 0, 0, 0, 0, 0, 0
        edges, slowest = 0, (0.0, "")
        matrix = Counter()
        for name, f, rule, inputs, params, domain in right_functions(options.set):
            if options.names and name not in options.names:
                continue
            rights += 1
            begun = time.time()
            result = look(mode, f, rule, inputs, params, domain, options.examples)
            slowest = max(slowest, (time.time() - begun, name))
            edges += bool(result.edges)
            if result.edges and options.verbose:
                print(f"{mode}: edges of {name}: {[(e.words, e.report.causes[0]) for e in result.edges]}")
            aside, tried = aside + result.set_aside, tried + result.examples + result.set_aside
            if not result:
                alarms += 1
                print(f"{mode}: false alarm on {name}:\n{result}")
        for name, causes, make, inputs, params, domain in mistakes(options.set):
            if options.names and name not in options.names:
                continue
            total += 1
            begun = time.time()
            result = look(mode, *make(), inputs, params, domain, options.examples)
            slowest = max(slowest, (time.time() - begun, name))
            reported = [r.causes[0] for r in (*result.failures, *[e.report for e in result.edges])]
            detected += bool(reported)
            cause = next((c for c in reported if c in causes), reported[0] if reported else "nothing")
            named += cause in causes
            matrix[causes[0], causes[0] if cause in causes else cause] += 1
            if cause not in causes:
                print(
                    f"{mode}: {name}: planted {' or '.join(causes)}, reported {cause} {dict(result.causes)}"
                )
                if options.verbose:
                    print(result)
        print(f"\n{mode}: confusion matrix, planted -> reported")
        for planted in dict.fromkeys(p for p, _ in matrix):
            row = {t: n for (p, t), n in matrix.items() if p == planted}
            print(f"  {planted:22} {', '.join(f'{t}: {n}' for t, n in row.items())}")
        print(
            f"{mode}: {detected} of {total} mistakes detected, the right cause for {named}; {alarms} false alarms on {rights} right "
            f"functions, of which {edges} have edges ({aside} of {tried} examples set aside); {time.time() - started:.0f} s, "
            f"{slowest[0]:.0f} of them for {slowest[1]}\n"
        )
        if detected < AIMS[mode] * total or named < CAUSE_AIM * detected or alarms:
            missed.append(mode)
    if missed:
        print("aims missed:", ", ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
