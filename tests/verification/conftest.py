"""How the checks of stage 1 are run over drawn examples."""

import pytest
from hypothesis import given, settings


@pytest.fixture
def verify():
    """`verify(strategy, check)` calls the check with every example of the current profile, `share` of them."""

    def run(strategy, check, share=1.0):
        @settings(max_examples=max(5, int(settings().max_examples * share)))
        @given(strategy)
        def holds(example):
            check(example)

        holds()

    return run
