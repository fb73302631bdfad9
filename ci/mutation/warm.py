"""Most mutants without importing the project anew: the code of functions that exist is exchanged, in a fork.

One process imports the project and collects the tests. What has run by then, and what stands outside of any body, must be
in place before the import, and goes another way (`forks.tests_of`); the body of all else can be changed afterwards.
"""

from __future__ import annotations

import gc
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import forks
import pytest
from source import MODULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mutants import Mutant
    from source import Source


def can_wait(mutant: Mutant, at_import: set[str]) -> bool:
    """Whether a mutant is in a body that does not run before the first test."""
    source, owner = mutant.source, mutant.owner
    if owner.name == MODULE or f"{source.name}:{owner.name}" in at_import:
        return False
    return any(begin <= mutant.begin and mutant.end <= end for begin, end in source.bodies)


class Functions:
    """All functions that there are, by the place of their code."""

    def __init__(self, root: Path, sources: list[Source]) -> None:
        self._root = root
        self._codes = {source.name: self._compiled(source, source.text) for source in sources}
        names = {str(root / source.name) for source in sources}
        self._found: dict[Any, list[FunctionType]] = {}
        for value in gc.get_objects():
            if type(value) is FunctionType and value.__code__.co_filename in names:
                self._found.setdefault(_place(value.__code__), []).append(value)
        gc.collect()
        gc.freeze()  # so that forks share what is here

    def _compiled(self, source: Source, text: str) -> CodeType:
        return compile(text, str(self._root / source.name), "exec", dont_inherit=True)

    def exchange(self, mutant: Mutant) -> None:
        """Put the mutant's code into every function that has the original's; forks.Unable where there is none."""
        changed = 0
        for old, new in _pairs(self._codes[mutant.source.name], self._compiled(mutant.source, mutant.text)):
            if old != new:
                for function in self._found.get(_place(old), ()):
                    function.__code__ = new
                    changed += 1
        if not changed:
            raise forks.Unable(f"no function has the code of {mutant.owner.name}")


def _place(code: CodeType) -> Any:
    return code.co_filename, code.co_qualname, tuple(code.co_positions())


def _pairs(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The codes of the functions in one and in the other, in order; none of those whose number has changed."""
    before, after = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new))
    if [c.co_name for c in before] == [c.co_name for c in after]:
        for one, other in zip(before, after, strict=True):
            yield one, other
            yield from _pairs(one, other)


class Server(forks.Reporter):
    """The pytest plugin of the process that all tests are collected in: calls `serve` in the place of running them."""

    def __init__(self, serve: Callable[[Server], None]) -> None:
        super().__init__(lambda _message: None, None)
        self._serve = serve
        self._items: dict[str, pytest.Item] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve, and run nothing here."""
        self._items = {item.nodeid: item for item in session.items}
        self._session = session
        self._serve(self)
        return True

    def tests_of(
        self, order: list[str], few: bool, exchange: Callable[[], None]
    ) -> Callable[[forks.Send], int]:
        """The task of a fork: these tests, after `exchange`."""

        def task(send: forks.Send) -> int:
            from _pytest.main import pytest_runtestloop
            from hypothesis import settings

            if few:
                settings.load_profile("few")
            exchange()
            self.send = send
            self._session.items = [self._items[name] for name in order]
            try:
                pytest_runtestloop(self._session)
            except self._session.Failed:
                return 1
            send({"ended": 0})
            return 0

        return task
