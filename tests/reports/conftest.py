"""What the tests of the reports share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[2] / "ci" / "reports"


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
