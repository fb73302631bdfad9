"""What every contract is made of: how one is declared, skipped and tried, and when two results are the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, coarsest, equal
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.rounding import is_dust
from gradcheck.verdict.spreads import apart, pull_spreads, spreads


class Skip(Exception):  # noqa: N818
    """A contract does not apply to this function, and why."""


@dataclass(frozen=True, slots=True)
class ContractResult:
    """One contract: `status` is "held", "broken" or "skipped", `text` says what broke it, or why it was left out.

    because: the broken contract that keeps this one from being judged, "" for none.
    """

    name: str
    status: str
    text: str = ""
    because: str = ""


Contract: TypeAlias = Callable[[Observation], str | None]
"""Returns a sentence on what broke it, None where it holds; raises Skip where it does not apply.

The sentence says what is wrong, then after a colon what came of it and what to do: up to the colon it is a headline.
"""

CONTRACTS: dict[str, Contract] = {}
FOLLOWS: dict[str, tuple[str, ...]] = {}
OF: dict[str, type] = {}
AT_SECOND_ORDER: set[str] = set()
"""Contracts on a gradient that is differentiated once more; they are not mentioned at first order."""

HELD: dict[str, ContractResult] = {}
ON_REQUEST: set[str] = set()
"""Contracts that are tried where they are named only."""

AMPLIFIED = 64.0
"""How many times the effect of one unit in the last place of the inputs rounding on the way may have."""

REORDERED = 1e3
"""Units of eps, of the largest entry, by which a sum taken in another order may differ without a further check."""


def contract(
    *,
    follows: tuple[str, ...] = (),
    of: type = object,
    on_request: bool = False,
    at_second_order: bool = False,
) -> Callable[[Contract], Contract]:
    """Decorator that adds a contract under its own name; they are tried in the order in which they were added.

    follows: contracts that, once broken, break this one as well, or may: it is no fault of its own then. of: the class of
    the subjects that it is about; it is not mentioned for others. on_request: it is tried only where it is named.
    at_second_order: it is about a gradient that is differentiated once more.
    """

    def register(check: Contract) -> Contract:
        CONTRACTS[check.__name__] = check
        if on_request:
            ON_REQUEST.add(check.__name__)
        if at_second_order:
            AT_SECOND_ORDER.add(check.__name__)
        FOLLOWS[check.__name__], OF[check.__name__] = follows, of
        HELD[check.__name__] = ContractResult(check.__name__, "held")
        return check

    return register


def of_every_subject() -> set[str]:
    """Names of the contracts that are about functions of any kind, those on request included."""
    return {name for name, kind in OF.items() if kind is object and name not in AT_SECOND_ORDER}


def close(
    a: Sequence[Array | None], b: Sequence[Array | None], units: float = REORDERED, size: float = 0.0
) -> bool:
    """Whether two lists of arrays agree to within so many eps of their largest entry, or of `size`; None counts as zero."""
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            rest = y if x is None else x
            if rest is not None and np.any(rest):
                return False
        elif x.shape != y.shape:
            return False
        elif not equal(x, y):
            if x.dtype.kind not in "fc":
                return False
            finite = np.isfinite(x)
            whole = np.count_nonzero(finite) == x.size
            largest = max(np.abs(x if whole else x[finite]).max(initial=0.0), size)
            far = np.abs(x - y) > units * coarsest((x,), (y,)) * largest
            if np.count_nonzero(far) or np.count_nonzero(finite != np.isfinite(y)):
                return False
    return True


Result: TypeAlias = tuple[Sequence[Array], Cotangents]
"""Outputs, and what was pulled back."""


def alike(obs: Observation, arrays: Sequence[Array], gys: Sequence[Array], a: Result, b: Result) -> bool:
    """Whether two results at `arrays` differ by rounding only.

    Where they differ by more than a few eps, the function may be one that amplifies rounding (a sum that cancels): then
    moving the inputs and gy by a unit in their last place, and nothing else, makes as large a difference.
    """
    first, second = [*a[0], *a[1]], [*b[0], *b[1]]
    if close(first, second):
        return True
    shapes = [[None if x is None else x.shape for x in result] for result in (first, second)]
    if shapes[0] != shapes[1]:
        return False
    allowed = spreads(obs, arrays, gys)
    return allowed is not None and within(first, second, allowed)


def within(a: Sequence[Array | None], b: Sequence[Array | None], allowed: Sequence[float]) -> bool:
    """Whether each pair agrees, or differs by no more than the measured effect of rounding, amplified."""
    each = zip(a, b, allowed, strict=True)
    return all(close([x], [y]) or apart(x, y) <= AMPLIFIED * spread for x, y, spread in each)


def agrees(
    obs: Observation,
    gx: Cotangents,
    reference: Cotangents,
    gys: Sequence[Array],
    parts: Sequence[Sequence[Array]] = (),
) -> bool:
    """Whether `gx`, pulled back from `gys`, is as good as `reference`: equal up to rounding, or right by the numbers.

    parts: cotangents whose results make up the reference; each brings its own rounding. Where the value check failed
    already or was inconclusive, only a gross difference counts, and between gradients that cancel to dust none.
    """
    if close(gx, reference):
        return True
    each = [pull_spreads(obs, some) for some in (gys, *parts)]
    if within(gx, reference, [sum(one) for one in zip(*each, strict=True)]):
        return True
    verdicts = [e.comparison.verdict for e in obs.evidence]
    if Verdict.FAIL in verdicts or not {Verdict.PASS, Verdict.SUBGRADIENT} & set(verdicts):
        if close(gx, reference, 1e-3 / np.finfo(np.float64).eps):
            return True
        return Verdict.FAIL not in verdicts and all(
            is_dust(obs, g, gys, e.v) for e in obs.evidence for g in (gx, reference)
        )
    wanted = [g if w else None for g, w in zip(gx, obs.wanted, strict=True)]
    if any(g is not None and g.shape != x.shape for g, x in zip(wanted, obs.arrays, strict=True)):
        return False
    return all(obs.held(e.numeric, gx, e.v, gys).verdict is not Verdict.FAIL for e in obs.evidence)


def examine(obs: Observation, names: Collection[str] | None = None) -> list[ContractResult]:
    """Try the contracts of these names, by default all but those on request, and report each by itself.

    One that is broken, or would be, because another one is, is none of its own: it is skipped because of that one.
    """
    results = []
    for name, check in CONTRACTS.items():
        named = name not in ON_REQUEST if names is None else name in names
        if not named or not isinstance(obs.subject, OF[name]):
            continue
        if name in AT_SECOND_ORDER and obs.subject.primal is None:
            continue
        if not obs.broken.isdisjoint(FOLLOWS[name]):
            results.append(ContractResult(name, "broken"))
            continue
        try:
            broken = check(obs)
        except Skip as why:
            results.append(ContractResult(name, "skipped", str(why)))
        else:
            results.append(HELD[name] if broken is None else ContractResult(name, "broken", broken))
            if broken is not None:
                obs.broken.add(name)
    return [_of_its_own(obs, result) for result in results] if obs.broken else results


def _of_its_own(obs: Observation, result: ContractResult) -> ContractResult:
    cause = next((other for other in FOLLOWS[result.name] if other in obs.broken), "")
    if result.status != "broken" or not cause:
        return result
    return ContractResult(
        result.name, "skipped", f"{cause} is broken, and this would follow", _first_cause(obs, cause)
    )


def _first_cause(obs: Observation, name: str) -> str:
    cause = next((other for other in FOLLOWS[name] if other in obs.broken), "")
    return _first_cause(obs, cause) if cause else name
