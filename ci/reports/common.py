"""What the reports share: the way to ci/catalogue, and the error for a name or number that leaves nothing to do.

A report runs as `python ci/reports/NAME.py`, so only its own folder is on the path. Importing this module adds ci/, so
that `catalogue` can be imported after it.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def require_known(
    parser: argparse.ArgumentParser, what: str, given: Sequence[str], known: Collection[str]
) -> None:
    """Exit with 2 where one of the names given is unknown. what: what the names are of, in the plural."""
    unknown = [name for name in given if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 3, 0.4)
        nearest = f", the nearest called {' or '.join(map(repr, near))}" if near else ""
        parser.exit(
            2,
            f"{parser.prog}: nothing is called {', '.join(map(repr, unknown))}: there are {len(known)} {what}{nearest}; "
            "name one of them, or none to run them all\n",
        )


def at_least_one(text: str) -> int:
    """An argument's type: a whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} leaves nothing to do: give 1 or more")
    return number
