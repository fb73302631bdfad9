"""CSV files: columns of numbers or texts, each line checked before anything is allocated."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcore.data.dataset import Dataset
from gradcore.data.idx import DEFAULT_LIMIT
from gradcore.data.utf8 import characters
from gradcore.errors import DataError, DomainError, require_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_csv", "read_csv"]


def load_csv(
    path: str | os.PathLike[str],
    label: str | int = -1,
    *,
    header: bool | None = None,
    delimiter: str = ",",
    limit: int = DEFAULT_LIMIT,
) -> Dataset:
    """A data set from a CSV file: one example a line, `label` the name or the number of the column with its class.

    Every other column is a feature, a finite number. Classes are in the order of their numbers, or of the alphabet.
    Raises DataError as `read_csv` does, and where a feature is no finite number.
    """
    columns = read_csv(path, header=header, delimiter=delimiter, limit=limit, texts=label)
    names = list(columns)
    position = _position(path, names, label)
    features = []
    for i, (name, values) in enumerate(columns.items()):
        if i == position:
            continue
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        if not np.isfinite(narrow).all():
            row = int(np.flatnonzero(~np.isfinite(narrow))[0])
            raise DataError(
                f"{path}: column {name!r} holds {values[row]} in row {row} of its data, expected a finite number within float32"
            )
        features.append(narrow)
    if not features:
        raise DataError(f"{path}: there is only the column {names[0]!r}, expected features beside it")
    classes, labels = np.unique(columns[names[position]], return_inverse=True)
    try:
        order = sorted(range(len(classes)), key=lambda k: float(classes[k]))
    except ValueError:
        order = list(range(len(classes)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    named = tuple(str(classes[k]) for k in order)
    return Dataset(np.stack(features, 1), rank[labels.reshape(-1)], str(path), named)


def read_csv(
    path: str | os.PathLike[str],
    *,
    header: bool | None = None,
    delimiter: str = ",",
    limit: int = DEFAULT_LIMIT,
    texts: str | int | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """The columns of a CSV file by name: float64 where every entry is a number, else texts.

    header: whether the first line holds names; by default it does where it holds a text above a column of numbers. Without
    names columns are called "0", "1", ... texts: one column that stays text; then every other must
    hold numbers. Encoded as UTF-8, empty lines are passed over.
    The file is gone through twice: the first time every line is checked and counted, so that what is allocated is known
    before, and `limit` (in bytes) holds. Raises DataError for a file that is missing, too large or no such table, with the line.
    """
    path = Path(path)
    require_file(path, "a CSV file", DataError)
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise DomainError(f"delimiter={delimiter!r} is no single character")
    with _reading(path):
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{path}: it has {size} bytes, more than the limit of {limit} bytes")
        table = _survey(path, header, delimiter)
        if not table.rows:
            raise DataError(f"{path}: there are no rows" + (" below the header" if table.names else ""))
        names = table.names or [str(i) for i in range(table.width)]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise DataError(f"{path}: two columns are called {twice[0]!r}")
        text = set(table.first_text)
        if texts is not None:
            position = _position(path, names, texts)
            for i in sorted(text - {position}):
                line, entry = table.first_text[i]
                raise DataError(
                    f"{path}: line {line} holds {entry!r:.40} in column {names[i]!r}, expected a number"
                )
            text = {position}
        widths = [4 * table.longest[i] if i in text else 8 for i in range(table.width)]
        if table.rows * sum(widths) > limit:
            raise DataError(
                f"{path}: its columns take {table.rows * sum(widths)} bytes, more than the limit of {limit} bytes"
            )
        return _fill(path, delimiter, table, names, text)


class _Table:
    """What the first pass found. first_text: by column the line and the entry that is the first to be no number.

    longest: by column the characters of the longest entry.
    """

    def __init__(self, width: int) -> None:
        self.names: list[str] = []
        self.width, self.rows = width, 0
        self.first_text: dict[int, tuple[int, str]] = {}
        self.longest: dict[int, int] = {}


def _survey(path: Path, header: bool | None, delimiter: str) -> _Table:
    lines = _lines(path, delimiter)
    number, first = next(lines, (0, []))
    width = len(first)
    below = _Table(width)
    for line, entries in lines:
        if len(entries) != width:
            raise DataError(f"{path}: line {line} has {len(entries)} entries, and line {number} {width}")
        _count(below, line, entries)
    if header is None:
        # A name stands above a column: it is a text where all that is below it are numbers.
        header = (
            any(_number(e) is None and i not in below.first_text for i, e in enumerate(first))
            and below.rows > 0
        )
    if header:
        below.names = [entry.strip() for entry in first]
        return below
    if first:
        below.first_text = {i: at for i, at in below.first_text.items() if _number(first[i]) is not None}
        _count(below, number, first)
    return below


def _count(table: _Table, line: int, entries: list[str]) -> None:
    table.rows += 1
    for i, entry in enumerate(entries):
        table.longest[i] = max(len(entry), table.longest.get(i, 1))
        if i not in table.first_text and _number(entry) is None:
            table.first_text[i] = line, entry


def _fill(
    path: Path, delimiter: str, table: _Table, names: list[str], text: set[int]
) -> dict[str, npt.NDArray[Any]]:
    numbers = {i: np.empty(table.rows) for i in range(table.width) if i not in text}
    words: dict[int, list[str]] = {i: [] for i in text}
    lines = _lines(path, delimiter)
    if table.names:
        next(lines)
    row = -1
    for row, (line, entries) in enumerate(lines):
        values = [math.nan if i in text else _number(entry) for i, entry in enumerate(entries)]
        if row >= table.rows or len(entries) != table.width or None in values:
            raise DataError(f"{path}: line {line} changed while the file was read")
        for i, column in numbers.items():
            column[row] = values[i]
        for i, column_words in words.items():
            column_words.append(entries[i].strip())
    if row + 1 != table.rows:
        raise DataError(f"{path}: it lost lines while it was read")
    return {name: np.array(words[i]) if i in text else numbers[i] for i, name in enumerate(names)}


def _number(entry: str) -> float | None:
    """The entry as a number, None where it is none; Python's own 1_000 is a text."""
    if "_" in entry:
        return None
    try:
        return float(entry)
    except ValueError:
        return None


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    import csv

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for entries in reader:
            if entries:
                yield reader.line_num, entries


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import csv

    try:
        yield
    except csv.Error as error:
        raise DataError(f"{path}: no CSV file: {error}") from error
    except UnicodeDecodeError as error:
        for _ in characters(path):  # raises, and knows the place in the whole file
            pass
        raise DataError(f"{path}: it changed while it was read") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _position(path: str | os.PathLike[str], names: list[str], label: str | int) -> int:
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and -len(names) <= label < len(names):
        return label % len(names)
    raise DataError(
        f"{path}: there is no column {label!r}: it has {len(names)}, {', '.join(map(repr, names[:20]))}"
    )
