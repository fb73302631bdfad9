"""The gate's side in an xdist worker: the order of the items, and one gate item behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from gradcheck.gate.stages import Folders, Ordering, Stage, counts

if TYPE_CHECKING:
    from pathlib import Path

OFFER = "gradcheck_gate"  # the controller's key in workerinput: the --dist mode
MODES = ("load", "worksteal")


class Plan(NamedTuple):
    """How many tests of each stage a worker collected; the controller sees ids only, so a node id carries it.

    >>> Plan.parse("::" + Plan(3, 1, 2).name)
    Plan(verification=3, ordinary=1, training=2, problem='')
    """

    verification: int
    ordinary: int
    training: int
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of the gate item that carries this plan."""
        return f"gradcheck-gate[{self.verification}-{self.ordinary}-{self.training}]{self.problem}"

    @classmethod
    def parse(cls, nodeid: str) -> Self | None:
        """The plan in a gate item's node id; None if it is the node id of a test."""
        found = re.fullmatch(r"::gradcheck-gate\[(\d+)-(\d+)-(\d+)\](.*)", nodeid, re.DOTALL)
        return found and cls(int(found[1]), int(found[2]), int(found[3]), found[4])


class GateItem(pytest.Item):
    """What a worker is given instead of a shutdown when it has no verification test left.

    A worker starts its last queued test only when it knows what follows: another test, or the shutdown. With
    this item in its queue it runs the last test, tears its fixtures down to the session's, and waits.
    """

    def runtest(self) -> None:
        """Do nothing."""

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The item's place, for pytest's messages."""
        return self.path, None, "gradcheck's gate"


class Worker(Ordering):
    """Orders the items of a worker and keeps its gate item out of the reports."""

    def __init__(self, config: pytest.Config, folders: Folders) -> None:
        super().__init__(folders)
        self._dist: str | None = getattr(config, "workerinput", {}).get(OFFER)

    def _order(self, items: list[pytest.Item]) -> None:
        try:
            super()._order(items)
        except pytest.UsageError:
            return  # reported by `_plan`

    def _ordered(self, items: list[pytest.Item]) -> None:
        plan = self._plan(items)
        if self._dist is not None and (plan.verification or plan.training or plan.problem):
            items.append(GateItem.from_parent(items[0].session, name=plan.name))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Drop the gate item, once the controller has its id, where no scheduler would hand it out."""
        if self._dist not in MODES and session.items and isinstance(session.items[-1], GateItem):
            del session.items[-1]

    def _plan(self, items: list[pytest.Item]) -> Plan:
        # A worker that raised a usage error would be taken for crashed and replaced; the controller can raise it.
        try:
            number = counts(items)
        except pytest.UsageError as error:
            return Plan(0, 0, 0, str(error))
        return Plan(number[Stage.VERIFICATION], number[Stage.ORDINARY], number[Stage.TRAINING])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Let the gate item pass without a hook or a report.

        If nothing follows it, the session's fixtures are torn down here, where an error can still be reported.
        """
        if not isinstance(item, GateItem):
            return None
        if nextitem is None:
            call = pytest.CallInfo.from_call(
                lambda: item.session._setupstate.teardown_exact(None), "teardown"
            )
            if call.excinfo is not None:
                item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
        return True
