"""No training test starts before the last verification test has ended, however the run is made."""

import os
import sys

import pytest

ALONE = [("-p", "no:xdist"), ("-p", "xdist", "-n0")]
XDIST = [("-n", "2"), ("-n", "2", "--dist", "worksteal")]
HOW = pytest.mark.parametrize("how", [*ALONE, *XDIST], ids=" ".join)
BRIEFLY = pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])

CHECKS = "import time\ndef test_slow(): time.sleep(0.4)\n" + "".join(
    f"def test_{n}(): pass\n" for n in range(5)
)
MODELS = "".join(f"def test_{n}(): pass\n" for n in range(4))


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize("how", [*ALONE, *XDIST, ("-n", "1"), ("-n", "3")], ids=" ".join)
def test_training_starts_only_after_the_last_verification_test_has_ended(project, how):
    project.stages(CHECKS, MODELS)
    project.write("test_o.py", "def test_o(): pass\n")
    run = project.run(*how)
    assert run.code == 0
    assert len(run.started()) == len(set(run.started())) == 11
    last = max(run.place("end", nodeid) for nodeid in run.started("v/"))
    assert last < min(run.place("start", nodeid) for nodeid in run.started("t/"))
    assert run.line == "gate: 6 verification tests passed, training open"
    assert "gradcheck-gate" not in run.text
    if "-n" in how:
        assert "[11 items]" in run.text


@pytest.mark.nightly(each_time=3)
@HOW
def test_a_failed_check_skips_each_training_test_and_is_named(project, how):
    project.stages(CHECKS + "def test_wrong(): assert 1 == 2\n", MODELS)
    run = project.run(*how)
    assert run.code == 1
    assert run.started("t/") == []
    assert len(run.started("v/")) == 7
    for n in range(4):
        assert run.reports[f"t/test_t.py::test_{n}"] == ["skipped", "passed"]
        assert run.reason(f"t/test_t.py::test_{n}").endswith("gate closed by v/test_v.py::test_wrong')")
    assert run.line == "gate: closed by v/test_v.py::test_wrong, 4 training tests skipped"
    assert "SKIPPED [4] t/test_t.py: gate closed by v/test_v.py::test_wrong" in run.text


@BRIEFLY
def test_a_skip_reason_names_three_checks_and_counts_the_others(project, how):
    project.stages("".join(f"def test_{n}(): assert 0\n" for n in range(5)), "def test_t(): pass\n")
    run = project.run(*how)
    reason = run.reason("t/test_t.py::test_t")
    assert reason.count("v/test_v.py::test_") == 3
    assert reason.endswith("and 2 more')")
    assert run.line.endswith(" (and 4 more), 1 training test skipped")


@pytest.mark.parametrize(
    ("check", "closes"),
    [
        ("def test_v(broken): pass", True),
        ("def test_v(leaky): pass", True),
        ("@pytest.mark.xfail(strict=True)\ndef test_v(): pass", True),
        ("@pytest.mark.xfail\ndef test_v(): assert 0", False),
        ("@pytest.mark.skip\ndef test_v(): assert 0", False),
        ("def test_v(): pytest.skip('not here')", False),
    ],
)
def test_what_pytest_calls_a_failure_closes_the_gate_and_nothing_else_does(project, check, closes):
    fixtures = "import pytest\n@pytest.fixture\ndef broken(): assert 0\n@pytest.fixture\ndef leaky():\n    yield\n    assert 0\n"
    project.stages(fixtures + check + "\ndef test_other(): pass\n", "def test_t(): pass\n")
    run = project.run()
    assert bool(run.started("t/")) is not closes
    if closes:
        assert run.line == "gate: closed by v/test_v.py::test_v, 1 training test skipped"
    else:
        assert run.line == "gate: 1 verification test passed, 1 skipped or xfailed, training open"


def test_a_teardown_error_in_a_worker_closes_the_gate(project):
    # The module's fixture is torn down when its worker knows what follows: it must know before the gate opens.
    project.stages(
        "import pytest\n@pytest.fixture(scope='module', autouse=True)\n"
        "def leaky():\n    yield\n    assert 0\ndef test_v(): pass\n",
        MODELS,
    )
    run = project.run("-n", "2")
    assert run.started("t/") == []
    assert run.line == "gate: closed by v/test_v.py::test_v, 4 training tests skipped"


@BRIEFLY
def test_a_plugin_that_shuffles_the_tests_does_not_shuffle_the_stages(project, how):
    project.add_to_conftest("\ndef pytest_collection_modifyitems(items): items.reverse()\n")
    project.stages("def test_0(): pass\ndef test_1(): pass\n", MODELS)
    run = project.run(*how)
    assert sorted(run.started()[:2]) == ["v/test_v.py::test_0", "v/test_v.py::test_1"]
    assert len(run.started("t/")) == 4


def test_training_that_is_called_too_early_is_skipped_whoever_reordered_it(project):
    project.add_to_conftest("\ndef pytest_collection_finish(session): session.items.reverse()\n")
    project.stages("def test_v(): pass\n", "def test_t(): pass\n")
    run = project.run()
    assert run.reason("t/test_t.py::test_t").endswith(
        "gate not opened: only 0 of 1 verification test finished')"
    )


def test_the_gates_reason_comes_before_a_skip_mark_of_the_test(project):
    project.stages(
        "def test_v(): assert 0\n", "import pytest\n@pytest.mark.skip(reason='slow')\ndef test_t(): pass\n"
    )
    assert project.run().reason("t/test_t.py::test_t").endswith("gate closed by v/test_v.py::test_v')")


@BRIEFLY
def test_a_failed_ordinary_test_leaves_the_gate_open(project, how):
    project.write("v/test_v.py", "def test_v(): pass\n")
    project.write("test_o.py", "def test_o(): assert 0\n")
    project.write("t/test_t.py", "def test_t(): pass\n")
    run = project.run(*how)
    assert run.started("t/") == ["t/test_t.py::test_t"]
    assert run.line == "gate: 1 verification test passed, training open"


@BRIEFLY
def test_session_fixtures_stay_up_while_workers_wait_at_the_gate(project, how):
    project.add_to_conftest(
        "\n@pytest.fixture(scope='session')\ndef made():\n    write('made', os.getpid())\n    yield\n    write('gone', os.getpid())\n"
    )
    project.stages(
        "def test_0(made): pass\ndef test_1(made): pass\n", "def test_0(made): pass\ndef test_1(made): pass\n"
    )
    run = project.run(*how)
    assert run.code == 0
    made = [entry[1] for entry in run.entries if entry[0] == "made"]
    assert len(made) == len(set(made)) == (2 if how else 1)
    assert [entry[0] for entry in run.entries if entry[0] in ("made", "gone")].count("gone") == len(made)


def test_a_session_fixture_that_fails_after_the_gate_has_closed_is_reported(project):
    project.add_to_conftest(
        "\n@pytest.fixture(scope='session', autouse=True)\ndef leaky():\n    yield\n    raise RuntimeError('left open')\n"
    )
    project.stages("def test_v(): assert 0\n", "def test_t(): pass\n")
    run = project.run("-n", "1")
    assert "ERROR at teardown of gradcheck's gate" in run.text
    assert "RuntimeError: left open" in run.text
    assert "INTERNALERROR" not in run.text


def test_a_project_that_marks_nothing_sees_nothing_of_the_gate(project):
    project.settings()
    project.write("t/test_t.py", "def test_t(): pass\n")
    project.write("v/test_v.py", "def test_v(): assert 0\n")
    run = project.run()
    assert run.started() == ["t/test_t.py::test_t", "v/test_v.py::test_v"]
    assert run.line == ""
    run = project.run("-n", "2")
    assert sorted(run.started()) == ["t/test_t.py::test_t", "v/test_v.py::test_v"]
    assert run.line == ""


def test_without_training_the_order_of_the_tests_is_left_alone(project):
    project.write("a/test_o.py", "def test_o(): pass\n")
    project.write("v/test_v.py", "def test_v(): pass\n")
    assert project.run().started() == ["a/test_o.py::test_o", "v/test_v.py::test_v"]


def test_junit_xml_has_the_skipped_training_tests_with_their_reason(project):
    project.stages("def test_v(): assert 0\n", MODELS)
    project.run("-n", "2", "--junitxml=out.xml")
    xml = (project.path / "out.xml").read_text()
    assert xml.count('message="gate closed by v/test_v.py::test_v"') == 4


def test_workers_use_one_thread_for_linear_algebra_unless_set_otherwise(project, monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    project.settings()
    project.write(
        "test_o.py",
        "import os\ndef test_o():\n    names = 'OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'\n"
        "    assert [os.environ[name] for name in names] == ['1', '1', '3']\n",
    )
    assert project.run("-n", "1").code == 0


def test_the_thread_settings_end_with_the_run(project, pytester, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    project.write("test_o.py", "def test_o(): pass\n")
    pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-n", "1").assert_outcomes(passed=1)
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["MKL_NUM_THREADS"] == "3"


def test_the_plugin_loads_neither_numpy_nor_hypothesis_nor_xdist(pytester):
    code = "import sys, gradcheck.plugin; print(sorted({'numpy', 'hypothesis', 'xdist', 'gradcore'} & {*sys.modules}))"
    assert pytester.run(sys.executable, "-c", code).stdout.str().strip() == "[]"
