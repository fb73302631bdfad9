"""A text as numbers, one for each character: what a model that writes is trained on."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcore.data.idx import DEFAULT_LIMIT
from gradcore.data.pairs import Pairs, count_for_test
from gradcore.data.utf8 import characters
from gradcore.errors import DataError, DomainError, DtypeError, ShapeError, require_file
from gradcore.sizes import whole

__all__ = ["Text", "load_text"]


@dataclass(frozen=True, eq=False)
class Text:
    """A text: the number of each of its characters in a vocabulary.

    codes: int64 `(n,)`, each an index into `vocabulary`. vocabulary: the characters, each once. name: for people.
    `Text.of(string)` makes one, `load_text(path)` reads one.
    Raises ShapeError, DtypeError, DataError where it is empty, and DomainError for a code or a vocabulary that is none.

    >>> text = Text.of("abracadabra")
    >>> text, text.codes[:4].tolist(), text.decode([3, 0, 1])
    (Text('text', 11 characters, 5 different), [0, 1, 4, 0], 'dab')
    """

    codes: npt.NDArray[np.int64]
    vocabulary: str
    name: str = "text"

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int64:
            raise DtypeError(f"{self.name}: expected int64 codes, got {self.codes.dtype}")
        if self.codes.ndim != 1:
            raise ShapeError(f"{self.name}: expected codes (n,), got {self.codes.shape}")
        if self.codes.size == 0:
            raise DataError(f"{self.name}: the text is empty")
        if twice := len(self.vocabulary) - len(set(self.vocabulary)):
            raise DomainError(
                f"{self.name}: the vocabulary holds {twice} characters more than once: {self.vocabulary!r:.80}"
            )
        self._in_range(self.codes)

    @classmethod
    def of(cls, text: str, vocabulary: str | None = None, name: str = "text") -> Text:
        """A string's: its own characters in the order of Unicode are the vocabulary where none is given.

        Raises DataError where it is empty, DomainError for a character that is not in the vocabulary.
        """
        known = "".join(sorted(set(text))) if vocabulary is None else vocabulary
        return cls(_Encoder(known, name).encode(text), known, name)

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"Text({self.name!r}, {len(self)} characters, {len(self.vocabulary)} different)"

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """The code of each character, (n,). Raises DomainError for one that is not in the vocabulary."""
        return self._encoder.encode(text)

    def decode(self, codes: npt.ArrayLike) -> str:
        """The characters of these codes: one, or an array of one axis.

        Raises ShapeError for more axes, DtypeError where they are no whole numbers, DomainError for one out of range.
        """
        found = np.asarray(codes)
        if found.ndim > 1:
            raise ShapeError(f"decode takes codes (n,), got {found.shape}: decode row by row")
        if found.size == 0:
            return ""
        if found.dtype.kind not in "iu":
            raise DtypeError(f"decode takes whole numbers, got {found.dtype}")
        self._in_range(found)
        return "".join([self.vocabulary[code] for code in found.reshape(-1).tolist()])

    def split(self, test: float = 0.1) -> tuple[Text, Text]:
        """The text up to a place and from there on, with one vocabulary: what comes last is for testing.

        test: the part of the characters that is for testing, or how many. Raises DomainError where one of the two is empty.
        """
        place = len(self) - count_for_test(self.name, len(self), test)
        return (
            replace(self, codes=self.codes[:place], name=f"{self.name} (train)"),
            replace(self, codes=self.codes[place:], name=f"{self.name} (test)"),
        )

    def windows(self, length: int, stride: int | None = None) -> Pairs:
        """Pieces of the text and, as their targets, the same pieces one character later; both (windows, length).

        stride: from the start of one to that of the next; without it the next starts where one ends. Nothing is copied, also
        where they overlap: `DataLoader(text.windows(64, stride=1), shuffle=True, seed=0)` gives random ones.
        Raises DomainError where the text is too short for one.

        >>> x, y = Text.of("abracadabra").windows(4)[1]
        >>> x.tolist(), y.tolist()
        ([2, 0, 3, 0], [0, 3, 0, 1])
        """
        length = self._count("windows", "length", length)
        step = length if stride is None else self._count("windows", "stride", stride)
        self._long_enough("windows", length, 1)
        view = np.lib.stride_tricks.sliding_window_view
        return Pairs(
            view(self.codes[:-1], length)[::step],
            view(self.codes[1:], length)[::step],
            f"{self.name} (windows)",
        )

    def lanes(self, count: int, length: int) -> Pairs:
        """Windows for a state that is kept from batch to batch: row i of a batch goes on where row i of the last one ended.

        The text is cut into `count` lanes of one length, each into windows; the first window of every lane comes first, then
        the second of every lane. `DataLoader(text.lanes(16, 64), batch_size=16)` gives one of each lane.
        What is left at the end of the lanes is not used. Raises DomainError where a lane is too short for a window.

        >>> x, _ = Text.of("abracadabra").lanes(2, 2)[:4]
        >>> x.tolist()
        [[0, 1], [0, 3], [4, 0], [0, 1]]
        """
        count, length = self._count("lanes", "count", count), self._count("lanes", "length", length)
        self._long_enough("lanes", length, count)
        size = (len(self) - 1) // count
        starts = np.arange(0, size - length + 1, length)[:, None] + size * np.arange(count)
        places = starts.reshape(-1, 1) + np.arange(length)
        return Pairs(self.codes[places], self.codes[places + 1], f"{self.name} ({count} lanes)")

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self.vocabulary, self.name)

    def _in_range(self, codes: npt.NDArray[Any]) -> None:
        wrong = np.flatnonzero((codes < 0) | (codes >= len(self.vocabulary)))
        if wrong.size:
            raise DomainError(
                f"{self.name}: code {codes.reshape(-1)[wrong[0]]} at index {wrong[0]} is out of range: there are "
                f"{len(self.vocabulary)} characters, so codes go from 0 to {len(self.vocabulary) - 1}"
            )

    def _count(self, call: str, name: str, value: int) -> int:
        number = whole(value, 1)
        if number is None:
            raise DomainError(f"{call} got {name}={value!r}: it is a whole number of at least 1")
        return number

    def _long_enough(self, call: str, length: int, count: int) -> None:
        if (len(self) - 1) // count < length:
            raise DomainError(
                f"{self.name}: {call} of {length} characters and the one after each take a text of at least "
                f"{count * length + 1}, got {len(self)} characters"
            )


def load_text(
    path: str | os.PathLike[str], vocabulary: str | None = None, *, limit: int = DEFAULT_LIMIT
) -> Text:
    """The text of a file in UTF-8; each end of line is one newline, a byte order mark is left out.

    vocabulary: that of another text, such as the one that a model was trained on; otherwise the file's own characters.
    The file is gone through twice: the first time its encoding is checked and its characters are counted, so that what is
    allocated is known before, and `limit` (in bytes) holds.
    Raises DataError for a file that is missing, empty, too large or no text, and for a character that is not in the vocabulary.
    """
    path = Path(path)
    require_file(path, "a text file", DataError)
    try:
        if (size := path.stat().st_size) > limit:
            raise DataError(f"{path}: it has {size} bytes, more than the limit of {limit} bytes")
        count, known = _survey(path)
        if 8 * count > limit:
            raise DataError(
                f"{path}: its {count} characters take {8 * count} bytes as codes, more than the limit of {limit} bytes"
            )
        letters = "".join(sorted(known)) if vocabulary is None else vocabulary
        return Text(_fill(path, count, _Encoder(letters, str(path))), letters, str(path))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _survey(path: Path) -> tuple[int, set[str]]:
    count, known = 0, set[str]()
    for piece in characters(path):
        if "\0" in piece:
            raise DataError(
                f"{path}: it holds a NUL, character {count + piece.index(chr(0))}: no text, or one in UTF-16; save it as UTF-8"
            )
        count += len(piece)
        known.update(piece)
    if not count:
        raise DataError(f"{path}: the file is empty")
    return count, known


def _fill(path: Path, count: int, encoder: _Encoder) -> npt.NDArray[np.int64]:
    codes, place = np.empty(count, np.int64), 0
    for piece in characters(path):
        if place + len(piece) > count:
            raise DataError(f"{path}: it grew while it was read")
        try:
            codes[place : place + len(piece)] = encoder.encode(piece, place)
        except DomainError as error:
            raise DataError(str(error)) from error
        place += len(piece)
    if place < count:
        raise DataError(f"{path}: it lost text while it was read")
    return codes


class _Encoder:
    """From characters to their places in a vocabulary, by bisection among its sorted code points."""

    def __init__(self, vocabulary: str, name: str) -> None:
        self.vocabulary, self.name = vocabulary, name
        points = _points(vocabulary)
        self.order = np.argsort(points)
        self.points = points[self.order]

    def encode(self, text: str, place: int = 0) -> npt.NDArray[np.int64]:
        """The places of its characters; `place` is that of the first in a longer text, for the error."""
        points = _points(text)
        found = np.searchsorted(self.points, points)
        known = found < len(self.points)
        known[known] = self.points[found[known]] == points[known]
        if not known.all():
            at = int(np.argmin(known))
            raise DomainError(
                f"{self.name}: {text[at]!r} (U+{ord(text[at]):04X}), character {place + at}, is not in the vocabulary of "
                f"{len(self.points)}: {self.vocabulary!r:.200}"
            )
        return self.order[found]


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
