"""Ten mistakes have the same verdict, cause and located entry in every framework that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BEFORE = list(sys.path)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
try:
    from ci.catalogue.frameworks.mistakes import MISTAKES
    from ci.catalogue.frameworks.ways import installed
    from ci.reports.frameworks import found
finally:
    sys.path[:] = BEFORE

WAYS = {name: way for name, way in installed().items() if name != "gradcore op"}  # tests register no op


@pytest.mark.parametrize("mistake", MISTAKES, ids=[m.name for m in MISTAKES])
def test_a_mistake_is_the_same_everywhere(mistake):
    results = {found(way(mistake)) for way in WAYS.values()}
    assert len(results) == 1
    verdict, cause, path, index = results.pop()
    assert (verdict, cause, path) == ("fail", mistake.cause, f"inputs[{mistake.wrong}]")
    assert index is not None
