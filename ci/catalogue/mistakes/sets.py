"""The two sets of mistakes, each with its right functions and their domains.

`own`: those of tests/gradcheck/test_planted_mistakes.py, `special_values.py` and `behaviours.py`. gradcheck was developed against them.
`heldout`: those of the folder `heldout`, written apart from gradcheck. It is not to be tuned on them.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np

from gradcheck.strategies import examples
from gradcore.spec import OneOf, case, complexes, indices, interval, reals

from . import behaviours, special_values
from .heldout import arrays, layers, values, windows
from .heldout.arrays import Fresh

ROOT = Path(__file__).resolve().parents[3]


def module(path):
    """A module by its file: tests are in no package."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = made
    found.loader.exec_module(made)
    return made


module(ROOT / "tests" / "gradcheck" / "mistaken.py")  # which the next imports
table = module(ROOT / "tests" / "gradcheck" / "test_planted_mistakes.py")
SETS = {"own": (special_values, behaviours), "heldout": (arrays, values, layers, windows)}

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


# The table's functions are right at its inputs; these two are not at zero, so this catalogue has its own.
AT_ZERO = {
    "norm": special_values.norm_rule,
    "power": lambda gy, y, x, n: gy * n * x ** (n - 1) if n else np.zeros_like(x),
}


def right_functions(which):
    """(name, forward, rule, inputs, params, domain)"""
    for name, (f, rule, inputs) in table.RIGHT.items() if which == "own" else ():
        yield name, f, AT_ZERO.get(name, rule), inputs, {}, domain_of(name)
    for part in SETS[which]:
        file = part.__name__.rpartition(".")[2]
        for name, (f, rule, inputs, params, domain) in part.RIGHT.items():
            yield f"{name} ({file})", f, rule, inputs, params, domain


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
    if not isinstance(rule, Fresh):
        return f, rule
    return rule.make() if rule.forward else (f, rule.make())
