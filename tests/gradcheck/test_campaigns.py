"""Whole campaigns: checks that crash, hang or end their worker, resumed, on processes, Dask workers and MPI ranks."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
from commands import command, folder_with_modules  # noqa: F401

from gradcheck import CallError, campaign
from gradcheck.campaigns.plan import collect
from gradcheck.cli import MISCALLED, WRONG

SOURCE = """
import os, signal, sys, time
import numpy as np
from gradcheck import checked

def rule(gy, y, x):
    return gy * np.cos(x)

def marked(name, vjp=rule):
    return checked(like=(np.array([0.5, 2.0]),), vjp=vjp, name=name, max_examples=3)

@marked("sine")
def sine(x):
    return np.sin(x)

@marked("wrong", lambda gy, y, x: 2 * rule(gy, y, x))
def wrong(x):
    return np.sin(x)

@marked("quits")
def quits(x):
    os._exit(0)

@marked("overflows")
def overflows(x):
    sys.setrecursionlimit(10**9)
    return next(map(overflows, [x]))

@marked("hangs")
def hangs(x):
    while True:
        time.sleep(1)

@marked("prints")
def prints(x):
    print('{"verdict": "pass"}', flush=True)
    os.write(1, b'{"verdict": "pass"}')
    return np.sin(x)

forked = []

@marked("forks", lambda gy, y, x: 2 * rule(gy, y, x))
def forks(x):
    if not forked:
        forked.append(1)
        os.fork()
    return np.sin(x)
"""
KILLS = """
import os, signal
import numpy as np
from gradcheck import checked

def marked(f):
    return checked(like=(np.array([0.5, 2.0]),), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=3)(f)

@marked
def first(x):
    return np.sin(x)

@marked
def kills_its_worker(x):
    os.kill(os.getppid(), signal.SIGKILL)
    return np.sin(x)

@marked
def last(x):
    return np.sin(x)
"""
VERDICTS = {
    "sine": "pass",
    "wrong": "fail",
    "quits": "crashed",
    "overflows": "crashed",
    "hangs": "hung",
    "prints": "pass",
    "forks": "fail",
}
HOW = ("seconds", "cpu", "worker", "tries", "output")
"""Of a result, what is of the run, not of the check."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks")


def names(results):
    return {r["check"].partition(":")[2]: r for r in results}


def plain(result):
    return {key: value for key, value in result.items() if key not in HOW}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "planted.py").write_text(SOURCE)
    path = folder / "results.jsonl"
    plan = collect(str(folder / "planted.py"))
    return plan, campaign(plan, jobs=2, limit=7.0, results=path), path


def test_checks_that_end_their_process_or_hang_are_reported_and_take_no_other_along(run):
    _, found, _ = run
    results = names(found.results)
    assert {name: r["verdict"] for name, r in results.items() if name != "overflows"} == {
        name: verdict for name, verdict in VERDICTS.items() if name != "overflows"
    }
    assert results["overflows"]["verdict"] in (
        "crashed",
        "error",
    )  # newer Pythons make a RecursionError of it
    assert "(exit status 0)" in results["quits"]["text"]
    assert {name: r["tries"] for name, r in results.items()} | {"overflows": 2} == dict.fromkeys(VERDICTS, 1) | {
        "quits": 2, "overflows": 2
    }  # fmt: skip
    assert " in hangs" in results["hangs"]["output"]
    assert (found.verdict, bool(found)) == ("fail", False)
    assert "HUNG  planted:hangs: no end after its limit of 7 s" in str(found)
    assert json.loads(found.to_json())["counts"]["pass"] == 2


def test_what_is_there_is_skipped_and_the_rest_is_the_same_in_another_order(run):
    plan, found, path = run
    head, *lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["verdict"] in ("hung", "crashed")]
    path.write_text("".join([head, *kept, '{"check": "planted:sine", "verd']))
    said = []
    again = campaign(plan, jobs=1, results=path, resume=True, message=said.append)
    assert [plain(r) for r in again.results] == [plain(r) for r in found.results]
    assert again.resumed == len(kept)
    assert said == [
        f"{path}: the last line was torn, and its check runs again",
        f"{path}: {len(kept)} of 7 results are there",
    ]
    assert len(path.read_text().splitlines()) == 8
    with pytest.raises(CallError, match="holds results already"):
        campaign(plan, results=path)


def test_a_check_that_kills_its_worker_is_found_and_the_others_are_judged(tmp_path):
    (tmp_path / "kills.py").write_text(KILLS)
    make = partial(ProcessPoolExecutor, 2, mp_context=get_context("spawn"))
    found = campaign(str(tmp_path / "kills.py"), executor=make)
    assert {n: r["verdict"] for n, r in names(found.results).items()} == {
        "first": "pass", "kills_its_worker": "crashed", "last": "pass"
    }  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder_with_modules")
def test_ops_of_ones_own_are_checked_by_their_file(tmp_path):
    done = command("ops_of_mine.py:my_wrong_sine", "--examples", "2", "--json", timeout=300)
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (WRONG, "fail")
    assert {r["check"]: r["verdict"] for r in found["results"]} == {
        "ops_of_mine:my_wrong_sine value": "pass",
        "ops_of_mine:my_wrong_sine gradient": "fail",
        "ops_of_mine:my_wrong_sine recording": "pass",
        "ops_of_mine:my_wrong_sine 2nd order": "pass",
        "ops_of_mine:my_wrong_sine methods": "pass",
    }
    assert "gradcheck: 5 of 5 checks, 1 bad" in done.stderr.splitlines()
    (tmp_path / "quits.py").write_text("import os\nos._exit(0)")
    done = command("quits.py", timeout=300)
    assert done.returncode == MISCALLED
    assert (
        "gradcheck: quits.py can't be loaded: the process ended before there was a verdict (exit status 0)"
        in done.stderr
    )


def test_the_command_takes_a_target_in_place_of_a_command(monkeypatch):
    from gradcheck.cli.options import parser, with_run

    assert with_run(["mine.py", "--jobs", "2"]) == ["run", "mine.py", "--jobs", "2"]
    assert with_run(["--jobs", "2", "mine.py"])[0] == "run"
    for as_it_is in (["check", "f"], ["op", "relu"], ["run", "check"], ["guide"], ["--version"], ["-h"], []):
        assert with_run(as_it_is) == as_it_is
    assert parser().parse_args(["run", "gradcore", "--results", "r.jsonl"]).results == "r.jsonl"


def test_an_interrupted_campaign_keeps_what_it_has_and_says_how_to_go_on(tmp_path):
    (tmp_path / "planted.py").write_text(SOURCE)
    call = [sys.executable, "-m", "gradcheck", "planted.py", "--jobs", "1", "--results", "r.jsonl"]
    started = subprocess.Popen(
        call, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    for line in started.stderr:
        if (
            "crashed: planted:overflows" in line or "error: planted:overflows" in line
        ):  # and the next one hangs
            break
    started.send_signal(signal.SIGTERM)
    _, errors = started.communicate(timeout=300)
    assert started.returncode == 143
    assert "interrupted; go on by the same command with --resume and --results r.jsonl" in errors
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) >= 4


# --- other executors --------------------------------------------------------------------------------------------------


def test_checks_run_on_dask_workers():
    pytest.importorskip("distributed")
    found = campaign("gradcore:relu", executor="dask", jobs=1, examples=2)
    assert (found.verdict, found.counts["pass"]) == ("pass", 6)
    assert str(os.getpid()) not in {r["worker"].partition(":")[2] for r in found.results}
    with pytest.raises(CallError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:1'.*start one by"):
        campaign("gradcore:relu", executor="dask", scheduler="tcp://127.0.0.1:1")


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="there is no mpiexec")
def test_a_check_that_kills_its_rank_is_found_by_jobs_that_are_started_again(tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    (tmp_path / "kills.py").write_text(KILLS)
    said = []
    found = campaign(
        str(tmp_path / "kills.py"),
        executor="mpi",
        jobs=2,
        mpiexec="mpiexec --oversubscribe",
        message=said.append,
    )
    assert {n: r["verdict"] for n, r in names(found.results).items()} == {
        "first": "pass", "kills_its_worker": "crashed", "last": "pass"
    }  # fmt: skip
    assert len(said) == 2
    assert "a rank died, and the job with it" in said[0]


def test_what_is_missing_for_an_executor_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CallError, match=r"Dask is not installed: pip install 'gradcore\[dask\]'"):
        campaign("gradcore:relu", executor="dask", examples=1)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mpi4py" else find(name))
    with pytest.raises(CallError, match=r"mpi4py is not installed: pip install 'gradcore\[mpi\]'"):
        campaign("gradcore:relu", executor="mpi", examples=1)
    monkeypatch.setattr(importlib.util, "find_spec", find)
    if find("mpi4py") is not None:
        with pytest.raises(CallError, match=r"nowhere-mpiexec can't be started .*--mpiexec"):
            campaign("gradcore:relu", executor="mpi", examples=1, mpiexec="nowhere-mpiexec")
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
        with pytest.raises(CallError, match="starts ranks, and this process is one"):
            campaign("gradcore:relu", executor="mpi", examples=1)
