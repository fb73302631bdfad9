"""The command `gradcheck`: check a function of yours, or an op at points drawn from its domain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gradcheck.cli.guide import show
from gradcheck.cli.options import parser
from gradcheck.cli.process import judged_apart
from gradcheck.cli.status import INTERRUPTED, MISCALLED, RIGHT, UNDECIDED, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["INTERRUPTED", "MISCALLED", "RIGHT", "UNDECIDED", "WRONG", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, a check in a process of its own; the exit status: see `gradcheck.cli.status`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if options.command == "guide":
        return show(options.topic)
    return judged_apart(options.command, given)
