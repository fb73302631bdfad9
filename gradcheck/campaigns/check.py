"""One check of a campaign, as plain data."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """What is to be checked, by name, so that any process can find it.

    kind: "marked", or the registry's "op", "layer", "loss", "optimizer". module, name: where it is; a registered entry's name
    is its case's, such as "matmul-3". what: the property, "" for a mark. file: of a module that was given as a file.
    examples: how many to draw, 0 for the default of its kind.
    """

    kind: str
    module: str
    name: str
    what: str = ""
    file: str = ""
    examples: int = 0

    @property
    def id(self) -> str:
        """The name in results: "mine:softplus", "gradcore.ops.products:matmul-3 2nd order"."""
        return f"{self.module}:{self.name} {self.what}".rstrip()

    def plain(self) -> dict[str, Any]:
        """As strings and numbers."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What a target declares that can't be checked. words: why, and what to write."""

    name: str
    words: str


def seed_of(check: str, seed: int) -> int:
    """The seed of a check, from its name and the campaign's seed alone: no order and no number of workers changes it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {check}".encode()).digest()[:4], "big")
