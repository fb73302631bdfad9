"""The scheduler against simulated workers: thousands of interleavings that real processes would seldom show."""

import random
from collections import Counter, deque
from types import SimpleNamespace

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScheduling, WorkStealingScheduling

from gradcheck.gate.record import Gate
from gradcheck.gate.schedule import GateScheduling, Seat
from gradcheck.gate.worker import Plan


class FakeWorker:
    """A worker as xdist's is: it runs its current item only when it knows the next one or the end."""

    def __init__(self, session, name):
        self.session = session
        self.gateway = SimpleNamespace(id=name)
        self.workerinput = {}
        self.inbox = deque()
        self.queue = deque()
        self.current = None
        self.collected = self.down = self.told_to_stop = False

    @property
    def shutting_down(self):
        return self.down or self.told_to_stop

    def _receive(self, *command):
        if self.down:
            raise OSError("cannot send")
        self.inbox.append(command)

    def send_runtest_some(self, indices):
        self._receive("run", list(indices))

    def send_steal(self, indices):
        self._receive("steal", list(indices))

    def shutdown(self):
        if not self.down:
            self.inbox.append(("stop",))
        self.told_to_stop = True

    def moves(self):
        """What can happen next in this worker."""
        if self.down:
            return []
        if not self.collected:
            return [self.collect]
        able = [self.read] if self.inbox else []
        if self.queue:
            able.append(self.step)
        return able

    def die(self):
        self.down = True
        self.session.events.append(("crashed", self))

    def collect(self):
        self.collected = True
        self.session.events.append(("collected", self))

    def read(self):
        kind, *rest = self.inbox.popleft()
        if kind == "run":
            self.queue.extend(rest[0])
        elif kind == "stop":
            self.queue.append("stop")
        else:
            wanted = rest[0]
            given = wanted if set(wanted) <= set(self.queue) else []
            self.queue = deque(index for index in self.queue if index not in given)
            self.session.events.append(("unscheduled", self, given))

    def step(self):
        if self.current is None:
            self.current = self.queue.popleft()
            if self.current == "stop":
                self.down = True
                self.session.events.append(("finished", self))
            return
        index, self.current = self.current, self.queue.popleft()
        if index < len(self.session.ids):
            kind = self.session.kinds[index]
            self.session.ran.append((index, self.session.running_stage_one()))
            if kind == "crash":
                self.die()
                return
            self.session.events.append(("report", index, kind))
        self.session.events.append(("complete", self, index))
        if self.current == "stop":
            self.down = True
            self.session.events.append(("finished", self))


class Session:
    """xdist's DSession, as far as it drives a scheduler: one event at a time, then the question of the end."""

    def __init__(self, rng, stock, config):
        self.rng = rng
        self.config = config
        stages = {"v": rng.randint(0, 8), "o": rng.randint(0, 4), "t": rng.randint(0, 8)}
        self.plan = Plan(*stages.values())
        self.ids = [f"{stage}/{n}" for stage, count in stages.items() for n in range(count)]
        trouble = rng.choice([0.0, 0.0, 0.1, 0.3])
        self.kinds = [
            rng.choice(["fail", "crash"])
            if rng.random() < (trouble if name[0] == "v" else rng.choice([0, 0.3]))
            else "pass"
            for name in self.ids
        ]
        self.restarts = rng.choice([0, 1, 1000])
        self.kills = rng.choice([0, 0, 0.02])
        self.events = deque()
        self.ran = []
        self.outcomes = Counter()
        workers = rng.randint(1, 4)
        self.config.option.tx = ["popen"] * workers
        self.gate = Gate(config, SimpleNamespace(covers_node=lambda stage, nodeid: False))
        self.gate.enrol(self.ids[: self.plan.verification], self.ids[len(self.ids) - self.plan.training :])
        config.reported = self.held_back
        self.plans = {}
        self.sched = GateScheduling(
            self.gate, lambda: stock(config, Producer("silent", enabled=False)), self.plans, config
        )
        self.stopping = False
        self.all = [self.start(f"gw{n}") for n in range(workers)]
        self.active = set(self.all)

    def held_back(self, nodeid):
        self.outcomes[nodeid] += 1
        self.gate.pytest_runtest_logfinish(nodeid)

    def start(self, name):
        worker = FakeWorker(self, name)
        self.events.append(("ready", worker))
        return worker

    def running_stage_one(self):
        """Whether some stage-1 test is running or has not been run."""
        first = self.ids[: len(self.ids) - self.plan.training]
        return any(self.outcomes[nodeid] == 0 for nodeid in first)

    def run(self):
        """Run to the end; raise if nothing can go on."""
        while not (self.stopping and not self.active):
            moves = [move for worker in self.all for move in worker.moves()]
            if self.rng.random() < self.kills:
                moves = [worker.die for worker in self.all if not worker.down] or moves
            if self.events and (not moves or self.rng.random() < 0.5):
                self.handle(*self.events.popleft())
            elif moves:
                self.rng.choice(moves)()
            else:
                raise RuntimeError("deadlock")

    def handle(self, kind, *rest):
        getattr(self, kind)(*rest)
        if self.sched.tests_finished:
            self.stop()

    def stop(self):
        if not self.stopping:
            self.stopping = True
            for node in self.sched.nodes:
                node.shutdown()

    def ready(self, node):
        node.shutdown() if self.stopping else self.sched.add_node(node)

    def collected(self, node):
        if self.stopping:
            return
        if self.plan.verification or self.plan.training:
            self.plans[node] = self.plan
        self.sched.add_node_collection(node, self.ids)
        if self.sched.collection_is_completed:
            self.sched.schedule()

    def report(self, index, kind):
        nodeid = self.ids[index]
        self.outcomes[nodeid] += 1
        outcome = "failed" if kind == "fail" else "passed"
        self.gate.pytest_runtest_logreport(SimpleNamespace(nodeid=nodeid, when="call", **flags(outcome)))
        self.gate.pytest_runtest_logfinish(nodeid)

    def complete(self, node, index):
        self.sched.mark_test_complete(node, index)

    def unscheduled(self, node, indices):
        self.sched.remove_pending_tests_from_node(node, indices)

    def crashed(self, node):
        crashed = self.sched.remove_node(node) if node in self.sched.nodes else None
        if crashed:
            self.outcomes[crashed] += 1
            self.gate.pytest_runtest_logreport(SimpleNamespace(nodeid=crashed, when="???", **flags("failed")))
        self.restarts -= 1
        if self.restarts < 0:
            self.stop()
        else:
            self.stopping = False
            new = self.start(f"gw{len(self.all)}")
            self.all.append(new)
            self.active.add(new)
        self.active.remove(node)

    def finished(self, node):
        if node in self.sched.nodes:
            assert self.sched.remove_node(node) is None
        self.active.remove(node)


def flags(outcome):
    return {"failed": outcome == "failed", "passed": outcome == "passed"}


@pytest.fixture
def config():
    """What Gate and the stock schedulers need from pytest's config."""
    option = SimpleNamespace(tx=[])
    made = SimpleNamespace(option=option, rootpath="", getvalue=lambda name: option.tx)
    made.getoption = lambda name, default=None: default
    made.getini = lambda name: []
    nothing = SimpleNamespace()
    nothing.pytest_runtest_logstart = nothing.pytest_runtest_logreport = lambda **kwargs: None
    nothing.pytest_runtest_logfinish = lambda nodeid, location: made.reported(nodeid)
    made.hook = nothing
    return made


@pytest.mark.parametrize("stock", [LoadScheduling, WorkStealingScheduling])
@pytest.mark.parametrize("block", range(4))
def test_in_every_interleaving_the_gate_holds_nothing_runs_twice_and_nothing_hangs(
    config, stock, block, tmp_path
):
    config.rootpath = tmp_path
    seen = Counter()
    for seed in range(block * 300, block * 300 + 300):
        session = Session(random.Random(seed), stock, config)
        session.run()
        about = f"seed {seed}, {session.plan}, {session.kinds}"
        training = [index for index, _ in session.ran if session.ids[index][0] == "t"]
        failed = [name for name, kind in zip(session.ids, session.kinds) if name[0] == "v" and kind != "pass"]
        assert not (training and failed), about
        assert not any(early for index, early in session.ran if session.ids[index][0] == "t"), about
        assert max(Counter(index for index, _ in session.ran).values(), default=0) <= 1, about
        if session.restarts >= 0:
            assert all(session.outcomes[name] == 1 for name in session.ids), about
        seen["trained"] += bool(training)
        seen["held back"] += bool(failed and session.plan.training)
        seen["out of workers"] += session.restarts < 0
        seen["crashed"] += len(session.all) > session.sched._numnodes
    assert min(seen[what] for what in ("trained", "held back", "out of workers", "crashed")) > 20


def seat_of(node, first=0, hold=None):
    node.gateway = None
    return Seat(node, first, hold)


def test_a_seat_answers_a_shutdown_by_queueing_the_gate_item_once_until_it_gets_more_tests():
    sent = []
    seat = seat_of(SimpleNamespace(shutting_down=False, send_runtest_some=sent.extend), hold=9)
    seat.shutdown()
    seat.shutdown()
    assert sent == [9]
    seat.send_runtest_some([3])
    seat.shutdown()
    assert sent == [9, 3, 9]


def test_a_seat_of_the_last_stage_shuts_its_worker_down_and_counts_from_the_first_test_of_the_stage():
    sent = []
    node = SimpleNamespace(
        shutting_down=False, send_runtest_some=sent.extend, shutdown=lambda: sent.append("stop")
    )
    seat = seat_of(node, first=5)
    seat.send_runtest_some([0, 2])
    seat.shutdown()
    assert sent == [5, 7, "stop"]


def test_a_seat_leaves_it_to_the_session_to_find_out_that_its_worker_has_died():
    def dead(indices):
        raise OSError("cannot send to a closed channel")

    seat_of(SimpleNamespace(shutting_down=False, send_runtest_some=dead)).send_runtest_some([0])
