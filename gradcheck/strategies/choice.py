"""Choices among options, drawn from one text of bytes, so that each option occurs within a few examples.

Hypothesis makes most examples from the one before, by copying one draw over another of its kind; a class that is drawn by
itself (a layout, a size of 0) is then the same in five or six examples in a row, small numbers come far too often, and
a run of 100 may miss what one in ten should have. All choices of an example out of a single draw leave nothing to copy.
Zeros stand for the first options, and larger numbers for later ones: what shrinking goes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

LENGTH = 128
WIDTH = 2
"""Bytes of an example, and of one choice of it."""


class Chooser:
    """The choices of one example, made in the order in which they are requested.

    length: bytes that are drawn; choices beyond them follow from all of them.
    """

    def __init__(self, draw: st.DrawFn, length: int = LENGTH) -> None:
        self._bytes: bytes = draw(st.binary(min_size=length, max_size=length))
        self._place = 0

    def _number(self, width: int) -> int:
        start, self._place = self._place, self._place + width
        if self._place <= len(self._bytes):
            return int.from_bytes(self._bytes[start : self._place], "big")
        if not any(self._bytes):
            return 0
        more = blake2b(self._bytes + start.to_bytes(8, "big"), digest_size=width)
        return int.from_bytes(more.digest(), "big")

    def between(self, low: int, high: int) -> int:
        """A whole number between two bounds, both included; the lower one is the simplest."""
        count = high - low + 1
        width = WIDTH if count <= 2**10 else 8
        return low + (self._number(width) * count >> 8 * width)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, the first the simplest; an option may be listed more than once, to come more often."""
        return options[self.between(0, len(options) - 1)]

    def seed(self) -> int:
        """A seed for values."""
        return self._number(4)
