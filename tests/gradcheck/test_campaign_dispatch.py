"""Who is to blame where a worker dies, and calls that can't be carried out."""

import json
import signal
import threading
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from queue import Queue

import pytest
from campaigns import result

from gradcheck import CallError, campaign
from gradcheck.campaigns.carry_out import Settings, carried_out
from gradcheck.campaigns.check import Check
from gradcheck.campaigns.dispatch import Dispatcher
from gradcheck.campaigns.executors import Place, place_of
from gradcheck.campaigns.interruption import held_back
from gradcheck.campaigns.plan import Plan
from gradcheck.cli.termination import termination_raised


class KilledWorker(Exception):  # noqa: N818
    """As Dask's."""


class Pool:
    """An executor of one worker: `fate(name, times)` is a verdict, or what the future raises; BrokenExecutor ends it."""

    def __init__(self, fate, log):
        self.fate, self.log, self.broken = fate, log, None
        self.tasks = Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, fn, task):
        if self.broken:
            raise self.broken
        future = Future()
        self.tasks.put((future, task))
        return future

    def shutdown(self, wait=True, cancel_futures=False):
        self.tasks.put(None)

    def _work(self):
        while (item := self.tasks.get()) is not None:
            future, task = item
            names = [r["id"] for r in task]
            self.log.append(names)
            fates = [self.fate(name, sum(name in n for n in self.log)) for name in names]
            errors = [f for f in fates if isinstance(f, Exception)]
            if self.broken or errors:
                error = self.broken or errors[0]
                self.broken = error if isinstance(error, BrokenExecutor) else None
                future.set_exception(error)
            else:
                future.set_result([result(n, f) for n, f in zip(names, fates, strict=True)])


def dispatched(fate, names, again=True, **options):
    log, found, pools = [], {}, []

    @contextmanager
    def opened():
        pools.append(Pool(fate, log))
        try:
            yield pools[-1], 1
        finally:
            pools[-1].shutdown()

    requests = [{"id": name, "check": {"kind": "marked"}, "limit": 1.0} for name in names]

    def done(results):
        assert not {r["check"] for r in results} & set(found)
        found.update({r["check"]: r for r in results})

    Dispatcher(Place(opened, again=again), requests, done, **options).run()
    return found, log, len(pools)


def test_a_crash_is_tried_once_more_and_then_reported():
    fates = {"once": ["crashed", "pass"], "ever": ["crashed"] * 3, "hangs": ["hung"] * 2}
    found, log, _ = dispatched(
        lambda n, k: fates[n][k - 1] if n in fates else "pass", ["a", "once", "ever", "hangs"]
    )
    assert {n: (r["verdict"], r["tries"]) for n, r in found.items()} == {
        "a": ("pass", 1), "once": ("pass", 2), "ever": ("crashed", 2), "hangs": ("hung", 1)
    }  # fmt: skip
    assert len(log) == 6


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("error", [BrokenExecutor("a process was killed"), KilledWorker("died")])
def test_the_check_that_kills_its_worker_is_found_among_those_in_flight(error, batch):
    names = [f"c{i}" for i in range(9)]
    found, log, pools = dispatched(lambda n, k: error if n == "c4" else "pass", names, batch=batch)
    assert sorted(found) == names
    assert {n for n, r in found.items() if r["verdict"] != "pass"} == {"c4"}
    assert "a worker of the executor died while it had it, twice" in found["c4"]["text"]
    assert log.count(["c4"]) >= 1  # by itself
    assert pools == (1 if isinstance(error, KilledWorker) else 3)


def test_a_worker_that_is_killed_once_costs_no_verdict():
    killed = lambda n, k: BrokenExecutor("killed") if (n, k) == ("c1", 1) else "pass"  # noqa: E731
    found, _, pools = dispatched(killed, ["c0", "c1", "c2", "c3"])
    assert [r["verdict"] for r in found.values()] == ["pass"] * 4
    assert pools == 2


def test_an_executor_that_cannot_go_on_is_a_sentence():
    def broken(n, k):
        return BrokenExecutor("gone")

    with pytest.raises(CallError, match=r"the executor broke \(BrokenExecutor: gone\).*pass executor=make"):
        dispatched(broken, ["a", "b"], again=False)
    found, _, _ = dispatched(broken, ["a", "b"])  # both kill whatever takes them
    assert [r["verdict"] for r in found.values()] == ["crashed", "crashed"]

    @contextmanager
    def opened():
        pool = Pool(broken, [])
        pool.broken = BrokenExecutor("from the start")
        yield pool, 1

    request = {"id": "a", "check": {"kind": "marked"}, "limit": 1.0}
    with pytest.raises(
        CallError, match=r"the executor broke 3 times in a row without a result: .*from the start"
    ):
        Dispatcher(Place(opened), [request], list).run()


def test_a_worker_that_cannot_run_a_task_gives_an_error_and_one_that_never_answers_is_given_up():
    found, _, _ = dispatched(lambda n, k: ImportError("no gradcheck here"), ["a"])
    assert found["a"]["verdict"] == "error"
    assert "the worker could not run it: ImportError: no gradcheck here" in found["a"]["text"]

    class Silent:
        def submit(self, fn, task):
            return Future()

    @contextmanager
    def opened():
        yield Silent(), 1

    request = {"id": "a", "check": {"kind": "marked"}, "limit": 0.001}
    done = []
    Dispatcher(Place(opened), [request], done.extend, start=0.01).run()
    assert [(r["verdict"], r["tries"]) for r in done] == [("crashed", 2)]


def test_what_a_dead_job_had_started_runs_by_itself_first_and_twice_is_enough(tmp_path):
    plan = Plan("mine.py", tuple([Check("marked", "m", n) for n in "abcd"]), (), {})
    log = []

    @contextmanager
    def opened():
        yield Pool(lambda n, k: "pass", log), 1

    place = Place(opened, again=False, fatal=True)
    path = tmp_path / "r.jsonl"
    carried_out(plan.only(lambda c: False), Settings(0, 1.0, 1, False), place, path)
    header, *_ = path.read_text().splitlines()
    header = header.replace('"checks": 0', '"checks": 4').replace('"examples": []', '"examples": 0')
    started = [json.dumps({"started": [n]}) for n in ("m:b", "m:c", "m:b")]
    path.write_text("\n".join([header, *started]) + "\n")
    found, there = carried_out(plan, Settings(0, 1.0, 1, True), place, path)
    assert {n: r["verdict"] for n, r in found.items()} == {
        "m:a": "pass",
        "m:b": "crashed",
        "m:c": "pass",
        "m:d": "pass",
    }
    assert (log[0], there) == (["m:c"], 0)
    assert "the job ended while it ran, twice" in found["m:b"]["text"]
    assert path.read_text().count('{"started": ["m:c"]}') == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor": "slurm"}, 'executor=\'slurm\': pass "dask", "mpi", an executor, or a function'),
        ({"executor": 3}, "executor= is a int: pass a concurrent.futures.Executor"),
        ({"scheduler": "tcp://here:1"}, 'pass executor="dask" as well'),
        ({"executor": "mpi", "scheduler": "tcp://here:1"}, 'pass executor="dask"'),
        ({"jobs": 0}, "jobs=0: pass how many workers there are to be"),
        ({"limit": 0.0}, "limit=0.0: pass the seconds that a check may take"),
        ({"batch": 0}, "batch=0: pass how many checks a task has"),
        ({"resume": True}, "goes on with a file of results: name it by results="),
    ],
)
def test_a_wrong_call_is_a_sentence_before_anything_runs(options, words):
    with pytest.raises(CallError, match=words.replace("(", r"\(")):
        campaign("mine.py", **options)


def test_a_function_that_makes_no_executor_is_a_sentence():
    with pytest.raises(CallError, match=r"returned a int: it has to return a concurrent.futures.Executor"):
        place_of(lambda: 3, 1, None).open().__enter__()


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def ctrl_c():
    """Python's own handler: a run in the background has none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_in_submit(number, times):
    """How far each call of submit came, where the signal arrives so many times in the first."""
    steps = []

    class Interrupted(Pool):
        def submit(self, fn, task):
            steps.append("begun")
            for _ in range(times if len(steps) == 1 else 0):
                signal.raise_signal(number)
            steps.append("ended")
            return super().submit(fn, task)

    @contextmanager
    def opened():
        pool = Interrupted(lambda n, k: "pass", [])
        try:
            yield pool, 1
        finally:
            steps.append("closed")
            pool.shutdown()

    requests = [{"id": n, "check": {"kind": "marked"}, "limit": 1.0} for n in "abcdef"]
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        Dispatcher(Place(opened), requests, list).run()
    assert signal.getsignal(number) == before
    return steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_waits_until_nothing_is_half_done_and_a_second_one_does_not(number):
    with termination_raised():
        assert interrupted_in_submit(number, 1) == ["begun", "ended"] * 2 + ["closed"]
        assert interrupted_in_submit(number, 2) == ["begun", "closed"]


def test_a_signal_that_comes_with_the_last_result_is_not_lost():
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)


def test_a_dispatcher_runs_in_any_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(dispatched(lambda n, k: "pass", ["a"])))
    thread.start()
    thread.join()
    assert found[0][0]["a"]["verdict"] == "pass"
