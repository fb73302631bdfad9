"""Which tests belong to which stage: markers, folders, selections."""

import doctest

import pytest

from gradcheck.gate import worker
from gradcheck.gate.worker import Plan

BRIEFLY = pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])


@BRIEFLY
def test_markers_do_what_the_settings_do(project, how):
    project.settings("addopts = --strict-markers")
    project.write(
        "test_all.py",
        "import pytest\n@pytest.mark.training\ndef test_t(): pass\n@pytest.mark.verification\ndef test_v(): assert 0\n",
    )
    run = project.run(*how)
    assert run.line == "gate: closed by test_all.py::test_v, 1 training test skipped"


def test_the_closest_marker_wins(project):
    project.write(
        "t/test_t.py",
        "import pytest\npytestmark = pytest.mark.training\n"
        "def test_t(): pass\n@pytest.mark.verification\ndef test_v(): assert 0\n",
    )
    assert project.run().line == "gate: closed by t/test_t.py::test_v, 1 training test skipped"


@BRIEFLY
def test_a_test_with_both_markers_is_refused_by_name(project, how):
    project.write(
        "test_both.py",
        "import pytest\n@pytest.mark.training\n@pytest.mark.verification\ndef test_both(): pass\n",
    )
    run = project.run(*how)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "test_both.py::test_both is marked both verification and training" in run.text
    assert run.started() == []


@pytest.mark.parametrize(
    "pattern", ["checks", "checks/test_g.py", "*/test_g.py", "**/test_g.py", "other checks/"]
)
def test_a_setting_names_folders_and_files_by_globs(project, pattern):
    project.settings(f"gradcheck_verification = {pattern}", "gradcheck_training = t")
    project.write("checks/test_g.py", "def test_g(): pass\n")
    project.write("other/test_o.py", "def test_o(): pass\n")
    project.write("t/test_t.py", "def test_t(): pass\n")
    ours = 2 if "other" in pattern else 1
    assert project.run().line.startswith(f"gate: {ours} verification test")


def test_a_setting_that_matches_nothing_is_refused(project):
    project.settings("gradcheck_verification = vv")
    run = project.run()
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert (
        f"gradcheck_verification: 'vv' matches nothing below {project.path}; name a folder or a file"
        in run.text
    )


def test_an_absolute_pattern_is_refused(project):
    project.settings("gradcheck_training = /t")
    run = project.run()
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "gradcheck_training: '/t' is no glob pattern" in run.text


@BRIEFLY
def test_training_selected_alone_runs_and_is_called_unguarded(project, how):
    project.stages("def test_v(): assert 0\n", "def test_0(): pass\ndef test_1(): pass\n")
    run = project.run(*how, "-m", "training")
    assert run.code == 0
    assert len(run.started("t/")) == 2
    assert run.line == "gate: no verification test was collected, 2 training tests unguarded"


@BRIEFLY
def test_verification_selected_alone_runs_and_the_line_says_so(project, how):
    project.stages("def test_v(): pass\n", "def test_0(): pass\n")
    run = project.run(*how, "-m", "verification")
    assert run.started() == ["v/test_v.py::test_v"]
    assert run.line == "gate: 1 verification test passed, no training test was collected"


@BRIEFLY
def test_only_what_was_collected_counts(project, how):
    project.stages("def test_good(): pass\ndef test_bad(): assert 0\n", "def test_good(): pass\n")
    run = project.run(*how, "-k", "good")
    assert run.started() == ["v/test_v.py::test_good", "t/test_t.py::test_good"]
    assert run.line == "gate: 1 verification test passed, training open"


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize("dist", ["loadscope", "loadfile", "loadgroup", "each"])
def test_a_dist_mode_that_cannot_be_gated_is_refused_before_any_test_runs(project, dist):
    project.stages("def test_v(): pass\n", "def test_t(): pass\n")
    run = project.run("-n", "1", "--dist", dist)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert (
        f"gradcheck's gate can't hold training back under --dist {dist}: use --dist load or worksteal"
        in run.text
    )
    assert run.started() == []


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("dist", ["loadscope", "each"])
def test_a_dist_mode_that_cannot_be_gated_runs_one_stage_alone(project, dist):
    project.stages("def test_v(): pass\n", "def test_t(): pass\n")
    run = project.run("-n", "1", "--dist", dist, "-m", "verification")
    assert run.code == 0
    assert run.started() == ["v/test_v.py::test_v"]


def test_a_scheduler_of_another_plugin_is_refused_too(project):
    project.add_to_conftest(
        "\ndef pytest_xdist_make_scheduler(config, log):\n"
        "    from xdist.scheduler import LoadScheduling\n"
        "    return type('Mine', (LoadScheduling,), {})(config, log)\n"
    )
    project.stages("def test_v(): pass\n", "def test_t(): pass\n")
    run = project.run("-n", "1")
    assert "under --dist load with a scheduler of another plugin: use" in run.text
    assert run.started() == []
    assert project.run("-n", "1", "-m", "verification").code == 0


def test_a_plan_survives_its_way_through_a_node_id():
    assert doctest.testmod(worker).failed == 0
    plan = Plan(0, 0, 0, "test_a.py::test_b[x-1]\nis marked twice")
    assert Plan.parse("::" + plan.name) == plan
    for nodeid in ("test_gate.py::gradcheck-gate[1-2-3]", "v/test_v.py::test_v[1-2-3]", ""):
        assert Plan.parse(nodeid) is None
