"""The mutants that compute the same as the original, each with its reason: equivalent.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mutants import Mutant

FIELDS = {"file", "function", "line", "mutated", "occurrence", "reason"}


@dataclass(frozen=True)
class Declaration:
    """One line of one function, the texts it may be changed into without any effect, and why."""

    file: str
    function: str
    line: str
    mutated: tuple[str, ...]
    reason: str
    occurrence: int = 1

    def mutants(self) -> list[tuple[str, str, str, str, int]]:
        """The keys of the mutants that it declares."""
        return [(self.file, self.function, self.line, text, self.occurrence) for text in self.mutated]


def load(path: Path) -> list[Declaration]:
    """All declarations of a file; ValueError for one that is incomplete."""
    if not path.exists():
        return []
    found = []
    for entry in tomllib.loads(path.read_text()).get("equivalent", []):
        if unknown := set(entry) - FIELDS:
            raise ValueError(f"{path.name}: unknown {', '.join(sorted(unknown))} in {entry}")
        if missing := FIELDS - {"occurrence"} - set(entry):
            raise ValueError(f"{path.name}: no {', '.join(sorted(missing))} in {entry}")
        if len(entry["reason"].split()) < 3:
            raise ValueError(f"{path.name}: a reason in words is needed, not {entry['reason']!r}")
        texts = entry["mutated"] if isinstance(entry["mutated"], list) else [entry["mutated"]]
        found.append(Declaration(**{**entry, "mutated": tuple(texts)}))
    return found


def stale(declarations: Iterable[Declaration], mutants: Iterable[Mutant]) -> list[str]:
    """Declarations that match no mutant any more, in words."""
    known = {mutant.key for mutant in mutants}
    return [
        f"{file}, {function}: {line} -> {text}"
        for declaration in declarations
        for key in declaration.mutants()
        if key not in known
        for file, function, line, text, _ in [key]
    ]


def as_entry(mutant: Mutant) -> str:
    """The declaration of a mutant, to be completed with its reason."""
    file, function, line, mutated, occurrence = mutant.key
    parts = [f"file = {quoted(file)}", f"function = {quoted(function)}", f"line = {quoted(line)}"]
    parts += [f"mutated = {quoted(mutated)}"] + ([f"occurrence = {occurrence}"] if occurrence > 1 else [])
    return "\n".join(["[[equivalent]]", *parts, 'reason = ""'])


def quoted(text: str) -> str:
    """A TOML string."""
    return f"'{text}'" if "'" not in text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
