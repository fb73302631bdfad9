"""Runs that end early or lose a worker: no training test slips through, and none goes unaccounted for."""

import pytest

BRIEFLY = pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])

CRASH = "import os\ndef test_crash(): os._exit(3)\n"
FOUR = "".join(f"def test_{n}(): pass\n" for n in range(4))
HELD_BACK = ["skipped", "passed"]  # setup, teardown


def training_reports(run):
    return {nodeid: outcomes for nodeid, outcomes in run.reports.items() if nodeid.startswith("t/")}


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize("stop", ["-x", "--maxfail=1", "--stepwise"])
@BRIEFLY
def test_a_run_that_stops_at_the_first_failure_still_reports_what_stopped_training(project, how, stop):
    project.stages("def test_v(): assert 0\n" + FOUR, FOUR)
    run = project.run(*how, stop, cache=stop == "--stepwise")
    assert run.started("t/") == []
    assert training_reports(run) == {f"t/test_t.py::test_{n}": HELD_BACK for n in range(4)}
    assert run.reason("t/test_t.py::test_0").endswith("gate closed by v/test_v.py::test_v')")
    assert run.line == "gate: closed by v/test_v.py::test_v, 4 training tests skipped"


def test_a_run_stopped_by_an_ordinary_test_reports_training_as_skipped(project):
    project.write("v/test_v.py", "def test_v(): pass\n")
    project.write("test_o.py", "def test_o(): assert 0\n")
    project.write("t/test_t.py", FOUR)
    run = project.run("-x")
    assert run.started("t/") == []
    assert run.reason("t/test_t.py::test_0").endswith("the run ended before training began')")
    assert run.line == "gate: 1 verification test passed, 4 training tests skipped"


def test_a_run_stopped_by_a_training_test_leaves_the_others_to_pytest(project):
    project.stages(FOUR, "def test_t(): assert 0\n" + FOUR)
    run = project.run("-x")
    assert [*training_reports(run)] == ["t/test_t.py::test_t"]
    assert run.line == "gate: 4 verification tests passed, training open"


@pytest.mark.parametrize("stop", ["pytest.exit('enough')", "raise KeyboardInterrupt"])
def test_a_run_stopped_by_hand_reports_nothing_about_training(project, stop):
    project.stages(f"import pytest\ndef test_v(): {stop}\n", FOUR)
    run = project.run("-n", "0")
    assert training_reports(run) == {}
    assert run.line == "gate: not opened, 0 of 1 verification test finished, 4 training tests not run"


def test_stepwise_goes_on_from_the_failed_check_and_does_not_lose_training(project):
    # "t" is collected before "v": an order by name alone would have training behind it when it goes on.
    project.stages("def test_0(): pass\ndef test_1(): assert 0\n", FOUR)
    assert project.run("--stepwise", cache=True).started("t/") == []
    project.write("v/test_v.py", "def test_0(): pass\ndef test_1(): pass\n")
    run = project.run("--stepwise", cache=True)
    assert run.started("v/") == ["v/test_v.py::test_1"]
    assert len(run.started("t/")) == 4


@BRIEFLY
def test_last_failed_repeats_the_failed_check_and_then_the_whole_run_opens(project, how):
    project.stages("def test_0(): pass\ndef test_1(): assert 0\n", FOUR)
    project.run(*how, cache=True)
    project.write("v/test_v.py", "def test_0(): pass\ndef test_1(): pass\n")
    run = project.run(*how, "--lf", cache=True)
    assert run.started() == ["v/test_v.py::test_1"]
    assert run.line == "gate: 1 verification test passed, no training test was collected"
    assert len(project.run(*how, "--lf", cache=True).started("t/")) == 4


@pytest.mark.parametrize("options", [(), ("--continue-on-collection-errors",), ("-n", "2")], ids=" ".join)
def test_a_file_that_cannot_be_collected_closes_the_gate(project, options):
    project.write("v/test_bad.py", "import there_is_no_such_module\n")
    project.stages(FOUR, FOUR)
    run = project.run(*options)
    assert run.started("t/") == []
    assert len(run.started("v/")) == (4 if options else 0)
    assert training_reports(run) == {f"t/test_t.py::test_{n}": HELD_BACK for n in range(4)}
    assert run.line == "gate: closed by v/test_bad.py (collection error), 4 training tests skipped"


@pytest.mark.parametrize("options", [("--continue-on-collection-errors",), ("-n", "2")], ids=" ".join)
def test_it_also_closes_the_gate_when_only_training_is_selected(project, options):
    project.write("v/test_bad.py", "import there_is_no_such_module\n")
    project.write("t/test_t.py", FOUR)
    run = project.run(*options, "-m", "training")
    assert run.started("t/") == []
    assert run.line == "gate: closed by v/test_bad.py (collection error), 4 training tests skipped"


def test_a_training_file_that_cannot_be_collected_does_not(project):
    project.write("t/test_bad.py", "import there_is_no_such_module\n")
    project.stages(FOUR, FOUR)
    run = project.run("--continue-on-collection-errors")
    assert len(run.started("t/")) == 4
    assert run.line == "gate: 4 verification tests passed, training open"


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("how", [("-n", "2"), ("-n", "2", "--dist", "worksteal"), ("-n", "1")], ids=" ".join)
def test_a_worker_that_crashes_in_a_check_closes_the_gate(project, how):
    project.stages(FOUR + CRASH, FOUR)
    run = project.run(*how)
    assert run.started("t/") == []
    assert len(run.started("v/")) == 5
    assert training_reports(run) == {f"t/test_t.py::test_{n}": HELD_BACK for n in range(4)}
    assert run.line == "gate: closed by v/test_v.py::test_crash (worker crashed), 4 training tests skipped"


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crash_in_a_check_without_restarts_ends_the_run_with_training_skipped(project, workers):
    project.stages(CRASH + FOUR, FOUR)
    run = project.run("-n", workers, "--max-worker-restart=0")
    assert run.started("t/") == []
    assert training_reports(run) == {f"t/test_t.py::test_{n}": HELD_BACK for n in range(4)}
    assert run.line == "gate: closed by v/test_v.py::test_crash (worker crashed), 4 training tests skipped"


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_a_crash_in_an_ordinary_test_the_replacement_trains(project, workers):
    project.write("v/test_v.py", FOUR)
    project.write("test_o.py", CRASH)
    project.write("t/test_t.py", FOUR)
    run = project.run("-n", workers)
    assert sorted(run.started("t/")) == [f"t/test_t.py::test_{n}" for n in range(4)]
    assert run.line == "gate: 4 verification tests passed, training open"


def test_without_a_replacement_training_is_skipped_and_the_line_does_not_say_open(project):
    project.write("v/test_v.py", FOUR)
    project.write("test_o.py", CRASH)
    project.write("t/test_t.py", FOUR)
    run = project.run("-n", "1", "--max-worker-restart=0")
    assert training_reports(run) == {f"t/test_t.py::test_{n}": HELD_BACK for n in range(4)}
    assert run.reason("t/test_t.py::test_0").endswith("the run ended before training began')")
    assert run.line == "gate: 4 verification tests passed, 4 training tests skipped"


def test_a_worker_that_crashes_in_training_takes_only_its_test_with_it(project):
    project.stages(FOUR, CRASH + FOUR)
    run = project.run("-n", "2")
    assert len(run.started("t/")) == len(set(run.started("t/"))) == 5
    assert run.reports["t/test_t.py::test_crash"][-1] == "failed"
    assert run.line == "gate: 4 verification tests passed, training open"


def test_workers_that_collect_different_tests_run_nothing(project):
    project.stages(
        "import os, pytest\n@pytest.mark.parametrize('worker', [os.environ['PYTEST_XDIST_WORKER']])\n"
        "def test_v(worker): pass\n",
        FOUR,
    )
    run = project.run("-n", "2")
    assert "Different tests were collected between gw" in run.text
    assert run.started() == []
    assert run.code == 1


def test_workers_that_disagree_about_the_stages_run_nothing(project):
    project.write(
        "v/test_v.py",
        "import os, pytest\nfirst = os.environ['PYTEST_XDIST_WORKER'] == 'gw0'\n"
        "def test_0(): pass\n@(pytest.mark.training if first else pytest.mark.verification)\ndef test_1(): pass\n",
    )
    run = project.run("-n", "2")
    assert "Different tests were collected between gw" in run.text
    assert "gradcheck-gate[1-0-1]" in run.text
    assert run.started() == []
    assert run.code == 1


def test_a_replacement_that_collects_other_tests_ends_the_run(project):
    project.write("v/test_v.py", "from pathlib import Path\nimport os\n" + FOUR)
    project.write(
        "test_o.py",
        "import os\nfrom pathlib import Path\nmark = Path(__file__).with_name('mark')\n"
        "if mark.exists():\n    def test_new(): pass\ndef test_o():\n    mark.touch()\n    os._exit(3)\n",
    )
    project.write("t/test_t.py", FOUR)
    run = project.run("-n", "1")
    assert (
        "worker gw1, which replaced a crashed one, collected other tests than the others (10 instead of 9"
        in run.text
    )
    assert "INTERNALERROR" not in run.text
    assert run.started("t/") == []
    assert run.line == "gate: closed by gw1 (collection error), 4 training tests skipped"
