"""An xdist scheduler that runs the stock scheduler twice: over stage 1, then over training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from gradcheck.gate.protocols import Scheduling, WorkerNode
from gradcheck.gate.record import Gate
from gradcheck.gate.worker import Plan


class Seat:
    """One worker as the stock scheduler of one stage sees it.

    Its tests are numbered from 0 in each stage. If `hold` is given, the seat answers a shutdown by queueing this
    item, and the worker stays.
    """

    def __init__(self, node: WorkerNode, first: int, hold: int | None) -> None:
        self.gateway = node.gateway
        self._node = node
        self._first = first
        self._hold = hold
        self._held = False

    @property
    def shutting_down(self) -> bool:
        """Whether the worker itself is going; a held one can be given more."""
        return self._node.shutting_down

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Queue tests, given by their place in this stage."""
        self._held = False
        self._send(self._node.send_runtest_some, indices)

    def send_steal(self, indices: Sequence[int]) -> None:
        """Request tests back, given by their place in this stage."""
        self._send(self._node.send_steal, indices)

    def shutdown(self) -> None:
        """Make the worker run the last test of its queue."""
        if self._hold is None:
            self._node.shutdown()
        elif not self._held:
            self._held = True
            self._send(self._node.send_runtest_some, [self._hold - self._first])

    def _send(self, send: Callable[[list[int]], None], indices: Sequence[int]) -> None:
        try:
            send([index + self._first for index in indices])
        except OSError:
            return  # the worker has just died: xdist's next event reports it, and its tests are given to others


class GateScheduling:
    """Follows xdist's protocol `Scheduling`; see there for when the session calls what.

    Each stage has a stock scheduler of its own, which sees the workers through seats. In the first stage a seat
    queues the gate item where the stock scheduler shuts a worker down. When nothing of the stage is left and
    `gate.refusal()` is None, the seats of the second stage are given out.
    """

    def __init__(
        self,
        gate: Gate,
        new_stock: Callable[[], Scheduling],
        plans: Mapping[WorkerNode, Plan],
        config: pytest.Config,
    ) -> None:
        self._gate = gate
        self._new_stock = new_stock
        self._plans = plans
        self._config = config
        self._stock = new_stock()
        self._collections: dict[WorkerNode, list[str] | None] = {}
        self._collected = 0
        self._collection: list[str] | None = None
        self._reference: list[str] = []
        self._stages: list[range] = []
        self._seats: dict[WorkerNode, Seat] = {}
        self._numnodes = self._stock.numnodes
        self._over = False

    @property
    def nodes(self) -> list[WorkerNode]:
        """The workers that are up."""
        return list(self._collections)

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many workers have collected as were started."""
        return self._collected >= self._numnodes

    @property
    def has_pending(self) -> bool:
        """Whether tests are left to run."""
        return len(self._stages) > 1 or self._stock.has_pending

    @property
    def tests_finished(self) -> bool:
        """Whether the session may shut the workers down.

        The session reads this after each event, when the event's reports have been passed on: the place to go on
        to the next stage. A stock scheduler relies on its reader to shut its workers down once it is True, so
        that each runs the last test of its queue.
        """
        if self._over:
            return True
        if self._collection is None or not self._stock.tests_finished:
            return False
        if len(self._stages) <= 1:
            return True
        for seat in self._seats.values():
            seat.shutdown()
        if self._stock.has_pending:
            return False
        staying = [node for node in self._seats if not node.shutting_down]
        if not staying and self._gate.refusal() is None:
            return False  # a replacement is on its way, or the session is ending
        if not self._may_train():
            return True
        del self._stages[0]
        self._begin_stage(staying)
        return self._stock.tests_finished

    def add_node(self, node: WorkerNode) -> None:
        """Note a worker, which is still to collect."""
        self._collections[node] = None

    def add_node_collection(self, node: WorkerNode, collection: Sequence[str]) -> None:
        """Note what a worker collected; a late one must have collected the same as the others."""
        self._collections[node] = ids = list(collection)
        self._collected += 1
        if self._collection is not None and self._with_plan(node, ids) != self._reference:
            self._over = True
            message = (
                f"worker {node.gateway.id}, which replaced a crashed one, collected other tests than the others "
                f"({len(ids)} instead of {len(self._collection)}, or in another order): the run can't go on"
            )
            self._config.hook.pytest_collectreport(
                report=pytest.CollectReport(node.gateway.id, "failed", message, [])
            )

    def schedule(self) -> None:
        """Begin, once enough workers have collected; later: give work to those that have joined."""
        ready = {node: ids for node, ids in self._collections.items() if ids is not None}
        if self._collection is None:
            self._begin(ready)
        elif self._collection and not self._over:
            for node in ready:
                if node not in self._seats:
                    self._admit(node)
            self._stock.schedule()

    def _with_plan(self, node: WorkerNode, ids: list[str]) -> list[str]:
        plan = self._plans.get(node)
        return ids if plan is None else [*ids, plan.name]

    def _begin(self, ready: Mapping[WorkerNode, list[str]]) -> None:
        first = next(iter(ready))
        self._collection = ready[first]
        self._reference = self._with_plan(first, self._collection)
        plan = self._plans.get(first)
        if any(self._with_plan(node, ids) != self._reference for node, ids in ready.items()):
            self._begin_differing(ready)
            return
        total = len(self._collection)
        split = total if plan is None else total - plan.training
        self._stages = [stage for stage in (range(split), range(split, total)) if stage] or [range(0)]
        if total and not split and not self._may_train():
            self._over = True
            return
        self._begin_stage(list(ready))

    def _may_train(self) -> bool:
        if self._gate.refusal() is None:
            self._gate.open()
            return True
        self._gate.skip_training()
        return False

    def _begin_differing(self, ready: Mapping[WorkerNode, list[str]]) -> None:
        # The stock scheduler reports the difference and refuses to run anything.
        self._over = True
        self._stock.numnodes = len(ready)
        for node, ids in ready.items():
            seat = Seat(node, 0, None)
            self._stock.add_node(seat)
            self._stock.add_node_collection(seat, self._with_plan(node, ids))
        self._stock.schedule()

    def _begin_stage(self, nodes: list[WorkerNode]) -> None:
        self._stock = self._new_stock()
        self._stock.numnodes = len(nodes)
        self._seats = {}
        for node in nodes:
            self._admit(node)
        self._stock.schedule()

    def _admit(self, node: WorkerNode) -> None:
        stage, collection = self._stages[0], self._collection or []
        hold = len(collection) if len(self._stages) > 1 else None
        self._seats[node] = seat = Seat(node, stage.start, hold)
        self._stock.add_node(seat)
        self._stock.add_node_collection(seat, collection[stage.start : stage.stop])

    def mark_test_complete(self, node: WorkerNode, item_index: int, duration: float = 0) -> None:
        """Note that a worker is through with an item; the stock scheduler does not count the gate item."""
        if self._collection is not None and item_index < len(self._collection):
            self._stock.mark_test_complete(self._seats[node], item_index - self._stages[0].start, duration)

    def mark_test_pending(self, item: str) -> None:
        """Run a test of the current stage again."""
        self._stock.mark_test_pending(item)

    def remove_pending_tests_from_node(self, node: WorkerNode, indices: Sequence[int]) -> None:
        """Take back the tests that a worker gave up."""
        start = self._stages[0].start
        self._stock.remove_pending_tests_from_node(self._seats[node], [index - start for index in indices])

    def remove_node(self, node: WorkerNode) -> str | None:
        """Forget a worker; return the id of the test that it crashed in, if it did.

        Raises `KeyError` for a worker that was never added, as the session expects.
        """
        del self._collections[node]
        seat = self._seats.pop(node, None)
        return None if seat is None else self._stock.remove_node(seat)
