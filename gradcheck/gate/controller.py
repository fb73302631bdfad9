"""The gate's side in the xdist controller."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from gradcheck.gate.protocols import WorkerNode
from gradcheck.gate.record import Gate
from gradcheck.gate.schedule import GateScheduling
from gradcheck.gate.worker import MODES, OFFER, Plan

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Controller:
    """Puts the gate's scheduler around the stock one.

    Each worker is set to use one thread for linear algebra, unless the environment sets another number: as many
    workers as cores, each with as many threads as cores, slow each other down.
    """

    def __init__(self, config: pytest.Config, gate: Gate) -> None:
        self._gate = gate
        self._dist: str = config.getoption("dist")
        self._plans: dict[WorkerNode, Plan] = {}
        self._supported = False
        for name in THREADS:
            if name not in os.environ:
                os.environ[name] = "1"
                config.add_cleanup(partial(os.environ.__delitem__, name))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Note, before xdist runs the tests, that it will."""
        self._gate.begin()

    def pytest_configure_node(self, node: WorkerNode) -> None:
        """Announce to the worker that this side understands a gate item."""
        node.workerinput[OFFER] = self._dist

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Generator[None, Any, Any]:
        """Wrap `LoadScheduling` and `WorkStealingScheduling`; leave any other scheduler alone."""
        from xdist.scheduler import LoadScheduling, WorkStealingScheduling  # type: ignore[import-untyped]

        stock = yield
        if type(stock) not in (LoadScheduling, WorkStealingScheduling):
            return stock
        self._supported = True

        def new_stock() -> Any:
            return type(stock)(config, log)

        return GateScheduling(self._gate, new_stock, self._plans, config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_node_collection_finished(self, node: WorkerNode, ids: list[str]) -> None:
        """Take the gate item out of the ids: it is no test, and no other plugin should count it.

        Raises `pytest.UsageError` if there is something to gate and the scheduler can't do it.
        """
        plan = Plan.parse(ids[-1]) if ids else None
        if plan is None:
            return
        ids.pop()
        if plan.problem:
            raise pytest.UsageError(plan.problem)
        if plan.training and (plan.verification or self._gate.refusal()) and not self._supported:
            raise pytest.UsageError(
                f"gradcheck's gate can't hold training back under --dist {self._dist}"
                + (" with a scheduler of another plugin" if self._dist in MODES else "")
                + f": use --dist {' or '.join(MODES)}, or run one stage alone with -m verification or -m training"
            )
        if not self._plans:
            self._gate.enrol(ids[: plan.verification], ids[len(ids) - plan.training :])
        self._plans[node] = plan
