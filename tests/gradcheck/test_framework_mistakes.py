"""Ten mistakes have the same verdict, cause and located entry in every framework that is installed."""

from __future__ import annotations

import pytest
from programs import module

MISTAKES = module("ci.catalogue.frameworks.mistakes").MISTAKES
installed = module("ci.catalogue.frameworks.ways").installed
found = module("ci.reports.frameworks").found

WAYS = {name: way for name, way in installed().items() if name != "gradcore op"}  # tests register no op


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize("mistake", MISTAKES, ids=[m.name for m in MISTAKES])
def test_a_mistake_is_the_same_everywhere(mistake):
    results = {found(way(mistake)) for way in WAYS.values()}
    assert len(results) == 1
    verdict, cause, path, index = results.pop()
    assert (verdict, cause, path) == ("fail", mistake.cause, f"inputs[{mistake.wrong}]")
    assert index is not None
