"""Campaigns without a process: marks, targets, the file of results, and who is to blame where a worker dies."""

import inspect
import json
import sys
import threading
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from queue import Queue

import numpy as np
import pytest

from gradcheck import CallError, checked, verify
from gradcheck.campaigns import child
from gradcheck.campaigns.carry_out import Settings, carried_out
from gradcheck.campaigns.check import Check, seed_of
from gradcheck.campaigns.dispatch import Dispatcher
from gradcheck.campaigns.executors import Place, place_of
from gradcheck.campaigns.judge import judged, no_verdict
from gradcheck.campaigns.marks import REGISTER, Options, marks_of
from gradcheck.campaigns.plan import Plan, plan_of
from gradcheck.campaigns.results import Results
from gradcheck.campaigns.table import headline, lines
from gradcheck.campaigns.target import collected

SOURCE = """
import numpy as np
from gradcheck import checked

x = np.array([0.5, 2.0])

@checked(like=(x,), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=5)
def sine(x):
    return np.sin(x)

@checked(like=lambda: (x,), vjp=lambda gy, y, x: 2 * gy * np.cos(x), max_examples=5)
def wrong(x):
    return np.sin(x)

@checked(like=(x,))
def without_a_rule(x):
    return np.sin(x)

@checked(like=(x,), vjp=lambda gy, y, x: gy)
def leaves(x):
    raise SystemExit(0)

def unmarked(x):
    return x
"""


@pytest.fixture(autouse=True)
def _modules_as_before():
    before, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("marked_"):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marked_here.py").write_text(SOURCE)
    return str(tmp_path / "marked_here.py")


# --- marks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def marks():
    found = globals().setdefault(REGISTER, {})
    found.clear()
    yield found
    found.clear()


def test_a_mark_returns_what_it_marks_and_stays_in_the_module_that_made_it(marks):
    def f(x):
        return x

    assert checked(like=(1.0,), vjp=len)(f) is f
    assert checked()(np.sin) is np.sin  # which takes no attribute
    assert checked(like=(2.0,))(f) is f
    first = "test_a_mark_returns_what_it_marks_and_stays_in_the_module_that_made_it.f"
    assert [*marks] == [first, "sin", f"{first}-2"]
    assert marks_of(sys.modules[__name__]) is marks
    assert (marks["sin"].function, marks[first].options) == (np.sin, {"vjp": len})
    assert marks_of(np) == {}


def test_a_mark_takes_the_options_of_verify_and_no_others(marks):
    names = {*inspect.signature(verify).parameters} - {
        "f",
        "like",
        "vjp",
        "reference",
        "seed",
        "raise_exception",
    }
    assert set(Options.__annotations__) == names
    with pytest.raises(
        CallError, match=r"came with tolerance=: pass like=, vjp=, reference=, name= or one of domain="
    ):
        checked(like=(1.0,), tolerance=1e-3)
    with pytest.raises(CallError, match=r"came above a int: put it above a function, a class or an op"):
        checked(like=(1.0,))(3)
    assert not marks


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_file_a_module_and_a_function_are_targets(target):
    found = collected(target)
    assert [c.id for c in found.checks] == [
        "marked_here:sine", "marked_here:wrong", "marked_here:without_a_rule", "marked_here:leaves"
    ]  # fmt: skip
    assert {c.file for c in found.checks} == {target}
    assert {"python", "gradcheck", "numpy", "hypothesis", "source"} <= set(found.versions)
    assert [c.id for c in collected(f"{target}:sine", 7).checks] == ["marked_here:sine"]
    sys.path.insert(0, "")
    (module,) = collected("marked_here:wrong").checks
    assert (module.file, module.kind) == ("", "marked")


def test_every_entry_of_gradcore_is_a_check():
    found = collected("gradcore").checks
    assert {c.kind for c in found} == {"op", "layer", "loss", "optimizer"}
    assert len({c.id for c in found}) == len(found) > 800
    assert {c.what for c in collected("gradcore:relu").checks} == {
        "value", "gradient", "kinks", "recording", "2nd order", "methods"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("marked_here.py:unmarked", "names a function that is not marked, and no op.*put @gradcheck.checked"),
        ("marked_here.py:sinn", "did you mean marked_here:sine?"),
        ("marked_empty.py", "declares nothing to check: mark a function with its rule by @gradcheck.checked"),
        ("marked_raises.py", "can't be loaded: ZeroDivisionError: division by zero"),
        ("marked_needs.py", "can't be loaded: No module named 'nowhere_to_be_found'"),
        ("nowhere.py", r"there is no file .*nowhere\.py"),
        ("chekc", "there is no command, file or module 'chekc': did you mean check?"),
        (":sine", "names no target: write FILE.py, a module, or module:function"),
        ("json.py", "can't be loaded as 'json', which is the name of another module.*: rename the file"),
    ],
)
def test_a_wrong_target_is_a_sentence(text, words, target, tmp_path):
    (tmp_path / "marked_empty.py").write_text("x = 1")
    (tmp_path / "marked_raises.py").write_text("1 / 0")
    (tmp_path / "marked_needs.py").write_text("import nowhere_to_be_found")
    (tmp_path / "json.py").write_text("x = 1")
    with pytest.raises(CallError, match=words):
        collected(text)


def test_a_rule_by_hand_without_an_example_is_listed_with_what_to_write(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "marked_torch.py").write_text(
        "import torch\n"
        "from torch.autograd import Function\n"
        "from gradcheck import checked\n"
        "class Alone(Function):\n    pass\n"
        "@checked(like=lambda: (torch.ones(2, requires_grad=True),))\n"
        "class Marked(Function):\n    pass\n"
    )
    found = collected(str(tmp_path / "marked_torch.py"))
    assert [c.id for c in found.checks] == ["marked_torch:Marked"]
    (unchecked,) = found.unchecked
    assert unchecked.name == "marked_torch:Alone"
    assert "no example: put @gradcheck.checked(like=(x, ...)) above it" in unchecked.words
    assert not collected(f"{tmp_path / 'marked_torch.py'}:Alone").checks


def test_a_file_in_a_package_is_its_submodule(tmp_path):
    package = tmp_path / "marked_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "values.py").write_text("x = 1.0")
    (package / "ops.py").write_text(
        "from .values import x\nfrom gradcheck import checked\nchecked(like=(x,))(abs)"
    )
    assert [c.id for c in collected(str(package / "ops.py")).checks] == ["marked_package.ops:abs"]


# --- one check --------------------------------------------------------------------------------------------------------


def test_a_check_gives_a_result_whatever_its_code_does(target):
    found = {c.name: judged(c, 0) for c in collected(target).checks}
    assert {name: r["verdict"] for name, r in found.items()} == {
        "sine": "pass", "wrong": "fail", "without_a_rule": "error", "leaves": "error"
    }  # fmt: skip
    assert found["wrong"]["report"]["failures"][0]["faults"][0]["cause"] == "factor"
    assert "the mark does not say whose gradient is to be checked" in found["without_a_rule"]["text"]
    assert "ended the program (SystemExit: 0)" in found["leaves"]["text"]
    assert json.loads(json.dumps(found)) == found
    gone = judged(Check("op", "gradcore.ops.elementwise", "relu", "no property"), 0)
    assert gone["verdict"] == "error"
    assert (
        "registers no op 'relu' with the property 'no property' here: is it the same version?" in gone["text"]
    )


@pytest.mark.parametrize(
    ("name", "what", "change"),
    [
        ("exp", "gradient", {"rules": (lambda gy, y, x: 2 * gy * y,)}),
        ("exp", "value", {"forward": lambda x: np.exp(x) + 1e-3}),
    ],
)
def test_a_wrong_op_fails(name, what, change, monkeypatch):
    from gradcore import registry

    check = Check("op", "gradcore.ops.elementwise", name, what, examples=5)
    assert judged(check, 0)["verdict"] == "pass"
    for key, value in change.items():
        if key == "forward":
            value.__module__ = "gradcore.ops.elementwise"
        monkeypatch.setattr(registry.ops[name], key, value)
    found = judged(check, 0)
    assert found["verdict"] == "fail"
    assert found["text"]


def test_the_seed_of_a_check_comes_from_its_name_and_the_campaigns_seed():
    assert seed_of("a:f", 0) == 2387646108
    assert len({seed_of(name, seed) for name in ("a:f", "a:g") for seed in (0, 1)}) == 4


def test_what_is_drawn_depends_on_no_module_that_happens_to_be_loaded(monkeypatch, tmp_path):
    from hypothesis.configuration import set_hypothesis_home_dir
    from hypothesis.internal.conjecture import providers

    monkeypatch.setattr(
        providers, "_get_local_constants", providers._get_local_constants
    )  # it has to be there
    try:
        child.prepare(str(tmp_path))
        assert len(providers._get_local_constants()) == 0
        provider = providers.HypothesisProvider(None)
        assert len(provider._local_constants) == 0
    finally:
        set_hypothesis_home_dir(None)


# --- the file of results ----------------------------------------------------------------------------------------------

HEADER = {"target": "mine.py", "seed": 0, "versions": {"numpy": "2.0"}}


def result(name, verdict="pass", **more):
    found = {"check": name, "kind": "marked", "seed": 1, **no_verdict(verdict, "")}
    return found | {"seconds": 0.5, "worker": "here:1", "tries": 1, **more}


def written(path, *names):
    file = Results(path, HEADER, resume=False)
    file.append([result(name) for name in names])
    file.close()
    return path


def test_results_are_lines_and_are_found_again(tmp_path):
    path = written(tmp_path / "r.jsonl", "a", "b")
    assert [json.loads(line).get("check") for line in path.read_text().splitlines()] == [None, "a", "b"]
    file = Results(path, HEADER, resume=True)
    assert [*file.found] == ["a", "b"]
    file.append([{"started": ["c", "d"]}, {"started": ["c"]}, result("d")])
    file.close()
    again = Results(path, HEADER, resume=True)
    assert (again.started, again.dropped, [*again.found]) == ({"c": 2}, 0, ["a", "b", "d"])
    again.close()


@pytest.mark.parametrize("torn", ['{"check": "c", "verd', "{", '{"check": "c"}'])
def test_a_torn_last_line_is_dropped(torn, tmp_path):
    path = written(tmp_path / "r.jsonl", "a")
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())
    file = Results(path, HEADER, resume=True)
    assert (file.dropped, [*file.found], path.read_bytes()) == (len(torn), ["a"], whole)
    file.append([result("b")])
    file.close()
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_first_line_begins_the_file_anew(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"campaign": 1, "tar')
    Results(path, HEADER, resume=True).close()
    assert json.loads(path.read_text())["target"] == "mine.py"


def test_a_file_that_does_not_fit_is_a_sentence(tmp_path):
    path = written(tmp_path / "r.jsonl", "a")
    with pytest.raises(CallError, match=r"holds results already: pass --resume"):
        Results(path, HEADER, resume=False)
    other = {"target": "mine.py", "seed": 3, "versions": {"numpy": "2.1"}}
    words = r"another campaign: seed was 0 and is 3, version of numpy was '2.0' and is '2.1'\. Name another"
    with pytest.raises(CallError, match=words):
        Results(path, other, resume=True)
    held = Results(path, HEADER, resume=True)
    with pytest.raises(CallError, match="another campaign writes to .*r.jsonl: name another file"):
        Results(path, HEADER, resume=True)
    held.close()
    path.write_text(path.read_text() + "gradcheck\n" + json.dumps(result("b")) + "\n")
    with pytest.raises(CallError, match="r.jsonl, line 3, is no result: the file was changed"):
        Results(path, HEADER, resume=True)
    path.write_text('{"a": 1}\n')
    with pytest.raises(CallError, match="is no file of results: its first line has no campaign"):
        Results(path, HEADER, resume=True)
    with pytest.raises(
        CallError, match="results can't be written to .*: No such file or directory: name a file"
    ):
        Results(tmp_path / "nowhere" / "r.jsonl", HEADER, resume=True)


# --- whose fault it is that a worker died ---------------------------------------------------------------------------------


class KilledWorker(Exception):
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
        CallError, match="the executor broke 3 times in a row without a result: .*from the start"
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


# --- what is printed, and calls ---------------------------------------------------------------------------------------


def test_the_table_lists_what_is_no_pass_and_what_could_not_be_checked():
    from gradcheck.campaigns.check import Unchecked

    bad = result("m:f", "crashed") | {
        "text": "m:f: the process ended",
        "output": "Fatal Python error: Aborted\nwhere",
    }
    text = "\n".join(lines("mine.py", 0, [result("m:e"), bad], [Unchecked("m:G", "no example")]))
    assert "CRASHED  m:f: the process ended\n    | Fatal Python error: Aborted\n    | where" in text
    assert "not checked: m:G, no example" in text
    assert text.endswith(headline("mine.py", 0, [result("m:e"), bad]))
    assert headline("mine.py", 0, [result("a")] * 2).endswith(
        "2 checks on 0 examples, seed 0, 1 s of workers: 2 pass"
    )


def test_a_plan_is_plain_data():
    plan = Plan("mine.py", (Check("marked", "m", "f"), Check("op", "g", "h", "value")), (), {"numpy": "2"})
    assert plan_of(plan.to_json()) == plan
    assert [c.id for c in plan.only(lambda c: c.kind == "op").checks] == ["g:h value"]


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
    from gradcheck import campaign

    with pytest.raises(CallError, match=words.replace("(", r"\(")):
        campaign("mine.py", **options)


def test_a_function_that_makes_no_executor_is_a_sentence():
    with pytest.raises(CallError, match="returned a int: it has to return a concurrent.futures.Executor"):
        place_of(lambda: 3, 1, None).open().__enter__()
