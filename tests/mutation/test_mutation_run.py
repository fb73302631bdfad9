"""A mutation run over a small project: which mutants it reports as killed or as survived, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "ci" / "mutation"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(TOOL))
    import mutants
    import run
    import selection
    import store
    from source import Source


SAMPLE = '''\
def following(x):
    """x and one."""
    return x + 1


def scaled(x, factor=2):
    """x times a factor."""
    return x * factor


def shrunk(n):
    """The largest power of two below n."""
    found = 1
    while found * 2 < n:
        found *= 2
    return found


def alone(x):
    """What no test runs."""
    return x + 1


def total(values):
    """The sum; the start is no term."""
    result = 0
    for value in values:
        result += value
    return result
'''

TESTS = """\
import time

import pytest
from sample import ops


def test_scaled():
    assert ops.scaled(3) == 6


@pytest.mark.parametrize("n", [2, 3, 9])
def test_shrunk(n):
    assert ops.shrunk(n) < n <= 2 * ops.shrunk(n)


def test_total():
    assert ops.total([1, 2]) == 3


@pytest.mark.parametrize("n", range(121))
def test_following_is_slow_for_one_mutant(n):
    if ops.following(5) == 1:
        time.sleep(0.01)


def test_following():
    assert ops.total([ops.following(1)]) == 2
"""

EQUIVALENT = """\
[[equivalent]]
file = "sample/ops.py"
function = "alone"
line = "return x + 1"
mutated = ["return x - 1", "return x", "return 1", "return x + 2", "return x + 0"]
reason = "no test runs it, which is no reason, but this is a test"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small project with one function that no test runs, and a command that runs the tool on it."""
    root = tmp_path_factory.mktemp("project")
    (root / "sample").mkdir()
    (root / "tests").mkdir()
    (root / "sample" / "__init__.py").write_text("")
    (root / "sample" / "ops.py").write_text(SAMPLE)
    (root / "tests" / "test_ops.py").write_text(TESTS)
    (root / "equivalent.toml").write_text("")

    def run(*more):
        command = [
            sys.executable, TOOL / "run.py", "--root", root, "--sources", "sample/*.py", "--tests", "tests", "--silence", "1",
            "--equivalent", root / "equivalent.toml", "--results", root / "results.json", *more,
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=root)
        assert done.stderr == ""
        return done.returncode, done.stdout

    run.root = root
    return run


@pytest.fixture(scope="module")
def first(project):
    return project()


def test_only_what_no_test_kills_survives(first):
    code, output = first
    assert code == 1
    survivors = [line for line in output.splitlines() if line.startswith("survived")]
    assert len(survivors) == 5
    assert all("in alone" in line for line in survivors)


def test_a_survivor_is_printed_as_a_diff(first):
    assert "--- a/sample/ops.py\n+++ b/sample/ops.py\n@@ -20,3 +20,3 @@" in first[1]
    assert "\n-    return x + 1\n+    return x - 1\n" in first[1]


def test_a_mutant_that_runs_for_ever_is_ended_and_reported(first):
    assert "killed by no end within" in first[1]
    assert "found /= 2" in first[1]


def test_a_test_that_kills_one_mutant_runs_on_those_whose_nearest_tests_still_run(first):
    assert "in following" not in first[1]


def test_a_second_run_repeats_only_the_survivors(first, project):
    ran = int(first[1].rpartition("running ")[2].split()[0])
    code, output = project()
    assert code == 1
    assert f"running 5 of {ran} mutants" in output


def test_declared_mutants_are_not_counted_and_stale_ones_are_reported(first, project):
    path = project.root / "equivalent.toml"
    path.write_text(EQUIVALENT)
    code, output = project()
    assert (code, "5 equivalent" in output, "(100.00%)" in output) == (0, True, True)
    path.write_text(EQUIVALENT.replace("return x + 0", "return x + 5"))
    code, output = project()
    assert code == 1
    assert "declares a mutant that is not there: sample/ops.py, alone: return x + 1 -> return x + 5" in output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--only", "ops/opps.py"], "--only ops/opps.py matches nothing: there are 1 files and 5 functions"),
        (["--only", "scaled", "scald"], "the nearest called scaled"),
        (
            ["--only", "alone", "--operator", "transposed"],
            "none is selected by --only alone --operator transposed",
        ),
        (["--sources", "no/*.py"], "--sources no/*.py matches no file"),
        (["--tests", "no"], "--tests no is not there"),
    ],
)
def test_a_selection_of_nothing_is_refused(options, sentence, tmp_path, capsys):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "ops.py").write_text(SAMPLE)
    with pytest.raises(SystemExit) as ended:
        run.main(["--root", str(tmp_path), "--sources", "sample/*.py", "--tests", "sample", *options])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert sentence in printed.err


def test_a_file_is_named_by_the_end_of_its_path_and_a_function_by_its_name():
    path = ROOT / "gradcore" / "ops" / "reduce.py"
    mutant = mutants.mutants(Source(path, "gradcore/ops/reduce.py", path.read_text()))[-1]
    assert all(
        selection.named(mutant, name)
        for name in ("gradcore/ops/reduce.py", "ops/reduce.py", "reduce.py", mutant.owner.name)
    )
    assert not selection.named(mutant, "educe.py")


def test_results_that_were_kept_are_read(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(
        '{"measured": {}, "results": {"0f": {"by": "tests/t.py::t", "why": "no end within 20 s", "test": "ab", "seconds": 0.5}}}'
    )
    assert store.Store(path, fresh=False).results == {
        "0f": store.Result("tests/t.py::t", "no end within 20 s", "ab", 0.5)
    }


def test_a_project_whose_tests_fail_is_refused(project):
    path = project.root / "tests" / "test_ops.py"
    path.write_text(TESTS.replace("== 6", "== 7"))
    command = [
        sys.executable,
        TOOL / "run.py",
        "--root",
        project.root,
        "--sources",
        "sample/*.py",
        "--tests",
        "tests",
    ]
    command += ["--results", project.root / "other.json", "--equivalent", project.root / "equivalent.toml"]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    path.write_text(TESTS)
    assert done.returncode == 1
    assert "tests/test_ops.py fails as it stands" in done.stderr
