"""What a run prints: how far it is, then its score with every survivor."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutants import Mutant
    from store import Result


class Progress:
    """How far a run is: on a terminal one line that is written over, else one line a minute."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def show(self, text: str) -> None:
        """Show the text; an empty one wipes the line."""
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif text and time.monotonic() - self._shown > 60:
            self._shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)


def print_report(results: dict[Mutant, Result], equivalent: set[Any]) -> list[Mutant]:
    """Print the score of each file, what took too long, and every survivor that is not declared; these are returned."""
    survivors = []
    for name in dict.fromkeys(mutant.source.name for mutant in results):
        of = {mutant: result for mutant, result in results.items() if mutant.source.name == name}
        same = sum(mutant.key in equivalent for mutant in of)
        left = [mutant for mutant, result in of.items() if result.by is None and mutant.key not in equivalent]
        killed, counted = len(of) - same - len(left), len(of) - same
        score = f"{killed / counted:7.1%}" if counted else "      -"
        print(f"{name:36} {score}   {killed:4} of {counted:4} killed, {same:3} equivalent", flush=True)
        survivors += left
    slow = [(m, r) for m, r in results.items() if r.why.startswith(("no end", "crash"))]
    for mutant, result in slow:
        print(f"killed by {result.why}: {mutant.source.name}:{mutant.line}: {mutant.lines[1]}")
    for mutant in survivors:
        print(f"\nsurvived: {mutant.operator} in {mutant.owner.name}\n{mutant.diff()}")
    counted = sum(mutant.key not in equivalent for mutant in results)
    share = f" ({(counted - len(survivors)) / counted:.2%})" if counted else ""
    print(
        f"\n{counted - len(survivors)} of {counted} mutants killed{share}, and {len(results) - counted} equivalent"
    )
    return survivors
