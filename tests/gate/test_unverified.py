"""Where nothing was verified, training does not run and the run fails, however the run is made."""

import pytest

HOWS = [("-p", "no:xdist"), ("-n", "0"), ("-n", "2"), ("-n", "2", "--dist", "worksteal")]
HOW = pytest.mark.parametrize("how", HOWS, ids=" ".join)
BRIEFLY = pytest.mark.parametrize("how", [(), ("-n", "1")], ids=["alone", "xdist"])
FOUR = "".join(f"def test_{n}(): pass\n" for n in range(4))
ALLOW = "--gradcheck-allow-unverified"

NOTHING = {
    "a file that skips itself": "import pytest\npytest.skip('no such library', allow_module_level=True)\n",
    "a library that is missing": "import pytest\npytest.importorskip('there_is_no_such_module')\n",
    "skipped tests": "import pytest\npytestmark = pytest.mark.skip\n" + FOUR,
    "tests that skip themselves": "import pytest\ndef test_v(): pytest.skip()\n",
    "tests that fail as expected": "import pytest\n@pytest.mark.xfail\ndef test_v(): assert 0\n",
    "a fixture that skips": "import pytest\n@pytest.fixture\ndef gpu(): pytest.skip()\ndef test_v(gpu): pass\n",
    "no test": "def tset_v(): pass\n",
}


@pytest.fixture
def train(project):
    project.write("t/test_t.py", FOUR)
    return project


def held_back(run, reason):
    assert run.started("t/") == []
    assert "gate not opened: " + reason in run.reason("t/test_t.py::test_0")
    assert run.line.startswith("gate: not opened, ")
    assert run.line.endswith(", 4 training tests skipped")
    assert "nothing was verified, so the run has failed" in run.text
    assert ALLOW in run.text
    return run.code == pytest.ExitCode.TESTS_FAILED


def unguarded(run):
    assert len(run.started("t/")) == 4
    assert run.line.endswith("4 training tests unguarded")
    return run.code == 0


@pytest.mark.nightly(each_time=5)
@HOW
@pytest.mark.parametrize("file", ["a file that skips itself", "skipped tests", "no test"])
def test_verification_that_verified_nothing_holds_training_back_and_fails_the_run(train, how, file):
    train.write("v/test_v.py", NOTHING[file])
    assert held_back(train.run(*how), "no")


@pytest.mark.parametrize("file", NOTHING)
def test_whatever_the_reason_nothing_was_verified(train, file):
    train.write("v/test_v.py", NOTHING[file])
    assert held_back(train.run(), "no")


@pytest.mark.nightly(each_time=4)
@BRIEFLY
@pytest.mark.parametrize("file", ["a file that skips itself", "skipped tests", "no test"])
def test_it_can_be_allowed(train, how, file):
    train.write("v/test_v.py", NOTHING[file])
    assert unguarded(train.run(*how, ALLOW))


def test_what_was_skipped_is_named(train):
    train.write("v/test_v.py", NOTHING["a file that skips itself"])
    run = train.run()
    assert held_back(run, "no verification test was collected, v/test_v.py was skipped')")
    train.write("v/test_v.py", NOTHING["skipped tests"])
    assert held_back(train.run(), "none of 4 verification tests passed')")


@BRIEFLY
def test_one_passing_check_beside_skipped_ones_opens_the_gate(train, how):
    train.write("v/test_v.py", NOTHING["skipped tests"])
    train.write("v/test_w.py", "def test_w(): pass\n")
    run = train.run(*how)
    assert run.code == 0
    assert run.line == "gate: 1 verification test passed, 4 skipped or xfailed, training open"


def test_skipped_tests_with_the_marker_alone_hold_training_back_too(train):
    train.settings()
    train.write("t/test_t.py", "import pytest\npytestmark = pytest.mark.training\n" + FOUR)
    train.write(
        "test_v.py", "import pytest\n@pytest.mark.verification\n@pytest.mark.skip\ndef test_v(): pass\n"
    )
    assert held_back(train.run(), "none of 1 verification test passed")


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("dist", ["loadscope", "loadfile", "loadgroup", "each"])
def test_a_dist_mode_that_cannot_be_gated_is_refused_where_nothing_was_verified(train, dist):
    train.write("v/test_v.py", NOTHING["a file that skips itself"])
    run = train.run("-n", "1", "--dist", dist)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert run.started() == []
    train.write("v/test_v.py", NOTHING["skipped tests"])
    run = train.run("-n", "1", "--dist", dist, "v")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert run.line == "gate: not opened, none of 4 verification tests passed, no training test was collected"


@BRIEFLY
def test_a_verification_run_that_verified_nothing_fails(train, how):
    train.write("v/test_v.py", NOTHING["skipped tests"])
    assert train.run(*how, "-m", "verification").code == pytest.ExitCode.TESTS_FAILED
    assert train.run(*how, "v").code == pytest.ExitCode.TESTS_FAILED
    assert train.run(*how, "v", ALLOW).code == 0


# --- what the user selected ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selection",
    ["t", "t/test_t.py", "./t", "-m training", "-qm training", "-k test_t", "--deselect v", "--ignore=v"],
)
@pytest.mark.parametrize("file", ["a passing check", "a file that skips itself"])
def test_training_that_the_command_line_selects_alone_stays_usable(train, selection, file):
    train.write("v/test_v.py", NOTHING.get(file, "def test_v(): pass\n"))
    assert unguarded(train.run(*selection.split()))


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("selection", ["t", "-m training", "-k test_t"])
def test_so_it_does_with_workers(train, selection):
    train.write("v/test_v.py", "def test_v(): pass\n")
    assert unguarded(train.run("-n", "1", *selection.split()))


def test_so_it_does_from_within_its_folder(train, monkeypatch):
    train.write("v/test_v.py", "def test_v(): pass\n")
    monkeypatch.chdir(train.path / "t")
    assert unguarded(train.run())


@pytest.mark.parametrize("paths", ["v t", ".", "v/test_v.py t/test_t.py", "t v/test_v.py"])
def test_paths_that_include_verification_select_it(train, paths):
    train.write("v/test_v.py", NOTHING["a file that skips itself"])
    assert held_back(train.run(*paths.split()), "no verification test was collected")


@BRIEFLY
def test_skipped_checks_within_a_selection_hold_training_back(train, how):
    train.write("v/test_v.py", NOTHING["skipped tests"])
    assert train.run(*how, "-k", "test_1").code == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("setting", ["addopts = -m training", "addopts = -k test_t", "testpaths = t"])
def test_a_setting_that_selects_is_no_choice_of_the_run(train, setting):
    train.settings("gradcheck_verification = v", "gradcheck_training = t", setting)
    train.write("v/test_v.py", "def test_v(): pass\n")
    assert held_back(train.run(), "no verification test was collected")
    assert unguarded(train.run(ALLOW))


@BRIEFLY
def test_a_plugin_that_drops_the_checks_is_none_either(train, how):
    train.write("v/test_v.py", FOUR)
    train.add_to_conftest(
        "\n@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_modifyitems(items): items[:] = [i for i in items if i.path.name != 'test_v.py']\n"
    )
    assert held_back(train.run(*how), "no verification test was collected")


def test_a_run_of_other_tests_sees_nothing_of_it(train):
    train.write("v/test_v.py", NOTHING["no test"])
    train.write("o/test_o.py", "def test_o(): pass\n")
    run = train.run("o")
    assert (run.code, run.line) == (0, "")


@pytest.mark.parametrize(
    "option", ["--collect-only", "--setup-only", "--setup-plan", "--fixtures", "--markers"]
)
def test_a_run_that_is_not_to_test_anything_does_not_fail(train, option):
    train.write("v/test_v.py", FOUR)
    run = train.run(option)
    assert run.code == 0
    assert "nothing was verified" not in run.text


# --- not opened ------------------------------------------------------------------------------------------------------


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("dist", ["load", "worksteal", "loadscope"])
@pytest.mark.parametrize("training", [FOUR, ""], ids=["training", "no training"])
def test_workers_that_die_before_their_first_test_fail_the_run(train, dist, training):
    train.write("v/test_v.py", FOUR)
    train.write("t/test_t.py", training if dist != "loadscope" else "")
    train.add_to_conftest(
        "\n@pytest.hookimpl(trylast=True)\ndef pytest_collection_finish():\n"
        "    if os.environ.get('PYTEST_XDIST_WORKER') == 'gw0': os._exit(3)\n"
        "def pytest_collection():\n"
        "    if os.environ.get('PYTEST_XDIST_WORKER') == 'gw1': time.sleep(2), os._exit(3)\n"
    )
    run = train.run("-n", "2", "--max-worker-restart=0", "--dist", dist)
    assert run.line.startswith("gate: not opened, 0 of 4 verification tests finished, ")
    assert run.code == pytest.ExitCode.TESTS_FAILED


def test_checks_that_a_plugin_never_runs_fail_the_run(train):
    train.write("v/test_v.py", FOUR)
    train.add_to_conftest("\ndef pytest_runtest_protocol(item): return 'test_v' in item.nodeid or None\n")
    run = train.run("-p", "no:xdist")
    assert run.line == "gate: not opened, 0 of 4 verification tests finished, 4 training tests skipped"
    assert run.code == pytest.ExitCode.TESTS_FAILED


def test_a_plugin_that_does_something_else_in_place_of_a_run_does_not_fail(train):
    train.write("v/test_v.py", FOUR)
    train.add_to_conftest("\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtestloop(): return True\n")
    run = train.run("-n", "0")
    assert (run.code, run.line) == (0, "")


def test_an_exit_with_status_0_before_the_gate_has_opened_is_none(train):
    train.write("v/test_v.py", "import pytest\ndef test_v(): pytest.exit('enough', returncode=0)\n")
    run = train.run("-n", "0")
    assert run.line == "gate: not opened, 0 of 1 verification test finished, 4 training tests not run"
    assert run.code == pytest.ExitCode.TESTS_FAILED
