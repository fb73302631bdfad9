"""This Python once more, in a process of its own: how it is started, and how it ended."""

from __future__ import annotations

import signal
import sys


def interpreter(code: str) -> list[str]:
    """The command that runs `code` by this Python, with the same options and the same places to look for modules."""
    options = ["-P"]  # else the current folder comes before the standard library
    options += ["-B"] * sys.dont_write_bytecode + ["-O"] * sys.flags.optimize
    options += ["-E"] * sys.flags.ignore_environment + ["-s"] * sys.flags.no_user_site
    options += [f"-W{option}" for option in sys.warnoptions]
    for name, value in sys._xoptions.items():
        options += ["-X", name if value is True else f"{name}={value}"]
    places = [place for place in sys.path if isinstance(place, str)]
    return [sys.executable, *options, "-c", f"import sys; sys.path[:] = {places!r}; {code}"]


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
