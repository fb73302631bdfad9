"""gradcheck's files stand in rooms, in the order in which a check runs, and import one way only."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gradcheck

ROOT = Path(gradcheck.__file__).parent
ROOMS = (
    "errors",
    "numeric",
    "backends",
    "verdict",
    "contracts",
    "diagnosis",
    "report",
    "kernels",
    "check",
    "grads",
    "blame",
    "strategies",
    "graphs",
    "explore",
    "verification",
    "campaigns",
    "gate",
    "summary",
    "plugin",
    "cli",
    "__main__",
    "__init__",
)
"""A file may import from its own room and from those before it."""

FILES = sorted(ROOT.rglob("*.py"))


def module(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


def room(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(source, known):
    """Modules of `known` that the source imports, in functions and for type checkers as well."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{a.name}" for a in node.names] + [node.module]
            names = [n for n in names if n in known or f"{n}.__init__" in known][:1] or names[-1:]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        found |= {n if n in known else f"{n}.__init__" for n in names if n.split(".")[0] == "gradcheck"}
    return found & known


MODULES = {module(path): path.read_text(encoding="utf-8") for path in FILES}


@cache  # where a test asks for it: every worker collects this file
def arrows():
    return {name: imports(source, set(MODULES)) - {name} for name, source in MODULES.items()}


def back(imported):
    """Imports of a room from a later one; the package's own `__init__` loads names when they are used."""
    return [
        f"{name} imports {other}"
        for name, others in imported.items()
        for other in others
        if other != "gradcheck.__init__" and ROOMS.index(room(name)) < ROOMS.index(room(other))
    ]


def test_every_file_is_in_a_room():
    assert {room(name) for name in MODULES} == set(ROOMS)


def test_few_files_stand_at_the_top():
    assert len(list(ROOT.glob("*.py"))) <= 10


def test_no_room_imports_a_later_one():
    assert back(arrows()) == []


def test_no_two_files_import_each_other():
    list(TopologicalSorter(arrows()).static_order())


@pytest.mark.parametrize(
    "planted",
    [
        "from gradcheck.explore.verify import verify",
        "import gradcheck.explore.verify",
        "def late():\n    from gradcheck.explore import verify",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gradcheck.report import report",
    ],
)
def test_an_arrow_back_is_detected(planted):
    with_it = arrows() | {"gradcheck.numeric.line": imports(planted, set(MODULES))}
    assert len(back(with_it)) == 1


def test_a_circle_within_a_room_is_detected():
    planted = imports("from gradcheck.numeric.derivative import derivative", set(MODULES))
    with pytest.raises(CycleError):
        list(TopologicalSorter(arrows() | {"gradcheck.numeric.line": planted}).static_order())


@pytest.mark.parametrize("path", FILES, ids=module)
def test_no_file_is_longer_than_can_be_kept_in_mind(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
