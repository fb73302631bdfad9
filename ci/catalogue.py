"""Plants wrong gradients and asks `verify` to find them: from a domain, and from one example alone (`like=`).

    python ci/catalogue.py [--set own|heldout] [--only domain|like] [--examples 100] [--verbose] [NAME ...]

The mistakes are those of tests/gradcheck/test_planted_mistakes.py and of special_mistakes.py, which only special values
show: gradcheck was tuned on them. Those of `--set heldout`, in the files heldout_*.py, it was not. Prints how many are
found, a confusion matrix of causes planted and told, and the false alarms on the right functions. Exit status 1 where an
aim is missed: all found from a domain, 95 % from one example, the cause right in 90 % of those found, no false alarm.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from gradcheck import verify
from gradcheck.strategies import examples
from gradcore.spec import OneOf, case, complexes, indices, interval, reals

HERE = Path(__file__).resolve().parent


def module(path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = made
    found.loader.exec_module(made)
    return made


table = module(HERE.parent / "tests" / "gradcheck" / "test_planted_mistakes.py")
special = module(HERE / "special_mistakes.py")
heldout = module(HERE / "heldout_arrays.py")
HELDOUT = (heldout, *(module(HERE / f"heldout_{topic}.py") for topic in ("values", "layers", "windows")))
SETS = {"own": (special,), "heldout": HELDOUT}

AIMS = {"domain": 1.0, "like": 0.95}
CAUSE_AIM = 0.9

MATRIX = case(reals("n m"))
PAIR = case(reals("n m"), reals("n m"))
FILLED = {"n": (1, 5), "m": (1, 5)}


def single():
    return examples(MATRIX, dtype=np.float32)


DOMAINS = {
    "relu": case(reals("n m", kinks=(0.0,))),
    "abs": case(reals("n m", kinks=(0.0,))),
    "sqrt": case(interval(0.25, 9.0, "n m")),
    "mul": PAIR,
    "sub": PAIR,
    "div": case(reals("n m"), interval(0.25, 9.0, "n m")),
    "bias": case(reals("n m"), reals("m")),
    "scale": case(reals("n m"), reals("n 1")),
    "matmul": case(reals("n m"), reals("m k")),
    "square matmul": case(reals("n n"), reals("n n")),
    "transpose": case(reals("n n")),
    "mean": case(reals("n m"), sizes=FILLED),
    "row mean": case(reals("n m"), sizes=FILLED),
    "column sum": case(reals("n n")),
    "cumsum": case(reals("n")),
    "flip": case(reals("6")),
    "softmax": case(reals("n m"), sizes=FILLED),
    "normalize": case(reals("n m", distinct=True), sizes={"n": (1, 5), "m": (3, 6)}),
    "take": case(reals("n m"), indices("n", "k"), sizes=FILLED),
    "mse": case(reals("n m"), reals("n m"), sizes=FILLED),
    "dictionary": MATRIX,
    "single": single,
    "power": case(interval(0.5, 2.5, "n"), params={"n": OneOf(1, 2, 3)}),
    "complex square": case(complexes("n m"), sizes=FILLED),
    "modulus": case(complexes("n m"), sizes=FILLED),
    "rank 3": case(reals("n n n")),
}

# Mistakes that hold an array of one shape, and so are themselves only there.
OF_ONE_SHAPE = {
    "the rule accumulates over calls",
    "one output buffer for all calls",
    "the result is overwritten by the next call",
}


def domain_of(name):
    found = DOMAINS.get(name, MATRIX)
    return found() if callable(found) else found


# The table's functions are right at its inputs; these two are not at zero, so the catalogue has its own.
AT_ZERO = {
    "norm": special.norm_rule,
    "power": lambda gy, y, x, n: gy * n * x ** (n - 1) if n else np.zeros_like(x),
}


def right_functions(which):
    """(name, forward, rule, inputs, params, domain)"""
    for name, (f, rule, inputs) in table.RIGHT.items() if which == "own" else ():
        yield name, f, AT_ZERO.get(name, rule), inputs, {}, domain_of(name)
    for part in SETS[which]:
        for name, (f, rule, inputs, params, domain) in part.RIGHT.items():
            yield f"{name} ({part.__name__})", f, rule, inputs, params, domain


def mistakes(which):
    """(name, acceptable causes, maker of (forward, rule), inputs, params, domain)"""
    for m in table.MISTAKES if which == "own" else ():
        f, rule, inputs = table.RIGHT[m.of]

        def make(m=m, f=f, rule=rule):
            fresh = m.forward() if m.forward else None
            if isinstance(fresh, tuple):
                return fresh
            return fresh or f, m.rule or rule

        yield (
            m.name,
            (m.cause,),
            make,
            m.inputs or inputs,
            {},
            (case(reals("4 3")) if m.name in OF_ONE_SHAPE else domain_of(m.of)),
        )
    for part in SETS[which]:
        for name, of, causes, rule in part.MISTAKES:
            f, _, inputs, params, domain = part.RIGHT[of]
            yield name, causes, lambda f=f, rule=rule: planted(f, rule), inputs, params, domain


def planted(f, rule):
    """(forward, rule), made anew where they keep state."""
    if not isinstance(rule, heldout.Fresh):
        return f, rule
    return rule.make() if rule.forward else (f, rule.make())


def look(mode, f, rule, inputs, params, domain, count):
    if mode == "like":
        return verify(f, like=inputs, vjp=rule, params=params, max_examples=count, raise_exception=False)
    return verify(f, domain, vjp=rule, max_examples=count, raise_exception=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mistakes or right functions; all by default")
    parser.add_argument("--set", choices=list(SETS), default="own", help="of mistakes (default: %(default)s)")
    parser.add_argument("--only", choices=list(AIMS), help="one of the two ways")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--verbose", action="store_true", help="print every result that is not as planted")
    options = parser.parse_args()
    missed = []
    for mode in [options.only] if options.only else AIMS:
        started, found, named, total, alarms, rights, aside, tried = time.time(), 0, 0, 0, 0, 0, 0, 0
        matrix = Counter()
        for name, f, rule, inputs, params, domain in right_functions(options.set):
            if options.names and name not in options.names:
                continue
            rights += 1
            result = look(mode, f, rule, inputs, params, domain, options.examples)
            aside, tried = aside + result.set_aside, tried + result.examples + result.set_aside
            if not result:
                alarms += 1
                print(f"{mode}: false alarm on {name}:\n{result}")
        for name, causes, make, inputs, params, domain in mistakes(options.set):
            if options.names and name not in options.names:
                continue
            total += 1
            result = look(mode, *make(), inputs, params, domain, options.examples)
            told = "nothing" if result.smallest is None else result.smallest.causes[0]
            found += result.smallest is not None
            named += told in causes
            matrix[causes[0], causes[0] if told in causes else told] += 1
            if told not in causes:
                print(f"{mode}: {name}: planted {' or '.join(causes)}, told {told} {dict(result.causes)}")
                if options.verbose:
                    print(result)
        print(f"\n{mode}: confusion matrix, planted -> told")
        for planted in dict.fromkeys(p for p, _ in matrix):
            row = {t: n for (p, t), n in matrix.items() if p == planted}
            print(f"  {planted:22} {', '.join(f'{t}: {n}' for t, n in row.items())}")
        print(
            f"{mode}: {found} of {total} mistakes found, the cause right in {named}; {alarms} false alarms on {rights} right "
            f"functions ({aside} of {tried} examples set aside); {time.time() - started:.0f} s\n"
        )
        if found < AIMS[mode] * total or named < CAUSE_AIM * found or alarms:
            missed.append(mode)
    if missed:
        print("aims missed:", ", ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
