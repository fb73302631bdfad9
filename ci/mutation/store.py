"""What earlier runs measured and which mutants were killed, so that a run repeats only what has changed or survived."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Result:
    """The outcome of a mutant: the test that killed it and how, or none."""

    by: str | None
    why: str = ""
    test: str = ""  # the fingerprint of the test's file
    seconds: float = 0.0


class Store:
    """results.json: what earlier runs found. Its keys are these names."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path = path
        self.measured: dict[str, Any] = {}
        self.results: dict[str, Result] = {}
        if path.exists() and not fresh:
            self.load()

    def load(self) -> None:
        """Read it."""
        kept = json.loads(self.path.read_text())
        self.measured = kept["measured"]
        self.results = {name: Result(**entry) for name, entry in kept["results"].items()}

    def save(self) -> None:
        """Write it, whole or not at all."""
        results = {name: vars(entry) for name, entry in self.results.items()}
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps({"measured": self.measured, "results": results}))
        scratch.replace(self.path)
