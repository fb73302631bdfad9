"""What goes to the terminal."""

from __future__ import annotations

import os
import sys


def print_out(text: object) -> None:
    """Print; nothing where the reader has gone, as in `gradcheck ... | head`: the exit status still gives the verdict."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what Python flushes at its end goes there
