"""What a run tells: how far it is, and its score with every survivor."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutants import Mutant
    from store import Result


class Progress:
    """How far a run is: one line that is written over where a person looks on, else one a minute."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def tell(self, text: str) -> None:
        """Say so; nothing to wipe the line."""
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text and time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            print(text, file=sys.stderr, flush=True)


def told(results: dict[Mutant, Result], equivalent: set[Any]) -> list[Mutant]:
    """Print the score of each file, what took too long, and every survivor that is not declared; these are returned."""
    survivors = []
    for name in dict.fromkeys(mutant.source.name for mutant in results):
        of = {mutant: result for mutant, result in results.items() if mutant.source.name == name}
        same = sum(mutant.key in equivalent for mutant in of)
        left = [mutant for mutant, result in of.items() if result.by is None and mutant.key not in equivalent]
        noticed, counted = len(of) - same - len(left), len(of) - same
        score = f"{noticed / counted:7.1%}" if counted else "      -"
        print(f"{name:36} {score}   {noticed:4} of {counted:4} noticed, {same:3} equivalent", flush=True)
        survivors += left
    slow = [(m, r) for m, r in results.items() if r.why.startswith(("no end", "crash"))]
    for mutant, result in slow:
        print(f"noticed by {result.why}: {mutant.source.name}:{mutant.line}: {mutant.lines[1]}")
    for mutant in survivors:
        print(f"\nsurvived: {mutant.operator} in {mutant.owner.name}\n{mutant.diff()}")
    counted = sum(mutant.key not in equivalent for mutant in results)
    share = f" ({(counted - len(survivors)) / counted:.2%})" if counted else ""
    print(
        f"\n{counted - len(survivors)} of {counted} mutants noticed{share}, and {len(results) - counted} equivalent"
    )
    return survivors
