"""The gate of a run in one process: without pytest-xdist, or with ``-n 0``."""

from __future__ import annotations

import pytest

from gradcheck.gate.record import Gate
from gradcheck.gate.stages import Folders, Ordering, Stage, stage_of


class Local(Ordering):
    """Orders the items and skips training tests while the gate refuses them."""

    def __init__(self, gate: Gate, folders: Folders) -> None:
        super().__init__(folders)
        self._gate = gate

    def pytest_runtestloop(self) -> None:
        """Note, before pytest runs the tests, that it will; a plugin that takes this over first has its own plans."""
        self._gate.begin()

    def _ordered(self, items: list[pytest.Item]) -> None:
        ids: dict[Stage, list[str]] = {stage: [] for stage in Stage}
        for item in items:
            ids[stage_of(item)].append(item.nodeid)
        self._gate.enrol(ids[Stage.VERIFICATION], ids[Stage.TRAINING])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Check the gate before each training test, so that no order of the items can get past it."""
        if stage_of(item) is not Stage.TRAINING:
            return
        reason = self._gate.refusal()
        if reason is None:
            self._gate.open()
        else:
            item.add_marker(pytest.mark.skip(reason=reason), append=False)
