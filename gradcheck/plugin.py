"""The pytest plugin: every pytest start loads this module, so it imports neither NumPy nor Hypothesis.

It brings the two-stage gate (`gradcheck.gate`): tests marked ``verification`` run first, and tests marked
``training`` run only if every verification test that was collected has passed::

    @pytest.mark.verification
    def test_my_rule(): ...

    @pytest.mark.training
    def test_my_model_learns(): ...

or, for whole folders, one line each in the pytest settings::

    gradcheck_verification = tests/gradients
    gradcheck_training = tests/training
"""

from __future__ import annotations

import pytest

from gradcheck import gate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings `gradcheck_verification` and `gradcheck_training`."""
    gate.add_settings(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the two markers and the part of the gate that this process plays."""
    gate.install(config)
