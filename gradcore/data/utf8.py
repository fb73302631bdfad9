"""Files of text in UTF-8, read block by block."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING

from gradcore.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["characters"]

_BLOCK = 1 << 20


def characters(path: Path) -> Iterator[str]:
    """The text of a file, piece by piece: without a byte order mark, each end of line as one newline.

    Raises DataError for a byte that is no UTF-8, with its place in the file, and OSError.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = io.IncrementalNewlineDecoder(decoder, translate=True)
    place = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            held = len(decoder.getstate()[0])
            try:
                piece = lines.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}: no text in UTF-8: {error.reason} at byte {place - held + error.start}; save it as UTF-8"
                ) from error
            if piece:
                yield piece if place else piece.removeprefix("\ufeff")
            if not block:
                return
            place += len(block)
