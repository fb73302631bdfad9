"""Which tests run which function, and which of them to run first on a mutant."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from source import MODULE, digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mutants import Mutant

# Tests of stage 1 in the order in which they are likely to kill a mutant of a rule, and of anything else.
_OF_RULES = ("gradient", "subgradient", "differentiable", "tensors_give")
_OF_VALUES = ("value", "output", "trajectory", "gradient", "tensors_give")

NEAR = 40  # tests of a mutant's units run first, and as many cheap ones that run little else
CHEAP = 0.03  # seconds: such tests run before the long ones
LONG = 300  # long tests at most, after all cheap ones: those that run little else


@dataclass
class Touching:
    """Every test with its seconds and the functions that it runs, as "file:function"; and those that importing runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    functions: dict[str, frozenset[str]] = field(default_factory=dict)
    at_import: set[str] = field(default_factory=set)
    _of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # a function's tests

    def add(self, measured: dict[str, Any]) -> None:
        """Take over what was measured of one test file."""
        for name, (seconds, functions) in measured["tests"].items():
            self.seconds[name] = seconds
            self.functions[name] = frozenset(functions)
            for function in functions:
                self._of[function].append(name)
        self.at_import |= set(measured["at_import"])

    def tests(self, mutant: Mutant, units: set[str]) -> list[str]:
        """The tests that can kill a mutant: those that run its function, or the file's where it is at module level.

        And those that are about one of its `units` without running it: a test may look at a signature.

        What runs while the project is imported can show in any test: then one case of every other test comes after those.
        """
        file = f"{mutant.source.name}:"
        if mutant.owner.name == MODULE:
            found = [
                name
                for name, functions in self.functions.items()
                if any(f.startswith(file) for f in functions)
            ]
        else:
            found = list(self._of.get(file + mutant.owner.name, ()))
        if units:
            ran = set(found)
            found += [name for name in self.functions if name not in ran and units & case_words(name)]
        if mutant.owner.name == MODULE or file + mutant.owner.name in self.at_import:
            functions_run = {name.partition("[")[0] for name in found}
            others: dict[str, str] = {}
            for name in self.functions:
                others.setdefault(name.partition("[")[0], name)
            found += [name for function, name in others.items() if function not in functions_run]
        return found


@cache
def case_words(name: str) -> set[str]:
    """The words of a test's case: {"matmul", "3"} for test_the_value_is_the_references[matmul-3]."""
    return set(re.findall(r"\w+", name.partition("[")[2]))


def in_order(
    mutant: Mutant, touching: Touching, units: set[str], killers: Counter[str], hint: str | None
) -> tuple[list[str], list[str], list[str]]:
    """The tests about a mutant, likeliest to kill it first: the nearest, which are of its own units, then cheap ones, then the others.

    units: the registered names that use the mutant's function. killers: how many mutants of the function each test has
    killed. hint: the test that killed this mutant before.
    """
    likely = _OF_RULES if mutant.owner.rule else _OF_VALUES
    names = touching.tests(mutant, units)
    nth: Counter[tuple[str, bool]] = Counter()
    place: dict[str, tuple[Any, ...]] = {}
    for name in names:
        function, own = name.partition("[")[0], bool(units & case_words(name))
        nth[function, own] += 1
        seconds = touching.seconds[name]
        rank = next((i for i, word in enumerate(likely) if word in function), len(likely))
        if name == hint or killers[name]:
            place[name] = (0, name != hint, -killers[name] / (0.02 + seconds))
        elif own:  # one case of each test function, then another of each
            place[name] = (2, nth[function, own], rank, seconds)
        elif seconds < CHEAP:
            place[name] = (1 if mutant.refusal or not units else 3, len(touching.functions[name]), seconds)
        else:  # a test that runs little else is likelier to be about this
            place[name] = (4 if units else 2, len(touching.functions[name]), nth[function, own], seconds)
    ordered = sorted(names, key=place.__getitem__)
    nearest = NEAR if units else 2 * NEAR
    about = [name for name in ordered if place[name][0] < 3][:nearest]
    chosen = set([*about, *[name for name in ordered if place[name][0] == 3][:nearest]] or ordered[:NEAR])
    others = [name for name in ordered if name not in chosen]
    cheap = [name for name in others if touching.seconds[name] < CHEAP]
    long = [name for name in others if touching.seconds[name] >= CHEAP]
    return [name for name in ordered if name in chosen], cheap, long[:LONG]


def test_files(root: Path, places: Iterable[str]) -> list[str]:
    """All test files in some folders."""
    found = []
    for place in places:
        path = root / place
        found += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return [str(path.relative_to(root)) for path in found]


def fingerprint(root: Path, file: str, everything: str) -> str:
    """Changes with a test file, with the conftests above it, and with `everything` that is under test."""
    path = root / file
    conftests = [c for folder in path.parents if (c := folder / "conftest.py").exists() and root in c.parents]
    return digest(everything, *(p.read_bytes() for p in (path, *conftests)))
