"""What the tests of the reports share."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[2] / "ci" / "reports"
BENCH = REPORTS.with_name("bench")


@pytest.fixture
def load(monkeypatch):
    """A report by its name, as a module."""

    def loaded(name):
        monkeypatch.syspath_prepend(str(REPORTS))
        monkeypatch.syspath_prepend(str(REPORTS.parents[1]))
        spec = importlib.util.spec_from_file_location(f"report_{name}", REPORTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        before = list(sys.path)
        spec.loader.exec_module(module)
        sys.path[:] = before
        return module

    return loaded


@pytest.fixture
def bench(monkeypatch):
    """A module of the bench by its name: other programs of ci/ have modules of the same names."""
    monkeypatch.syspath_prepend(str(BENCH))
    names = [path.stem for path in BENCH.glob("*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)
