"""Which stage a test belongs to: by its closest marker, else by its path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from enum import IntEnum
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


class Stage(IntEnum):
    """The stages in the order in which their tests run."""

    VERIFICATION = 0
    ORDINARY = 1
    TRAINING = 2

    @property
    def marker(self) -> str:
        """The name of the marker that puts a test into this stage."""
        return self.name.lower()

    @property
    def setting(self) -> str:
        """The name of the pytest setting that puts whole folders into this stage."""
        return f"gradcheck_{self.marker}"


GATED = {stage.marker: stage for stage in (Stage.VERIFICATION, Stage.TRAINING)}


def stage_of(item: pytest.Item) -> Stage:
    """The stage that the closest marker names; ordinary if there is none.

    Raises `pytest.UsageError` if one node carries both markers.
    """
    closest, names = None, set()
    for node, mark in item.iter_markers_with_node():
        if mark.name in GATED and closest in (None, node):
            closest = node
            names.add(mark.name)
    if len(names) > 1:
        raise pytest.UsageError(
            f"{item.nodeid} is marked both verification and training: a test that must pass before any training "
            "starts can't wait for the others; keep one of the two markers"
        )
    return GATED[names.pop()] if names else Stage.ORDINARY


def counts(items: list[pytest.Item]) -> Counter[Stage]:
    """How many of `items` belong to each stage."""
    return Counter(map(stage_of, items))


class Folders:
    """The paths that the two settings name; a path covers everything below it.

    Raises `pytest.UsageError` if a pattern matches nothing, for a misspelt folder would leave the gate unguarded.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._paths = {stage: self._matches(config, stage) for stage in GATED.values()}

    def _matches(self, config: pytest.Config, stage: Stage) -> set[Path]:
        paths: set[Path] = set()
        for pattern in config.getini(stage.setting):
            try:
                found = set(self._root.glob(pattern))
            except (ValueError, NotImplementedError) as error:
                raise pytest.UsageError(
                    f"{stage.setting}: {pattern!r} is no glob pattern: {error}"
                ) from error
            if not found:
                raise pytest.UsageError(
                    f"{stage.setting}: {pattern!r} matches nothing below {self._root}; "
                    "name a folder or a file relative to it"
                )
            paths |= found
        return paths

    def cover(self, stage: Stage, path: Path) -> bool:
        """Whether `path` or a folder above it was named for `stage`."""
        return not self._paths[stage].isdisjoint((path, *path.parents))

    def meet(self, stage: Stage, path: Path) -> bool:
        """Whether something that was named for `stage` lies at, above or below `path`."""
        return self.cover(stage, path) or any(path in named.parents for named in self._paths[stage])

    def covers_node(self, stage: Stage, nodeid: str) -> bool:
        """The same for a node id, whose first part is a path relative to the root directory."""
        return self.cover(stage, self._root / nodeid.partition("::")[0])


class Ordering:
    """A pytest plugin's part: marks items by their folder and orders them by stage."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Add the marker that the settings require, early enough for ``-m`` to see it."""
        if any(mark.name in GATED for mark in item.iter_markers()):
            return
        for stage in GATED.values():
            if self._folders.cover(stage, item.path):
                item.add_marker(stage.marker)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        """Put training last, before the other plugins look at the items and again after they did.

        `--stepwise` drops what lies before the test that failed: in an unordered list this could be training.
        """
        self._order(items)
        yield
        self._order(items)
        self._ordered(items)

    def _order(self, items: list[pytest.Item]) -> None:
        if Stage.TRAINING in map(stage_of, items):
            items.sort(key=stage_of)

    def _ordered(self, items: list[pytest.Item]) -> None:
        """What the process does with the final list."""
        raise NotImplementedError
