"""Which mutants a run is about: the sources, and what the options select of their mutants."""

from __future__ import annotations

import difflib
import re
import subprocess
from typing import TYPE_CHECKING

from source import Source

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from mutants import Mutant


class NothingError(Exception):
    """The options select no mutant."""


def load(root: Path, patterns: list[str]) -> list[Source]:
    """The sources to be changed: what some pattern matches, and none that begins with !."""
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    found = {path for pattern in patterns if not pattern.startswith("!") for path in root.glob(pattern)}
    paths = sorted(path for path in found if not any(path.match(pattern) for pattern in left_out))
    return [Source(path, path.relative_to(root).as_posix(), path.read_text()) for path in paths]


def changed_lines(root: Path, revision: str, name: str) -> set[int]:
    """The lines of a file that differ from a revision's."""
    diff = subprocess.run(
        ["git", "diff", "-U0", revision, "--", name], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    found: set[int] = set()
    for begin, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        found |= set(range(int(begin), int(begin) + int(count or 1)))
    return found


def named(mutant: Mutant, name: str) -> bool:
    """Whether a name is that of a mutant's function, or the end of its file's path."""
    return name == mutant.owner.name or f"/{mutant.source.name}".endswith(f"/{name}")


def choose(options: argparse.Namespace, sources: list[Source], everything: list[Mutant]) -> list[Mutant]:
    """The mutants that the options select; NothingError where a name selects none, or all of them together do."""
    if not everything:
        raise NothingError(
            f"--sources {' '.join(options.sources)} matches no file with a mutant below {options.root}: "
            "give globs of Python files, relative to --root"
        )
    for place in options.tests:
        if not (options.root / place).exists():
            raise NothingError(f"--tests {place} is not there: give folders or files below {options.root}")
    for name in options.only:
        if not any(named(mutant, name) for mutant in everything):
            files = sorted({mutant.source.name for mutant in everything})
            functions = sorted({mutant.owner.name for mutant in everything})
            near = difflib.get_close_matches(
                name, [*{file.rpartition("/")[2] for file in files}, *functions], 3, 0.4
            )
            nearest = f", the nearest called {' or '.join(near)}" if near else ""
            raise NothingError(
                f"--only {name} matches nothing: there are {len(files)} files and {len(functions)} functions with "
                f"mutants{nearest}; name one of them, or leave --only out"
            )
    found = everything
    if options.only:
        found = [m for m in found if any(named(m, name) for name in options.only)]
    if options.operator:
        found = [m for m in found if m.operator in options.operator]
    if options.since:
        lines = {source.name: changed_lines(options.root, options.since, source.name) for source in sources}
        found = [m for m in found if lines[m.source.name] & set(range(m.owner.first, m.owner.last + 1))]
    if not found:
        raise NothingError(
            f"of {len(everything)} mutants, none is selected by {selection(options)}: leave an option out, or give it "
            "another value"
        )
    return found


def selection(options: argparse.Namespace) -> str:
    """The options that select mutants, as they were given."""
    given = {"--only": options.only, "--operator": options.operator, "--since": options.since}
    return " ".join(
        f"{name} {value if isinstance(value, str) else ' '.join(value)}"
        for name, value in given.items()
        if value
    )
