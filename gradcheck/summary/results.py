"""What a run verified: one `Check` per entry, property and test, gathered into rows of entries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SCHEMA = 1

VERDICTS = ("pass", "subgradient", "inconclusive", "vacuous", "fail")

_KINDS = ("op", "layer", "loss", "optimizer")
_PROPERTIES = ("value", "gradient", "kinks", "2nd order", "recording")


@dataclass(frozen=True, slots=True)
class Check:
    """What one test found out about one property of one entry.

    checked: the property, such as "gradient". counts: examples by verdict. sensitivity: the worst, None where there is
    none. outcome: "passed", "failed" or "crashed", the test's own. seconds: the test's, of which each of its checks has an
    equal part. failures: as `gradcheck.summary.failures` gives them; more: how many are left out.
    hidden: entries of gradients that are too small to be judged. seen, unseen: inputs whose gradient some example showed, and none did. reason: of
    the first inconclusive example.
    """

    kind: str
    entry: str
    checked: str
    test: str
    counts: Counter[str]
    sensitivity: float | None
    outcome: str
    seconds: float
    failures: Sequence[dict[str, Any]] = ()
    more: int = 0
    hidden: int = 0
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    reason: str = ""

    @property
    def examples(self) -> int:
        """How many examples were judged."""
        return self.counts.total()


@dataclass(frozen=True)
class Cell:
    """All checks of one property of one entry."""

    checks: Sequence[Check]

    @cached_property
    def counts(self) -> Counter[str]:
        """Examples by verdict; "fail" has at least one for each test that failed."""
        counts: Counter[str] = Counter()
        for check in self.checks:
            counts.update(check.counts)
            if check.outcome != "passed" and not check.counts["fail"]:
                counts["fail"] += 1
        return counts

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return self.counts["fail"] > 0

    @property
    def undecided(self) -> bool:
        """Whether no example was decisive."""
        decisive = self.counts["pass"] + self.counts["subgradient"] + self.counts["fail"]
        return not decisive

    @property
    def sensitivity(self) -> float | None:
        """The worst; None where there is none."""
        return max([c.sensitivity for c in self.checks if c.sensitivity is not None], default=None)

    @property
    def seconds(self) -> float:
        """Time of all checks."""
        return sum([c.seconds for c in self.checks])


@dataclass(frozen=True)
class Entry:
    """One row: a function, layer or whatever else was verified, with a cell per property."""

    kind: str
    name: str
    cells: dict[str, Cell]

    @property
    def failed(self) -> bool:
        """Whether any property failed."""
        return any(cell.failed for cell in self.cells.values())

    @property
    def unseen(self) -> list[str]:
        """Inputs whose gradient none of the checks showed."""
        checks = [check for cell in self.cells.values() for check in cell.checks]
        seen = {path for check in checks for path in check.seen}
        return sorted({path for check in checks for path in check.unseen} - seen)

    @property
    def sensitivity(self) -> float | None:
        """The worst; None where there is none."""
        return max([c.sensitivity for c in self.cells.values() if c.sensitivity is not None], default=None)


@dataclass(frozen=True)
class Summary:
    """All that a run verified. False as a condition where that is nothing. facts: date, project, versions."""

    checks: Sequence[Check] = field(default_factory=tuple)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.checks)

    @cached_property
    def kinds(self) -> dict[str, list[Entry]]:
        """Entries by kind: gradcore's own kinds first, then others in the order of the alphabet, names likewise."""
        found: dict[tuple[str, str], dict[str, list[Check]]] = {}
        for check in self.checks:
            found.setdefault((check.kind, check.entry), {}).setdefault(check.checked, []).append(check)
        entries: dict[str, list[Entry]] = {}
        for kind, name in sorted(found, key=lambda key: (_rank(key[0], _KINDS), *key)):
            cells = {checked: Cell(checks) for checked, checks in found[kind, name].items()}
            entries.setdefault(kind, []).append(Entry(kind, name, cells))
        return entries

    @property
    def entries(self) -> list[Entry]:
        """The entries of all kinds."""
        return [entry for entries in self.kinds.values() for entry in entries]

    @cached_property
    def properties(self) -> list[str]:
        """Every property: the common ones in their usual order, then others, those of the most entries first."""
        entries = Counter([name for entry in self.entries for name in entry.cells])
        return sorted(entries, key=lambda name: (_rank(name, _PROPERTIES), -entries[name], name))

    @property
    def failed(self) -> bool:
        """Whether any entry failed."""
        return any(entry.failed for entry in self.entries)

    @property
    def examples(self) -> int:
        """How many examples were judged."""
        return sum([check.examples for check in self.checks])

    @property
    def slowest(self) -> list[Check]:
        """The checks, the slowest first."""
        return sorted(self.checks, key=lambda check: -check.seconds)

    @property
    def slowest_tests(self) -> list[tuple[str, float, int]]:
        """Each test with its seconds and examples, the slowest first."""
        tests: dict[str, list[Check]] = {}
        for check in self.checks:
            tests.setdefault(check.test, []).append(check)
        found = [
            (name, sum([c.seconds for c in of]), sum([c.examples for c in of])) for name, of in tests.items()
        ]
        return sorted(found, key=lambda test: -test[1])

    @property
    def failures(self) -> list[tuple[Check, dict[str, Any]]]:
        """What is known of each failure, with the check that it belongs to."""
        return [(check, failure) for check in self.checks for failure in check.failures]

    def seconds(self) -> dict[str, float]:
        """Time by property, the most first."""
        spent = dict.fromkeys(self.properties, 0.0)
        for check in self.checks:
            spent[check.checked] += check.seconds
        return dict(sorted(spent.items(), key=lambda item: -item[1]))

    def to_json(self) -> str:
        """The summary as JSON text, one object with these keys (schema 1; `gradcheck.report.schema.schema("summary")`):

        schema (1) · facts: object of texts: date, project, versions · failed: whether anything failed · examples · entries: list of {kind, name, failed, sensitivity (null:
        none), properties: object by property of {examples by verdict as pass, subgradient, inconclusive, vacuous, fail,
        where fail counts at least one for each test that failed · sensitivity (null: none) · seconds}} · checks: one
        for each test and property, the slowest first, list of {test: pytest's node id, kind, entry, property, outcome
        ("passed", "failed", "crashed"), examples, seconds: those of the test, in equal parts where it has several checks, hidden: entries of gradients too small to be judged, seen and
        unseen: inputs whose gradient some example showed, and none did, reason: of the first inconclusive example} ·
        failures: list of {test, kind, entry, property as in checks · function: what was checked, "" unknown · cause: the
        first fault's, or the name of the exception · text: the headline, or the exception's message · faults: list of
        {cause, text, input, index, analytic: what the rule gives, numeric: the derivative, bound} as in `Report.to_json` ·
        inputs: those of the failing example, list of {path, dtype, shape} · smallest: whether it is the smallest one that a
        search has found · snippet: code that shows the fault
        again · examples: how many were tried · seed or null}, long texts cut · more_failures: how many are left out.
        """
        return json.dumps(_plain(self), indent=2, ensure_ascii=False, allow_nan=False)


def _rank(name: str, usual: tuple[str, ...]) -> int:
    return usual.index(name) if name in usual else len(usual)


def _plain(s: Summary) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "facts": dict(s.facts),
        "failed": s.failed,
        "examples": s.examples,
        "entries": [
            {
                "kind": entry.kind,
                "name": entry.name,
                "failed": entry.failed,
                "sensitivity": entry.sensitivity,
                "properties": {
                    name: {
                        **{verdict: cell.counts[verdict] for verdict in VERDICTS},
                        "sensitivity": cell.sensitivity,
                        "seconds": round(cell.seconds, 3),
                    }
                    for name, cell in entry.cells.items()
                },
            }
            for entry in s.entries
        ],
        "checks": [
            {
                "test": check.test,
                "kind": check.kind,
                "entry": check.entry,
                "property": check.checked,
                "outcome": check.outcome,
                "examples": check.examples,
                "seconds": round(check.seconds, 3),
                "hidden": check.hidden,
                "seen": list(check.seen),
                "unseen": list(check.unseen),
                "reason": check.reason,
            }
            for check in s.slowest
        ],
        "failures": [
            {
                "test": check.test,
                "kind": check.kind,
                "entry": check.entry,
                "property": check.checked,
                **{key: value for key, value in failure.items() if key != "pictures"},
            }
            for check, failure in s.failures
        ],
        "more_failures": sum([check.more for check in s.checks]),
    }


def gathered(records: Iterable[dict[str, Any]], test: str, outcome: str, seconds: float) -> list[Check]:
    """Checks of one test from what it recorded; each has its part of the seconds."""
    rows = list(records)
    return [
        Check(
            row["kind"],
            row["entry"],
            row["property"],
            test,
            Counter(row.get("counts", {})),
            row.get("sensitivity"),
            outcome,
            seconds / len(rows),
            () if outcome == "passed" else tuple(row.get("failures", ())),
            0 if outcome == "passed" else row.get("more", 0),
            row.get("hidden", 0),
            tuple(row.get("seen", ())),
            tuple(row.get("unseen", ())),
            row.get("reason", ""),
        )
        for row in rows
    ]
