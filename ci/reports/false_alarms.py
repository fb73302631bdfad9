"""Checks right gradients over all scales, sizes and dtypes, and counts the checks that do not pass.

    python ci/reports/false_alarms.py [--checks 10000] [--seed 0] [--show] [--only FAMILY]

Two thirds of the checks are of the pairs in `ci/catalogue/right`. The rest are of every registered op and loss, drawn from
its spec. Prints a table by family, and each check that failed or was inconclusive. Exits with 1 where any right gradient
failed, or 2 % or more were inconclusive. `--show` prints the whole report of each of those.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import common
import numpy as np
from catalogue.right import PAIRS, Pair
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from gradcheck import CallError, Report, gradcheck
from gradcheck.strategies import examples
from gradcheck.verification import cases as registered

ALLOWED = 0.02
"""Share of inconclusive checks that is too large."""

DTYPES = (np.float64, np.float64, np.float32, np.float32, np.float16)
FAMILIES = (*dict.fromkeys(pair.family for pair in PAIRS), "registered ops", "registered losses")
REACH = {2: 2, 4: 8, 8: 8}
"""Decades by which inputs and outputs are scaled, up and down, by the bytes of the dtype."""


@dataclass
class Tally:
    """The verdicts of one family's checks."""

    verdicts: Counter[str] = field(default_factory=Counter)
    evaluations: list[int] = field(default_factory=list)

    def row(self, name: str) -> str:
        """Its line of the table."""
        v, spent = self.verdicts, np.array(self.evaluations or [0])
        checks = sum(v.values()) - v["set aside"]
        return (
            f"{name:<18}{checks:>8}{v['pass']:>8}{v['subgradient']:>13}{v['fail']:>6}{v['inconclusive']:>14}"
            f"{np.median(spent):>13.0f}{spent.max():>6}{v['set aside']:>11}"
        )


@dataclass(frozen=True)
class Oddity:
    """A check of a right gradient that did not pass."""

    verdict: str
    where: str
    text: str


@dataclass
class Run:
    """The checks made so far."""

    families: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    odd: list[Oddity] = field(default_factory=list)

    def count(self, family: str, where: str, check: Callable[[], Report], *, domain: bool = False) -> None:
        """Make one check; `domain`: a function may refuse its inputs, which is then set aside."""
        tally = self.families[family]
        try:
            report = check()
        except CallError as error:
            word = "set aside" if domain else "fail"
            tally.verdicts[word] += 1
            if word == "fail":
                self.odd.append(Oddity("fail", where, f"CallError: {error}"))
            return
        tally.verdicts[report.verdict.value] += 1
        tally.evaluations.append(report.evaluations)
        if not report:
            why = report.reason or "; ".join(f"{f.cause}: {f.text}" for f in report.faults)
            self.odd.append(Oddity(report.verdict.value, where, f"{why}\n{report}"))

    @property
    def total(self) -> Counter[str]:
        return sum((t.verdicts for t in self.families.values()), Counter())


def size(rng: np.random.Generator) -> int:
    """Entries of an input: mostly few, sometimes none or one, seldom very many."""
    draw = rng.random()
    if draw < 0.13:
        return int(draw > 0.03)
    if draw < 0.997:
        return round(math.exp(rng.uniform(0, math.log(4000 if draw > 0.95 else 300))))
    return 100_000


def rescaled(pair: Pair, inner: float, outer: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`outer f(x / inner)` and its rule."""

    def down(arrays: Sequence[Any]) -> list[Any]:
        return [a / inner if a.dtype.kind in "fc" else a for a in arrays]

    def forward(*arrays: Any) -> Any:
        return outer * pair.forward(*down(arrays))

    def rule(gy: Any, y: Any, *arrays: Any) -> Any:
        # divided by what is above 1 first: in half precision a cotangent of `f` alone may overflow where the whole's does not
        found = pair.rule(gy * (outer / max(inner, 1.0)), y / outer, *down(arrays))
        many = isinstance(found, tuple)
        scaled = [None if g is None else g / min(inner, 1.0) for g in (found if many else (found,))]
        return tuple(scaled) if many else scaled[0]

    return forward, rule


def draw_pair(pair: Pair, rng: np.random.Generator) -> tuple[str, Callable[[], Report]]:
    """One check of a pair: a description of what was drawn, and the check."""
    dtype = np.dtype(rng.choice(np.array([d for d in DTYPES if pair.narrow or d is not np.float16], object)))
    n = min(size(rng), pair.most)
    inputs = pair.draw(rng, n, dtype)
    forward, rule, words = pair.forward, pair.rule, ""
    if pair.scaled and rng.random() < 0.75:
        reach = REACH[dtype.itemsize]
        inner, outer = (float(s) for s in 10.0 ** rng.uniform(-reach, reach, 2))
        if rng.random() < 0.7:
            inner = 2.0 ** round(math.log2(inner))
        inputs = tuple([(a * inner).astype(a.dtype) if a.dtype.kind in "fc" else a for a in inputs])
        forward, rule = rescaled(pair, inner, outer)
        words = f", inner {inner:.3g}, outer {outer:.3g}"
    seed = int(rng.integers(2**31))
    shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in inputs)
    return f"{pair.name} on {shapes}{words}, seed {seed}", lambda: gradcheck(
        forward, inputs, vjp=rule, seed=seed, raise_exception=False
    )


def check_pairs(run: Run, checks: int, seed: int, only: str | None) -> None:
    """So many checks of the pairs, in turn."""
    chosen = [p for p in PAIRS if only in (None, p.family)]
    for number in range(checks if chosen else 0):
        pair = chosen[number % len(chosen)]
        rng = np.random.default_rng([seed, number])
        where, check = draw_pair(pair, rng)
        run.count(pair.family, f"{pair.family}, no. {number}: {where}", check)


def units(only: str | None) -> Iterator[tuple[str, Any]]:
    """Registered ops and losses that take a gradient."""
    for family, found in (("registered ops", registered.ops()), ("registered losses", registered.losses())):
        if only in (None, family):
            yield from ((family, unit) for unit in found if unit.takes_gradient)


def check_registered(run: Run, checks: int, seed: int, only: str | None) -> None:
    """So many checks of what is registered, the same number of each."""
    chosen = list(units(only))
    for place, (family, unit) in enumerate(chosen):
        share = checks // len(chosen) + (place < checks % len(chosen))
        _examples_of(run, family, unit, share, seed)


def _examples_of(run: Run, family: str, unit: Any, share: int, seed: int) -> None:
    modes = ["smooth", "smooth", "kinks"] if unit.kinked else ["smooth"]
    drawn = st.tuples(st.sampled_from([np.float64, np.float32]), st.sampled_from(modes)).flatmap(
        lambda pair: examples(unit.case, dtype=pair[0], mode=pair[1])
    )

    @hypothesis_seed(seed)
    @settings(
        max_examples=max(share, 1),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def each(example: Any) -> None:
        def check() -> Report:
            wanted = [i for i, takes in enumerate(example.takes_gradient) if takes]
            return gradcheck(
                unit.entry, example.arrays, params=example.params, wrt=wanted, raise_exception=False
            )

        run.count(family, f"{unit.id}: {example!r}", check, domain=True)

    each()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", type=common.at_least_one, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--show", action="store_true", help="print the report of each check that did not pass"
    )
    parser.add_argument("--only", choices=FAMILIES, metavar="FAMILY", help="one family")
    options = parser.parse_args(arguments)
    warnings.simplefilter(
        "ignore", RuntimeWarning
    )  # NumPy's, of overflow in a function that is drawn at its edge
    start, run = time.perf_counter(), Run()
    from_specs = options.checks // 3 if list(units(options.only)) else 0
    of_pairs = any(options.only in (None, p.family) for p in PAIRS)
    check_pairs(run, options.checks - from_specs if of_pairs else 0, options.seed, options.only)
    check_registered(run, from_specs if of_pairs else options.checks, options.seed, options.only)
    print(
        f"{'family':<18}{'checks':>8}{'pass':>8}{'subgradient':>13}{'fail':>6}{'inconclusive':>14}"
        f"{'evaluations':>13}{'most':>6}{'set aside':>11}"
    )
    for name, tally in run.families.items():
        print(tally.row(name))
    every = Tally(run.total, [e for t in run.families.values() for e in t.evaluations])
    print(every.row("all"))
    for odd in run.odd:
        print(
            f"{odd.verdict}: {odd.where[:300]}: {odd.text if options.show else odd.text.splitlines()[0][:300]}"
        )
    checks = sum(every.verdicts.values()) - every.verdicts["set aside"]
    share = every.verdicts["inconclusive"] / max(checks, 1)
    alarms = every.verdicts["fail"]
    print(
        f"{alarms} false alarms and {share:.2%} inconclusive in {checks} checks of {len(PAIRS)} pairs and "
        f"{len(list(units(None)))} registered cases, {time.perf_counter() - start:.0f} s"
    )
    return 1 if alarms or share >= ALLOWED else 0


if __name__ == "__main__":
    sys.exit(main())
