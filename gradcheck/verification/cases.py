"""Walks the registries: what stage 1 verifies, one unit per entry and case, with ids that stay the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gradcore import registry
from gradcore.spec import Case, OneOf

Kind = Literal["op", "layer", "loss"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One case of one registered entry.

    id: the entry's name, the case's number where there are several, and the reduction of a loss: "matmul-3",
    "cross_entropy-mean".
    """

    kind: Kind
    name: str
    id: str
    entry: Any
    case: Case

    def __repr__(self) -> str:
        return f"<{self.kind} {self.id}>"

    @property
    def kinked(self) -> bool:
        """Whether the domain has points without a derivative, to be sought on purpose."""
        return self.case.smooth_where is not None or any(a.kinks or a.distinct for a in self.case.arrays)

    @property
    def takes_gradient(self) -> bool:
        """Whether there is anything to differentiate by."""
        return any(a.takes_gradient for a in self.case.arrays)


def ops() -> list[Unit]:
    """Every case of every op, composed ones included."""
    return list(_units("op", registry.ops))


def layers() -> list[Unit]:
    """Every case of every layer."""
    return list(_units("layer", registry.layers))


def losses() -> list[Unit]:
    """Every case of every loss, once for each of its reductions."""
    found = []
    for unit in _units("loss", registry.losses):
        reduction = unit.case.params.get("reduction")
        if not isinstance(reduction, OneOf):
            found.append(unit)
            continue
        for value in reduction.values:
            params = {**unit.case.params, "reduction": OneOf(value)}
            found.append(replace(unit, id=f"{unit.id}-{value}", case=unit.case.replaced(params=params)))
    return found


def _units(kind: Kind, entries: Mapping[str, Any]) -> Iterator[Unit]:
    for name, entry in sorted(entries.items()):
        cases = entry.spec.cases
        for number, case in enumerate(cases):
            yield Unit(kind, name, name if len(cases) == 1 else f"{name}-{number}", entry, case)
