"""`--html`: the page of a result, refused before the work where it can't be written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from gradcheck.errors import CallError


class Paged(Protocol):
    """A result that has a page."""

    def save_html(self, path: str, /) -> None:
        """Write the page, whole or not at all. Raises `gradcore.errors.OutputError`."""


def ensure_writable(page: str | None) -> None:
    """Raises `CallError` where the page could not be written after all the work."""
    from gradcore.errors import OutputError
    from gradcore.io import ensure_writable as ensure_folder

    if page is None:
        return
    path = Path(page)
    if path.is_dir():
        raise CallError(f"--html {page} is a folder: name a file in it, as {path / 'gradients.html'}")
    try:
        ensure_folder(path.parent)
    except OutputError as error:
        raise CallError(f"--html: {error}") from error


def written(found: Paged, page: str | None, command: str) -> bool:
    """Whether the page was written, or none was requested. command: as in the message where it can't be."""
    from gradcore.errors import OutputError

    if page is None:
        return True
    try:
        found.save_html(page)
    except OutputError as error:
        print(f"{command}: --html: {error}", file=sys.stderr, flush=True)
        return False
    return True
