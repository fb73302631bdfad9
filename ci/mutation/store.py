"""What earlier runs measured and noticed, so that a run asks only about what has changed or survived."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Result:
    """What became of a mutant: the test that noticed it and how, or none."""

    by: str | None
    why: str = ""
    test: str = ""  # the fingerprint of the test's file
    seconds: float = 0.0


class Store:
    """results.json: what was measured and noticed before."""

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
