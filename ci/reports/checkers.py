"""The checkers that come with PyTorch, JAX and autograd beside gradcheck: mistakes found, right functions called wrong.

    python ci/reports/checkers.py [--set own|heldout] [--draws 5] [--verbose] [NAME ...]

Each mistake is checked at one input: the first one drawn from its domain at which the wrong rule and the right one differ (by
more than 1e-3 of the largest entry, in shape, or in raising), so that no checker chooses it; its ordinary example where none
does, as for rules that keep state. Each right function is checked at its example and at `--draws` more inputs. All four get the
same arrays and pair of functions, in double precision, with their default tolerances. Any error counts as a mistake found; on a
right function it counts apart, as not judged. Functions of several outputs are left out.

Exits with 1 where gradcheck finds fewer mistakes than another one, or calls a right function wrong.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections import defaultdict

import common
import numpy as np
from catalogue.mistakes.sets import SETS, mistakes, right_functions, table
from checkers_of import CHECKERS, Pair
from hypothesis import HealthCheck, Phase, given, seed, settings

from gradcheck.strategies import examples
from gradcore.spec import Case

FAR = 1e-3


def drawn(domain, count):
    """Inputs and parameters from a domain."""
    found = []

    @seed(0)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(examples(domain) if isinstance(domain, Case) else domain)
    def draw(one):
        found.append((one, {}) if isinstance(one, tuple) else (tuple(one.arrays), dict(one.params)))

    draw()
    return found


def result(f, rule, inputs, params, rng):
    """What the rule gives for a random cotangent, None where it raises."""
    copies = [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]
    y = f(*copies, **params)
    gy = rng.standard_normal(np.shape(y))
    try:
        found = rule(gy, y, *copies, **params)
    except Exception:  # noqa: BLE001 - of the planted rule
        return None
    return found if isinstance(found, tuple) else (found,)


def differs(a, b):
    """Whether two results of a rule differ by more than rounding, in shape, or in raising."""
    if a is None or b is None:
        return a is not b
    for x, y in zip(a, b, strict=False):
        x, y = (None if g is None else np.asarray(g) for g in (x, y))
        if x is None or y is None:
            if x is not y and np.any(x if y is None else y):
                return True
        elif x.shape != y.shape or not np.allclose(x, y, rtol=0, atol=FAR * np.max(np.abs(y), initial=0.0)):
            return True
    return False


def of_one_output(f, _rule, inputs, params):
    """Whether f gives one array."""
    return not isinstance(f(*copy.deepcopy(inputs), **params), tuple | list | dict)


def showing(make, right, inputs, params, domain):
    """The first input drawn at which the rule is wrong; the example where none is."""
    for other, static in [(inputs, params), *drawn(domain, 300)]:
        seeded = [np.random.default_rng(0) for _ in range(2)]
        try:
            f, rule = make()
            if differs(result(f, rule, other, static, seeded[0]), result(*right, other, static, seeded[1])):
                return other, static
        except Exception:  # noqa: BLE001 - forward refuses these, or has several outputs
            continue
    return inputs, params


def right_pairs(which):
    """{name of a mistake: the right (forward, rule)}"""
    found = {m.name: table.RIGHT[m.of][:2] for m in table.MISTAKES} if which == "own" else {}
    for part in SETS[which]:
        found |= {name: part.RIGHT[of][:2] for name, of, _, _ in part.MISTAKES}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mistakes or right functions; all by default")
    parser.add_argument("--set", choices=list(SETS), default="heldout", help="(default: %(default)s)")
    parser.add_argument("--draws", type=common.at_least_one, default=5, help="inputs of a right function (5)")
    parser.add_argument(
        "--verbose", action="store_true", help="print what each checker missed or called wrong"
    )
    options = parser.parse_args()
    wrong, rights = list(mistakes(options.set)), list(right_functions(options.set))
    common.require_known(
        parser,
        f"mistakes and right functions in --set {options.set}",
        options.names,
        {n for n, *_ in wrong + rights},
    )
    wrong, rights = (
        [one for one in some if not options.names or one[0] in options.names] for some in (wrong, rights)
    )
    wrong = [one for one in wrong if of_one_output(*one[2](), *one[3:5])]
    rights = [one for one in rights if of_one_output(*one[1:5])]
    checkers = {name: check for name, check in CHECKERS.items() if check is not None}
    for name in CHECKERS.keys() - checkers.keys():
        print(f"{name} is not installed: it is left out")
    missed, alarms, errors = defaultdict(list), defaultdict(list), defaultdict(list)
    pairs = right_pairs(options.set)
    for name, _, make, inputs, params, domain in wrong:
        at, static = showing(make, pairs[name], inputs, params, domain)
        for checker, check in checkers.items():
            verdict = check(Pair(*make(), at, static))
            if verdict:
                missed[checker].append(name)
    for name, f, rule, inputs, params, domain in rights:
        points = [(inputs, params), *drawn(domain, 5 * options.draws)][: options.draws + 1]
        for checker, check in checkers.items():
            verdicts = [check(Pair(f, rule, at, static)) for at, static in points]
            if False in verdicts:
                alarms[checker].append(name)
            elif None in verdicts:
                errors[checker].append(name)
    print(
        f"{'':<36}{f'of {len(wrong)} mistakes found':>24}{f'of {len(rights)} right ones called wrong':>34}{'not judged':>14}"
    )
    for checker in checkers:
        print(
            f"{checker:<36}{len(wrong) - len(missed[checker]):>24}{len(alarms[checker]):>34}{len(errors[checker]):>14}"
        )
        if options.verbose:
            print("  missed:", ", ".join(missed[checker]) or "none")
            print("  called wrong:", ", ".join(alarms[checker]) or "none")
            print("  not judged:", ", ".join(errors[checker]) or "none")
    ours = len(missed["gradcheck"])
    return 1 if alarms["gradcheck"] or any(len(missed[name]) < ours for name in checkers) else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
