"""The mutation run: what it changes, what it leaves alone, and which mutants it reports as killed or as survived."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "ci" / "mutation"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(TOOL))
    import declared
    import forks
    import mutants
    import run
    import selection
    import store
    from source import Source
    from tests_run import marked


def changes(code, operator=None):
    """The changed lines, by operator or all."""
    source = Source(Path("sample.py"), "sample.py", code)
    return [m.lines[1] for m in mutants.mutants(source) if operator in (None, m.operator)]


def test_sources_are_what_matches_and_is_not_left_out(tmp_path):
    for name in ("a.py", "reference.py", "deep/reference.py", "deep/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = selection.load(tmp_path, ["*.py", "deep/*.py", "!*/reference.py", "!a.py"])
    assert [source.name for source in found] == ["deep/b.py"]


def test_whatever_has_a_body_marks_that_it_runs_under_the_name_of_its_function():
    code = (
        '"""A module."""\nfrom __future__ import annotations\n\n\n@decorated(lambda x: x + 1)\ndef f(x):\n    """It."""\n    return x\n\n\n'
        "class C:\n    def g(self):\n        yield from (h(1) for h in [lambda x: x])\n\n\n"
        "async def k():\n    def inner():\n        return 0\n    return inner()\n"
    )
    ran = []
    space = {"__ran__": ran.append, "decorated": lambda rule: lambda f: (rule, f)}

    def marks_of(call):
        ran.clear()
        return call(), ran.copy()

    change = marked(Source(Path("sample.py"), "sample.py", code))
    assert marks_of(lambda: exec(change.text, space)) == (None, ["sample.py:<module>"])
    rule, f = space["f"]
    assert (space["__doc__"], f.__doc__) == ("A module.", "It.")
    assert marks_of(lambda: rule(0)) == (1, ["sample.py:f"])
    assert marks_of(lambda: f(2)) == (2, ["sample.py:f"])
    assert marks_of(lambda: list(space["C"]().g())) == ([1], ["sample.py:C.g", "sample.py:C.g"])
    with pytest.raises(StopIteration):
        space["k"]().send(None)
    assert ran == ["sample.py:C.g", "sample.py:C.g", "sample.py:k", "sample.py:k"]


# --- what is changed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "line", "expected"),
    [
        ("arithmetic", "y = a + b", ["y = a - b"]),
        ("arithmetic", "y *= a", ["y /= a"]),
        ("sign", "y = -a * b", ["y = a * b"]),
        ("dropped", "y = a + b * c", ["y = a", "y = b * c", "y = a + b", "y = a + c"]),
        ("dropped", "y = a - b", ["y = a", "y = (-b)"]),
        ("dropped", "y = a / b", ["y = a", "y = (1 / b)"]),
        ("swapped", "y = a @ b", ["y = b @ a"]),
        ("swapped", "y = (a + b) / c", ["y = c / (a + b)"]),
        ("swapped", "y = np.where(c, a, b)", ["y = np.where(a, c, b)", "y = np.where(c, b, a)"]),
        ("swapped", "y = np.add(a, b)", []),
        ("swapped", "y = np.swapaxes(a, 0, 1)", []),
        ("swapped", "y = a in (1, 2) or a not in (b, 1)", []),
        ("swapped", "y = a.sum(axis=(0, 1))", []),
        ("number", "y = a[1] * 0.5", ["y = a[2] * 0.5", "y = a[0] * 0.5", "y = a[1] * 1.0"]),
        ("number", "y = np.reshape(a, (2, -1))", ["y = np.reshape(a, (3, -1))", "y = np.reshape(a, (1, -1))", "y = np.reshape(a, (2, -0))"]),
        ("truth", "y = a.sum(0, keepdims=True)", ["y = a.sum(0, keepdims=False)"]),
        ("truth", "y = a.astype(b, copy=False)", []),
        ("comparison", "y = a > b", ["y = a >= b", "y = a < b"]),
        ("condition", "y = a and not b", ["y = a or not b", "y = (not b)", "y = a", "y = a and b"]),
        (
            "axis",
            "y = np.sum(a, axis=1)",
            [f"y = np.sum(a, axis={axis})" for axis in ("1, keepdims=True", "None", "-1", "0", "-2")],
        ),
        ("axis", "y = a.var(0, keepdims=True)", ["y = a.var(0, keepdims=True, ddof=1)"]),
        ("twin", "y = np.max(a) + np.sum(b)", ["y = np.min(a) + np.sum(b)", "y = np.max(a) + np.mean(b)"]),
        ("call", "y = np.exp(a.transpose(1, 0))", ["y = a.transpose(1, 0)", "y = np.exp(a)"]),
        ("transposed", "y = a.T @ b", ["y = a @ b", "y = a.T @ b.T"]),
        ("argument", "y = np.zeros(n, dtype=d)", ["y = np.zeros(n)"]),
        ("accumulation", "y[i] += a", ["y[i] = a"]),
        ("accumulation", "np.add.at(y, i, a)", ["y[i] = a"]),
        ("accumulation", "np.add(y, a, out=y)", ["y[...] = a"]),
        ("cotangent", "y = gy * a", ["y = np.ones_like(gy) * a"]),
        ("variable", "y = x + 1", ["y = weight + 1"]),
        ("bound", "y = a[i:j]", ["y = a[:j]", "y = a[i - 1:j]", "y = a[i + 1:j]", "y = a[i:]", "y = a[i:j - 1]", "y = a[i:j + 1]"]),
        ("statement", "x *= 2", ["pass"]),
    ],
)  # fmt: skip
def test_an_operator_makes_these_changes(operator, line, expected):
    code = f"def f(x: Array, weight: Array, size: int):\n    {line}\n"
    assert sorted(set(changes(code, operator))) == sorted(expected)


def test_a_rule_is_negated_whether_it_is_a_function_or_in_the_decorator():
    code = "def _rule(gy, y, x):\n    return gy\n\n\n@op(vjp=(_rule, lambda gy, y, x: gy * x))\ndef f(x, /):\n    return x\n"
    assert changes(code, "sign") == ["return -gy", "@op(vjp=(_rule, lambda gy, y, x: -(gy * x)))"]


def test_the_shape_of_a_cotangent_is_not_exchanged_for_that_of_its_value():
    code = "@op(vjp=lambda gy, y: f(gy.shape, y.dtype) * gy.T)\ndef f(x, /):\n    return x\n"
    assert changes(code, "variable") == ["@op(vjp=lambda gy, y: f(gy.shape, y.dtype) * y.T)"]


def test_a_name_of_an_op_is_left_out_of_its_decorator():
    code = '@op(numpy=(np.exp,), methods=("exp", "e"))\ndef exp(x, /):\n    return x\n'
    assert changes(code, "enrolment") == [
        '@op(numpy=(), methods=("exp", "e"))',
        '@op(numpy=(np.exp,), methods=("e",))',
        '@op(numpy=(np.exp,), methods=("exp",))',
    ]


def test_an_error_that_is_not_raised_is_a_mutant_and_its_words_are_none():
    code = 'def f(n: int):\n    if n < 0:\n        raise DomainError(f"{n + 1} is below {0}" + str(n - 1))\n'
    assert changes(code) == ["if n <= 0:", "if n > 0:", "if n < 1:", "pass"]


@pytest.mark.parametrize(
    "code",
    [
        "@op(spec=OpSpec(case(reals(low=1.0)), reference=lambda x: x + 1))\ndef f(x): ...\n",
        "def _by_loop(x):\n    return x + 1\n\n\n@op(spec=OpSpec(reference=_by_loop))\ndef f(x): ...\n",
        '"""About 1 + 1."""\n\n\ndef f(x: Annotated[int, 1 + 1]) -> Annotated[int, 1]:\n    """About 2 + 2."""\n',
        "if TYPE_CHECKING:\n    X = 1 + 1\n",
        "def _misfit(x) -> ShapeError:\n    return ShapeError(x[0] + 1)\n",
    ],
    ids=["spec", "reference", "docstring and hints", "types", "an error's words"],
)
def test_what_is_no_target_is_left_alone(code):
    assert changes(code) == []


def test_a_helper_that_a_spec_shares_with_a_rule_is_a_target():
    code = "def _n(x):\n    return x + 1\n\n\n@op(vjp=lambda gy, y, x: _n(gy), spec=OpSpec(reference=_n))\ndef f(x): ...\n"
    assert "return x - 1" in changes(code)


def test_what_is_put_into_a_table_defines_neither_the_table_nor_its_key():
    """Or what a spec uses, such as np, would be used by nothing else, and all that is put there with it."""
    code = (
        "def _case(x):\n    return np.abs(x)\n\n\n@op(spec=OpSpec(_case(1)))\ndef f(x):\n    return x + 1\n\n\n"
        "FUNCTIONS[np.f] = f\n"
    )
    assert "return x - 1" in changes(code, "arithmetic")


def test_nothing_registered_is_left_alone_as_part_of_a_spec():
    for source in selection.load(ROOT, list(run.SOURCES)):
        registered = {name for name, units in source.registered().items() if name in units}
        left_alone = {getattr(node, "name", "") for node in source.only_for_specs}
        assert registered & left_alone == set(), source.name


def test_no_two_mutants_are_alike_and_each_parses():
    path = ROOT / "gradcore" / "ops" / "normalize.py"
    source = Source(path, path.name, path.read_text())
    made = mutants.mutants(source)
    assert len({m.text for m in made}) == len(made) > 100
    assert len({m.key for m in made}) == len(made)
    for mutant in made:
        compile(mutant.text, path.name, "exec")


# --- which tests run ----------------------------------------------------------------------------------------------------


def test_what_runs_in_part_otherwise_runs_with_all_of_its_parameters():
    profile = settings.get_current_profile_name()
    config = SimpleNamespace(option=SimpleNamespace(hypothesis_profile=None))
    try:
        forks.Reporter(print, None).pytest_configure(config)
        assert settings().max_examples == settings.get_profile(profile).max_examples
    finally:
        settings.load_profile(profile)
    assert config.option.hypothesis_profile == "nightly"


# --- what is declared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('mutated = "b"', "no reason"),
        ('mutated = "b"\nreason = "same"', "a reason in words"),
        ('mutated = "b"\nreason = "the same for all"\nwhy = 1', "unknown why"),
    ],
)
def test_a_declaration_that_is_incomplete_is_refused(entry, message, tmp_path):
    path = tmp_path / "equivalent.toml"
    path.write_text(f'[[equivalent]]\nfile = "f"\nfunction = "g"\nline = "a"\n{entry}\n')
    with pytest.raises(ValueError, match=message):
        declared.load(path)


@pytest.mark.nightly(each_time=0)  # a run of the mutants reports the same
def test_the_projects_own_declarations_match_mutants_that_are_there():
    declarations = declared.load(TOOL / "equivalent.toml")
    files = sorted({d.file for d in declarations})
    made = [m for f in files for m in mutants.mutants(Source(ROOT / f, f, (ROOT / f).read_text()))]
    assert declared.stale(declarations, made) == []


# --- a run ------------------------------------------------------------------------------------------------------------

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


def test_results_of_an_earlier_version_are_read(tmp_path):
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
