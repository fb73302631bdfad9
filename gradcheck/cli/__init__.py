"""The command `gradcheck`: check a function of yours, an op at points drawn from its domain, or all that a target declares."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gradcheck.cli.campaign import run
from gradcheck.cli.guide import show
from gradcheck.cli.options import parser, with_run
from gradcheck.cli.process import judged_apart
from gradcheck.cli.status import INTERRUPTED, MISCALLED, RIGHT, UNDECIDED, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["INTERRUPTED", "MISCALLED", "RIGHT", "UNDECIDED", "WRONG", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, each check in a process of its own; the exit status: see `gradcheck.cli.status`."""
    given = with_run(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if options.command == "run":  # each check has a process of its own
        return run(options)
    if options.command == "guide":
        return show(options.topic)
    return judged_apart(options.command, given)
