"""The check in a process of its own.

The code under check can end its process: by `os._exit`, by a signal, by a stack that overflows. The exit status of that
process is then no verdict. So it writes its status into a file at the end, and nothing else is believed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gradcheck.campaigns.interpreter import ending, interpreter
from gradcheck.cli.status import INTERRUPTED, MISCALLED, RIGHT, UNDECIDED, WRONG
from gradcheck.cli.termination import status_of, termination_raised

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULT = "result"
MAIN = "from gradcheck.cli.process import main; main()"


def judged_apart(command: str, arguments: Sequence[str]) -> int:
    """Run `python -m gradcheck` with these arguments in a new process, on the same streams; its exit status."""
    try:
        with termination_raised(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            code = _run([*interpreter(MAIN), folder, *arguments])
            status = _written(Path(folder))
    except KeyboardInterrupt as error:
        print(f"gradcheck {command}: interrupted", file=sys.stderr)
        return status_of(error, INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - Python's own status for it would be a verdict
        print(
            f"gradcheck {command}: the check can't be started ({type(error).__name__}: {error})",
            file=sys.stderr,
        )
        return MISCALLED
    if status is None:
        print(
            f"gradcheck {command}: the process ended before there was a verdict ({ending(code)}): the code under check or "
            "a library that it calls ended it, or the system, as where memory runs out. A forward or a rule has to return "
            "or to raise an error; `python -X faulthandler -m gradcheck ...` shows where a crash happened",
            file=sys.stderr,
        )
        return MISCALLED
    return status


def main() -> NoReturn:
    """The new process: judge, then write the status."""
    folder, *arguments = sys.argv[1:]
    sys.argv = ["gradcheck", *arguments]
    first = os.getpid()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # on Ctrl-C the other process speaks for both
    from gradcheck.cli.judging import judged

    status = judged(arguments, folder)
    if os.getpid() != first:  # a process that the code under check has forked
        os._exit(MISCALLED)
    Path(folder, RESULT).write_text(f"status {status}\n", encoding="ascii")
    sys.exit(status)


def _run(call: Sequence[str]) -> int:
    """Wait for the process, which does not outlive this one's interruption."""
    with suppress(ValueError, OSError, AttributeError):
        sys.stdout.flush()
    process = subprocess.Popen(call)  # noqa: S603 - this very command
    try:
        return process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _written(folder: Path) -> int | None:
    """The status that the process has written; None where it did not come to its end."""
    try:
        text = (folder / RESULT).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    every = {f"status {n}\n": n for n in (RIGHT, WRONG, MISCALLED, UNDECIDED, INTERRUPTED)}
    return every.get(text)
