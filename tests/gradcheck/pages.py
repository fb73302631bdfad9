"""Pages for the tests: of a run that failed, one that passed, and one report, made of real reports where that matters."""

import json
from collections import Counter
from functools import cache

import campaigns
import numpy as np

from gradcheck import explain, gradcheck
from gradcheck.campaigns.check import Unchecked
from gradcheck.summary import failures
from gradcheck.summary.page import html_page
from gradcheck.summary.results import Check, Summary
from gradcheck.verification import CHANGES, broken
from gradcore import Tensor, registry

ODD = "</script><img src=x onerror=alert(1)>\"' & `${1}`\u202e"
"""What a name must not become."""

FACTS = {
    "date": "2026-01-01 12:00 UTC",
    "project": "mine",
    "Python": "3.12.0",
    "gradcore": "0.1.0",
    "numpy": "2.1.0",
}


def softplus(x):
    return np.log1p(np.exp(x))


def wrong_rule(gy, y, x):
    g = (gy / (1 + np.exp(-x))).copy()
    g[1] = -g[1]
    return g


@cache
def report():
    """A report on a rule that is wrong in one row."""
    x = np.random.default_rng(1).normal(size=(4, 6))
    return gradcheck(softplus, (x,), vjp=wrong_rule, raise_exception=False)


def far_off(x, w):
    """A hundred ops, one of which has a wrong rule, in the middle."""
    y = x
    for k in range(20):
        h = WRONG(y @ w) if k == 10 else (y @ w).tanh()
        y = y + h * 0.1 + (y * y).mean() * 0.01
    return (y * y).sum()


WRONG = broken(registry.ops["tanh"], 0, CHANGES["sign"])


@cache
def explanation():
    """Of that function."""
    rng = np.random.default_rng(0)
    return explain(far_off, [Tensor(rng.standard_normal(shape)) for shape in ((2, 3), (3, 3))])


def of_a_fail():
    """What a campaign's result has of a failed check."""
    found = report()
    return {
        "report": json.loads(found.to_json()),
        "pictures": found.drawn(),
        "text": str(found),
        "examples": 1,
    }


def campaign():
    """The page of a campaign with a fail, checks that crashed or hung, a weak pass, and what can't be checked."""
    plain = of_a_fail()
    output = (
        "Fatal Python error: Aborted\n" + "  File with a long name, in a function with a long name too\n" * 20
    )
    results = [
        campaigns.result("mine:sine", sensitivity=2e-10, examples=20),
        campaigns.result(
            "mine:floored", weak=["Vacuous: the gradient by inputs[0] was zero at every example."]
        ),
        campaigns.result("mine:softplus", "fail", **plain),
        campaigns.result(
            "mine:quits", "crashed", text="mine:quits: the process ended before there was a verdict"
        ),
        campaigns.result(
            "mine:hangs", "hung", text="mine:hangs: no end after its limit of 15 s", output=output
        ),
        campaigns.result("mine:noise", "inconclusive", text="mine:noise: the values scatter"),
        campaigns.result(f"mine:a_function_with_a_long_name_{ODD}_{'x' * 90}", "error", text=ODD, seed=None),
    ]
    return campaigns.page_of(
        results, [Unchecked("mine.Function", "no example: write @gradcheck.checked(like=...)")]
    )


def check(name, kind="op", checked="gradient", outcome="passed", counts=None, **more):
    """A check of a run."""
    counts = Counter(counts or {"pass": 20})
    return Check(
        kind, name, checked, f"tests/test_{kind}.py::test_{name}", counts, 2e-10, outcome, 0.25, **more
    )


def passing():
    """A run in which all is right, and some of it says little."""
    return Summary(
        [
            check("sin"),
            check("relu", counts={"vacuous": 3}, unseen=("inputs[0]",)),
            check(
                "abs",
                checked="kinks",
                counts={"subgradient": 4, "inconclusive": 1},
                reason="the values scatter",
            ),
            check("exp", hidden=7),
            check("Linear", "layer"),
        ],
        FACTS,
    )


def failing():
    """A run with failures: one with pictures and a snippet, one of which only a message is known, one with an odd name."""
    found = failures.of_result(report(), drawn=True)
    return Summary(
        [
            *passing().checks,
            check("softplus", outcome="failed", counts={"pass": 3, "fail": 1}, failures=(found,)),
            check(
                "broken",
                "layer",
                outcome="failed",
                failures=(failures.in_words("ValueError", "no\nsecond line"),),
            ),
            check(ODD, ODD, ODD, "failed", failures=({**found, "text": ODD, "snippet": ODD, "cause": ODD},)),
        ],
        {**FACTS, "project": ODD},
    )


def many(count, failed=0, failure=None):
    """A run of many entries with four properties each."""
    rows = []
    for k in range(count):
        for checked in ("value", "gradient", "kinks", "2nd order"):
            bad = k < failed and checked == "gradient"
            more = {"failures": (failure,)} if bad and failure else {}
            name = f"function_{k}_of_many_more"
            rows.append(check(name, "function", checked, "failed" if bad else "passed", **more))
    return Summary(rows, FACTS)


def write(folder, name, text):
    """The page as a file."""
    path = folder / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    return path


__all__ = [
    "FACTS",
    "ODD",
    "campaign",
    "check",
    "explanation",
    "failing",
    "html_page",
    "many",
    "passing",
    "report",
    "write",
]
