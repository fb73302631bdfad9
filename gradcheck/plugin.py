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

Where nothing was verified, as all of it was skipped, say, training tests are skipped and the run fails, unless
``--gradcheck-allow-unverified`` is given.

It also ends the run with a summary of what was verified (`gradcheck.summary`): a table of entries and properties, from
what the tests record with the fixture `gradcheck_record`, and on request the same as a file::

    pytest --gradcheck-json summary.json --gradcheck-html summary.html
"""

from __future__ import annotations

import pytest

from gradcheck import gate, summary
from gradcheck.summary import gradcheck_record

__all__ = ["gradcheck_record", "pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the settings and options of the gate and of the summary."""
    gate.add_options(parser, pluginmanager)
    summary.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the two markers, and the parts that this process plays in the gate and in the summary."""
    gate.install(config)
    summary.install(config)
