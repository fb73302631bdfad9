"""The two-stage gate: no training test starts before every collected verification test has finished.

One process: `local` orders the items and, if a check failed, marks each training test as skipped. Under
pytest-xdist the gate has two sides: in each worker, `worker` orders the items and adds one gate item; in the
controller, `controller` and `schedule` give the workers the training tests only after the last verification
test has finished without a failure. `record` keeps the outcomes and writes the messages, `stages` gives the stage of a test,
`selection` says whether the command line leaves verification out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.gate import selection
from gradcheck.gate.record import ALLOW, Gate
from gradcheck.gate.stages import Folders, Stage

if TYPE_CHECKING:
    import pytest

__all__ = ["add_options", "install"]


def add_options(parser: pytest.Parser, plugins: pytest.PytestPluginManager) -> None:
    """Declare one setting per stage: glob patterns, relative to the root directory, of folders and files; and one option."""
    plugins.register(selection.Parser(parser), selection.PARSER)
    group = parser.getgroup("gradcheck", "verification of gradients")
    group.addoption(
        ALLOW,
        action="store_true",
        help="run training tests, and let the run pass, also where nothing was verified",
    )
    for stage in (Stage.VERIFICATION, Stage.TRAINING):
        parser.addini(
            stage.setting,
            type="args",
            help=f"folders and files (globs below the root directory) whose tests are {stage.marker} tests",
        )


def install(config: pytest.Config) -> None:
    """Register the markers and the plugins that this process needs: alone, xdist controller or xdist worker.

    Raises `pytest.UsageError` if a pattern of the settings matches nothing.
    """
    config.addinivalue_line(
        "markers", "verification: a check that must pass before any training test starts (gradcheck's gate)."
    )
    config.addinivalue_line(
        "markers",
        "training: a test that runs only if every collected verification test passed (gradcheck's gate).",
    )
    folders = Folders(config)
    register = config.pluginmanager.register
    if hasattr(config, "workerinput"):
        from gradcheck.gate.worker import Worker

        register(Worker(config, folders), "gradcheck-gate-worker")
        return
    gate = Gate(config, folders)
    register(gate, "gradcheck-gate")
    if config.getoption("dist", "no") != "no" and config.getoption("tx", None):
        from gradcheck.gate.controller import Controller

        register(Controller(config, gate), "gradcheck-gate-controller")
    else:
        from gradcheck.gate.local import Local

        register(Local(gate, folders), "gradcheck-gate-local")
